"""Shared by all tests: one torch thread, reproducible hypothesis, two spaces, small parameters."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Of processes that tests start, too: the workers of pytest leave no core for more threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Else each of them would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import filelock
import pytest
from hypothesis import settings

if TYPE_CHECKING:  # the process that only distributes tests to workers imports no torch
    import torch

    from ingested import Ingested
    from optiproxy_nas.spaces.nb201 import NASBench201
    from tiny_space import TinySpace

# Modules of tests that manifests name as module:Name, which lie in no project.
MODULES = "tiny_problem,tiny_space,moody_method,toy_benchmark,model_source,minemethod,mineproblem"
os.environ.setdefault("OPTIPROXY_TRUSTED", MODULES)

# A shell that starts this in the background has Ctrl-C ignored, also by the processes of tests.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
gc.set_threshold(50_000, 10, 10)  # walks over all that is imported took a seventh of the time
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("suite")


# Where single tests take seconds: one that begins last is waited for by all workers.
LONGEST = ("execution", "kedro_project", "test_notebooks.py", "golden", "evaluation")
HEAVY_FIXTURES = {"ingested", "empty_store"}  # tables of all sources, a store of MLflow


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the fast tests and begin with the longest; else the order stays.

    Fast is what is not marked slow or heavy, uses no heavy fixture and runs in no Kedro project.
    """
    folder = Path(__file__).parent
    for item in items:
        marked = any(item.get_closest_marker(name) for name in ("slow", "heavy"))
        fixtures: list[str] = getattr(item, "fixturenames", [])
        marked |= folder / "kedro_project" in item.path.parents
        if not marked and HEAVY_FIXTURES.isdisjoint(fixtures):
            item.add_marker("fast")

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(folder).parts[0]
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """In a process that runs tests: one thread, and no garbage collection of what is imported."""
    import torch

    from without_compiler import leave_compiler_out

    torch.set_num_threads(1)
    leave_compiler_out()
    gc.freeze()


SMALL: dict[str, Any] = {
    "space": "nb201",
    "benchmark": "nb201",
    "source": "embedded",
    "dataset": "cifar10",
    "preset": "ensemble",
    "seed": 0,
    "budget": 23,
    "initial_samples": 8,
    "proxy": {"hidden": 8, "layers": 2, "members": 2},
    "fit": {"epochs": 5, "first_epochs": 5, "batch_size": 8},
    "gradient": {"groups": 4, "epochs": 4},
    "selection": {"batch": 5, "samples": 24},
}


def small_parameters(**overrides: Any) -> Any:
    from optiproxy_nas.core.mappings import merge
    from optiproxy_nas.methods import resolve_method

    return resolve_method(merge(SMALL, overrides))


@pytest.fixture(scope="session")
def make_parameters() -> Any:
    """Parameters of a search that takes milliseconds, with nested overrides."""
    return small_parameters


@pytest.fixture(scope="session")
def nb201() -> NASBench201:
    from optiproxy_nas.spaces.nb201 import NASBench201

    return NASBench201()


@pytest.fixture(scope="session")
def tiny() -> TinySpace:
    from tiny_space import TinySpace

    return TinySpace()


@pytest.fixture(params=["nb201", "tiny"])
def space(request: pytest.FixtureRequest) -> Any:
    """Each space in turn: fixed adjacency, searched adjacency with padding."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all workers, for what one of them makes and the others use."""
    base = tmp_path_factory.getbasetemp()  # of a worker, within that of all
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def ingested(shared_folder: Path) -> Ingested:
    from ingested import Ingested

    return Ingested(shared_folder / "ingested")


@pytest.fixture(scope="session")
def empty_store(shared_folder: Path) -> Path:
    """An MLflow store without runs, made once for all tests: its migrations take seconds."""
    path = shared_folder / "mlflow.db"
    with filelock.FileLock(f"{path}.lock"):
        if not path.exists():
            from mlflow import MlflowClient

            MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def generator() -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """What a command line in this process does to signals ends with the test."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def no_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that a test starts makes it fail, where the fast tests alone are run."""
    if request.config.option.markexpr == "fast":

        def refuse(*_: object, **__: object) -> None:
            pytest.fail("A fast test starts no process: mark it with @pytest.mark.heavy.")

        monkeypatch.setattr(os, "fork", refuse)
        monkeypatch.setattr(subprocess.Popen, "__init__", refuse)


@pytest.fixture
def global_state() -> Iterator[None]:
    """Fail if the test draws from torch's or numpy's global generator."""
    import numpy as np
    import torch

    drawn: Any = np.random.get_state()  # noqa: NPY002
    before = torch.get_rng_state(), drawn[1].copy()
    yield
    assert torch.equal(torch.get_rng_state(), before[0])
    drawn = np.random.get_state()  # noqa: NPY002
    assert (drawn[1] == before[1]).all()
