"""What is given that is none: to ``search`` and its relatives, and to the command line."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from cost.trust.trainings import SPACE, score
from optiproxy_nas import Search, SearchResult, Space, read_journal, search
from optiproxy_nas.proof.verification import verify_crate

NAN, INFINITE = float("nan"), float("inf")
BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
)


def odd_files(folder: Path) -> dict[str, Path]:
    """Make files that are none: a pipe, a link to itself, a folder, ... by their names."""
    folder.mkdir(parents=True)
    names = ("pipe", "loop", "folder", "bomb.yml", "bomb.zip", "noise", "nan.csv", "other.jsonl")
    found = {name: folder / name for name in names}
    os.mkfifo(found["pipe"])
    found["loop"].symlink_to("loop")
    found["folder"].mkdir()
    found["bomb.yml"].write_text(BOMB)
    with zipfile.ZipFile(found["bomb.zip"], "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("record.json", b" " * 200_000_000)
    found["noise"].write_bytes(bytes(range(256)) * 8)
    pd.DataFrame({"architecture": ["{}"], "value": [NAN]}).to_csv(found["nan.csv"])
    found["other.jsonl"].write_text('{"format": "optiproxy-nas journal 1"\n')
    return found


def of_python(odd: dict[str, Path]) -> dict[str, Callable[[], Any]]:
    """Return calls that must be refused, by what they give."""

    def given(**arguments: Any) -> Callable[[], Any]:
        whole = {"method": "random_search", "space": SPACE, "evaluate": score, "budget": 5}
        return lambda: search(**{**whole, **arguments})

    long = odd["folder"] / ("x" * 300)
    made = search(space=SPACE, evaluate=score, method="random_search", budget=5)
    return {
        "budget = NaN": given(budget=NAN),
        "budget = 10^400": given(budget=10**400),
        "budget = -1": given(budget=-1),
        "seed = infinity": given(seed=INFINITE),
        "seed = a list": given(seed=[[0]]),
        "method with a NUL": given(method="random_search\0"),
        "method = a path": given(method="../../etc/passwd"),
        "method = os:abort": given(method="os:abort"),
        "space = os:abort": given(space="os:abort"),
        "a choice of nothing": given(space={"a": []}),
        "a choice of NaN": given(space={"a": [NAN, 1.0]}),
        "a name of control characters": given(space={"a\x1b[2J": [1, 2]}),
        "layers = lists of lists": given(method="optiproxy", proxy={"hidden": [[8], [8]]}),
        "learning rate = NaN": given(method="optiproxy", fit={"lr": NAN}),
        "learning rate = infinity": given(method="optiproxy", fit={"lr": INFINITE}),
        "batch = 10^18": given(method="optiproxy", selection={"batch": 10**18}),
        "hidden = 10^12": given(method="optiproxy", proxy={"hidden": 10**12}),
        "timeout = NaN": given(timeout=NAN),
        "target = NaN": given(target=NAN),
        "workers = -1": given(workers=-1),
        "workers = 10^9": given(workers=10**9),
        "executor = a command": given(executor="processes; rm -rf /"),
        "an evaluation of texts": given(evaluate=lambda network: "best"),
        "an evaluation of nothing": given(evaluate=lambda network: None, budget=50),
        "journal = a pipe": given(journal=odd["pipe"]),
        "journal = a link to itself": given(journal=odd["loop"]),
        "journal = a folder": given(journal=odd["folder"]),
        "journal = a full device": given(journal="/dev/full"),
        "journal = a long name": given(journal=long),
        "journal with a NUL": given(journal="a\0b"),
        "journal below a file": given(journal=odd["noise"] / "search.jsonl"),
        "journal = half a header": given(journal=odd["other.jsonl"]),
        "initial = a pipe": given(initial=odd["pipe"]),
        "initial = a folder": given(initial=odd["folder"]),
        "initial = values that are NaN": given(initial=odd["nan.csv"]),
        "load a pipe": lambda: SearchResult.load(odd["pipe"]),
        "load a bomb of zip": lambda: SearchResult.load(odd["bomb.zip"]),
        "load noise": lambda: SearchResult.load(odd["noise"]),
        "load a link to itself": lambda: SearchResult.load(odd["loop"]),
        "read noise as a journal": lambda: read_journal(odd["noise"]),
        "read a pipe as a journal": lambda: read_journal(odd["pipe"]),
        "verify a file": lambda: verify_crate(odd["noise"]),
        "verify a link to itself": lambda: verify_crate(odd["loop"]),
        "save to a folder": lambda: made.save(odd["folder"]),
        "save to a name with a NUL": lambda: made.save("a\0b"),
        "export to a name with a NUL": lambda: made.export_crate("a\0b"),
        "load a name with a NUL": lambda: SearchResult.load("a\0b"),
        "read a journal of a name with a NUL": lambda: read_journal("a\0b"),
        "initial = a name with a NUL": given(initial="a\0b"),
        "save to a long name": lambda: made.save(long),
        "export to a link to itself": lambda: made.export_crate(odd["loop"]),
        "export below a file": lambda: made.export_crate(odd["noise"] / "crate"),
        "an author that turns its reader": lambda: made.export_crate(long, author="a\u202eb"),
        "an author that is a number": lambda: made.export_crate(long, author=5),  # type: ignore[arg-type]
        "a key that is a number": lambda: made.export_crate(long, key=5),  # type: ignore[arg-type]
        "a key with a NUL": lambda: made.export_crate(odd["folder"] / "crate", key="a\0b"),
        "a crate whose digest is no number": lambda: verify_crate(odd["folder"], digest="x"),
        "a space of a NaN name": lambda: Space({NAN: [1, 2]}),
        "tell what nobody asked for": lambda: Search(space=SPACE, budget=5).tell(99, 1.0),
    }


def of_commands(odd: dict[str, Path]) -> dict[str, tuple[str, ...]]:
    """Return arguments of ``kedro`` that must be refused, by what they give."""

    def run(params: str) -> tuple[str, ...]:
        return "run", "--pipeline=nb201_methods", f"--params=run_id=h,{params}"

    return {
        "budget=nan": run("budget=nan"),
        "budget=1e400": run("budget=1e400"),
        "a budget of 60 digits": run(f"budget={'9' * 60}"),
        "a seed in Arabic digits": run("seed=\u0663"),
        "a dataset with an escape": run("dataset=cifar10\x1b[31m"),
        "settings = lists of lists": run("settings=[[1],[2]]"),
        "a space that is a module": run("space=os:abort"),
        "a run_id of control characters": ("run", "--params=run_id=a\x1b[2J"),
        "a run_id that turns its reader": ("run", "--params=run_id=a\u202egnp.exe"),
        "a run_id that leaves": ("run", "--params=run_id=../../x"),
        "a run_id that is a benchmark": ("run", "--params=run_id=nb101"),
        "a run_id that is a page of comparisons": ("run", "--params=run_id=Compare"),
        "a run_id of 5,000 letters": ("run", f"--params=run_id={'x' * 5000}"),
        "parameters that are YAML": ("run", "--params=!!python/object/apply:os.abort []"),
        "a pipeline that is a path": ("run", "--pipeline=../../etc/passwd"),
        "a run that is a path": ("run", "--resume", "../../../etc"),
        "a run with a NUL": ("run", "--resume", "a\0b"),
        "an environment that is not there": ("run", "--env=../../nowhere"),
        "a file of parameters that is a pipe": ("run", f"--config={odd['pipe']}"),
        "a grid that is a bomb of YAML": ("sweep", "--no-tracking", "-f", str(odd["bomb.yml"])),
        "a grid that is a pipe": ("sweep", "--no-tracking", "-f", str(odd["pipe"])),
        "a grid that is a folder": ("sweep", "--no-tracking", "-f", str(odd["folder"])),
        "a grid that is a link to itself": ("sweep", "--no-tracking", "-f", str(odd["loop"])),
        "a grid of 10^18 points": ("sweep", "--no-tracking", f"seed=0:{10**18}"),
        "a grid of NaN": ("sweep", "--no-tracking", "seed=0:nan"),
        "a sweep of a name that leaves": ("sweep", "--no-tracking", "--name=../x", "seed=0:2"),
        "a crate on a file": ("export", "r", "--out", str(odd["noise"])),
        "a crate below a device": ("export", "r", "--out", "/dev/null/crate"),
        "a crate on a link to itself": ("export", "r", "--out", str(odd["loop"])),
        "a key that is a pipe": ("export", "r", "--out", "c", "--sign", str(odd["pipe"])),
        "a key that is noise": ("export", "r", "--out", "c", "--sign", str(odd["noise"])),
        "an author of control characters": ("export", "r", "--out", "c", "--author", "a\x1b[2J"),
        "a licence of two lines": ("export", "r", "--out", "c", "--license", "a\nb"),
        "a crate in the run": ("export", "r", "--out", "data/07_model_output/r/crate"),
        "an export of a pattern": ("export", "*", "--out", "c"),
        "an export of a path": ("export", "../..", "--out", "c"),
        "a crate that is a pipe": ("verify", str(odd["pipe"])),
        "a verification by a device": ("verify", str(odd["folder"]), "--key", "/dev/zero"),
        "a resume of a pattern": ("run", "--resume", "*"),
        "a resume of two pipelines": ("run", "--resume", "r", "--pipeline=ingest"),
        "an audit of a pattern": ("audit", "[r]"),
        "an audit that trains less than none": ("audit", "own", "--retrain", "-1"),
        "an audit of a path": ("audit", "../../../etc"),
        "an audit of nothing": ("audit", ""),
        "a preset that is a path": ("parameters", "--preset=../../../etc/passwd"),
    }
