"""Jobs on the workers of a Dask cluster: one of this machine, or one that runs already.

Dask decides where a job runs and says when it has ended. That a job runs once, and that its end is
given once, is kept by files (:mod:`optiproxy_nas.execution.job_files`): Dask runs a task again when
its worker is lost, also where it had ended, and forgets it when the scheduler or the driver dies.
"""

from __future__ import annotations

import pickle
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from optiproxy_nas.core.code_digest import package_identity
from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution.base import Executor
from optiproxy_nas.execution.dask_cluster import TIMEOUT, Cluster
from optiproxy_nas.execution.dask_task import Task
from optiproxy_nas.execution.dask_worker import Answer, Run, run_job
from optiproxy_nas.execution.job_files import RunFolders
from optiproxy_nas.execution.jobs import Ended, Job, Key, Training, reason_of
from optiproxy_nas.execution.payload import write_payload
from optiproxy_nas.execution.remote import RemoteTraining, opened
from optiproxy_nas.execution.worker_process import GRACE, TICK

LOOK = 1.0  # seconds between two looks at the files of jobs
STARTS = 3  # jobs in a row that Dask may lose before they begin


class DaskExecutor(Executor):
    """Tasks of ``dask.distributed``, each of which has a worker process run a job.

    ``settings.scheduler`` is the address of a cluster whose workers see the folder; None starts one
    on this machine, which ends with the executor. ``workers`` follows the cluster, up to
    ``settings.workers``.

    Raises:
        ParameterError: ``distributed`` is not installed, the scheduler cannot be reached, no worker
            can run the training, or machines are unlike where one kind is needed.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        training: Training,
        name: str,
        devices: Sequence[str] = ("cpu",),
        folder: Path | None = None,
    ) -> None:
        self._tasks: dict[Key, Task] = {}
        self._waiting: deque[Key] = deque()
        self._unsendable: list[Ended] = []
        self._news = threading.Event()
        self._next_look = 0.0
        self._lost_starts = 0
        self._limit, self._stack = settings.workers, ExitStack()
        self._outlives = settings.scheduler is not None and folder is not None
        if folder is None:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory("-optiproxy")))
        self._folders = RunFolders(folder.absolute())
        self._stack.callback(self._folders.close)
        try:
            self._open(settings, training, name)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, settings: EvaluationSettings, training: Training, name: str) -> None:
        folder = self._folders.open()
        write_payload(folder, RemoteTraining(training), name)
        libraries = ("OMP", "OPENBLAS", "MKL")
        self._run = Run(
            str(folder),
            package_identity(),
            tuple((f"{library}_NUM_THREADS", str(settings.threads)) for library in libraries),
            settings.device,
            settings.machine or "",
            settings.is_local,
        )
        self._cluster = self._stack.enter_context(Cluster(settings, self._news.set))
        needs_one_kind = getattr(training, "needs_one_kind", False)
        self._run = self._cluster.inspected(self._run, needs_one_kind)
        self.workers = self._cluster.room(self._limit)

    def submit(self, job: Job) -> str:
        """See :class:`Executor`."""
        try:
            pickle.dumps(job)
        except Exception as error:
            self._unsendable.append(
                Ended(job, error=f"it cannot be sent to a worker: {reason_of(error)}")
            )
            return ""
        self._folders.give_up_earlier(job)
        task = self._add(job, self._folders.new_handle(job))
        self._waiting.append(job.key)
        self._hand_out()
        return task.handle

    def rejoin(self, job: Job, handle: str) -> bool:
        """See :class:`Executor`. A job that has not begun is given up, and to be submitted."""
        if (files := self._folders.earlier(job, handle)) is None:
            return False
        claim = files.claimed()
        is_there = claim is not None and claim.owner in self._cluster.workers
        if files.ended(job) is None and not is_there:
            files.give_up()
            return False
        self._add(job, handle).is_out = True
        return True

    def poll(self, seconds: float | None = None) -> list[Ended]:
        """See :class:`Executor`.

        Raises:
            EvaluationError: the scheduler has gone, or no worker can begin a job.
        """
        limit = float("inf") if seconds is None else time.monotonic() + seconds
        if self._unsendable:
            ended, self._unsendable = self._unsendable, []
            return ended
        while self._tasks:
            self._news.clear()
            self._hand_out()
            if ended := self._ended():
                return ended
            self._refuse_to_wait_for_ever()
            if (left := limit - time.monotonic()) <= 0:
                break
            self._news.wait(min(TICK, left))
        return []

    def cancel(self, keys: Collection[Key] | None = None) -> None:
        """See :class:`Executor`. What runs ends within a few seconds."""
        self._unsendable = [
            ended for ended in self._unsendable if keys is not None and ended.job.key not in keys
        ]
        for key in list(self._tasks) if keys is None else keys:
            if (task := self._tasks.get(key)) is not None:
                if task.is_out:
                    task.files.give_up()
                self._forget(task)

    def running(self) -> list[Key]:
        """See :class:`Executor`."""
        return [task.job.key for task in self._out() if task.files.runs]

    def close(self) -> None:
        """See :class:`Executor`. It waits a few seconds for what runs to end."""
        begun = [task for task in self._out() if task.files.claimed() is not None]
        self.cancel()
        if begun and self._cluster.is_connected:
            graces = [GRACE if task.job.grace is None else task.job.grace for task in begun]
            limit = time.monotonic() + max(graces) + 2 * LOOK
            while time.monotonic() < limit and any(task.files.is_ending for task in begun):
                time.sleep(TICK / 10)
        self._stack.close()

    def leave(self) -> list[Key]:
        """See :class:`Executor`. A cluster of this machine ends with its executor."""
        if not self._outlives:
            return super().leave()
        begun = [task.job.key for task in self._out() if task.files.claimed() is not None]
        self._cluster.__exit__()
        return begun

    def _add(self, job: Job, handle: str) -> Task:
        task = Task(job, handle, self._folders.files(handle))
        self._tasks[job.key] = task
        return task

    def _out(self) -> list[Task]:
        """Return the tasks that were handed out."""
        return [task for task in self._tasks.values() if task.is_out]

    def _hand_out(self) -> None:
        """Give Dask as many tasks as there is room for, so that each of them begins at once."""
        self.workers = self._cluster.room(self._limit)
        while self._waiting and self._cluster.is_connected and len(self._out()) < self.workers:
            # Of what is followed by its files alone, Dask does not know that it takes up room.
            taken = Counter(task.owner for task in self._out() if task.future is None)
            if (places := self._cluster.places(taken)) == []:
                return
            task = self._tasks[self._waiting.popleft()]
            task.is_out, task.rounds = True, task.rounds + 1
            token = task.handle.partition("/")[2]
            job = task.job._replace(architecture=pickle.dumps(task.job.architecture))
            task.future = self._cluster.submit(
                run_job, self._run, token, job, key=f"trial-{token}-{task.rounds}", places=places
            )

    def _again(self, task: Task) -> None:
        """Have a task that has not begun handed out once more."""
        task.take_back()
        self._waiting.appendleft(task.job.key)

    def _forget(self, task: Task) -> None:
        """Drop a task, and have Dask drop it: a result that is held may be computed again."""
        del self._tasks[task.job.key]
        if not task.is_out:
            self._waiting.remove(task.job.key)
        task.release()

    def _ended(self) -> list[Ended]:
        """Return the jobs that have ended, and forget them."""
        is_time = time.monotonic() >= self._next_look
        if is_time:
            self._next_look = time.monotonic() + LOOK
            self._cluster.say_if_empty(len(self._tasks))
        ended = []
        for task in self._out():
            result = None
            if task.future is not None and task.future.status != "pending":
                result = self._taken(task)
            elif is_time:
                result = self._looked_at(task)
            if result is not None:
                ended.append(opened(result))
                self._forget(task)
                self._lost_starts = 0
        return ended

    def _taken(self, task: Task) -> Ended | None:
        """Return the end of a job whose Dask task is over; None where the job is not."""
        future, task.future = task.future, None
        if (ended := task.files.ended(task.job)) is not None:
            return ended
        answer, why = self._answer(future)
        if answer is not None and answer.ended is not None:  # and its disk is full
            return Ended(task.job, *answer.ended)
        if answer is not None and answer.refusal:
            self._cluster.refuse(answer.worker, answer.refusal)
        elif why:
            self._lost_starts += 1
            if self._lost_starts >= STARTS:
                raise EvaluationError(f"The trainings cannot begin: {why}.")
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
            task.handle = self._folders.new_handle(task.job)
            task.files = self._folders.files(task.handle)
            self._again(task)
            return None
        return ended or Ended(task.job, error=why, seconds=time.monotonic() - task.begun)

    def _refuse_to_wait_for_ever(self) -> None:
        """Raise an error where no job can end or begin any more."""
        if self._cluster.has_gone:
            raise EvaluationError(
                f"The Dask scheduler {self._cluster.address} has gone, and with it "
                f"{len(self._tasks)} trials that had not ended; all others are kept. Start a "
                "scheduler, and go on with the search."
            )
        if (refusal := self._cluster.refusal()) and not self.running():
            raise EvaluationError(f"No Dask worker can run trials: {refusal}.")
