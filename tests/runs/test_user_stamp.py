"""Where trials of a run are trained that goes on: only where this user has set it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optiproxy_nas import ResumeError
from optiproxy_nas.pipelines.run_parameters import evaluation_again
from optiproxy_nas.runs.user_stamp import STAMP, stamp_of

SLURM = {"setup": ["module load python"], "cluster": "slurm"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run_of(**places: Any) -> dict[str, Any]:
    """The manifest of an asynchronous run as this user begins it."""
    evaluation = {"asynchronous": True, "workers": 2, "scheduler": None, "slurm": {}, **places}
    return {"run_id": "r", "evaluation": evaluation, STAMP: stamp_of("r", evaluation)}


@pytest.mark.parametrize("places", [{"scheduler": "tcp://a:1"}, {"slurm": SLURM}, {}])
def test_a_run_of_this_user_goes_on_where_it_was(places: dict[str, Any]) -> None:
    assert evaluation_again(run_of(**places), {})["evaluation"].items() >= places.items()


@pytest.mark.parametrize("places", [{"scheduler": "tcp://a:1"}, {"slurm": SLURM}])
def test_a_run_of_somebody_else_goes_on_where_this_user_says(
    places: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    foreign = run_of(executor="dask", **places)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    with pytest.raises(ResumeError) as refused:
        evaluation_again(foreign, {"workers": 4})
    assert refused.value.data["places"].items() >= places.items()
    for given in ({"executor": "processes"}, {"evaluation": {"executor": "processes"}}):
        kept = evaluation_again(foreign, given)["evaluation"]
        assert kept == {"asynchronous": True, "workers": 2}


@pytest.mark.parametrize("edit", [{"scheduler": "tcp://b:1"}, {"slurm": {"setup": ["x"]}}])
def test_edited_places_are_not_those_of_this_user(edit: dict[str, Any]) -> None:
    run = run_of(scheduler="tcp://a:1")
    run["evaluation"] |= edit
    with pytest.raises(ResumeError):
        evaluation_again(run, {})


def test_a_stamp_is_of_one_run() -> None:
    with pytest.raises(ResumeError):
        evaluation_again(run_of(scheduler="tcp://a:1") | {"run_id": "other"}, {})


def test_where_no_secret_can_be_kept_a_run_goes_on_where_it_is_said_again(cache: Path) -> None:
    cache.write_text("no folder")
    run = run_of(scheduler="tcp://a:1")
    assert run[STAMP] == ""
    with pytest.raises(ResumeError):
        evaluation_again(run, {})
    assert evaluation_again(run, {"scheduler": "tcp://a:1"})


def test_processes_of_this_machine_need_no_stamp() -> None:
    run = run_of(executor="processes")
    del run[STAMP]
    assert evaluation_again(run, {})["evaluation"]["executor"] == "processes"
