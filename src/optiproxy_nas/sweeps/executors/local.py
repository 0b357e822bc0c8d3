"""Executors on this machine: this process, or worker processes with one point at a time each.

The pools of the standard library give up all work (``concurrent.futures``) or wait for ever
(``multiprocessing.Pool``) when a worker is killed. Here each worker has a pipe of its own, so
that its death is noticed and costs its point only.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from tqdm import tqdm

from optiproxy_nas.sweeps.executors import base
from optiproxy_nas.sweeps.point import Outcome, Point

_SPAWN = multiprocessing.get_context("spawn")  # torch and MLflow do not survive a fork
GRACE = 10.0  # seconds in which a worker that is told to end may close its run


class SerialExecutor:
    """No workers; ``settings.workers`` means nothing here."""

    def __init__(self, settings: base.ExecutorSettings) -> None:
        base.refuse_scheduler("serial", settings)

    def run(self, points: Sequence[Point], function: base.Function) -> base.Outcomes:
        """See :class:`optiproxy_nas.sweeps.executors.base.Executor`."""
        for point in points:
            yield point, function(point)


class ProcessExecutor:
    """A pool of spawned processes.

    A script that sweeps needs the usual ``if __name__ == "__main__":`` around it.
    """

    def __init__(self, settings: base.ExecutorSettings) -> None:
        base.refuse_scheduler("process", settings)
        self._count = settings.workers

    def run(self, points: Sequence[Point], function: base.Function) -> base.Outcomes:
        """See :class:`optiproxy_nas.sweeps.executors.base.Executor`."""
        waiting = list(reversed(points))
        workers: list[_Worker] = []
        idle: list[_Worker] = []
        try:
            for _ in range(min(self._count, len(points))):
                workers.append(_Worker(function))
                workers[-1].give(waiting.pop())
            while workers:
                ready = wait([worker.pipe for worker in workers])
                for worker in [worker for worker in workers if worker.pipe in ready]:
                    point, outcome = worker.take()
                    if outcome is None:  # it died
                        workers.remove(worker)
                        outcome = Outcome(worker.obituary())
                        if waiting:
                            workers.append(_Worker(function))
                            workers[-1].give(waiting.pop())
                    elif waiting:
                        worker.give(waiting.pop())
                    else:
                        workers.remove(worker)
                        idle.append(worker)
                        worker.dismiss()
                    yield point, outcome
        except (KeyboardInterrupt, GeneratorExit):  # here, or where the outcomes are taken
            if workers:
                base.tell_stopping(f"runs in progress are closed (at most {GRACE:.0f} s) ...")
            raise
        finally:
            _end(workers)
            for worker in idle:
                worker.process.join(GRACE)


class _Worker:
    """One process, its pipe and the point that it works on."""

    def __init__(self, function: base.Function) -> None:
        self.pipe, worker_end = _SPAWN.Pipe()
        self.process: SpawnProcess = _SPAWN.Process(
            target=_work, args=(worker_end, function), daemon=True, name="sweep-worker"
        )
        with base.environment(**base.ONE_THREAD):
            self.process.start()
        worker_end.close()  # so that the end of the process is the end of the pipe
        self.point: Point | None = None

    def give(self, point: Point) -> None:
        self.point = point
        with suppress(OSError):  # a dead worker is noticed when its answer is taken
            self.pipe.send(point)

    def take(self) -> tuple[Point, Outcome | None]:
        """Return its point with the outcome, or with None where it died."""
        assert self.point is not None
        try:
            return self.point, self.pipe.recv()
        except (EOFError, OSError):
            return self.point, None

    def obituary(self) -> str:
        self.process.join(GRACE)
        code = self.process.exitcode
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = f"killed by {signal.Signals(-code).name}"
            if code == -signal.SIGKILL:
                how += "; the system does this when memory runs out"
        return f"The worker process died ({how})."

    def dismiss(self) -> None:
        """Close its pipe, at the end of which it ends."""
        self.pipe.close()


def _end(workers: Sequence[_Worker]) -> None:
    """Have the workers close their runs; kill those that do not end."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(GRACE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


def _work(pipe: Connection, function: base.Function) -> None:
    """Run points from a pipe in a worker process, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent tells us
    signal.signal(signal.SIGTERM, _interrupt)
    # Its own lock would be a semaphore, which a killed process leaves behind with a warning.
    tqdm.set_lock(threading.RLock())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        while True:
            pipe.send(function(pipe.recv()))
    except (EOFError, OSError, KeyboardInterrupt):
        pass


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; what follows is tidying up
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """End a worker at once when its parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
