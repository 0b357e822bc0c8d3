"""Jobs on the workers of a Dask cluster: one of this machine, or one that runs already.

Dask decides where a job runs and says when it has ended. That a job runs once, and that its end is
given once, is kept by files (:mod:`optiproxy_nas.execution.job_files`): Dask runs a task again when
its worker is lost, also where it had ended, and forgets it when the scheduler or the driver dies.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optiproxy_nas.core.code_digest import package_identity
from optiproxy_nas.execution.base import WorkerExecutor
from optiproxy_nas.execution.dask_cluster import TIMEOUT, Cluster
from optiproxy_nas.execution.dask_task import Task
from optiproxy_nas.execution.dask_worker import Answer, Run, run_job
from optiproxy_nas.execution.encoding import job_fields, read_end
from optiproxy_nas.execution.job_files import JobFiles, RunFolders
from optiproxy_nas.execution.jobs import Ended, Job, Key, Training, reason_of
from optiproxy_nas.execution.payload import write_payload
from optiproxy_nas.execution.remote import RemoteTraining
from optiproxy_nas.execution.worker_process import GRACE, TICK, environment_of

LOOK = 1.0  # seconds between two looks at the files of jobs
STARTS = 3  # jobs in a row that Dask may lose before they begin


class DaskExecutor(WorkerExecutor):
    """Tasks of ``dask.distributed``, each of which has a worker process run a job.

    ``settings.scheduler`` is the address of a cluster whose workers see the folder; None starts one
    on this machine, which ends with the executor. ``workers`` follows the cluster, up to
    ``settings.workers``.

    Raises:
        ParameterError: ``distributed`` is not installed, the scheduler cannot be reached, no worker
            can run the training, or machines are unlike where one kind is needed.
    """

    def _open(self, training: Training, name: str, folder: Path | None) -> None:
        settings = self._settings
        self._tasks: dict[Key, Task] = {}
        self._waiting: deque[Key] = deque()
        self._news = threading.Event()
        self._next_look = 0.0
        self._lost_starts = 0
        self._ending: list[JobFiles] = []  # of earlier executors
        self._first_start = 0.0  # when a job begins though they have not ended
        self._is_kept = folder is not None
        if folder is None:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory("-optiproxy")))
        self._folders = RunFolders(folder.absolute())
        self._stack.callback(lambda: self._folders.close(self._is_left))
        place = self._folders.open()
        write_payload(place, RemoteTraining(training), name)
        self._run = Run(
            str(place),
            package_identity(),
            tuple(environment_of(settings.threads).items()),
            settings.device,
            settings.machine or "",
            settings.is_local,
        )
        self._cluster = self._stack.enter_context(Cluster(settings, self._news.set))
        needs_one_kind = getattr(training, "needs_one_kind", False)
        self._run = self._cluster.inspected(self._run, needs_one_kind)
        self.workers = self._cluster.room(settings.workers)

    def _take(self, job: Job) -> str:
        self._end_earlier(GRACE if job.grace is None else job.grace)
        task = self._add(job, self._folders.new_handle(job))
        self._waiting.append(job.key)
        self._hand_out()
        return task.handle

    def _rejoin(self, job: Job, handle: str) -> bool:
        """Rejoin a job; one that has not begun is given up, and to be submitted."""
        if (files := self._folders.earlier(job, handle)) is None:
            return False
        claim = files.claimed()
        is_there = claim is not None and claim.owner in self._cluster.workers
        if files.ended(job) is None and not is_there:
            files.give_up()
            return False
        self._add(job, handle).is_out = True
        self._folders.keep(handle)
        return True

    def _wait(self, seconds: float) -> None:
        self._news.wait(seconds)

    def _cancel(self, keys: Sequence[Key]) -> None:
        """End jobs; what runs ends within a few seconds."""
        for task in [self._tasks[key] for key in keys if key in self._tasks]:
            if task.is_out:
                task.files.give_up()
            self._forget(task)

    def running(self) -> list[Key]:
        """See :class:`Executor`."""
        return [task.job.key for task in self._out() if task.files.runs]

    def close(self) -> None:
        """See :class:`Executor`. It waits a few seconds for what runs to end."""
        begun = [task for task in self._out() if task.files.may_be_claimed]
        try:
            self.cancel()
            if begun and self._cluster.is_connected and not self._is_left:
                graces = [GRACE if task.job.grace is None else task.job.grace for task in begun]
                limit = time.monotonic() + max(graces) + 2 * LOOK
                while time.monotonic() < limit and any(task.files.is_ending for task in begun):
                    time.sleep(TICK / 10)
        finally:  # also where Ctrl-C ends the waiting
            self._stack.close()

    def _rejoinable(self) -> list[Key]:
        """Return those that have begun, unless the cluster ends with this, or have ended."""
        if not self._is_kept:
            return []
        out = [] if self._settings.scheduler is None else self._out()
        return [*self._unreleased, *(it.job.key for it in out if it.files.may_be_claimed)]

    def _add(self, job: Job, handle: str) -> Task:
        task = Task(job, handle, self._folders.files(handle))
        self._tasks[job.key] = task
        return task

    def _out(self) -> list[Task]:
        """Return the tasks that were handed out."""
        return [task for task in self._tasks.values() if task.is_out]

    def _end_earlier(self, grace: float) -> None:
        """Have what earlier executors have left, and is not rejoined, end before a job begins.

        It may be the same training, or write to the same folder.
        """
        for files in self._folders.give_up_earlier():
            with suppress(OSError):
                claim = files.claimed()
                if claim and claim.owner in self._cluster.workers and not files.has_ended:
                    self._ending.append(files)
                    self._first_start = time.monotonic() + grace + 2 * LOOK

    def _hand_out(self) -> None:
        """Give Dask as many tasks as there is room for, so that each of them begins at once."""
        self.workers = self._cluster.room(self._settings.workers)
        if time.monotonic() < self._first_start and any(it.is_ending for it in self._ending):
            return
        may_begin = self._cluster.is_connected and self._hopeless is None
        while self._waiting and may_begin and len(self._out()) < self.workers:
            # Of what is followed by its files alone, Dask does not know that it takes up room.
            taken = Counter(task.owner for task in self._out() if task.future is None)
            if (places := self._cluster.places(taken)) == []:
                return
            task = self._tasks[self._waiting.popleft()]
            task.is_out, task.rounds = True, task.rounds + 1
            token = task.handle.partition("/")[2]
            order, key = json.dumps(job_fields(task.job)), f"trial-{token}-{task.rounds}"
            task.future = self._cluster.submit(
                run_job, self._run, token, order, key=key, places=places
            )

    def _again(self, task: Task, is_given_up: bool = False) -> None:
        """Have a task that has not begun handed out once more."""
        task.take_back()
        if is_given_up or self._folders.is_earlier(task.handle):
            task.handle = self._folders.new_handle(task.job)
            task.files = self._folders.files(task.handle)
        self._waiting.appendleft(task.job.key)

    def _forget(self, task: Task) -> None:
        """Drop a task, and have Dask drop it: a result that is held may be computed again."""
        del self._tasks[task.job.key]
        if not task.is_out:
            self._waiting.remove(task.job.key)
        task.release()

    def _look(self) -> None:
        """See :class:`WorkerExecutor`.

        Raises:
            EvaluationError: the scheduler has gone.
        """
        self._news.clear()
        self._hand_out()
        is_time = time.monotonic() >= self._next_look
        if is_time:
            self._next_look = time.monotonic() + LOOK
            self._cluster.say_if_empty(len(self._tasks))
        for task in self._out():
            ended = None
            with suppress(OSError):  # the disk may be back at the next look
                if task.future is not None and task.future.status != "pending":
                    ended = self._taken(task)
                elif is_time:
                    ended = self._looked_at(task)
            if ended is not None:
                self._end(ended)
                self._forget(task)
                self._lost_starts = 0
        if self._tasks and not self._ends:
            self._refuse_to_wait_for_ever()

    def _taken(self, task: Task) -> Ended | None:
        """Return the end of a job whose Dask task is over; None where the job is not."""
        future, task.future = task.future, None
        if (ended := task.files.ended(task.job)) is not None:
            return ended
        answer, why = self._answer(future)
        if answer is not None and answer.ended is not None:  # and its disk is full
            return read_end(task.job, answer.ended)
        if answer is not None and answer.refusal:
            self._cluster.refuse(answer.worker, answer.refusal)
        elif why and not task.files.has_begun:
            self._lost_starts += 1
            if self._lost_starts >= STARTS:
                self._give_up(f"The trainings cannot begin: {why}.")
        if task.files.claimed() is None:
            self._again(task)
        return None

    def _answer(self, future: Any) -> tuple[Answer | None, str]:
        """Return what a Dask task gave, and why it gave nothing, or lost the job."""
        if future.status == "cancelled" or future.status == "lost":  # with the connection
            return None, ""
        try:
            answer: Answer = future.result(timeout=TIMEOUT)
        except Exception as error:
            return None, f"the Dask task failed with {reason_of(error)}"
        return answer, answer.lost

    def _looked_at(self, task: Task) -> Ended | None:
        """Look at the files of a job; return its end, also where its worker is lost."""
        if (ended := task.files.ended(task.job)) is not None:
            return ended
        if (claim := task.files.claimed()) is None:
            if task.future is None or task.hangs(self._cluster):
                self._again(task)
            return None
        if not (why := task.loss(claim, self._cluster)):
            return None
        task.files.give_up()
        if (ended := task.files.ended(task.job)) is None and not task.files.has_begun:
            self._again(task, is_given_up=True)
            return None
        return ended or Ended(task.job, error=why, seconds=time.monotonic() - task.begun)

    def _refuse_to_wait_for_ever(self) -> None:
        """Give up where no job can end or begin any more."""
        if self._cluster.has_gone:
            raise self._lose_sight(
                f"The Dask scheduler {self._cluster.address} has gone, and with it "
                f"{len(self._tasks)} trials that had not ended; all others are kept. Start a "
                "scheduler again"
            )
        if (refusal := self._cluster.refusal()) and not self.running():
            self._give_up(f"No Dask worker can run trials: {refusal}.")
