"""A job that was given to Dask, and what is seen of it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from optiproxy_nas.execution.dask_cluster import Cluster
from optiproxy_nas.execution.job_files import Claim, JobFiles
from optiproxy_nas.execution.jobs import Job

SILENT = 60  # looks without a sign of life, after which a job is given up


@dataclass
class Task:
    """A job, and what is seen of it.

    Attributes:
        job: as it was submitted.
        handle: of the job: the folder of a run, and a token.
        files: of the job.
        future: of the Dask task; None: it waits, or is followed by its files alone.
        is_out: whether it was handed out.
        rounds: how often it was.
        begun: when it was first seen to be claimed, as of ``time.monotonic()``.
        owner: address of the worker that has claimed it.
    """

    job: Job
    handle: str
    files: JobFiles
    future: Any = None
    is_out: bool = False
    rounds: int = 0
    begun: float = 0.0
    owner: str = ""
    _stamp: int = 0  # of the claim
    _still: int = 0  # looks since that changed, or since the job was handed out
    _unseen: int = 0  # the first look of the cluster that its worker was not in; 0: it was

    def release(self) -> None:
        """Have Dask drop the task: a result that is held may be computed again."""
        if self.future is not None:
            with suppress(Exception):  # the scheduler has gone
                self.future.release()
            self.future = None

    def take_back(self) -> None:
        """Have it wait again: it has not begun."""
        self.release()
        self.is_out, self.begun, self.owner = False, 0.0, ""
        self._still = self._unseen = 0

    def hangs(self, cluster: Cluster) -> bool:
        """Look at a job that was not claimed; return whether a worker that hangs may have it."""
        self._still += 1
        return self._still >= SILENT and cluster.has_silent

    def loss(self, claim: Claim, cluster: Cluster) -> str:
        """Look at a job that was claimed; return how it was lost, "" if it was not."""
        self.begun = self.begun or time.monotonic()
        self._still = self._still + 1 if claim.stamp == self._stamp else 0
        self.owner, self._stamp = claim
        is_seen = self.owner in cluster.workers or not cluster.is_connected
        if not is_seen and self._unseen not in (0, cluster.look):
            return f"the Dask worker {self.owner} died or left"
        if self._still >= SILENT:
            return f"the Dask worker {self.owner} gives no sign of life"
        self._unseen = 0 if is_seen else self._unseen or cluster.look
        return ""
