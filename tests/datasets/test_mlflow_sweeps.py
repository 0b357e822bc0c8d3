"""Which runs of an MLflow store are those of a sweep; the store is made up."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from optiproxy_nas.core.errors import UnknownNameError
from optiproxy_nas.runs.datasets.mlflow_runs import Sweeps


def run(
    mlflow_id: Any, name: str, parent: Any = None, status: str = "FINISHED", sweep: str = "one"
) -> Any:
    tags = {"sweep": sweep, **({"mlflow.parentRunId": parent, "run_id": name} if parent else {})}
    info = SimpleNamespace(run_id=mlflow_id, run_name=name, status=status, start_time=0)
    return SimpleNamespace(info=info, data=SimpleNamespace(tags=tags))


class Reader:
    """Knows the points of each sweep's tables."""

    def __init__(self, **points: Any) -> None:
        self._points = points

    def points(self, parent: Any) -> Any:
        return set(self._points.get(parent, ()))


RUNS = [
    run("old", "one"),
    run("o1", "seed-1", "old"),
    run("o2", "seed-2", "old"),
    run("o3", "seed-3", "old", "FAILED"),
    run("new", "one"),
    run("n3", "seed-3", "new"),
    run("n4", "seed-4", "new", "FAILED"),
    run("idle", "two", status="FAILED", sweep="two"),
    run("i1", "seed-1", "idle", "FAILED", sweep="two"),
    run("broken", "three", status="KILLED", sweep="three"),
    run("b1", "seed-1", "broken", sweep="three"),
]
READER: Any = Reader(old=["seed-1", "seed-2", "seed-3"], new=["seed-2", "seed-3", "seed-4"])


def search(condition: Any, limit: Any) -> Any:
    """As MLflow would, for the conditions that are used."""
    found = RUNS
    if "parentRunId" in condition:
        parent = condition.split("'")[1]
        found = [r for r in found if r.data.tags.get("mlflow.parentRunId") == parent]
    if "FINISHED" in condition:
        found = [r for r in found if r.info.status == "FINISHED"]
    return found[-limit:] if limit else found


def ids(runs: Any) -> list[Any]:
    return sorted(one.info.run_id for one in runs)


def test_runs_are_of_the_latest_grid_and_what_it_took_from_an_earlier_one(tmp_path: Path) -> None:
    found, parent = Sweeps(search, tmp_path).runs("one", "", READER)
    assert parent == "new"
    assert ids(found) == ["n3", "n4", "o2"]


def test_the_record_of_the_sweep_says_which_grid_is_the_present_one(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    record = tmp_path / "one" / "sweep.json"
    record.write_text(json.dumps({"mlflow_run_id": "old"}))
    found, parent = Sweeps(search, tmp_path).runs("one", "", READER)
    assert parent == "old"
    assert ids(found) == ["o1", "o2", "o3"]
    for other in ('{"mlflow_run_id": null}', "[]", "{"):
        record.write_text(other)
        assert Sweeps(search, tmp_path).runs("one", "", READER)[1] == "new"


def test_an_id_of_mlflow_names_one_grid(tmp_path: Path) -> None:
    assert Sweeps(search, tmp_path).runs("old", "", READER)[1] == "old"


def test_unknown_sweeps_are_refused_with_all_there_are(tmp_path: Path) -> None:
    """Also those without a finished run under them, which may have found all points done."""
    sweeps = Sweeps(search, tmp_path)
    message = (
        r"Unknown sweep 'onne'. Did you mean 'one'\? Allowed: one, three, two. No run has finished "
        r"under: two\.$"
    )
    with pytest.raises(UnknownNameError, match=message) as caught:
        sweeps.runs("onne", "", READER)
    assert caught.value.data["allowed"] == ["one", "three", "two"]


def test_names_and_ids_of_sweeps_are_told_from_those_of_runs(tmp_path: Path) -> None:
    sweeps = Sweeps(search, tmp_path)
    assert sweeps.is_one("two")
    assert sweeps.is_one("old")
    assert not sweeps.is_one("seed-1")
    assert not sweeps.is_one("o1")
