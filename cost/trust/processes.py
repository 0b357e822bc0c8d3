"""Call a function in a process forked from this one, which has imported all that it needs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_UNCAUGHT = 70  # exit code of a function that raised


def forked(body: Callable[[], int], log: Path, seconds: float = 600) -> int:
    """Call a function in a forked process, and return its exit code; negative: a signal."""
    process = start(body, log)
    with killing_after(seconds, {process}):
        return wait(process)


def wait(process: int) -> int:
    """Return the exit code of a process that was started; negative: a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def start(body: Callable[[], int], log: Path, prepare: Callable[[], None] | None = None) -> int:
    """Return the process that calls a function, after another, and leaves with what it returns."""
    sys.stdout.flush()
    sys.stderr.flush()
    if process := os.fork():
        return process
    code = _UNCAUGHT
    try:
        os.setsid()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        if prepare is not None:
            prepare()
        code = body()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # not so much as a buffer of the parent is written


@contextmanager
def killing_after(seconds: float, processes: set[int]) -> Iterator[None]:
    """Kill processes, which may become others, that have not ended in time."""

    def kill(*_: object) -> None:
        for process in tuple(processes):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    before = signal.signal(signal.SIGALRM, kill)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
