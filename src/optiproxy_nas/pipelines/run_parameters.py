"""Parameters of the run itself, beside those that decide its search: its id, source, tracking."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from optiproxy_nas.algorithm.alarms import AlarmSettings
from optiproxy_nas.algorithm.budget import refuse_confirm
from optiproxy_nas.benchmarks.source_registry import check_source
from optiproxy_nas.core.errors import ParameterError, ResumeError
from optiproxy_nas.core.parameters import EvaluationSettings, StrictModel, WorkerSettings
from optiproxy_nas.core.validation import refuse_secrets
from optiproxy_nas.evaluation.earlier_trials import refuse_stopping
from optiproxy_nas.execution.registry import read_evaluation
from optiproxy_nas.methods import DEFAULT, method_of, resolve_method
from optiproxy_nas.methods.base import Method
from optiproxy_nas.objectives import name_of
from optiproxy_nas.presets import preset_for
from optiproxy_nas.problems.resolution import with_problem
from optiproxy_nas.runs.manifest import Manifest, is_asynchronous
from optiproxy_nas.runs.run_names import check_run_id, name_from
from optiproxy_nas.runs.user_stamp import PLACES, is_of_this_user
from optiproxy_nas.spaces import SPACES


class RunSettings(StrictModel):
    """What a user sets of a run on a benchmark beside its search."""

    run_id: str | None = Field(
        default=None, description="name of its folders; null: dataset, label, seed and time"
    )
    tracking: bool = Field(default=True, description="tell MLflow of it: on or off")


class ProblemRunSettings(WorkerSettings, RunSettings):
    """What a user sets of a run on a problem beside its search."""

    evaluation: EvaluationSettings = Field(
        default_factory=lambda: EvaluationSettings(executor="processes"),
        description="where and how trials are trained",
    )
    export: bool = Field(
        default=True, description="write the answer as a folder with its network: on or off"
    )


_OF_PROBLEMS = tuple(ProblemRunSettings.model_fields.keys() - RunSettings.model_fields.keys())
GIVEN = tuple(ProblemRunSettings.model_fields)  # by users
# They do not decide the search, so they are not in its digest.
RUN_KEYS = (*GIVEN, "pipeline", "resume", "quiet", "json", "sweep", "replay")
_SWITCH = {"on": True, "off": False, "true": True, "false": False}


def split_run(flat: dict[str, Any]) -> dict[str, Any]:
    """Remove the run's own keys from ``flat`` and return them, switches as booleans."""
    run = {"tracking": True} | {key: flat.pop(key) for key in RUN_KEYS if key in flat}
    run = {key: run.get(key) for key in RUN_KEYS}
    for key in ("tracking", "resume", "quiet", "json", "replay"):
        run[key] = switch(key, run[key])
    return run


