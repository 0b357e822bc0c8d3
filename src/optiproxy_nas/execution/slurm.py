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
from dataclasses import dataclass
from pathlib import Path

from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution.base import Executor
from optiproxy_nas.execution.jobs import Ended, Job, Key, Training, reason_of
from optiproxy_nas.execution.slurm_folder import UNREAD, JobFolders, Order
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
        job: as it was submitted.
        name: of its folder.
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
    id: str = ""
    has_begun: bool = False
    state: str = ""
    since: float = 0.0
    lost: int = 0
    is_interrupted: bool = False
    keep_log: bool = False


class SlurmExecutor(Executor):
    """Jobs of a SLURM cluster, ``settings.workers`` in the queue at the same time.

    Args:
        settings: with ``slurm``, see :class:`optiproxy_nas.execution.slurm_settings.SlurmSettings`.
        training: that runs a job; it is pickled once.
        name: of the training, for messages.
        devices: of no meaning here: a job trains on ``settings.device`` of its node, where that is
            "auto" on ``cuda`` if it asks for GPUs.
        folder: of the jobs, on a disk that all machines share.

    Raises:
        ParameterError: a setting is wrong, there is no SLURM, no submitit or no folder, or the
            training cannot be pickled.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        training: Training,
        name: str,
        devices: Sequence[str] = ("cpu",),
        folder: Path | None = None,
    ) -> None:
        asked = slurm_settings(settings.slurm)
        self.workers, root = settings.workers, asked.shared(folder)
        self._interval, self._resubmissions = asked.poll_seconds, asked.resubmissions
        asked.check_machine(settings.machine, getattr(training, "needs_one_kind", False))
        minutes, warning = asked.minutes(settings.timeout), int(settings.grace) + 30
        self._queue = Queue(asked, minutes, warning)
        self._folders = JobFolders(root)
        self._queue.check(root)
        payload = self._folders.write_payload(training, name)
        self._device, self._grace = asked.device(settings.device), settings.grace
        facts = payload, asked.threads(settings), minutes, warning, settings.machine or ""
        self._order = Order(UNREAD, *facts)
        self._earlier = self._folders.names()  # of earlier processes, and not rejoined
        self._entries: dict[Key, _Entry] = {}  # in the order of submission
        self._unsendable: list[Ended] = []  # jobs that cannot be pickled
        self._given: list[_Entry] = []  # by the last poll: by the next one the caller has kept them
        self._hopeless: EvaluationError | None = None
        self._next_look, self._pause = 0.0, SHORTEST  # at the shared disk
        self._asked, self._lost_starts = float("-inf"), 0  # when SLURM was last asked

    def submit(self, job: Job) -> str:
        """See :class:`Executor`. It is handed to SLURM by :meth:`poll`.

        Raises:
            EvaluationError: its folder cannot be written.
        """
        label = "{:04d}-{}-{}-".format(*job.key)
        self._retire([name for name in self._earlier if name.startswith(label)])
        name = f"{label}{secrets.token_hex(4)}"
        grace = self._grace if job.grace is None else job.grace
        job_there = job._replace(device=self._device, grace=grace)
        try:
            self._folders.tell(name, self._order._replace(job=job_there))
        except OSError as error:
            raise EvaluationError(f"A job cannot be written: {error}.") from error
        except Exception as error:
            reason = f"the job cannot be sent to a node: {reason_of(error)}"
            self._unsendable.append(Ended(job, error=reason))
            return ""
        self._entries[job.key] = _Entry(job, name)
        return name

    def rejoin(self, job: Job, handle: str) -> bool:
        """See :class:`Executor`."""
        folders = self._folders
        if handle not in self._earlier or folders.is_cancelled(handle):
            return False
        before = folders.order(handle).job  # for how long, where and until which line may differ
        is_same = all(getattr(before, name) == getattr(job, name) for name in _TRAINED)
        ids = folders.ids(handle)
        if not is_same or not (ids or folders.has_ended(handle)):
            return False
        self._earlier.remove(handle)
        self._entries[job.key] = _Entry(job, handle, ids[-1] if ids else "", lost=len(ids[1:]))
        return True

    def poll(self, seconds: float | None = None) -> list[Ended]:
        """See :class:`Executor`.

        Raises:
            EvaluationError: SLURM takes no job, or what it starts cannot train.
        """
        self._forget()
        limit = float("inf") if seconds is None else time.monotonic() + seconds
        while True:
            ended, more = self._look(), self._submit_next()
            if ended:
                return ended
            if self._hopeless is not None:
                raise self._hopeless
            now = time.monotonic()
            if not self._entries or now >= limit:
                return []
            if not more:
                time.sleep(max(0.0, min(self._next_look, limit) - now))

    def cancel(self, keys: Collection[Key] | None = None) -> None:
        """See :class:`Executor`. What runs gets SIGTERM, and is not waited for."""
        keys = list(self._entries) if keys is None else keys
        entries = [self._entries.pop(key) for key in keys if key in self._entries]
        self._given += entries
        self._end({entry.name: entry.id for entry in entries})

    def running(self) -> list[Key]:
        """See :class:`Executor`."""
        return [key for key, entry in self._entries.items() if entry.has_begun]

    def close(self) -> None:
        """See :class:`Executor`. The logs of jobs that failed stay."""
        self.cancel()
        self._retire(list(self._earlier))
        self._forget()
        self._folders.close()

    def leave(self) -> list[Key]:
        """See :class:`Executor`."""
        self._forget()
        return [key for key, entry in self._entries.items() if entry.id]

    def _look(self) -> list[Ended]:
        """Return the jobs that have ended; look for them less often while there are none."""
        now = time.monotonic()
        if now < self._next_look and not self._unsendable:
            return []
        ended = self._answered() + self._dead()
        self._pause = SHORTEST if ended else min(2 * self._pause, LONGEST)
        self._next_look = now + self._pause
        return ended

    def _answered(self) -> list[Ended]:
        """Return the jobs that have left an answer."""
        ended, self._unsendable = self._unsendable, []
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
                self._hopeless = EvaluationError(answer.unable)
                self._given.append(self._entries.pop(entry.job.key))
            elif answer.ended is not None:
                ended.append(self._finish(entry, answer.ended))
        return ended

    def _dead(self) -> list[Ended]:
        """Return the jobs that SLURM has ended without an answer; ask it from time to time."""
        submitted = {entry.id: entry for entry in self._entries.values() if entry.id}
        now = time.monotonic()
        if submitted and now - self._asked >= self._interval:
            self._asked = now
            for number, state in self._queue.states(submitted).items():
                entry = submitted[number]
                entry.since = entry.since if entry.state else now
                entry.state = state if state in OVER else ""
        ended = []
        for entry in submitted.values():
            delay = PATIENCE if entry.state == GONE else DELAY
            if entry.state and (entry.is_interrupted or now - entry.since >= delay):
                ended += self._fate(entry)
        return ended

    def _fate(self, entry: _Entry) -> list[Ended]:
        """Return what became of a job that SLURM has ended; nothing where it is submitted again."""
        job, reason = f"the SLURM job {entry.id}", REASONS.get(entry.state, "")
        if entry.state in LOST or (entry.is_interrupted and not reason):
            entry.lost += 1
            if entry.lost <= self._resubmissions:
                facts = entry.job.number, job, entry.state, entry.lost, self._resubmissions
                _log.warning("Trial %d: %s was lost (%s). Submitted again (%d of %d).", *facts)
                self._submit_again(entry)
                return []
            reason = f"{job} was lost ({entry.state}), as {entry.lost - 1} before it"
        elif reason:
            reason = reason.format(job=job, minutes=self._order.minutes)
        else:
            log = self._folders.root / entry.name
            reason = f"{job} ended ({entry.state}) without an answer; its log is in {log}"
            if not entry.has_begun:
                self._lost_starts += 1
                if self._lost_starts >= STARTS:
                    self._hopeless = EvaluationError(f"The trainings cannot begin: {reason}.")
                else:
                    self._submit_again(entry)
                return []
        seconds = self._folders.seconds(entry.name)
        return [self._finish(entry, Ended(entry.job, error=reason, seconds=seconds))]

    def _finish(self, entry: _Entry, ended: Ended) -> Ended:
        self._given.append(self._entries.pop(entry.job.key))
        ended.job, entry.keep_log = entry.job, bool(ended.error)
        return ended

    def _submit_again(self, entry: _Entry) -> None:
        self._folders.unmark(entry.name)
        entry.id, entry.state, entry.has_begun, entry.is_interrupted = "", "", False, False

    def _submit_next(self) -> bool:
        """Hand the next waiting job to SLURM; return whether another one may follow at once."""
        waiting = [entry for entry in self._entries.values() if not entry.id]
        queued = len(self._entries) - len(waiting)
        if not waiting or queued >= self.workers:
            return False
        entry, title = waiting[0], f"trial-{waiting[0].job.number}"
        try:
            entry.id = self._queue.offer(self._folders.root, entry.name, title, queued)
        except EvaluationError as error:
            self._hopeless = error
        if entry.id:
            self._folders.add_id(entry.name, entry.id)
        return bool(entry.id) and len(waiting) > 1 and queued + 1 < self.workers

    def _end(self, ids: Mapping[str, str]) -> None:
        """End jobs: their ids by their names; "" of those that are not in the queue."""
        for name in ids:
            self._folders.cancel(name)
        self._queue.cancel([number for number in ids.values() if number])

    def _retire(self, names: Iterable[str]) -> None:
        """End jobs of earlier processes that are not rejoined."""
        folders = self._folders
        self._end({n: (folders.ids(n) or [""])[-1] for n in names if not folders.has_ended(n)})
        for name in names:
            self._earlier.remove(name)
            folders.forget(name)

    def _forget(self) -> None:
        """Remove what was kept of the jobs that the last :meth:`poll` gave."""
        for entry in self._given:
            self._folders.forget(entry.name, entry.keep_log)
        self._given = []
