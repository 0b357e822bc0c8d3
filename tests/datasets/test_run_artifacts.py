"""Which runs are offered for a diagnosis, from manifests that were made up."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.cli.utils import _split_params
from kedro.io import DatasetError

from optiproxy_nas.core.errors import ParameterError, ResumeError
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.runs.datasets.run_artifacts import RunArtifacts, diagnosable
from optiproxy_nas.runs.manifest import read_manifest


def make(
    reporting: Any,
    run_id: str,
    created: Any,
    status: str = "finished",
    artifacts: Any = ("step_01.proxy",),
    objective: Any = None,
    **parameters: Any,
) -> None:
    (reporting / run_id).mkdir(parents=True)
    facts = {
        "run_id": run_id,
        "pipeline": "nb201_search",
        "status": status,
        "created": f"{created}T00:00:00+00:00",
        "result": {},
        "parameters": {
            "method": "optiproxy",
            "objective": objective or {"name": "accuracy"},
            **parameters,
        },
        "artifacts": {name: {"path": f"{run_id}/{name}", "sha256": "0" * 64} for name in artifacts},
        "data": {},
    }
    (reporting / run_id / "manifest.json").write_text(json.dumps(facts))


def raise_own(dataset: Any) -> None:
    """Load; Kedro wraps errors of a dataset."""
    try:
        dataset.load()
    except DatasetError as error:
        raise error.__cause__ or error from None


@pytest.fixture
def reporting(tmp_path: Path) -> Path:
    for day, name in enumerate("zyxwvu", start=1):
        make(tmp_path, name, f"2026-01-0{day}")
    make(tmp_path, "half", "2026-02-01", status="running")
    make(tmp_path, "lean", "2026-02-02", artifacts=("result.archive",))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    return tmp_path


def test_the_latest_searches_that_hold_their_proxies_are_offered(reporting: Path) -> None:
    assert diagnosable(reporting) == list("zyxwvu")
    with pytest.raises(
        ResumeError, match=r"The latest finished searches: u, v, w, x, y, and 1 older\.$"
    ):
        raise_own(RunArtifacts("absent", str(reporting)))


def test_the_latest_runs_come_first_in_the_list_of_an_unknown_one(reporting: Path) -> None:
    for age, name in enumerate(("lean", "z", "half", "x", "v", "u")):
        path = reporting / name / "manifest.json"
        os.utime(path, (2e9 - age, 2e9 - age))
    with pytest.raises(ResumeError, match=r": lean, z, half, x, v, and \d+ older\.$") as caught:
        read_manifest(reporting, "absent")
    runs = caught.value.data["runs"]
    assert runs[-6:] == ["u", "v", "x", "half", "z", "lean"]


def test_a_run_on_several_fidelities_is_refused_and_not_offered(tmp_path: Path) -> None:
    make(tmp_path, "low", "2026-01-01", objective={"name": "multi_fidelity"})
    bounds = {"name": "constrained", "constraints": ["latency_ms < 12"]}
    make(tmp_path, "bounded", "2026-01-02", objective=bounds)
    assert diagnosable(tmp_path) == ["bounded"]
    with pytest.raises(ParameterError, match=r"several fidelities \(12 then 200 epochs\)"):
        raise_own(RunArtifacts("low", str(tmp_path)))


SAME = {"space": "nb201", "benchmark": "nb201", "method": "optiproxy"}


@pytest.mark.parametrize(
    "own",
    [
        {"preset": "paper"},
        {"fit": {"batches_per_epoch": None, "epochs": 1}, "gradient": {"warm_start": True}},
        {"objective": {"name": "constrained", "constraints": ["a_ms <= 12", "b_mj < 0.5"]}},
        {"preset": "hardware", "objective": "constrained", "mode": "paper_weights"},
    ],
)
def test_the_command_for_a_run_that_kept_no_proxies_gives_its_search(
    tmp_path: Path, own: Any
) -> None:
    """What the message says is typed as it stands: the same parameters, nothing else to set."""
    given = {"dataset": "cifar100", "source": "embedded", "seed": 3, "budget": 30}
    given |= {"preset": "default", **SAME, **own}
    if mode := given.pop("mode", None):
        bounds = {"name": "constrained", "constraints": "a_ms <= 12", "mode": mode}
        given["objective"] = bounds
    parameters = resolve_method(given).model_dump()
    make(tmp_path, "lean", "2026-01-01", artifacts=("result.archive",), **parameters)
    with pytest.raises(ParameterError, match="keeps its archive only") as caught:
        raise_own(RunArtifacts("lean", str(tmp_path)))
    command = shlex.split(caught.value.message.partition("diagnose that run: ")[2])
    assert command[:3] == ["kedro", "run", "--pipeline=nb201_search"]
    nothing: Any = None
    typed = _split_params(nothing, nothing, command[3].removeprefix("--params="))
    assert resolve_method({**SAME, **typed}).model_dump() == parameters


def test_a_run_on_several_fidelities_that_kept_no_proxies_is_not_to_be_repeated(
    tmp_path: Path,
) -> None:
    objective = {"name": "multi_fidelity"}
    make(tmp_path, "lean", "2026-01-01", artifacts=("result.archive",), objective=objective)
    with pytest.raises(ParameterError, match="several fidelities"):
        raise_own(RunArtifacts("lean", str(tmp_path)))
    make(
        tmp_path, "plain", "2026-01-01", artifacts=("result.archive",), objective=objective,
        method="random_search",
    )  # fmt: skip
    with pytest.raises(ParameterError, match="Method 'random_search' has no proxy"):
        raise_own(RunArtifacts("plain", str(tmp_path)))
