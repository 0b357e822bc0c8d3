"""Executors with functions that cost nothing."""

import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from optiproxy_nas.core.errors import ParameterError, UnknownNameError
from optiproxy_nas.sweeps.executors import ExecutorSettings, dask, get_executor
from optiproxy_nas.sweeps.point import Outcome, Point

pytestmark = pytest.mark.usefixtures("forked_workers")


def make_points(count):
    known = {"dataset": "cifar10", "method": "tpe"}
    return [
        Point("p", "methods", {}, {**known, "seed": seed}, "", {}, f"{seed:064d}", (0,))
        for seed in range(count)
    ]


@dataclass(frozen=True)
class Work:
    """Notes its process; kills it at one seed, sleeps at another."""

    folder: Path
    fatal: int = -1
    slow: int = -1

    def __call__(self, point):
        seed = point.parameters["seed"]
        (self.folder / f"{seed}-{os.getpid()}").touch()
        if seed == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        if seed == self.slow:
            time.sleep(600)
        return Outcome(note=f"{seed} with {os.environ.get('OMP_NUM_THREADS')} thread")


def processes(folder):
    return {int(path.name.partition("-")[2]) for path in folder.iterdir()}


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_serial_keeps_the_order(tmp_path):
    points = make_points(4)
    executor = get_executor("serial", ExecutorSettings())
    assert [point for point, _ in executor.run(points, Work(tmp_path))] == points
    assert processes(tmp_path) == {os.getpid()}


def test_a_killed_worker_costs_its_point_only(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    points = make_points(5)
    executor = get_executor("process", ExecutorSettings(workers=2))
    outcomes = dict(executor.run(points, Work(tmp_path, fatal=1)))
    assert set(outcomes) == set(points)
    assert "SIGKILL" in outcomes[points[1]].error
    assert all(outcomes[p].note.endswith("1 thread") for p in points if p is not points[1])
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.getpid() not in processes(tmp_path)
    assert len(processes(tmp_path)) <= 3  # two, and one in the place of that which died


def test_no_worker_outlives_the_sweep(tmp_path, capsys):
    executor = get_executor("process", ExecutorSettings(workers=2))
    finished = executor.run(make_points(3), Work(tmp_path, slow=0))
    next(finished)
    assert "Stopping" not in capsys.readouterr().err
    finished.close()
    assert "Stopping; runs in progress are closed" in capsys.readouterr().err
    assert processes(tmp_path)
    assert not any(map(alive, processes(tmp_path)))
    assert not multiprocessing.active_children()


def test_more_workers_than_points(tmp_path, capsys):
    executor = get_executor("process", ExecutorSettings(workers=4))
    assert len(list(executor.run(make_points(1), Work(tmp_path)))) == 1
    assert "Stopping" not in capsys.readouterr().err
    assert len(processes(tmp_path)) == 1


def test_unknown_names_and_impossible_settings():
    with pytest.raises(UnknownNameError, match="Did you mean 'process'"):
        get_executor("proces", ExecutorSettings())
    with pytest.raises(ParameterError, match="at least 1"):
        ExecutorSettings(workers=0)
    for name in ("serial", "process"):
        with pytest.raises(ParameterError, match="scheduler"):
            get_executor(name, ExecutorSettings(scheduler="tcp://127.0.0.1:8786"))


def test_dask_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ParameterError, match=r"optiproxy-nas\[dask\]"):
        get_executor("dask", ExecutorSettings())


def test_a_scheduler_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "TIMEOUT", 1)
    executor = get_executor("dask", ExecutorSettings(scheduler="tcp://127.0.0.1:9"))
    with pytest.raises(ParameterError, match=r"'tcp://127.0.0.1:9' cannot be reached"):
        list(executor.run(make_points(1), Work(tmp_path)))
    executor = get_executor("dask", ExecutorSettings(scheduler="nonsense"))
    with pytest.raises(ParameterError, match="'nonsense' cannot be reached"):
        list(executor.run(make_points(1), Work(tmp_path)))
