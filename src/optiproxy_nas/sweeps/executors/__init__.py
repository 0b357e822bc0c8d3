"""Executors: where the points of a sweep run. ``EXECUTORS`` names them.

An executor is a class ``MyExecutor(settings: ExecutorSettings)`` with one method ``run``; it is
named in the registry or by its import path.
"""

from optiproxy_nas.core.errors import ParameterError
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
        ParameterError: it needs a package that is not installed, or other settings; or it is no
            executor.
    """
    kind = EXECUTORS.load(name)
    if not callable(getattr(kind, "run", None)):
        raise ParameterError(
            f"The executor {name!r} is {kind!r}; it must be a class with a method run(points, "
            "function).",
            name=name,
        )
    executor: Executor = kind(settings)
    return executor


__all__ = ["EXECUTORS", "Executor", "ExecutorSettings", "get_executor"]
