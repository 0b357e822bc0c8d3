"""Jobs of a SLURM cluster: each trial is a job of the queue, submitted through submitit.

A job of its own for each trial costs the time in the queue for each, and in return has limits of
its own (memory, time), its line in ``squeue`` and in the accounting, and nothing to share with
others: what kills it costs one trial, and a later search finds it by its id. For trainings that
are short beside the time in the queue, have Dask workers run as SLURM jobs (docs/workers.md). The
answers are files, see :mod:`optiproxy_nas.execution.slurm_folder`; SLURM is asked of the others.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.execution.base import WorkerExecutor
from optiproxy_nas.execution.job_files import DISK
from optiproxy_nas.execution.jobs import Ended, Job, Key, Training, reason_of
from optiproxy_nas.execution.slurm_folder import UNREAD, JobFolders, Order, label
from optiproxy_nas.execution.slurm_queue import GONE, LOST, OVER, REASONS, Queue
from optiproxy_nas.execution.slurm_settings import slurm_settings

SHORTEST, LONGEST = 0.05, 1.0  # seconds between two looks at the shared disk
STARTS = 3  # jobs in a row that may end before their training begins
DELAY = 30.0  # seconds in which a file of another machine appears here
PATIENCE = 600.0  # seconds in which the accounting has noted a job that has left the queue
_TRAINED = ("key", "architecture", "epochs", "seed", "folder", "full_epochs")  # of a job
_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


@dataclass
class _Entry:
    """A job of the queue, or one that waits to be submitted.

    Attributes:
        job: encoded, with the device that it trains on.
        name: of its folder.
        is_told: whether that has what the job is told.
        id: of its submission; "" while it waits.
        has_begun: as far as is known.
        state: that ended it, as SLURM says; "" while it has not ended.
        since: when that was heard of, as of ``time.monotonic()``.
        lost: submissions of it that were preempted or whose node failed.
        is_interrupted: whether it says that a signal ended it.
        keep_log: whether its log stays in its folder.
    """

    job: Job
    name: str
    is_told: bool = False
    id: str = ""
    has_begun: bool = False
    state: str = ""
    since: float = 0.0
    lost: int = 0
    is_interrupted: bool = False
    keep_log: bool = False


class SlurmExecutor(WorkerExecutor):
    """Jobs of a SLURM cluster, ``settings.workers`` in the queue at the same time.

    What they ask for is ``settings.slurm``. They train on ``settings.device`` of their nodes; that
    is ``cuda`` for "auto" if they ask for GPUs. The folder is on a disk that all machines share.

    Raises:
        ParameterError: a setting is wrong, there is no SLURM, no submitit or no folder, or the
            training cannot be pickled.
    """

    def _open(self, training: Training, name: str, folder: Path | None) -> None:
        settings = self._settings
        asked = slurm_settings(settings.slurm)
        root = asked.shared(folder)
        self._interval, self._resubmissions = asked.poll_seconds, asked.resubmissions
        asked.check_machine(settings.machine, getattr(training, "needs_one_kind", False))
        minutes, warning = asked.minutes(settings.timeout), int(settings.grace) + 30
        self._queue = Queue(asked, minutes, warning)
        self._folders = JobFolders(root)
        self._queue.check(root)
        self._device = asked.device(settings.device)
        self._earlier = self._folders.names()  # of earlier processes, and not rejoined
        self._has_decided = False  # whether a job was submitted or rejoined
        self._stack.callback(self._clear)
        payload = self._folders.write_payload(training, name)
        facts = payload, asked.threads(settings), minutes, warning, settings.machine or ""
        self._order = Order(UNREAD, *facts)
        self._entries: dict[Key, _Entry] = {}  # in the order of submission
        self._over: dict[Key, _Entry] = {}  # that have ended, and were not released
        self._next_look, self._pause = 0.0, SHORTEST  # at the shared disk
        self._failing: float | None = None  # since when the disk fails
        self._asked, self._lost_starts = float("-inf"), 0  # when SLURM was last asked

    def _take(self, job: Job) -> str:
        """Take a job, which :meth:`poll` hands to SLURM."""
        name = "{:04d}-{}-{}-".format(*job.key) + secrets.token_hex(4)
        grace = self._settings.grace if job.grace is None else job.grace
        self._entries[job.key] = _Entry(job._replace(device=self._device, grace=grace), name)
        self._has_decided, self._next_look = True, 0.0
        return name

    def _rejoin(self, job: Job, handle: str) -> bool:
        folders = self._folders
        if handle not in self._earlier or (files := folders.files(handle)).is_ending:
            return False
        try:
            before = folders.order(handle).job
        except OSError:
            raise
        except Exception:  # something else has written it
            return False
        # For how long, where and until which line it trains may differ.
        is_same = all(getattr(before, name) == getattr(job, name) for name in _TRAINED)
        ids = folders.ids(handle)
        if not is_same or not (ids or files.has_ended):
            return False
        self._earlier.remove(handle)
        self._has_decided = True
        self._entries[job.key] = _Entry(
            job, handle, True, ids[-1] if ids else "", lost=len(ids[1:])
        )
        return True

    def _wait(self, seconds: float) -> None:
        time.sleep(max(0.0, min(seconds, self._next_look - time.monotonic())))

    def _cancel(self, keys: Sequence[Key]) -> None:
        """End jobs; what runs gets SIGTERM, and is not waited for."""
        entries = [self._entries.pop(key) for key in keys if key in self._entries]
        self._stop({entry.name: entry.id for entry in entries})
        self._forget(entries)

    def release(self, keys: Collection[Key]) -> None:
        """See :class:`Executor`."""
        super().release(keys)
        self._forget([self._over.pop(key) for key in keys if key in self._over])

    def running(self) -> list[Key]:
        """See :class:`Executor`."""
        return [key for key, entry in self._entries.items() if entry.has_begun]

    def _clear(self) -> None:
        """Remove what is needed no more. The logs of jobs that failed stay."""
        if self._is_left:
            return
        with suppress(OSError):
            if self._has_decided:
                self._retire(list(self._earlier))
                self.release(list(self._over))
            self._folders.close(self._has_decided)

    def _rejoinable(self) -> list[Key]:
        return [*self._over, *(key for key, entry in self._entries.items() if entry.id)]

    def _look(self) -> None:
        """See :class:`WorkerExecutor`; it looks less often while nothing ends.

        Raises:
            EvaluationError: the disk has failed for long.
        """
        if (now := time.monotonic()) < self._next_look:
            return
        may_go_on = False
        try:
            again = {label(entry.name) for entry in self._entries.values()}
            self._retire([name for name in self._earlier if label(name) in again])
            self._look_at_answers()
            self._look_at_dead()
            may_go_on = self._submit_next()
            self._failing = None
        except OSError as error:
            self._endure(error)
        self._pause = SHORTEST if self._ends else min(2 * self._pause, LONGEST)
        self._next_look = now if may_go_on else time.monotonic() + self._pause

    def _endure(self, error: OSError) -> None:
        """Have what the disk did not do tried again at the next look, but not without end."""
        now = time.monotonic()
        if self._failing is None:
            self._failing = now
            _log.warning(
                "The disk of the SLURM jobs fails (%s). It is tried again for %d minutes, and the "
                "jobs go on.",
                reason_of(error),
                DISK / 60,
            )
        elif now - self._failing >= DISK and not self._ends:
            raise self._lose_sight(f"The disk of the jobs fails: {reason_of(error)}") from error

    def _look_at_answers(self) -> None:
        """Note the jobs that have left an answer."""
        begun, answered = self._folders.begun_and_ended() if self._entries else (set(), set())
        for entry in list(self._entries.values()):
            if not entry.has_begun and entry.name in begun:
                entry.has_begun, self._lost_starts = True, 0
                entry.id = self._folders.begun_by(entry.name) or entry.id
            if entry.is_interrupted or entry.name not in answered:
                continue
            if (answer := self._folders.answer(entry.name)) is None:
                continue  # it can be read at a later look
            entry.is_interrupted = answer.is_interrupted
            if answer.unable:  # it is no failed trial, also where SLURM says that it is over
                self._forget([self._entries.pop(entry.job.key)])
                self._give_up(answer.unable)
            elif answer.ended is not None:
                self._finish(entry, answer.ended)

    def _look_at_dead(self) -> None:
        """Note the jobs that SLURM has ended without an answer; ask it from time to time."""
        submitted = {entry.id: entry for entry in self._entries.values() if entry.id}
        now = time.monotonic()
        if submitted and now - self._asked >= self._interval:
            self._asked = now
            for number, state in self._queue.states(submitted).items():
                entry = submitted[number]
                entry.since = entry.since if entry.state else now
                entry.state = state if state in OVER else ""
        for entry in submitted.values():
            delay = PATIENCE if entry.state == GONE else DELAY
            if entry.state and (entry.is_interrupted or now - entry.since >= delay):
                self._bury(entry)

    def _bury(self, entry: _Entry) -> None:
        """Note what became of a job that SLURM has ended, or have it submitted again."""
        job, reason = f"the SLURM job {entry.id}", REASONS.get(entry.state, "")
        if entry.state in LOST or (entry.is_interrupted and not reason):
            if entry.lost < self._resubmissions:
                facts = entry.job.number, job, entry.state, entry.lost + 1, self._resubmissions
                self._submit_again(entry)
                entry.lost += 1
                _log.warning("Trial %d: %s was lost (%s). Submitted again (%d of %d).", *facts)
                return
            reason = f"{job} was lost ({entry.state}), as {entry.lost} before it"
        elif reason:
            reason = reason.format(job=job, minutes=self._order.minutes)
        else:
            log = self._folders.root / entry.name
            reason = f"{job} ended ({entry.state}) without an answer; its log is in {log}"
            if not entry.has_begun:
                self._submit_again(entry)
                self._lost_starts += 1
                if self._lost_starts >= STARTS:
                    self._give_up(f"The trainings cannot begin: {reason}.")
                return
        seconds = self._folders.seconds(entry.name)
        self._finish(entry, Ended(entry.job, error=reason, seconds=seconds))

    def _finish(self, entry: _Entry, ended: Ended) -> None:
        self._over[entry.job.key] = self._entries.pop(entry.job.key)
        ended.job, entry.keep_log = entry.job, bool(ended.error)
        self._end(ended)

    def _submit_again(self, entry: _Entry) -> None:
        self._folders.files(entry.name).remove()
        entry.id, entry.state, entry.has_begun, entry.is_interrupted = "", "", False, False

    def _submit_next(self) -> bool:
        """Hand the next waiting job to SLURM; return whether another one may follow at once."""
        waiting = [entry for entry in self._entries.values() if not entry.id]
        queued = len(self._entries) - len(waiting)
        if not waiting or queued >= self.workers or self._hopeless:
            return False
        entry, title = waiting[0], f"trial-{waiting[0].job.number}"
        if not entry.is_told:
            self._folders.tell(entry.name, self._order._replace(job=entry.job))
            entry.is_told = True
        try:
            entry.id = self._queue.offer(self._folders.root, entry.name, title, queued)
        except EvaluationError as error:
            self._give_up(error.message)
        if entry.id:
            self._folders.add_id(entry.name, entry.id)
        return bool(entry.id) and len(waiting) > 1 and queued + 1 < self.workers

    def _stop(self, ids: Mapping[str, str]) -> None:
        """End jobs: their ids by their names; "" of those that are not in the queue."""
        for name in ids:
            self._folders.files(name).give_up()
        self._queue.cancel([number for number in ids.values() if number])

    def _retire(self, names: Iterable[str]) -> None:
        """End jobs of earlier processes that are not rejoined."""
        folders = self._folders
        running = [name for name in names if not folders.files(name).has_ended]
        self._stop({name: (folders.ids(name) or [""])[-1] for name in running})
        for name in names:
            self._earlier.remove(name)
            folders.forget(name)

    def _forget(self, entries: Iterable[_Entry]) -> None:
        """Remove the files of jobs, as far as the disk lets."""
        for entry in entries:
            with suppress(OSError):
                self._folders.forget(entry.name, entry.keep_log)
