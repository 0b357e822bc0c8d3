"""A search as an Optuna study, and a study as trials to start from.

A study is a file of Optuna: SQLite, which optuna-dashboard and ``optuna.load_study`` open, or the
log of its journal storage. Its parameters are the choices of the space: evenly spaced numbers as an
integer or float distribution of that step, all others as a categorical one, so that the study has
the values of the space and no others.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.choices.json_values import value_key, value_label

JOURNALS = (".log", ".journal")  # suffixes of a file for Optuna's journal storage; others: SQLite
_BEGINNING = datetime(2000, 1, 1)  # of the first trial, since only durations were noted
_SHOWN = 5


def write_study(
    path: Path, name: str, space: SearchSpace, trials: pd.DataFrame, direction: str, metric: str
) -> None:
    """Write trials as a study into a new file.

    Args:
        path: of the file.
        name: of the study.
        space: that was searched.
        trials: one row each: architecture (text), state, value, error, seconds; what else is a
            number is a user attribute of the trial. Failed ones are ``FAIL``, open ones left out.
        direction: ``maximize`` or ``minimize``.
        metric: what the value is; plots are labelled by it.

    Raises:
        DataError: Optuna is not installed.
    """
    optuna = _optuna()
    trials = trials[trials["state"].isin(("complete", "failed"))]
    texts = trials["architecture"].tolist()
    assigned = _assignments(space, texts)
    distributions = _distributions(space, assigned, optuna)
    frozen, began = [], _BEGINNING
    for row, params in zip(trials.to_dict("records"), assigned, strict=True):
        is_complete = row["state"] == "complete" and math.isfinite(row["value"])
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState.COMPLETE if is_complete else optuna.trial.TrialState.FAIL,
            value=float(row["value"]) if is_complete else None,
            params=params,
            distributions={choice: distributions[choice] for choice in params},
            user_attrs=_attributes(row),
        )
        seconds = row.get("seconds")
        took = float(seconds) if isinstance(seconds, Real) and math.isfinite(seconds) else 0.0
        trial.datetime_start = began
        trial.datetime_complete = began = began + timedelta(seconds=took)
        frozen.append(trial)
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # no line on standard error
    try:
        study = optuna.create_study(
            storage=_storage(optuna, path), study_name=name, direction=direction
        )
        study.add_trials(frozen)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([metric])
    finally:
        optuna.logging.set_verbosity(level)


def is_study(value: Any) -> bool:
    """Return whether a value is a study of Optuna; this does not import Optuna."""
    module = type(value).__module__.partition(".")[0]
    return module == "optuna" and hasattr(value, "trials") and hasattr(value, "directions")


def trials_of_study(study: Any, space: SearchSpace, direction: str) -> pd.DataFrame:
    """Return the complete and failed trials of a study, for a search of a space.

    Args:
        study: Optuna's.
        space: whose choices have the names and values of the study's parameters.
        direction: of the search.

    Returns:
        architecture, value, state, error, seconds, and the user attributes that are numbers.

    Raises:
        ParameterError: it has several objectives, or another direction.
        DataError: parameters that the space lacks, or values that are none of a choice: all of
            them, in one message.
    """
    names = [it.name.lower() for it in study.directions]
    if names != [direction]:
        raise ParameterError(
            f"The study of initial= has the direction {', '.join(names)}, the search "
            f"{direction!r}. Search in the direction of the study, which has one objective.",
            directions=names,
        )
    options = _options(space)
    rows, problems = [], dict[str, None]()
    for trial in study.trials:
        if trial.state.name not in ("COMPLETE", "FAIL"):
            continue
        architecture = {}
        for name, value in trial.params.items():
            if name not in options:
                problems[f"{name!r} is no choice of the space"] = None
            elif (found := _option(options[name], value)) is None:
                allowed = ", ".join(map(value_label, options[name]))
                problems[f"{name!r} = {value!r} is none of {allowed}"] = None
            else:
                architecture[name] = found[0]
        is_complete = trial.state.name == "COMPLETE"
        numbers = {k: v for k, v in trial.user_attrs.items() if isinstance(v, Real)}
        rows.append(
            {
                **numbers,  # metrics of an exported search
                "architecture": architecture,
                "value": trial.value if is_complete else math.nan,
                "state": "complete" if is_complete else "failed",
                "error": None if is_complete else str(trial.user_attrs.get("error", "FAIL")),
                "seconds": trial.duration.total_seconds() if trial.duration else None,
            }
        )
    if problems:
        shown = [*problems][:_SHOWN]
        more = f"; and {len(problems) - len(shown)} more" if len(problems) > len(shown) else ""
        raise DataError(
            f"The study of initial= does not fit space {space.name!r}: {'; '.join(shown)}{more}. "
            f"The space's choices are {', '.join(options)}; leave out the trials that have others.",
            problems=[*problems],
        )
    columns = ["architecture", "value", "state", "error", "seconds"]
    return pd.DataFrame(rows, columns=None if rows else columns)


def _options(space: SearchSpace) -> dict[str, Sequence[Any]]:
    """Return the values of each choice of a declared space.

    Raises:
        DataError: the space is not declared.
    """
    declared = getattr(space, "choices", None)
    if declared is None:
        raise DataError(
            f"Space {space.name!r} has no named choices, so no study fits it. Give its trials as a "
            "DataFrame with the columns architecture and value.",
            space=space.name,
        )
    return {name: choice.options for name, choice in declared.items()}


def _option(options: Sequence[Any], value: Any) -> tuple[Any] | None:
    """Return the option that a study's value is, in a tuple; None: it is none of them."""
    for option in options:
        if value_key(option) == value_key(value) or _is_near(option, value):
            return (option,)
    return next(((it,) for it in options if not _is_plain(it) and value_label(it) == value), None)


