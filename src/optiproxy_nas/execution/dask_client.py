"""Connecting to a Dask scheduler, or to a cluster that is started on this machine for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from optiproxy_nas.core.errors import EvaluationError, ParameterError
from optiproxy_nas.execution.jobs import reason_of
from optiproxy_nas.execution.payload import refuse_unguarded_script

_LOGGERS = ("distributed", "distributed.client", "distributed.gc")


@contextmanager
def connected(scheduler: str | None, workers: int, seconds: float) -> Iterator[Any]:
    """Give a Dask client; at the end it is closed, and so is what was started for it.

    Args:
        scheduler: address; None: a cluster is started on this machine.
        workers: that a cluster is started with.
        seconds: after which a scheduler that does not answer is given up.

    Raises:
        ParameterError: ``distributed`` is not installed, or the scheduler cannot be reached.
        EvaluationError: no cluster could be started on this machine.
    """
    distributed = _distributed()
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        target: Any = scheduler
        if target is None:
            target = stack.enter_context(_local_cluster(distributed, workers))
        try:
            client = within(
                seconds,
                lambda: distributed.Client(target, timeout=seconds, set_as_default=False),
            )
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise ParameterError(
                f"The Dask scheduler {target!r} cannot be reached: {reason_of(error)}. Start one "
                "with 'dask scheduler' and give its address (tcp://HOST:8786) as "
                "evaluation.scheduler, or leave that out for a cluster on this machine.",
                scheduler=str(target),
            ) from error
        stack.enter_context(client)
        yield client


def within(seconds: float, function: Callable[[], Any]) -> Any:
    """Return what a function gives; Dask may wait for ever for what does not answer.

    Raises:
        TimeoutError: it has given nothing in that time.
        Exception: that it raises.
    """
    found: Future[Any] = Future()

    def call() -> None:
        try:
            found.set_result(function())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return found.result(seconds)


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ParameterError(
            f"The executor 'dask' needs a package that is not installed ({error.name}): pip "
            'install "optiproxy-nas[dask]", or use the executor processes.'
        ) from error


@contextmanager
def _local_cluster(distributed: Any, workers: int) -> Iterator[Any]:
    """Start a cluster on this machine, and end it; Ctrl-C does not reach its workers."""
    refuse_unguarded_script()
    try:
        cluster = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # jobs run in processes of their own
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            preload=["optiproxy_nas.execution.dask_worker"],
            env={"DASK_LOGGING__DISTRIBUTED": "critical"},
        )
    except Exception as error:
        raise EvaluationError(
            f"No Dask cluster can be started on this machine: {reason_of(error)}. Use the executor "
            "processes."
        ) from error
    with cluster:
        yield cluster


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Dask, whose lines tell of each worker that dies; the search says what that means."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
