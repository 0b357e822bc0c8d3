"""Pausing the jobs of a machine while one of them measures, whichever processes they belong to."""

from __future__ import annotations

import fcntl
import os
from typing import Self

from optiproxy_nas.execution.worker_process import WorkerProcess
from optiproxy_nas.measuring.machine import user_file


class Pauses:
    """The part of one job in the pauses of its machine; ``with`` ends it.

    A job that runs shares the lock ``running``. One that measures holds ``measuring`` alone, at
    which the others are paused and let go of ``running``; it begins when it has that alone, too.
    The system frees the locks of what was killed.
    """

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._measuring, self._running = _opened("measuring"), _opened("running")
        self._measures = self._is_paused = False

    def look(self) -> None:
        """Pause the job or let it go on or measure, as the other jobs of the machine want it."""
        if self._worker.asks_for_pause and not self._measures:
            fcntl.flock(self._running, fcntl.LOCK_UN)
            self._measures = _locked(self._measuring, fcntl.LOCK_EX)
        if self._measures:
            if self._worker.asks_for_pause and _locked(self._running, fcntl.LOCK_EX):
                self._worker.permit()
            return
        if self._worker.asks_for_pause:
            return
        is_free = _locked(self._measuring, fcntl.LOCK_SH)
        if is_free:
            fcntl.flock(self._measuring, fcntl.LOCK_UN)
            is_free = _locked(self._running, fcntl.LOCK_SH)
        if is_free and self._is_paused:
            self._worker.go_on()
        elif not is_free and not self._is_paused:
            self._worker.pause()
            fcntl.flock(self._running, fcntl.LOCK_UN)
        self._is_paused = not is_free

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._running)
        os.close(self._measuring)


def _opened(name: str) -> int:
    return os.open(user_file(f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _locked(descriptor: int, kind: int) -> bool:
    """Lock a file if that can be done at once; return whether it was."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