def _is_near(one: Any, other: Any) -> bool:
    """Return whether two numbers are equal but for rounding."""
    numbers = isinstance(one, Real) and isinstance(other, Real)
    if not numbers or isinstance(one, bool) or isinstance(other, bool):
        return False
    return math.isclose(one, other, rel_tol=1e-9)


def _assignments(space: SearchSpace, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the parameters of each architecture: of a declared space, its choices.

    Of other spaces, the operation of each searched node, and the numbers of the edges.
    """
    if hasattr(space, "choices"):
        found = [space.architecture(text) for text in texts]
        return [{k: v if _is_plain(v) else value_label(v) for k, v in it.items()} for it in found]
    labels, nodes = space.option_labels, space.num_nodes
    names = [*space.node_labels, *(f"edge {it}" for it in range(space.code_length - nodes))]
    codes = space.from_string(texts).tolist() if texts else []
    return [
        {
            name: labels[place][number] if place < nodes else number
            for place, (name, number) in enumerate(zip(names, code, strict=True))
        }
        for code in codes
    ]


def _distributions(
    space: SearchSpace, assigned: Sequence[Mapping[str, Any]], optuna: Any
) -> dict[str, Any]:
    """Return the distribution of each parameter; of edges, of the numbers that occur."""
    if hasattr(space, "choices"):
        return {
            name: _distribution(choice.options, choice.ordered, optuna)
            for name, choice in space.choices.items()
        }
    rows = zip(space.node_labels, space.option_labels, strict=True)
    options = {name: [label for label in labels if label] for name, labels in rows}
    names = assigned[0] if assigned else options
    for name in names:
        options.setdefault(name, sorted({params[name] for params in assigned}))
    categorical = optuna.distributions.CategoricalDistribution
    return {name: categorical(values) for name, values in options.items()}


def _distribution(options: Sequence[Any], is_ordered: bool, optuna: Any) -> Any:
    """Return the distribution of a choice's values, and of no others."""
    kinds = optuna.distributions
    numbers = [it for it in options if isinstance(it, int | float) and not isinstance(it, bool)]
    if is_ordered and len(numbers) == len(options) > 1:
        gaps = np.diff(numbers)
        if gaps[0] > 0 and np.allclose(gaps, gaps[0], rtol=1e-9):
            if all(isinstance(it, int) for it in numbers):
                return kinds.IntDistribution(numbers[0], numbers[-1], step=int(gaps[0]))
            return kinds.FloatDistribution(numbers[0], numbers[-1], step=float(gaps[0]))
    return kinds.CategoricalDistribution(
        [it if _is_plain(it) else value_label(it) for it in options]
    )


def _is_plain(value: Any) -> bool:
    """Return whether Optuna takes a value as one of a categorical distribution."""
    return value is None or isinstance(value, bool | int | float | str)


def _attributes(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what else is known of a trial: numbers, and the error of a failed one."""
    numbers = {
        str(name): bool(it) if isinstance(it, bool | np.bool_) else float(it)
        for name, it in row.items()
        if name not in ("value", "seconds") and isinstance(it, Real | np.bool_)
    }
    found: dict[str, Any] = {name: it for name, it in numbers.items() if math.isfinite(it)}
    found["architecture"] = row["architecture"]
    return found | ({"error": row["error"]} if row.get("error") else {})


def _storage(optuna: Any, path: Path) -> Any:
    if path.suffix.lower() in JOURNALS:
        backend = optuna.storages.journal.JournalFileBackend(str(path))
        return optuna.storages.JournalStorage(backend)
    return f"sqlite:///{path}"


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise DataError(
            f"Optuna is not installed ({error}); install it by pip install optuna."
        ) from error
    return optuna
