"""Every executor keeps what the search, sweeps and the journal rely on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution.base import Executor
from optiproxy_nas.execution.jobs import Ended, Key, Training
from optiproxy_nas.execution.registry import EXECUTORS, open_executor
from optiproxy_nas.execution.serial import SerialExecutor
from optiproxy_nas.testing import check_executor

pytestmark = pytest.mark.heavy


def make(name: str) -> Callable[[Training, int, Path], Executor]:
    def opened(training: Training, workers: int, folder: Path) -> Executor:
        settings = EvaluationSettings(executor=name, workers=workers)
        return open_executor(settings, training, "the training", folder=folder)

    return opened


@pytest.mark.parametrize("name", [name for name in EXECUTORS if name in ("serial", "processes")])
def test_executors_conform(name: str, tmp_path: Path) -> None:
    check_executor(make(name), tmp_path, in_background=name != "serial")


class GivesTwice(SerialExecutor):
    def poll(self, seconds: float | None = None) -> list[Ended]:
        return super().poll(seconds) * 2


class IgnoresCancel(SerialExecutor):
    def cancel(self, keys: Collection[Key] | None = None) -> None:
        return None


@pytest.mark.parametrize("broken", [GivesTwice, IgnoresCancel])
def test_what_an_executor_breaks_is_noticed(broken: type[SerialExecutor], tmp_path: Path) -> None:
    def opened(training: Training, workers: int, folder: Path) -> Executor:
        return broken(EvaluationSettings(), training, "the training")

    with pytest.raises(AssertionError):
        check_executor(opened, tmp_path, in_background=False)
