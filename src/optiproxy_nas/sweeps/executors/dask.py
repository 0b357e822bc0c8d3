"""Dask: a cluster on this machine, or one that runs already (``--scheduler ADDRESS``)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.sweeps.executors import base
from optiproxy_nas.sweeps.point import Outcome, Point

TIMEOUT = 10  # seconds until an unreachable scheduler is given up


class DaskExecutor:
    """Tasks of ``dask.distributed``.

    The workers of a cluster need this package and the project at the same path (a shared disk).

    Raises:
        ParameterError: ``distributed`` is not installed.
    """

    def __init__(self, settings: base.ExecutorSettings) -> None:
        try:
            self._dask: Any = import_module("distributed")
        except ImportError as error:
            raise ParameterError(
                f"Executor 'dask' needs a package that is not installed ({error.name}): pip "
                'install "optiproxy-nas[dask]", or use --executor process.'
            ) from error
        self._settings = settings

    def run(self, points: Sequence[Point], function: base.Function) -> base.Outcomes:
        """See :class:`optiproxy_nas.sweeps.executors.base.Executor`.

        Raises:
            ParameterError: the scheduler cannot be reached.
        """
        with ExitStack() as stack:
            client = self._connect(stack)
            futures = {client.submit(function, point, pure=False): point for point in points}
            stack.callback(client.cancel, list(futures))
            try:
                for future in self._dask.as_completed(futures):
                    yield futures[future], _outcome(future)
                    future.release()
            except (KeyboardInterrupt, GeneratorExit):  # here, or where the outcomes are taken
                base.tell_stopping("what has not begun is cancelled, and the cluster left ...")
                raise

    def _connect(self, stack: ExitStack) -> Any:
        address = self._settings.scheduler
        if address is None:
            # The workers' own logs, too: they read the level when they start.
            stack.enter_context(
                base.environment(**base.ONE_THREAD, DASK_LOGGING__DISTRIBUTED="critical")
            )
            address = stack.enter_context(
                self._dask.LocalCluster(
                    n_workers=self._settings.workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs="ERROR",
                )
            )
        try:
            return stack.enter_context(self._dask.Client(address, timeout=TIMEOUT))
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise ParameterError(
                f"The Dask scheduler {address!r} cannot be reached: {error}. Start one with "
                "'dask scheduler', give its address (tcp://HOST:8786), or leave --scheduler out "
                "for a cluster on this machine.",
                scheduler=str(address),
            ) from error


def _outcome(future: Any) -> Outcome:
    if future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    why = future.exception() if future.status == "error" else f"the task is {future.status}"
    return Outcome(f"The Dask worker failed: {why}")
