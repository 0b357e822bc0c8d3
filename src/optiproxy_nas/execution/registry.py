"""Executors by name, and how one is opened for a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings, StrictModel, WorkerSettings
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.core.validation import validate
from optiproxy_nas.execution.base import Executor
from optiproxy_nas.execution.slurm_settings import NAME as SLURM
from optiproxy_nas.execution.slurm_settings import slurm_settings

if TYPE_CHECKING:
    from optiproxy_nas.execution.jobs import Training

MOST = 1000  # worker processes of one machine
_BUILT_IN = {"serial", "processes", "dask", "slurm"}
EXECUTORS = Registry(
    "executor",
    {
        "serial": "optiproxy_nas.execution.serial:SerialExecutor",
        "processes": "optiproxy_nas.execution.processes:ProcessExecutor",
        "dask": "optiproxy_nas.execution.dask:DaskExecutor",
        "slurm": "optiproxy_nas.execution.slurm:SlurmExecutor",
    },
    group="optiproxy_nas.executors",
    base=Executor,
)


def with_short_forms(given: Mapping[str, Any], of_files: bool = False) -> dict[str, Any]:
    """Return settings whose short forms are in their ``evaluation``.

    ``workers`` beside ``evaluation`` is the number of an asynchronous search, ``executor`` and
    ``scheduler`` are those of ``evaluation``. A scheduler is one of Dask.

    Args:
        given: settings by name; None where one is not given.
        of_files: whether they are a section of parameter files, whose short forms win, since files
            are merged.

    Raises:
        ParameterError: one of them is given twice, with two values, or is of a wrong type.
    """
    values = dict(given)
    short = {name: values.pop(name) for name in WorkerSettings.model_fields if name in values}
    short = validate(WorkerSettings, short).model_dump(exclude_none=True)
    evaluation = values.get("evaluation") or {}
    if not short or not isinstance(evaluation, Mapping):
        return values  # what is wrong with it is said later
    if of_files:
        evaluation = {name: value for name, value in evaluation.items() if name not in short}
    if "workers" in short:
        short["asynchronous"] = True
    for name in short.keys() & evaluation.keys():
        if short[name] != evaluation[name]:
            raise ParameterError(
                f"{name} = {short[name]!r} and evaluation.{name} = {evaluation[name]!r} are given. "
                "Leave one of them out: workers=8 is an asynchronous search on eight workers, "
                "evaluation.workers=8 trains a batch of each step at the same time.",
                name=name,
            )
    evaluation = {**evaluation, **short}
    if "scheduler" in short:
        evaluation.setdefault("executor", "dask")
    return {**values, "evaluation": evaluation}


def read_evaluation(values: Any) -> EvaluationSettings:
    """Return settings of an evaluation, checked.

    Raises:
        ParameterError: an unknown name, a wrong type or value, or a setting of another executor.
    """
    settings = validate(_Evaluated, {"evaluation": values}).evaluation
    check_executor_settings(settings)
    return settings


class _Evaluated(StrictModel):
    """Gives settings of an evaluation the names by which they are known to users."""

    evaluation: EvaluationSettings


def check_executor_settings(settings: EvaluationSettings, slurm: str = SLURM) -> None:
    """Refuse an executor that there is not, and settings of another one.

    Args:
        settings: of the trainings.
        slurm: name of ``settings.slurm``, for messages.

    Raises:
        UnknownNameError: no such executor.
        ParameterError: a setting that would change nothing, or an impossible one of ``slurm``.
    """
    EXECUTORS.check(settings.executor)
    for name, given, executor in (
        ("scheduler", settings.scheduler, "dask"),
        (slurm, settings.slurm, "slurm"),
    ):
        if given and settings.executor in _BUILT_IN - {executor}:
            raise ParameterError(
                f"{name} = {given!r} would change nothing: it is of the executor {executor!r}, and "
                f"the executor is {settings.executor!r}.",
                name=name,
            )
    if settings.executor == "serial" and settings.asynchronous and settings.workers > 1:
        raise ParameterError(
            f"workers = {settings.workers} needs another executor than 'serial', which trains one "
            "trial at a time in this process: 'processes' (that of several workers where none is "
            "named), 'dask', 'slurm' or 'package.module:Class'.",
            name="workers",
        )
    if settings.is_local and settings.workers > MOST:
        raise ParameterError(
            f"workers = {settings.workers}: on one machine there can be {MOST} at most. More are "
            "for a cluster: executor = dask with a scheduler, or executor = slurm.",
            name="workers",
        )
    if settings.executor == "slurm":
        slurm_settings(settings.slurm, slurm).minutes(settings.timeout, slurm)


def open_executor(
    settings: EvaluationSettings,
    training: Training,
    name: str,
    devices: Sequence[str] = ("cpu",),
    folder: Path | None = None,
) -> Executor:
    """Return the executor that the settings name; ``with`` closes it.

    Args:
        settings: ``executor``, ``workers``, ``threads`` and what the executor takes of its own.
        training: what runs a job, with its data. Where that is another process, it is pickled.
        name: of the training, for messages.
        devices: names of torch devices, which the workers share in turn.
        folder: of this executor alone: what it writes for a later process to rejoin its jobs is
            there. It is made where it is needed. None: nothing can be rejoined.

    Raises:
        UnknownNameError: no such executor.
        ParameterError: a setting is wrong, or the training cannot be pickled or imported.
    """
    executor: Executor = EXECUTORS.load(settings.executor)(
        settings, training, name, devices, folder
    )
    return executor
