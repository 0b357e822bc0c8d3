"""The worker process of isolated trainings: it takes one job at a time from its parent.

It imports neither torch nor NumPy nor pandas: a worker starts anew after each training that was
killed, and what the training needs it imports itself.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import pickle
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import spawn
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from optiproxy_nas.execution.encoding import plain
from optiproxy_nas.execution.jobs import (
    OUTPUT,
    Job,
    Training,
    in_one_process,
    make_folder,
    reason_of,
)
from optiproxy_nas.execution.seed_at_import import SeedAtImport

PREPARATION, TRAINING = "preparation.pickle", "training.pickle"  # files of a payload
starting = False  # whether this process is a worker that imports what it is to train


class Terminated(KeyboardInterrupt):
    """The parent ends this training; no ``except Exception`` catches it."""


def main(channel_end: int, lifeline: int, payload: str) -> None:
    """Train what the parent sends, until it closes the channel.

    Args:
        channel_end: file descriptor of this end of the channel.
        lifeline: file descriptor that ends when the parent has ended.
        payload: folder of two pickles: how to prepare the process, and the training.
    """
    _end_with_parent(lifeline)
    worker = _Worker(Connection(channel_end))
    if worker.load(payload):
        with suppress(Terminated, EOFError, OSError):  # the parent is done with this worker
            while worker.take():
                pass


def _end_with_parent(lifeline: int) -> None:
    """Leave a process beside this one that kills its group once the parent has ended.

    Nothing in this process could do so for sure: a training may hold the interpreter's lock. The
    watching process is no child of this one, so that a training may wait for all its children.
    """
    if child := os.fork():
        os.waitpid(child, 0)
        os.close(lifeline)
        return
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.closerange(0, lifeline)
    os.closerange(lifeline + 1, lifeline + 1024)
    os.read(lifeline, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _end_children_by_default() -> None:
    """Let SIGTERM end what a training forks, such as the workers of a pool, as it usually does.

    A child inherits the handler of this process. Python forgets a signal that reaches it before it
    has begun, and whoever sent it waits for ever; so it is held back until the child has the
    default.
    """
    masks = threading.local()

    def hold() -> None:
        masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.before)

    def release_in_child() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=release_in_child)


class _Worker:
    """The state of this process, to which it returns after each training."""

    def __init__(self, channel: Connection) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._running: Job | None = None
        self._told_to_end = False
        self._standard = os.dup(1), os.dup(2)
        self._seeds = SeedAtImport()
        sys.meta_path.insert(0, self._seeds)
        faulthandler.enable()  # a crash leaves its stack in the output
        _end_children_by_default()
        with suppress(OSError, ValueError, AttributeError):  # C's own buffer, by lines
            library = ctypes.CDLL(None)
            library.setvbuf(ctypes.c_void_p.in_dll(library, "stdout"), None, 1, 0)
        streams: Any = (sys.stdout, sys.stderr)
        for stream in streams:
            stream.reconfigure(line_buffering=True, errors="backslashreplace")

    def load(self, payload: str) -> bool:
        """Import and unpickle the training; return whether that went well."""
        global starting
        starting = True
        try:
            with open(os.path.join(payload, PREPARATION), "rb") as file:
                spawn.prepare(pickle.load(file))
            with open(os.path.join(payload, TRAINING), "rb") as file:
                self._training: Training = pickle.load(file)
        except BaseException as error:
            _write(traceback.format_exc())
            self._send("unable", reason_of(error))
            return False
        starting = False
        self._folder, self._environment = os.getcwd(), dict(os.environ)
        return True

    def take(self) -> bool:
        """Wait for a job and train it; return whether this process may train another one."""
        job: Job = self._channel.recv()
        self._reset(job.seed)
        self._send("begun")
        begun = time.perf_counter()
        try:
            with self._output(job):
                answer, error = self._train(job)
        except OSError as failure:  # no file can be written there
            answer, error = None, reason_of(failure)
        spoilt = _has_released_cuda() and bool(error)  # an error of CUDA may stay for ever
        self._send("ended", answer, error, time.perf_counter() - begun, spoilt)
        return not (spoilt or self._told_to_end)  # a training may swallow what ends it

    def _train(self, job: Job) -> tuple[Any, str]:
        """Return the answer of a training of an encoded job, and why it failed."""
        try:
            job = job._replace(architecture=job.architecture.decoded())
            self._running = job
            with in_one_process():
                answer = self._training(job, _Parent(self, job))
            return plain(answer), ""
        except Terminated:
            raise
        except BaseException as error:  # sys.exit(), too
            _write(traceback.format_exc())
            return None, reason_of(error)
        finally:
            self._running = None

    def send_for(self, job: Job, *message: Any) -> bool:
        """Send a message of a training, and return whether it was sent.

        No child that it has forked and no thread that it has left over may do so.
        """
        if os.getpid() != self._process or self._running is not job:
            return False
        self._send(*message)
        return True

    def wait_for_parent(self) -> None:
        """Wait until the parent has answered."""
        self._channel.recv()

    def _send(self, *message: Any) -> None:
        with self._lock:
            self._channel.send(message)

    def _reset(self, seed: int) -> None:
        """Undo what the training before may have changed, and seed the generators."""
        with suppress(OSError):
            os.chdir(self._folder)
        if self._environment != os.environ:
            os.environ.clear()
            os.environ.update(self._environment)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, self._terminate)
        random.seed(seed)
        self._seeds.set(seed)

    def _terminate(self, *_: object) -> NoReturn:
        self._told_to_end = True
        raise Terminated("ended by the search")

    @contextmanager
    def _output(self, job: Job) -> Iterator[None]:
        """Write standard output and error, of C libraries and children too, to the trial's file."""
        folder = Path(job.folder)
        make_folder(folder)
        file = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            if os.fstat(file).st_size:
                os.write(file, f"\n--- {time.strftime('%Y-%m-%d %H:%M:%S')} ---\n".encode())
            os.dup2(file, 1)
            os.dup2(file, 2)
        finally:
            os.close(file)
        _reopen_streams()
        # Where it hangs is written, also where Python's own handler has no chance to run.
        faulthandler.register(signal.SIGTERM, chain=True)
        try:
            yield
        finally:
            faulthandler.unregister(signal.SIGTERM)
            _flush()
            for number, standard in enumerate(self._standard, start=1):
                with suppress(OSError):
                    os.dup2(standard, number)


