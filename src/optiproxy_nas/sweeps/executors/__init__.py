"""Executors: where the points of a sweep run. ``EXECUTORS`` names them.

An executor is a class ``MyExecutor(settings: ExecutorSettings)`` with one method ``run``; it is
named in the registry or by its import path.
"""

from optiproxy_nas.core.registry import Registry
from optiproxy_nas.sweeps.executors.base import Executor, ExecutorSettings

EXECUTORS = Registry(
    "executor",
    {
        "serial": f"{__name__}.local:SerialExecutor",
        "process": f"{__name__}.local:ProcessExecutor",
        "dask": f"{__name__}.dask:DaskExecutor",
    },
    group="optiproxy_nas.executors",
)


def get_executor(name: str, settings: ExecutorSettings) -> Executor:
    """Return a registered executor, or one named ``package.module:Class``.

    Raises:
        UnknownNameError: with the list and the nearest name.
        ParameterError: it needs a package that is not installed, or other settings.
    """
    executor: Executor = EXECUTORS.load(name)(settings)
    return executor


__all__ = ["EXECUTORS", "Executor", "ExecutorSettings", "get_executor"]
