"""Which runs are offered for a diagnosis, from manifests that were made up."""

from __future__ import annotations

import json
import os

import pytest
from kedro.io import DatasetError

from optiproxy_nas.datasets.run_artifacts import RunArtifacts, diagnosable
from optiproxy_nas.errors import ParameterError, ResumeError
from optiproxy_nas.manifest import read_manifest


def make(
    reporting, run_id, created, status="finished", artifacts=("step_01.proxy",), objective=None
):
    (reporting / run_id).mkdir(parents=True)
    facts = {
        "run_id": run_id,
        "pipeline": "nb201_search",
        "status": status,
        "created": created,
        "parameters": {"method": "optiproxy", "objective": objective or {"name": "accuracy"}},
        "artifacts": {name: {} for name in artifacts},
        "data": {},
    }
    (reporting / run_id / "manifest.json").write_text(json.dumps(facts))


def raise_own(dataset):
    """Load; Kedro wraps errors of a dataset."""
    try:
        dataset.load()
    except DatasetError as error:
        raise error.__cause__ from None


@pytest.fixture
def reporting(tmp_path):
    for day, name in enumerate("zyxwvu", start=1):
        make(tmp_path, name, f"2026-01-0{day}")
    make(tmp_path, "half", "2026-02-01", status="running")
    make(tmp_path, "lean", "2026-02-02", artifacts=("result.archive",))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    return tmp_path


def test_the_latest_searches_that_hold_their_proxies_are_offered(reporting):
    assert diagnosable(reporting) == list("zyxwvu")
    with pytest.raises(ResumeError, match=r"The latest finished searches: y, x, w, v, u\.$"):
        raise_own(RunArtifacts("absent", str(reporting)))


def test_the_latest_runs_come_last_in_the_list_of_an_unknown_one(reporting):
    for age, name in enumerate(("lean", "z", "half", "x", "v", "u")):
        path = reporting / name / "manifest.json"
        os.utime(path, (2e9 - age, 2e9 - age))
    with pytest.raises(ResumeError, match=r"Runs there: v, x, half, z, lean\.$"):
        read_manifest(reporting, "absent")


def test_a_run_on_several_fidelities_is_refused_and_not_offered(tmp_path):
    make(tmp_path, "low", "2026-01-01", objective={"name": "multi_fidelity"})
    bounds = {"name": "constrained", "constraints": ["latency_ms < 12"]}
    make(tmp_path, "bounded", "2026-01-02", objective=bounds)
    assert diagnosable(tmp_path) == ["bounded"]
    with pytest.raises(ParameterError, match=r"several fidelities \(12 then 200 epochs\)"):
        raise_own(RunArtifacts("low", str(tmp_path)))