class _Parent:
    """The parent, as :class:`optiproxy_nas.execution.jobs.Parent`."""

    def __init__(self, worker: _Worker, job: Job) -> None:
        self._worker, self._job = worker, job

    def report(self, step: int, value: float) -> None:
        self._worker.send_for(self._job, "report", int(step), float(value))

    def begin_measurement(self, seconds: float) -> None:
        self._worker.send_for(self._job, "measuring", float(seconds))

    def pause_others(self) -> None:
        if self._worker.send_for(self._job, "pause"):
            self._worker.wait_for_parent()


def _has_released_cuda() -> bool:
    """Give the memory of a GPU back to the other workers; return whether this one uses a GPU."""
    try:
        cuda = sys.modules["torch"].cuda
        if not cuda.is_initialized():
            return False
    except (KeyError, AttributeError):  # torch is not imported, or not to its end
        return False
    gc.collect()
    with suppress(Exception):  # after some errors CUDA can do no more
        cuda.empty_cache()
    return True


def _write(text: str) -> None:
    """Write to standard error itself, whatever a training put in the place of ``sys.stderr``."""
    _flush()
    with suppress(OSError):
        os.write(2, text.encode(errors="backslashreplace"))


def _reopen_streams() -> None:
    """Give back standard output and error, where the training before closed them."""
    for number, name in enumerate(("stdout", "stderr"), start=1):
        if getattr(getattr(sys, name), "closed", True):
            stream = open(number, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def _flush() -> None:
    """Write what Python and C have buffered."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
