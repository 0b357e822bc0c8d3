"""``python -m cost.chaos N``: searches whose processes are killed at random, N of them.

Each is a search on two workers, by an executor and a method drawn by the number of the run. At
random times its driver, its workers, its scheduler or all of them are killed, paused or told to
end; what has ended is started again, until the search is finished. Then it must hold that

- no result is lost: each training that has ended is in the journal, but for those that were under
  way, or just ended, when something was disturbed;
- none is counted twice: an attempt has one line, an architecture one row of the archive;
- the journal replays: twice the same archive to the byte, no training, no byte of the file changed.

A line of JSON a run, and a summary. ``--first K`` begins with run K; ``--executor`` is that of all.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cost.chaos_run import METHODS, Plan, Run
from cost.chaos_training import NOTES
from optiproxy_nas import read_journal
from optiproxy_nas.core.errors import OptiProxyError
from optiproxy_nas.execution.registry import EXECUTORS

SLACK = 2.0  # seconds in which an answer has reached the journal


def check(run: Run) -> dict[str, int]:
    """Assert what must hold of a run that has ended, and count."""
    table = read_journal(run.journal)
    twice = table.duplicated(["number", "repeat", "attempt"])
    assert not twice.any(), f"attempts with two lines: {table[twice]['number'].tolist()}"
    notes = [json.loads(line) for line in (run.folder / NOTES).read_text().splitlines()]
    begun = {note["run"]: note["time"] for note in notes if note["what"] == "begun"}
    ended = [note for note in notes if note["what"] == "ended"]
    told = table["value"].dropna().tolist()
    assert len(told) == len(set(told)), "an answer was counted twice"
    assert set(told) <= {note["value"] for note in ended}, "an answer that no training gave"
    unanswered = [note for note in ended if note["value"] not in set(told)]
    lost = [
        note
        for note in unanswered
        if not any(
            begun[note["run"]] <= it.ended and note["time"] + SLACK >= it.begun
            for it in run.disturbances
        )
    ]
    assert not lost, f"{len(lost)} results were lost: {lost}"
    before, first = run.journal.read_bytes(), (run.folder / "digest").read_text()
    for _ in range(2):
        assert run.replay() == first, "the journal replays as another archive"
    assert run.journal.read_bytes() == before, "a replay changed the journal"
    after = (run.folder / NOTES).read_text().splitlines()
    assert len(after) == len(notes), "a replay trained"
    return {"trainings": len(begun), "answers": len(told), "under way": len(unanswered)}


def plans(first: int, count: int, executor: str | None) -> Iterator[Plan]:
    """Yield the plans of the runs; SLURM, whose jobs begin slowly, has one of six."""
    names = ["processes", "dask", "processes", "dask", "processes", "slurm"]
    there = [name for name in names if name in EXECUTORS]
    for number in range(first, first + count):
        draw = random.Random(f"plan {number}")
        name, method = executor or draw.choice(there), draw.choice(list(METHODS))
        yield Plan(number, name, method, draw.randint(8, 16), retries=draw.randint(0, 1))


def main() -> None:
    """Run them all; the exit code is 1 where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--executor", choices=("processes", "dask", "slurm"))
    parser.add_argument("--folder", type=Path, help="of the runs; failed ones stay there")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing of a run is left behind
    root = arguments.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    totals: Counter[str] = Counter()
    for plan in plans(arguments.first, arguments.runs, arguments.executor):
        folder = root.absolute() / f"{plan.number:04d}"
        folder.mkdir(parents=True)
        begun, run, broken = time.monotonic(), Run(plan, folder), ""
        counts: dict[str, int] = {}
        try:
            run.finish()
            counts = check(run)
        except (AssertionError, OptiProxyError) as error:
            broken = str(error) or type(error).__name__
        finally:
            run.close()
        kinds = [it.kind for it in run.disturbances]
        totals.update({**counts, **Counter(kinds), "runs": 1, "broken": bool(broken)})
        row = {**plan._asdict(), "starts": run.starts, "disturbances": kinds, **counts}
        row |= {"seconds": round(time.monotonic() - begun, 1), "broken": broken}
        print(json.dumps(row), flush=True)
        if not broken:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(totals))
    sys.exit(bool(totals["broken"]))


if __name__ == "__main__":
    main()
