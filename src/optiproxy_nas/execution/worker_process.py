"""A worker process as its parent sees it.

The pools of the standard library give up all work when a worker is killed, and their workers may
have no children of their own. Here a worker is a fresh interpreter in a process group of its own
with a pipe to itself, so that its end is noticed, costs one training, and leaves nothing behind.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any

from optiproxy_nas.execution import worker
from optiproxy_nas.execution.jobs import Ended, Job, reason_of

TICK = 0.5  # seconds between two looks at workers that say nothing
GRACE = 3.0  # seconds in which a training that is told to end may tidy up
START = 300.0  # seconds in which a worker has imported what it needs; or the timeout, if longer
MEASURING = 600.0  # seconds in which a worker has measured, beside those that it asks for
WAITING = 3600.0  # seconds in which other processes have measured before it
MESSAGES = 1000  # read at one look, so that no worker keeps its parent from the others


def environment_of(threads: int) -> dict[str, str]:
    """Return the variables that give a worker process so many threads of OpenMP and BLAS."""
    return {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}


class WorkerProcess:
    """One worker process; it takes a job at a time.

    Args:
        payload: the folder that :func:`optiproxy_nas.execution.worker.main` reads.
        environment: variables beside those of this process.
        device: of its jobs.

    Attributes:
        process: the leader of its process group.
        channel: this end of the pipe to it.
        job: that it has; None where it is idle.
        begun: when the job began, as of ``time.monotonic()``; None before.
        asks_for_pause: whether it waits until the others are paused, to measure.
        is_unable: whether it has said that it can begin no job.
    """

    def __init__(self, payload: str, environment: dict[str, str], device: str) -> None:
        self._device = device
        self.channel, channel_end = Pipe()
        lifeline, self._lifeline = os.pipe()
        ends = (channel_end.fileno(), lifeline)
        path = [os.path.abspath(entry) for entry in sys.path]
        try:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    f"import sys; sys.path[:] = {path!r}; from {worker.__name__} import main; "
                    f"main({ends[0]}, {ends[1]}, {payload!r})",
                ],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=2,  # only what it says between trainings; standard output is the caller's
                pass_fds=ends,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._lifeline)
            self.channel.close()
            raise
        finally:
            channel_end.close()
            os.close(lifeline)
        self.job: Job | None = None
        self.begun: float | None = None
        self.asks_for_pause = False
        self._limit, self._overdue = 0.0, ""  # and what it is then that has taken too long
        self._measuring = 0.0  # seconds that its measurement may take
        self._paused_since: float | None = None
        self._paused = 0.0  # seconds of its job that it was paused for
        self.is_unable = False
        self._over = False
        self._ending = ""  # why it ends
        self._detached: list[int] = []  # descriptors of processes

    @property
    def is_busy(self) -> bool:
        """Whether it has a job that has not ended."""
        return self.job is not None and not self._over

    @property
    def grace(self) -> float:
        """Seconds that it has to end when it is told to."""
        return GRACE if self.job is None or self.job.grace is None else self.job.grace

    def is_over(self) -> bool:
        """Return whether the process has ended; an idle one may have died, too."""
        if self.process.poll() is not None:
            self.kill()
        return self._over

    def give(self, job: Job) -> None:
        """Have it train an encoded job."""
        self.job, self.begun, self._ending = job, None, ""
        self.asks_for_pause, self._paused = False, 0.0
        self._curve: list[tuple[int, float]] = []
        self._limit_to(
            max(START, job.timeout or 0.0), f"a worker process was not ready after {START:g} s"
        )
        with suppress(OSError):  # a dead worker is noticed at the next look
            self.channel.send(job._replace(device=self._device))

    def look(self) -> Ended | None:
        """Take what it has said, and end it where its time is up; return what became of its job.

        One that is paused is looked at when it goes on.
        """
        gone = self.process.poll() is not None
        if self._paused_since is not None and not gone:
            return None  # it may have been stopped in the middle of a message
        try:
            for _ in range(MESSAGES):
                if not self.channel.poll():
                    break
                if (ended := self._take(self.channel.recv_bytes())) is not None:
                    return ended
        except (EOFError, OSError):
            gone = True
        if gone:
            death = self._death()
            self.kill()
            return self._ended(error=self._ending or death)
        if time.monotonic() >= self.limit:
            if self._ending:
                self.kill()
                return self._ended(error=self._ending)
            self._limit_to(self.grace)
            self._ending = self._overdue
            self.stop()
        return None

    def _take(self, message: bytes) -> Ended | None:
        """Read one message; return what became of the job, where it says so."""
        assert self.job is not None
        try:
            kind, *content = pickle.loads(message)
        except Exception as failure:  # the training has written into the pipe
            error = f"a message cannot be read: {reason_of(failure)}"
            kind, content = "ended", [None, error, None, True]
        if kind == "begun":
            self.begun = time.monotonic()
            limit = self.job.timeout or float("inf")
            self._limit_to(limit, f"timed out after {limit:g} s (evaluation.timeout)")
        elif kind == "report":
            self._curve.append((content[0], content[1]))
        elif kind == "measuring":
            self._measuring = MEASURING + content[0]
            self._limit_to(
                WAITING, f"its latency was not measured: others measured for {WAITING:g} s"
            )
        elif kind == "pause":
            self.asks_for_pause = True
            self._limit_to(
                self._measuring, f"the latency was not measured after {self._measuring:g} s"
            )
        elif kind == "unable":
            self.is_unable, self._ending = True, f"a worker process failed with {content[0]}"
        elif not self._ending:
            answer, error, seconds, spoilt = content
            if spoilt:
                self.kill()
            return self._ended(answer, error, seconds)
        return None

    def _ended(self, answer: Any = None, error: str = "", seconds: float | None = None) -> Ended:
        assert self.job is not None
        if seconds is None:
            seconds = 0.0 if self.begun is None else time.monotonic() - self.begun
        job, self.job = self.job, None
        return Ended(job, answer, error, seconds - self._paused, self._curve)

    def _limit_to(self, seconds: float, overdue: str = "") -> None:
        """Give it so many seconds from now on, unless it ends; then that is overdue."""
        if not self._ending:
            self._limit = time.monotonic() + seconds - self._paused
            self._overdue = overdue or self._overdue

    def _death(self) -> str:
        """Return how the process has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(TICK)
        code = self.process.returncode
        if code is None:
            how = "closed the pipe to its parent (does the evaluation close file descriptors?)"
        elif code >= 0:
            how = f"ended with exit code {code} (os._exit?)"
        else:
            how = f"was killed by {signal.Signals(-code).name} ({signal.strsignal(-code)})"
            if code == -signal.SIGKILL:
                how += ": most likely the machine ran out of memory"
        return f"the worker process {how}"

    @property
    def limit(self) -> float:
        """When it is told to end, or killed if it was told, as of ``time.monotonic()``."""
        return float("inf") if self._paused_since is not None else self._limit + self._paused

    def permit(self) -> None:
        """Let it measure: the others are paused."""
        self.asks_for_pause = False
        with suppress(OSError):  # a dead worker is noticed at the next look
            self.channel.send("paused")

    def pause(self) -> None:
        """Stop the process and its children where they are; elsewhere than on Linux it alone.

        The process that watches the parent goes on, and kills also what is paused.
        """
        self._paused_since = time.monotonic()
        self._signal_all(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the process and its children go on, if they are paused."""
        if self._paused_since is not None:
            self._paused += time.monotonic() - self._paused_since
            self._paused_since = None
            self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        for process in (self.process.pid, *_descendants_of(self.process.pid)):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, number)

    def stop(self) -> None:
        """Tell the training and its children, or the idle worker, to end."""
        self.go_on()  # or it could not tidy up
        if not self.is_busy:
            self.channel.close()
            return
        self._detached += _detached_from(self.process.pid)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self._signal_detached(signal.SIGTERM)

    def end(self) -> None:
        """Have its job tidy up, and end the process and its children."""
        self.stop()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.grace)
        self.kill()

    def kill(self) -> None:
        """End the process and its children at once."""
        if self._over:
            return
        self._over = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._signal_detached(signal.SIGKILL)
        for descriptor in self._detached:
            os.close(descriptor)
        self.process.wait()
        self.channel.close()
        os.close(self._lifeline)

    def _signal_detached(self, number: int) -> None:
        for descriptor in self._detached:
            with suppress(OSError):  # it has ended
                signal.pidfd_send_signal(descriptor, number)


def _detached_from(leader: int) -> list[int]:
    """Return descriptors of a worker's descendants that have left its process group; on Linux."""
    descriptors = []
    for process in _descendants_of(leader) if hasattr(os, "pidfd_open") else ():
        with suppress(OSError):  # it ends just now
            if os.getpgid(process) != leader:
                descriptors.append(os.pidfd_open(process))
    return descriptors


def _descendants_of(leader: int) -> list[int]:
    """Return a worker's descendants, parents before their children.

    Linux only; elsewhere there are none. What has lost its parent is no descendant any more.
    """
    found = [leader]
    for process in found:  # which grows
        with suppress(OSError):  # it ends just now
            for task in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{task}/children", encoding="ascii") as file:
                    found += map(int, file.read().split())
    return found[1:]
