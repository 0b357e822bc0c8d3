"""What a SLURM job of a trial asks for: ``evaluation.slurm``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Literal

from pydantic import Field, field_validator

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings, StrictModel
from optiproxy_nas.core.validation import validate

NAME = "evaluation.slurm"  # of the settings
_LIMIT = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")  # days-hours:minutes:seconds
_STARTING = (
    10  # minutes beside evaluation.timeout in which a job has started and written its answer
)
_GPUS = ("gpus_per_node", "gres")
_GPU_OPTIONS = ("gpus", "gpus-per-node", "gpus-per-task", "gres")


class SlurmSettings(StrictModel):
    """What a job asks for, named as submitit names it, and how its queue is watched."""

    partition: str | None = Field(default=None, description="null: the cluster's default")
    time: int | str | None = Field(
        default=None,
        description="limit of a job: minutes, or as SLURM writes it (8:00:00, 2-12); null: "
        "evaluation.timeout and 10 minutes",
    )
    account: str | None = Field(default=None, description="that is charged")
    qos: str | None = Field(default=None, description="quality of service")
    cpus_per_task: int | None = Field(default=None, ge=1, description="cores of a job")
    gpus_per_node: int | None = Field(default=None, ge=0, description="GPUs of a job")
    mem_gb: float | None = Field(default=None, gt=0, description="memory of a job")
    gres: str | None = Field(default=None, description="generic resources, as gpu:a100:1")
    constraint: str | None = Field(default=None, description="features that its node has")
    nodelist: str | None = Field(default=None, description="nodes that may be used")
    exclude: str | None = Field(default=None, description="nodes that may not")
    exclusive: bool | None = Field(default=None, description="no other job on its node")
    setup: list[str] | None = Field(default=None, description="lines of shell before it starts")
    srun_args: list[str] | None = Field(default=None, description="further arguments of srun")
    additional_parameters: dict[str, Any] = Field(
        default_factory=dict, description="any other option of sbatch, as {reservation: mine}"
    )
    cluster: Literal["slurm", "local"] = Field(
        default="slurm", description="local: processes of this machine, to try it out"
    )
    poll_seconds: float = Field(
        default=30, gt=0, description="between two questions to SLURM, each about all jobs"
    )
    resubmissions: int = Field(
        default=3, ge=0, description="of a trial whose job was preempted or whose node failed"
    )

    @field_validator("time")
    @classmethod
    def _in_minutes(cls, value: int | str | None) -> int | None:
        minutes = _minutes(value) if isinstance(value, str) else value
        if minutes is not None and minutes < 1:
            raise ValueError("it must be at least 1 minute")
        return minutes

    def device(self, name: str) -> str:
        """Return the device of a job: of "auto" ``cuda``, if it asks for GPUs."""
        asked = [getattr(self, setting) for setting in _GPUS]
        asked += [self.additional_parameters.get(option) for option in _GPU_OPTIONS]
        return name if name != "auto" else "cuda" if any(asked) else "cpu"

    def threads(self, evaluation: EvaluationSettings) -> int:
        """Return the threads of a training: as many as its job has cores, if none are given."""
        is_given = "threads" in evaluation.model_fields_set
        return evaluation.threads if is_given else self.cpus_per_task or evaluation.threads

    def check_machine(self, machine: str | None, needs_one_kind: bool) -> None:
        """Refuse nodes of any kind where a bound on a measured latency holds for one.

        Raises:
            ParameterError: see above.
        """
        if needs_one_kind and not (machine or self.constraint or self.nodelist):
            raise ParameterError(
                "A bound on a measured latency holds for one kind of machine: name it by "
                "evaluation.slurm.constraint, or by evaluation.machine, a part of its processor's "
                "or GPU's name; then nodes of another kind are refused.",
            )

    def shared(self, folder: Path | None) -> Path:
        """Return the folder of the jobs.

        Raises:
            ParameterError: there is none, or it is one for temporary files, which no other machine
                sees.
        """
        if self.cluster == "local" and folder is not None:
            return folder.absolute()
        if folder is None or folder.absolute().is_relative_to(gettempdir()):
            raise ParameterError(
                "executor = slurm needs a folder on a disk that all machines share, and not that "
                f"for temporary files ({gettempdir()}): give journal=PATH on such a disk; the "
                "folders of the trials are beside it.",
                folder=None if folder is None else str(folder),
            )
        return folder.absolute()

    def minutes(self, timeout: float | None, name: str = NAME) -> int:
        """Return the time limit of a job.

        Args:
            timeout: of a trial, in seconds; None: it has none.
            name: as of :func:`slurm_settings`.

        Raises:
            ParameterError: neither limit is given, or the job's is the shorter one.
        """
        needed = None if timeout is None else int(-(-timeout // 60)) + _STARTING
        if self.time is None and needed is None:
            raise ParameterError(
                f"executor = slurm needs {name}.time, the limit of a job (minutes, or 8:00:00)"
                + (", or evaluation.timeout, the seconds of a trial" if name == NAME else "")
                + ". Without it submitit asks for five minutes."
            )
        minutes = needed if self.time is None else int(self.time)
        assert minutes is not None
        if timeout is not None and 60 * minutes <= timeout:
            raise ParameterError(
                f"{name}.time ({minutes} min) is not above evaluation.timeout ({timeout:g} s), so "
                f"that SLURM would end a trial first. Leave {name}.time out, or give more.",
                minutes=minutes,
                timeout=timeout,
            )
        return minutes


class _Section(StrictModel):
    slurm: SlurmSettings


class _Evaluation(StrictModel):
    evaluation: _Section


def slurm_settings(values: Mapping[str, Any], name: str = NAME) -> SlurmSettings:
    """Return the settings of the jobs.

    Args:
        values: as given.
        name: of them, for messages: of a search, or ``slurm``, of a sweep.

    Raises:
        ParameterError: an unknown name, with the nearest one, or a value that cannot be.
    """
    section = {"slurm": dict(values)}
    if name == NAME:
        return validate(_Evaluation, {"evaluation": section}).evaluation.slurm
    return validate(_Section, section).slurm


def _minutes(text: str) -> int:
    """Return a time limit as SLURM writes it, in minutes, rounded up."""
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        raise ValueError("a time limit reads 90 (minutes), 1:30:00, 2-12 or 2-12:00:00")
    days, *rest = match.groups()
    first, second, third = (int(part or 0) for part in rest)
    if days is not None:  # days-hours:minutes:seconds
        seconds = 86400 * int(days) + 3600 * first + 60 * second + third
    elif rest[2] is not None:  # hours:minutes:seconds
        seconds = 3600 * first + 60 * second + third
    else:  # minutes:seconds
        seconds = 60 * first + second
    return -(-seconds // 60)