def given_again(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return resolved parameters of a run as those that are given for it again.

    They leave out what is off; a section of the parameter files may have it on.
    """
    off: dict[str, Any] = {"confirm": None, "stop_regret": None, "stopping": {"rule": None}}
    if "gradient" in resolved:
        off |= {"evolution": None, "prior": None, "alarms": AlarmSettings().model_dump()}
    return {**off, **resolved}


def evaluation_again(manifest: Manifest, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an asynchronous run is given of its evaluation where it goes on; {} of others.

    Args:
        manifest: of the run.
        given: by the user, whose short forms win.

    Raises:
        ResumeError: the manifest has trials trained where this user has not set it, and the user
            does not say where.
    """
    if not is_asynchronous(manifest):
        return {}
    evaluation, names = manifest["evaluation"], ["asynchronous", "workers"]
    if is_of_this_user(manifest):
        names += PLACES
    elif not {*given, *_evaluation_of(given)} & {*PLACES}:
        places = {name: evaluation[name] for name in PLACES if evaluation.get(name)}
        raise ResumeError(
            f"Run {manifest['run_id']!r} was not begun by you on this machine, and its manifest "
            f"says where its trials are trained: {places}. Going on would send your code there, or "
            "run its lines of shell. Say where it shall be: --params=executor=processes for this "
            "machine, or those settings, if you trust whoever sent it.",
            run_id=manifest["run_id"],
            places=places,
        )
    kept = {name: evaluation.get(name) for name in names if name not in given}
    return {"evaluation": {name: value for name, value in kept.items() if value}}


def _evaluation_of(given: Mapping[str, Any]) -> Mapping[str, Any]:
    evaluation = given.get("evaluation")
    return evaluation if isinstance(evaluation, Mapping) else {}


def replayed_evaluation(manifest: Manifest) -> dict[str, Any]:
    """Return the parameters by which an asynchronous run is replayed as one; {} of others."""
    return {"evaluation": {"asynchronous": True}} if is_asynchronous(manifest) else {}


def resolve_run(
    values: Mapping[str, Any],
    run: dict[str, Any],
    also: Iterable[str] = GIVEN,
    method: type[Method] | None = None,
) -> dict[str, Any]:
    """Return ``params:search`` of the given values; set the run's source, benchmark and id.

    Of a problem, its ``evaluation`` in the place of source and benchmark. The id is as given, or
    dataset, label, seed, time and four random digits.

    Args:
        values: parameters of the search.
        run: of the run itself, as :func:`split_run` returns them.
        also: names that the caller takes too, for messages.
        method: the only one that the pipeline runs; None: any.

    Raises:
        OptiProxyError: a parameter is wrong, the source cannot answer the search, or the id
            cannot name a folder.
    """
    if method is not None and (other := values.get("method", DEFAULT)) != DEFAULT:
        raise ParameterError(
            f"method = {other!r:.100}, but this pipeline runs {DEFAULT!r} alone. Other methods are "
            "run by --pipeline=nb201_methods (own_methods, of a problem); in Python and notebooks, "
            "runtime_params={'pipeline': 'nb201_methods', ...}.",
            method=other,
        )
    parameters = resolve_method(_with_preset(with_problem(values)), also, method)
    if parameters.problem is None:
        refuse_confirm(parameters)
    if parameters.problem is not None:
        run["source"] = run["benchmark"] = None
        run["evaluation"] = _evaluation(run["evaluation"])
        run["export"] = run["export"] is None or switch("export", run["export"])
    elif isinstance(it := run["evaluation"], Mapping) and it.get("asynchronous"):
        raise ParameterError(
            "workers is of searches on a problem, whose trainings take time; a benchmark's table "
            "answers at once, so there is nothing to share out. Leave workers out. What workers "
            "bring is simulated, with the training times of the table, by 'python -m "
            "evidence.workers'; many searches at a time are 'kedro sweep --workers'.",
            name="workers",
        )
    elif given := [name for name in _OF_PROBLEMS if run[name] is not None]:
        raise ParameterError(
            f"Parameter {given[0]!r} is of runs on a problem, not on a benchmark.", name=given[0]
        )
    else:
        check_source(parameters)
        refuse_stopping(parameters.stopping, "a benchmark")
        run["source"], run["benchmark"] = parameters.source, parameters.benchmark
    if run["run_id"] is None:
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        tail = f"s{parameters.seed}-{now}-{secrets.token_hex(2)}"
        run["run_id"] = f"{name_from(f'{parameters.dataset}-{parameters.label}')}-{tail}"
    else:
        run["run_id"] = check_run_id(run["run_id"])
    return {"search": parameters.model_dump(), "source": parameters.source}


def giving_way(section: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a section, without its objective where another one is given.

    Its preset gives way to a method that takes none, and to one that fits a space which is given.
    """
    section, other = dict(section), given.get("objective")
    if None not in (given.get("problem"), section.get("problem")):
        names = {str(named_problem(values["problem"])["name"]) for values in (given, section)}
        if len(names) > 1:  # the section is for another one
            kept = ("seed", "budget", "confirm", "method")
            section = {key: section[key] for key in kept if key in section}
    named = name_of(other) if isinstance(other, Mapping) and "name" in other else None
    if named not in (None, name_of(section.get("objective"))):
        section.pop("objective", None)
    if section.get("preset") is not None:
        values = {**section, **given}
        if not method_of(values).takes_preset():
            del section["preset"]
        elif "space" in values and (
            not isinstance(values["space"], str) or values["space"] not in SPACES
        ):
            objective = name_of(values.get("objective"))
            section["preset"] = preset_for(values["space"], objective) or "default"
    return section


def named_problem(problem: Any) -> dict[str, Any]:
    """Return a problem's name and settings as one mapping."""
    return dict(problem) if isinstance(problem, Mapping) else {"name": problem}


def _with_preset(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values with the preset that fits space and objective, where none is given."""
    if "space" not in values or values.get("preset") is not None:
        return values
    if not method_of(values).takes_preset():
        return values
    preset = preset_for(values["space"], name_of(values.get("objective"))) or "default"
    return {**values, "preset": preset}


def _evaluation(given: Any) -> dict[str, Any]:
    """Return the settings of an evaluation, checked.

    Raises:
        ParameterError: an unknown name, a wrong type or value.
    """
    default = {"executor": "processes"}
    values = {**default, **given} if isinstance(given, Mapping) else given or default
    refuse_secrets({"evaluation": values})
    return read_evaluation(values).model_dump()


def switch(name: str, value: Any) -> bool:
    """Return ``on``, ``off``, ``true`` or ``false`` as a boolean; None is off.

    Raises:
        ParameterError: anything else.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    if str(value).lower() not in _SWITCH:
        raise ParameterError(f"Parameter {name!r} = {value!r}: on or off.", name=name, value=value)
    return _SWITCH[str(value).lower()]
