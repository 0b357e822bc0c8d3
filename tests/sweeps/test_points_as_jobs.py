"""Points as jobs of an executor: what they cost each other, and how the cores are shared."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from point_work import NamedPoint, Work

from optiproxy_nas.core.errors import ParameterError, UnknownNameError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution.registry import open_executor
from optiproxy_nas.sweeps import jobs
from optiproxy_nas.sweeps.jobs import (
    executor_settings,
    note_of_sharing,
    run_points,
    workers_of_searches,
)
from optiproxy_nas.sweeps.point import Point
from waiting import wait_until


def run(folder: Path, executor: str, workers: int, *names: str) -> Any:
    """Return the generator of ``run_points``, which writes to ``folder / "sweep"``."""
    settings = EvaluationSettings(executor=executor, workers=workers)
    points: list[Any] = [NamedPoint(name) for name in names]
    opened = open_executor(settings, Work(folder), "the sweep")
    return run_points(opened, points, None, folder / "sweep")


def processes(folder: Path) -> set[int]:
    return {int(path.name.rpartition("-")[2]) for path in folder.glob("*-*")}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_serial_keeps_the_order(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    assert [point.run_id for point, _ in run(tmp_path, "serial", 1, *names)] == names
    assert processes(tmp_path) == {os.getpid()}
    assert not (tmp_path / "sweep" / "failed").exists()


@pytest.mark.heavy
def test_a_killed_worker_costs_its_point_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    names = ["a", "fatal", "b", "fails", "c"]
    outcomes = {point.run_id: found for point, found in run(tmp_path, "processes", 2, *names)}
    assert sorted(outcomes) == sorted(names)
    assert "SIGKILL" in outcomes["fatal"].error
    assert outcomes["fails"].error == "not today"
    assert {outcomes[name].note for name in "abc"} == {"with 1 thread"}
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.getpid() not in processes(tmp_path)
    written = {path.parent.name: path.read_text() for path in tmp_path.glob("sweep/failed/*/*")}
    assert written == {"fatal": "by fatal\n", "fails": "by fails\n"}


@pytest.mark.heavy
def test_no_worker_outlives_the_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished = run(tmp_path, "processes", 2, "slow", "b", "c")
    next(finished)
    wait_until((tmp_path / "waits").exists)
    assert "Stopping" not in capsys.readouterr().err
    finished.close()
    assert "Stopping; runs in progress are closed" in capsys.readouterr().err
    assert (tmp_path / "closed").exists()
    slow = next(tmp_path.glob("slow-*"))
    assert not is_alive(int(slow.name.rpartition("-")[2]))


def test_settings_of_a_sweep_are_checked() -> None:
    with pytest.raises(UnknownNameError) as caught:
        executor_settings("process", 2, None)
    assert caught.value.data["suggestion"] == "processes"
    with pytest.raises(ParameterError) as invalid:
        executor_settings("serial", 0, None)
    assert [it.parameter for it in invalid.value.data["problems"]] == ["workers"]
    for name in ("serial", "processes"):
        with pytest.raises(ParameterError) as refused:
            executor_settings(name, 2, "tcp://127.0.0.1:8786")
        assert refused.value.data["name"] == "scheduler"


def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ParameterError, match=r"optiproxy-nas\[dask\]"):
        run(tmp_path, "dask", 1, "a")


def point(**settings: Any) -> Point:
    evaluation = EvaluationSettings(**settings) if settings else None
    return Point("p", "methods", {}, {}, "", {}, "", (0,), evaluation)


@pytest.mark.parametrize(
    ("executor", "workers", "most"),
    [
        ("serial", 8, None),
        ("processes", 1, None),
        ("processes", 2, 4),
        ("processes", 9, 1),
        ("dask", 2, 1),
    ],
)
def test_searches_share_the_cores(
    executor: str, workers: int, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "machine", lambda: type("Machine", (), {"cores": 8}))
    searches = [point(), point(executor="processes", workers=6)]
    found = workers_of_searches(EvaluationSettings(executor=executor, workers=workers), searches)
    assert found == most
    assert [one.workers_at_most(most) for one in searches] == [None, most]
    assert bool(note_of_sharing(searches, most)) == (most is not None)


def test_a_search_elsewhere_has_its_own_workers() -> None:
    assert point(executor="dask", scheduler="tcp://a:1", workers=6).workers_at_most(1) is None
    assert point(executor="dask", workers=6).workers_at_most(1) == 1


def test_asynchronous_searches_are_not_swept() -> None:
    settings = EvaluationSettings(executor="processes", workers=2)
    with pytest.raises(ParameterError, match="--workers"):
        workers_of_searches(settings, [point(asynchronous=True, workers=2)])
    assert workers_of_searches(settings, [point(asynchronous=True, workers=1)])
