"""Connecting to a Dask scheduler, or to a cluster that is started on this machine for it."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from typing import Any

from optiproxy_nas.core.errors import EvaluationError, ParameterError
from optiproxy_nas.execution.jobs import reason_of

START = 300.0  # seconds in which a cluster of this machine has started
END = 10.0  # and in which it has ended
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
        security = None  # that of Dask's own configuration
        if target is None:
            security = distributed.Security.temporary()
            target = stack.enter_context(_local_cluster(workers, security))
        client = distributed.Client.__new__(distributed.Client)  # at hand also where it fails
        try:
            given = {"timeout": seconds, "set_as_default": False, "security": security}
            within(seconds, lambda: client.__init__(target, **given))
        except Exception as error:  # of a server that is no scheduler: any
            with suppress(Exception):
                client.close(timeout=END)
            raise ParameterError(
                f"The Dask scheduler {target!r} cannot be reached: {reason_of(error)}. Start one "
                "with 'dask scheduler' and give its address, scheduler = tcp://HOST:8786, or leave "
                "that out for a cluster on this machine.",
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
def _local_cluster(workers: int, security: Any) -> Iterator[str]:
    """Start a cluster on this machine, give the address of its scheduler, and end it.

    Who has not ``security``, a certificate of this search, cannot connect to it.

    It is a process of its own (:func:`run_cluster`): Ctrl-C does not reach it, fitting a proxy here
    does not keep its scheduler from answering, and its workers, which ``multiprocessing`` spawns,
    import no script of the user.
    """
    path = [os.path.abspath(entry) for entry in sys.path]
    code = f"import sys; sys.path[:] = {path!r}; from {__name__} import run_cluster; "
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}run_cluster({workers})"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "DASK_LOGGING__DISTRIBUTED": "critical"},
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    try:
        with suppress(BrokenPipeError):  # standard error says why
            process.stdin.write(pickle.dumps(security))
            process.stdin.flush()
        address = within(START, process.stdout.readline).decode().strip()
        if not address:
            raise EvaluationError(
                "No Dask cluster can be started on this machine; standard error says why. Use the "
                "executor processes."
            )
        yield address
    finally:
        with suppress(OSError):
            process.stdin.close()  # which ends it
        with suppress(subprocess.TimeoutExpired):
            process.wait(END)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def run_cluster(workers: int) -> None:
    """Run a cluster, print the address of its scheduler, and end it when the input ends.

    The input begins with the ``Security`` by which others connect to it.
    """
    security = pickle.load(sys.stdin.buffer)
    with _distributed().LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=0,  # jobs run in processes of their own
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # else its port may be taken
        silence_logs=logging.CRITICAL,
        security=security,
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.buffer.read()


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
