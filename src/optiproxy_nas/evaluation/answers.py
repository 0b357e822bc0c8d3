"""Reading answers: the numbers that an evaluation gave, each for its architecture."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.execution.jobs import reason_of
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems import VALUE, Problem

RETURNED_NONE = "evaluate returned None (is its return statement missing?)"  # an error of a trial


class Outcome(NamedTuple):
    """What the evaluation of one trial gave."""

    metrics: Mapping[str, float]  # "value", the objective's metrics, others; empty if it failed
    error: str = ""  # why it failed
    seconds: float | None = None  # it took; of a batch, its share
    curve: tuple[tuple[int, float], ...] = ()  # (step, value) that it reported meanwhile
    output: str = ""  # path of the file with its standard output and error; "": none
    stopped: bool = False  # whether it was ended early, by what it reported


def failure(error: BaseException) -> Outcome:
    """Return the outcome of a trial that raised."""
    return Outcome({}, reason_of(error))


def read_answer(
    objective: Objective, answer: Any, architecture: str, target: str = VALUE
) -> Outcome:
    """Return the outcome that an answer for one architecture means.

    A further metric, which the objective does not need, may be a truth value (0 or 1). One that is
    no number is left out, with a warning for its name.

    Args:
        objective: of the search.
        answer: a number, or a mapping of metrics to numbers.
        architecture: that it is of, for messages.
        target: what the answer calls the metric that is searched for, which is ``value``, too.

    Raises:
        EvaluationError: the target or a bounded metric is missing or no number. It ends a search,
            with what was given in ``data["answer"]``. A journal gets no line of that attempt, so
            that it is trained again by code that was mended.
    """
    if answer is None:
        return Outcome({}, RETURNED_NONE)
    if isinstance(answer, pd.Series):
        answer = answer.to_dict()
    needed = (target, *objective.metrics)
    metrics = answer if isinstance(answer, Mapping) else {target: answer}
    if missing := [name for name in needed if name not in metrics]:
        raise EvaluationError(
            f"The evaluation must give a mapping with {', '.join(needed)}, a number each; it gave "
            f"{_short(answer)}, without {', '.join(missing)}, for {shortened(architecture)}.",
            needed=list(needed),
            answer=answer,
        )
    numbers = {}
    for name, metric in metrics.items():
        if name in needed:
            numbers[name] = _number(metric, name, architecture)
        elif (number := _further_number(metric)) is None:
            _warn_of_no_number(str(name), metric)
        else:
            numbers[str(name)] = number
    return _judged(objective, numbers, target)


def read_metrics(problem: Problem, objective: Objective, answer: Any, architecture: str) -> Outcome:
    """Return the outcome of an answer for one architecture: its metrics, and the target's value.

    Raises:
        EvaluationError: it lacks the target or a bounded metric, is no number, is of another
            architecture, or calls a metric ``value`` that is not the target.
    """
    if answer is None:
        return Outcome({}, RETURNED_NONE)
    target, name = problem.target.name, type(problem).__name__
    metrics = dict(answer) if isinstance(answer, Mapping) else {target: answer}
    _check_architecture(metrics.pop("architecture", None), architecture, name)
    if target not in metrics:
        raise EvaluationError(
            f"{name}.evaluate must give its target {target!r}; it gave "
            f"{', '.join(map(str, metrics)) or 'nothing'} for {shortened(architecture)}.",
            needed=[target, *objective.metrics],
            answer=answer,
        )
    if VALUE in metrics and target != VALUE:
        raise EvaluationError(
            f"{name}.evaluate gave a metric {VALUE!r}, which is what every archive calls the "
            f"target, {target!r}. Give that metric another name, or leave it out.",
            metric=VALUE,
            answer=answer,
        )
    return read_answer(objective, metrics, architecture, target)


def _check_architecture(given: Any, architecture: str, name: str) -> None:
    """Refuse the answer of another architecture, where an answer tells whose it is."""
    if given is None or given == architecture:
        return
    if isinstance(given, Mapping):
        try:
            if dict(given) == json.loads(architecture):
                return
        except ValueError:
            pass
    raise EvaluationError(
        f"{name}.evaluate gave the answer of {given!r:.300}; it was asked for "
        f"{shortened(architecture)}.",
        architecture=architecture,
    )


def _judged(objective: Objective, numbers: Mapping[str, float], target: str = VALUE) -> Outcome:
    """Return the outcome of numbers by metric: failed where a needed one is not finite."""
    wrong = [
        f"{name} = {number}"
        for name, number in numbers.items()
        if not np.isfinite(number)
        and not (name in objective.metrics and number > 0)
        and name in (target, *objective.metrics)
    ]
    if wrong:
        return Outcome({}, f"gave {', '.join(wrong)}")
    return Outcome({**numbers, VALUE: numbers[target]})


def shortened(architecture: str, most: int = 120) -> str:
    """Return an architecture for a message, cut where it is longer than ``most`` letters."""
    return architecture if len(architecture) <= most else f"{architecture[: most - 4]} ..."


def number_of(raw: Any) -> float:
    """Return a number, an array or a tensor of one, as a float; NaN for what is none."""
    array = _array(raw)
    return float(array) if array.ndim == 0 and array.dtype.kind in "iuf" else float("nan")


def _number(raw: Any, name: str, architecture: str) -> float:
    """Return a number as a float; NaN for None and what is masked or missing."""
    if raw is None or raw is pd.NA or raw is np.ma.masked:
        return float("nan")
    array = _array(raw)
    if array.ndim == 0 and array.dtype.kind in "iuf":
        return float(array)
    what = "" if name == "value" else f" as {name!r}"
    advice = (
        " evaluate is called with one architecture; a function of a whole batch is passed as "
        "evaluate=batched(f)."
        if array.ndim
        else ""
    )
    raise EvaluationError(
        f"The evaluation must give one number, or {{metric: number}}; it gave {_short(raw)}{what}, "
        f"for {shortened(architecture)}.{advice}",
        architecture=architecture,
        metric=name,
        answer=raw,
    )


def _further_number(raw: Any) -> float | None:
    """Return a metric that is not needed as a float: of a truth value 0 or 1; None: no number."""
    if raw is None or raw is pd.NA or raw is np.ma.masked:
        return float("nan")
    array = _array(raw)
    return float(array) if array.ndim == 0 and array.dtype.kind in "iufb" else None


def _warn_of_no_number(name: str, raw: Any) -> None:
    """Warn of a metric that is left out; Python shows equal warnings once."""
    warnings.warn(
        f"The evaluation gave metrics that are no numbers, and are left out: {name!r}, of type "
        f"{type(raw).__name__}.",
        stacklevel=2,
    )


def _array(raw: Any) -> np.ndarray:
    """Return what was given as an array; an empty one of objects where it holds no numbers."""
    try:
        if isinstance(raw, int) and abs(raw) >= 2**63:  # NumPy has no such integers
            raw = float(raw)
        if isinstance(raw, Tensor):
            raw = raw.detach().cpu()
            raw = raw.double() if raw.is_floating_point() else raw  # numpy has no bfloat16
        return np.asarray(raw)
    except OverflowError:  # of an integer that is no finite float
        return np.asarray(np.inf if raw > 0 else -np.inf)
    except (TypeError, ValueError, RuntimeError):  # ragged, a mixture, or of torch's meta device
        return np.empty(0, dtype=object)


def read_answers(
    objective: Objective, answer: Any, architectures: Sequence[str]
) -> Iterator[Outcome]:
    """Give the outcome of each architecture in an answer for a whole batch.

    Raises:
        EvaluationError: it is not one number an architecture (and metric), or its labels are
            other than the architectures.
    """
    if isinstance(answer, Mapping) and (labels := set(answer) & set(architectures)):
        _check_labels(list(answer), architectures, f"{len(labels)} of its keys are")
        answer = [answer[name] for name in architectures]
    if isinstance(answer, list | tuple) and any(isinstance(entry, Mapping) for entry in answer):
        if len(answer) != len(architectures):
            raise _misshapen(answer, architectures, "")
        yield from (
            read_answer(objective, entry, name)
            for entry, name in zip(answer, architectures, strict=True)
        )
        return
    tabular = isinstance(answer, Mapping | pd.DataFrame)
    needed = ("value", *objective.metrics)
    if (tabular or objective.metrics) and not (tabular and set(needed) <= set(answer)):
        raise EvaluationError(
            f"The batched evaluation must give a mapping with the columns {', '.join(needed)}, one "
            f"number an architecture in each; it gave {_short(answer)}.",
            needed=list(needed),
        )
    table = answer if tabular else {"value": answer}
    columns = {}
    for name in table:
        try:
            columns[str(name)] = _column(table[name], architectures, str(name), name in needed)
        except EvaluationError:
            if name in needed:
                raise
            _warn_of_no_number(str(name), table[name])
    for row in range(len(architectures)):
        yield _judged(objective, {name: float(column[row]) for name, column in columns.items()})


def _column(raw: Any, architectures: Sequence[str], name: str, is_needed: bool) -> np.ndarray:
    """Return one metric of a batch [n] in the order of its architectures; NaN where missing."""
    if isinstance(raw, pd.Series):
        if not raw.index.equals(pd.RangeIndex(len(architectures))):
            _check_labels(list(raw.index), architectures, "its index is")
            raw = raw.loc[list(architectures)]
        raw = raw.to_numpy(dtype=object, na_value=None) if raw.dtype.kind not in "iuf" else raw
    if isinstance(raw, np.ma.MaskedArray):
        numbers = raw.dtype.kind in "iuf"
        raw = np.ma.filled(raw.astype(np.float64), np.nan) if numbers else raw.tolist()
    if isinstance(raw, list | tuple):
        raw = [_array(entry) if isinstance(entry, Tensor) else entry for entry in raw]
    array = _array(raw)
    if array.shape != (len(architectures),):
        raise _misshapen(raw, architectures, name)
    if array.dtype.kind in ("iuf" if is_needed else "iufb"):
        return array.astype(np.float64)
    pairs = zip(array.tolist(), architectures, strict=True)
    return np.array([_number(entry, name, architecture) for entry, architecture in pairs])


def _check_labels(labels: Sequence[Any], architectures: Sequence[str], what: str) -> None:
    """Refuse labels that are not the architectures, each once."""
    if len(labels) == len(architectures) and set(labels) == set(architectures):
        return
    foreign = [label for label in labels if label not in set(architectures)]
    missing = [name for name in architectures if name not in set(labels)]
    raise EvaluationError(
        f"The batched evaluation gave an answer with labels, but {what} not the architectures "
        f"asked for, each once: {len(missing)} of {len(architectures)} are missing"
        + (f", {foreign[0]!r} is none of them" if foreign else "")
        + ". Label by architecture, or give plain numbers in the order asked.",
        missing=missing,
        foreign=foreign,
    )


def _misshapen(raw: Any, architectures: Sequence[str], name: str) -> EvaluationError:
    what = f" of {name!r}" if name not in ("", "value") else ""
    return EvaluationError(
        f"The batched evaluation of {len(architectures)} architectures gave {_short(raw)}{what}; "
        "it must give one number for each.",
        architectures=list(architectures),
    )


def _short(answer: Any) -> str:
    """Return a few words about an answer that cannot be used."""
    if isinstance(answer, Mapping | pd.DataFrame):
        return f"{type(answer).__name__} of {', '.join(map(str, list(answer)[:5])) or 'nothing'}"
    sized = hasattr(answer, "__len__") and getattr(answer, "shape", None) != ()
    if isinstance(answer, str | bytes) or not sized:
        return f"{answer!r} ({type(answer).__name__})"[:200]
    return f"{len(answer)} of them ({type(answer).__name__})"
