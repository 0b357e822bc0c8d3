"""The queue of a cluster: submission through submitit, one question about all jobs at a time."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import EvaluationError, ParameterError
from optiproxy_nas.execution import slurm_job
from optiproxy_nas.execution.jobs import reason_of
from optiproxy_nas.execution.slurm_settings import SlurmSettings

GONE = "GONE"  # in the place of a state: the queue has no such job, and nobody says why
LOST = {"PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL", "REVOKED"}
REASONS = {  # why a trial failed, by the state of its job
    "OUT_OF_MEMORY": "out of memory: SLURM ended it (mem_gb of its job)",
    "TIMEOUT": "timed out after {minutes} min (time of its job)",
    "DEADLINE": "timed out after {minutes} min (time of its job)",
    "CANCELLED": "{job} was cancelled (scancel)",
}
OVER = {"COMPLETED", "FAILED", GONE, *LOST, *REASONS}  # states in which a job has ended
REFUSALS = 3600.0  # seconds in which no job was taken, and none of ours is in the queue
_ANSWER = 20.0  # seconds that a command of SLURM may take
_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class Queue:
    """Jobs of one user.

    Args:
        settings: what a job asks for.
        minutes: time limit of a job.
        warning: seconds before that limit at which a job gets a signal.

    Raises:
        ParameterError: submitit is not installed, this machine has no SLURM, or submitit refuses a
            setting.
    """

    def __init__(self, settings: SlurmSettings, minutes: int, warning: int) -> None:
        try:
            self._submitit: Any = import_module("submitit")
        except ImportError as error:
            raise ParameterError(
                f"executor = slurm needs a package that is not installed ({error.name}): pip "
                'install "optiproxy-nas[slurm]".'
            ) from error
        self._cluster = settings.cluster
        self._local: dict[str, Any] = {}  # jobs of submitit's local executor
        self._parameters = _parameters(settings, minutes, warning)
        self._interval = settings.poll_seconds
        self._has_taken = False  # any job
        self._refused: float | None = None  # since when it takes none
        self._next = 0.0  # offer of a job

    def check(self, folder: Path) -> None:
        """Refuse what submitit refuses, before anything is submitted.

        Raises:
            ParameterError: see :class:`Queue`.
        """
        try:
            self._executor(folder, "check")
        except (RuntimeError, ValueError, NameError, AssertionError, TypeError) as error:
            where = "no sbatch and srun on this machine" if self._cluster == "slurm" else ""
            raise ParameterError(
                f"executor = slurm cannot be used ({where or error}). Start the search on a login "
                "node of the cluster, or try it out with the setting cluster = local.",
                reason=str(error),
            ) from error

    def offer(self, root: Path, name: str, title: str, queued: int) -> str:
        """Submit a job, if the cluster takes one now: its queue may be full.

        Args:
            root: folder of all jobs.
            name: of the job, as of :func:`optiproxy_nas.execution.slurm_job.train`.
            title: its name in the queue.
            queued: jobs of this search that are in the queue.

        Returns:
            Its id; "" where it was not taken, and is to be offered again.

        Raises:
            EvaluationError: the first job was not taken, or none for long while none of this search
                is in the queue.
            OSError: the folder cannot be written to.
        """
        now = time.monotonic()
        if now < self._next:
            return ""
        executor = self._executor(root / name, title)
        try:
            with self._outside_of_jobs():
                job = executor.submit(slurm_job.train, str(root), name)
        # Errors of submitit are RuntimeErrors; another OSError is one of the disk.
        except (FileNotFoundError, PermissionError, RuntimeError) as error:
            self._next = now + self._interval
            first, self._refused = self._refused is None, self._refused or now
            reason, may_be_full = reason_of(error), self._has_taken or queued > 0
            if not queued and (not may_be_full or now - self._refused > REFUSALS):
                raise EvaluationError(f"SLURM takes no job: {reason}.") from error
            if first:
                _log.warning(
                    "SLURM takes no further job (%s). %d are in its queue.", reason, queued
                )
            return ""
        self._has_taken, self._refused = True, None
        if self._cluster == "local":
            self._local[job.job_id] = job
        return str(job.job_id)

    def states(self, ids: Collection[str]) -> dict[str, str]:
        """Return the states of jobs, in capitals as SLURM has them.

        Jobs that have left the queue are looked up in the accounting, where there is one.

        Returns:
            By id; :data:`GONE` of those that have left the queue, as long as the accounting says
            nothing of them. None at all where the queue does not answer.
        """
        if self._cluster == "local":
            return {number: self._local_state(number) for number in ids}
        queued = _table(["squeue", "--noheader", "--me", "--states=all", "--format=%i|%T"])
        if queued is None:
            return {}
        states = {number: queued[number] for number in ids if number in queued}
        if left := sorted(set(ids) - set(states)):
            account = ["sacct", "--noheader", "--parsable2", "--allocations"]
            ended = _table([*account, "--format=JobID,State", f"--jobs={','.join(left)}"]) or {}
            states |= {number: ended.get(number, GONE) for number in left}
        return states

    def cancel(self, ids: Collection[str]) -> None:
        """End jobs, or take them out of the queue; what has ended is ignored."""
        if self._cluster == "local":
            for number in filter(_is_local_job, ids):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(int(number), 15)
        elif ids and _output(["scancel", *sorted(ids)]) is None:
            _log.warning(
                "SLURM did not cancel the jobs %s. What waits of them ends at its beginning; end "
                "what runs with scancel.",
                ", ".join(sorted(ids)),
            )

    def _outside_of_jobs(self) -> AbstractContextManager[None]:
        """Return where a search that is itself a job submits others, which are not to be as it."""
        in_job = "SLURM_JOB_ID" in os.environ
        clean: AbstractContextManager[None] = self._submitit.helpers.clean_env()
        return clean if in_job else nullcontext()

    def _executor(self, folder: Path, title: str) -> Any:
        executor = self._submitit.AutoExecutor(folder=folder, cluster=self._cluster)
        executor.update_parameters(**self._parameters, name=title)
        return executor

    def _local_state(self, number: str) -> str:
        job = self._local.get(number)  # None: it is of an earlier process
        runs = _is_local_job(number) if job is None else not job.done()
        return "RUNNING" if runs else "COMPLETED"


def _parameters(settings: SlurmSettings, minutes: int, warning: int) -> dict[str, Any]:
    """Return the settings by the names that submitit's ``AutoExecutor`` has for them."""
    general = ("cpus_per_task", "gpus_per_node", "mem_gb")
    places = ("partition", "account", "qos", "gres", "constraint", "nodelist", "exclude")
    special = (*places, "exclusive", "setup", "srun_args")
    parameters = {name: getattr(settings, name) for name in general}
    parameters |= {f"slurm_{name}": getattr(settings, name) for name in special}
    options = {name.replace("_", "-"): it for name, it in settings.additional_parameters.items()}
    if "requeue" not in options:  # a job that is lost is submitted again by the executor
        options = {"no-requeue": True, **options}
    parameters |= {
        "timeout_min": minutes,
        "slurm_signal_delay_s": warning,
        "slurm_additional_parameters": options,
    }
    return {name: value for name, value in parameters.items() if value is not None}


def _is_local_job(number: str) -> bool:
    """Return whether a process is a job of submitit's, and none that has the number of an old one.

    Linux only; elsewhere there are none.
    """
    with suppress(OSError):
        return b"submitit" in Path(f"/proc/{number}/cmdline").read_bytes()
    return False


def _table(command: list[str]) -> dict[str, str] | None:
    """Return the states by id that a command prints; None: it did not answer."""
    output = _output(command)
    if output is None:
        return None
    rows = [line.strip().split("|") for line in output.splitlines() if "|" in line]
    return {row[0]: row[1].split()[0] for row in rows if row[1].strip()}  # "CANCELLED by 1000"


def _output(command: list[str]) -> str | None:
    """Return what a command prints; None where it fails or does not end."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_ANSWER,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
