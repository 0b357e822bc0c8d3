"""What is killed at its system calls of writing: each pipeline, ``search``, a sweep, an export.

A subject works in a folder: called there, it begins, or goes on with what an earlier call left.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mlflow import MlflowClient

from cost.trust.projects import PROBLEM, RUN, TINY, command, digest, files_of, manifest
from cost.trust.trainings import SMALL, SPACE, score
from optiproxy_nas import OptiProxyError, read_journal, search
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.proof.verification import verify_crate
from optiproxy_nas.proof.verify import FAILED
from optiproxy_nas.runs.audit import damage_of

OUTCOME = "outcome.json"  # beside the folder: what a search came to
BUDGET = 12
MEASURED = ("workers", "busy_share")  # facts of a result that are about times
SWEEP = ("sweep", "--no-tracking", "--executor=serial", "--name=s")


class Subject(NamedTuple):
    """What is killed.

    Attributes:
        template: what its folder is a copy of: ``nothing``, ``empty``, ``table``,
            ``store``, ``run``.
        weight: how often it is drawn, relative to others.
        call: begins, or goes on, in a folder; returns the exit code.
        outcome: of a folder in which it has ended: what -> digest or value. What is the same of
            two undisturbed ones must be the same of one that was killed.
        wrong: of such a folder: what does not hold.
    """

    template: str
    weight: int
    call: Callable[[Path], int]
    outcome: Callable[[Path], dict[str, str]]
    wrong: Callable[[Path], Iterator[str]]


def subjects() -> dict[str, Subject]:
    """Return all subjects by name."""
    methods = f"budget={BUDGET},method=regularized_evolution"
    scored = f"{PROBLEM},budget={BUDGET},method=random_search"
    serial, two = "evaluation.executor=serial", "evaluation.executor=processes,evaluation.workers=2"
    return {
        "nb201_search": _run("nb201_search", TINY, 4),
        "nb201_methods": _run("nb201_methods", methods, 4),
        "nb201_methods with MLflow": _run("nb201_methods", methods, 3, tracking="on"),
        "hw_search": _run("hw_search", f"{TINY},objective.constraints=latency_ms <= 15", 2),
        # Each ingests its table first.
        "fcnet_search": _run("fcnet_search", TINY, 1)._replace(template="empty"),
        **_with_short_trainings(),
        "own_search": _run("own_search", f"{PROBLEM},{TINY},{serial}", 3),
        "own_search with MLflow": _run("own_search", f"{PROBLEM},{TINY},{serial}", 1, "on"),
        "own_methods": _run("own_methods", f"{scored},{serial}", 3),
        "own_methods on 2 worker processes": _run("own_methods", f"{scored},{two}", 1),
        "own_search, 2 workers at a time": _run(
            "own_search", f"{PROBLEM},{TINY},workers=2", 1
        )._replace(outcome=_outcome_of_workers, wrong=_wrong_of_workers),
        "ingest": Subject(
            "empty",
            1,
            partial(_command, ("run", "--pipeline=ingest", "--params=source=embedded")),
            partial(_files, "data/03_primary"),
            _nothing,
        ),
        "nb201_diagnose": Subject(
            "run",
            1,
            partial(
                _command,
                ("run", "--pipeline=nb201_diagnose", "--params=run=r,tracking=off,probe=20"),
            ),
            partial(_files, f"data/08_reporting/{RUN}/diagnose"),
            _wrong_of_run,
        ),
        "compare": Subject(
            "run",
            2,
            partial(_command, ("run", "--pipeline=compare", "--params=runs=r,name=c")),
            partial(_files, "data/08_reporting/compare"),
            _wrong_of_run,
        ),
        "sweep": Subject(
            "table",
            2,
            partial(
                _command,
                (*SWEEP, "method=random_search,local_search", "seed=0:2", f"budget={BUDGET}"),
            ),
            partial(_files, "data/08_reporting/sweeps/s"),
            _nothing,
        ),
        "export": Subject("run", 2, _export, partial(_files, "crate"), _wrong_of_crate),
        "search": _search("random_search", 4),
        "search by OptiProxy-NAS": _search("optiproxy", 3, **SMALL),
        "search on 2 workers": _search("random_search", 1, workers=2, failures={"retries": 1}),
    }


def _with_short_trainings() -> dict[str, Subject]:
    """Return ``lowfi_search``, where the accuracies after 12 epochs are: no package has them."""
    if DATA_DIRECTORY_VARIABLE not in os.environ:
        return {}
    params = TINY.replace("budget=12", "budget=1500") + ",objective.low_first=12"
    return {"lowfi_search": _run("lowfi_search", params, 1)._replace(template="empty")}


def _run(pipeline: str, params: str, weight: int, tracking: str = "off") -> Subject:
    return Subject(
        "table" if tracking == "off" else "store",
        weight,
        partial(_go_on_with_run, pipeline, f"{params},tracking={tracking}"),
        _outcome_of_run,
        _wrong_of_run,
    )


def _command(arguments: tuple[str, ...], project: Path) -> int:
    return command(project, *arguments)


def _nothing(_: Path) -> Iterator[str]:
    return iter(())


def _files(folder: str, project: Path) -> dict[str, str]:
    files = files_of(project / folder)
    return {path.relative_to(project).as_posix(): digest(path) for path in files}


def _go_on_with_run(pipeline: str, params: str, project: Path) -> int:
    if manifest(project, RUN):
        return command(project, "run", "--resume", RUN)
    return command(project, "run", f"--pipeline={pipeline}", f"--params=run_id={RUN},{params}")


def _outcome_of_run(project: Path) -> dict[str, str]:
    facts = manifest(project, RUN)
    files = {name: digest(project / it["path"]) for name, it in facts["artifacts"].items()}
    result = {name: it for name, it in flatten(facts["result"]).items() if name not in MEASURED}
    return files | {name: repr(value) for name, value in result.items()}


def _outcome_of_workers(project: Path) -> dict[str, str]:
    """Return what does not follow from the order in which trainings end, as all proposals do."""
    facts = manifest(project, RUN)
    encoding, queries = facts["artifacts"]["encoding"]["sha256"], facts["result"]["queries"]
    return {"encoding": encoding, "queries": str(queries)}


def _wrong_of_workers(project: Path) -> Iterator[str]:
    """Yield what is wrong with a run, and whether its journal gives another one."""
    yield from _wrong_of_run(project)
    if command(project, "audit", RUN):
        yield "its journal gives another archive"


def _wrong_of_run(project: Path) -> Iterator[str]:
    """Yield what an audit finds that repeats no search, and what was counted twice."""
    facts = manifest(project, RUN)
    if facts["status"] != "finished":
        yield f"the run is {facts['status']}"
        return
    yield from damage_of(project, RUN, facts)[0]
    if facts["tracking"]:
        yield from _wrong_in_mlflow(project, facts)
    left = (path.relative_to(project) for path in (project / "data").rglob(".partial-*"))
    # Pages about runs are written anew, beside what a kill left, which nothing reads.
    yield from (f"{it} is left" for it in left if not {"diagnose", "compare"} & {*it.parts})
    if "journal" in facts["artifacts"]:
        yield from _counted_twice(project / facts["artifacts"]["journal"]["path"])


def _wrong_in_mlflow(project: Path, facts: dict[str, Any]) -> Iterator[str]:
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiments = [found.experiment_id for found in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.run_id = '{RUN}'")
    if len(runs) != 1:
        yield f"MLflow has {len(runs)} runs of it: {[run.info.status for run in runs]}"
    elif runs[0].info.status != "FINISHED" or facts["mlflow_owed"]:
        yield f"MLflow says {runs[0].info.status}, it is owed: {facts['mlflow_owed']}"


def _counted_twice(journal: Path) -> Iterator[str]:
    table = read_journal(journal)
    twice = table.duplicated(["number", "repeat", "attempt"])
    if twice.any():
        yield f"the journal has two lines of attempts of {table[twice]['number'].tolist()}"


def _export(project: Path) -> int:
    if (project / "crate").exists():
        return command(project, "verify", "crate")
    return command(project, "export", RUN, "--out", "crate")


def _wrong_of_crate(folder: Path) -> Iterator[str]:
    for check in verify_crate(folder / "crate"):
        if check.state == FAILED:
            yield f"the crate does not hold: {check.name}: {check.why}"


def _search(method: str, weight: int, **given: Any) -> Subject:
    call = partial(_go_on_with_search, {"method": method, **given})
    return Subject("nothing", weight, call, _outcome_of_search, _wrong_of_search)


def _go_on_with_search(given: dict[str, Any], folder: Path) -> int:
    journal, crate = folder / "search.jsonl", folder / "crate"
    try:
        result = search(
            space=SPACE, evaluate=score, budget=BUDGET, seed=1, journal=journal, **given
        )
        result.save(folder / "search.zip")
        if not crate.exists():
            result.export_crate(crate, journal=journal)
    except (OptiProxyError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    of_workers = "workers" in given  # whose results come in any order
    table = result.archive[["architecture", "value"]]
    table = table.sort_values("architecture") if of_workers else table
    outcome = {"archive": table.to_csv(index=False), "failed": str(len(result.failed))}
    if not of_workers:
        outcome["trials"] = str([(it.number, it.text, it.value, it.error) for it in result.trials])
    (folder.parent / OUTCOME).write_text(json.dumps(outcome))
    return 0


def _outcome_of_search(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder.parent / OUTCOME).read_text())
    return found


def _wrong_of_search(folder: Path) -> Iterator[str]:
    yield from _counted_twice(folder / "search.jsonl")
    yield from _wrong_of_crate(folder)
