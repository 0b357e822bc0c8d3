"""What the lines of a journal say, and the check that they are such lines.

A stranger can write a journal whose digests agree, so what a line holds is checked when it is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic's need before Python 3.12

from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.problems import VALUE

Count = Annotated[int, Field(ge=0, le=10_000_000)]
Metrics = dict[str, float | str]  # a text: of no finite number


class _Search(TypedDict):
    target: str


class _Header(TypedDict):
    search: _Search  # and what else tells searches apart


class _Asked(TypedDict):
    ask: Count
    wanted: int


class _Order(TypedDict):
    asked: Count
    retries: NotRequired[Count | None]


class _Training(TypedDict):
    attempt: Count
    architecture: str
    epochs: int | None
    repeat: NotRequired[Count]
    folder: NotRequired[str]


class _Begun(_Training):
    begun: Count
    handle: str


class _Tested(TypedDict):
    tested: Count
    architecture: str
    epochs: int | None
    repeat: NotRequired[Count]
    metrics: Metrics


class _Attempt(_Training):
    number: Count
    seed: NotRequired[int]
    metrics: Metrics
    error: str
    seconds: float | None
    curve: list[tuple[float, float | str]]
    output: str
    stopped: NotRequired[bool]
    asked: NotRequired[Count]


_KINDS: dict[str, TypeAdapter[Any]] = {
    "error": TypeAdapter(_Attempt),
    "ask": TypeAdapter(_Asked),
    "begun": TypeAdapter(_Begun),
    "tested": TypeAdapter(_Tested),
    "asked": TypeAdapter(_Order),
}
_HEADER: TypeAdapter[Any] = TypeAdapter(_Header)


def check_line(content: bytes, line: Any, place: int) -> None:
    """Refuse a line that a search does not write.

    Args:
        content: its JSON.
        line: the value of it.
        place: of the line, from 1; the first is the header.

    Raises:
        ValueError: what is wrong with it.
    """
    if not isinstance(line, dict):
        raise ValueError("it is no JSON object")
    kinds = (kind for name, kind in _KINDS.items() if name in line)
    expected = _HEADER if place == 1 else next(kinds, None)
    if expected is None:
        raise ValueError("it says nothing of a trial")
    try:
        expected.validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}") from error
    numbers = [*line.get("metrics", {}).values(), *(value for _, value in line.get("curve", ()))]
    try:
        for number in [*numbers, line.get("seconds") or 0.0]:
            float(number)
    except OverflowError as error:
        raise ValueError("a number is too large") from error


def is_attempt(line: Mapping[str, Any]) -> bool:
    """Return whether a line of a journal says what an attempt gave, also one that confirms."""
    return "error" in line


def is_trial(line: Mapping[str, Any]) -> bool:
    """Return whether a line of a journal says what an attempt at a trial of the search gave."""
    return is_attempt(line) and not line.get("repeat", 0)


def outcome_of(record: Mapping[str, Any], target: str) -> Outcome:
    """Return what an attempt gave, of its line."""
    metrics = {name: read_number(number) for name, number in record["metrics"].items()}
    if target in metrics:
        metrics[VALUE] = metrics[target]
    curve = tuple((step, read_number(value)) for step, value in record["curve"])
    facts = record["error"], record["seconds"], curve, record["output"]
    return Outcome(metrics, *facts, record.get("stopped", False))


def request_of(record: Mapping[str, Any]) -> Request:
    """Return what an attempt was asked for, of its line."""
    return Request(**{name: record[name] for name in Request._fields if name in record})


def repeat_of(request: Request) -> dict[str, Any]:
    """Return repeat and folder of a request, which the lines of most journals do not have."""
    named = {"repeat": request.repeat, "folder": request.folder}
    return {name: value for name, value in named.items() if value}


def record_of(request: Request, outcome: Outcome, target: str) -> dict[str, Any]:
    """Return what a line holds of an attempt.

    Args:
        request: of the attempt.
        outcome: what it gave.
        target: name of the metric that is searched for.
    """
    metrics = {
        target if name == VALUE else name: written(number)
        for name, number in outcome.metrics.items()
    }
    return {
        "number": request.number,
        "attempt": request.attempt,
        "architecture": request.architecture,
        "epochs": request.epochs,
        "seed": request.seed,
        **repeat_of(request),
        "metrics": metrics,
        "error": outcome.error,
        "seconds": outcome.seconds,
        "curve": [[step, written(value)] for step, value in outcome.curve],
        "output": outcome.output,
        **({"stopped": True} if outcome.stopped else {}),  # no line of most journals has it
    }


def begun_record(request: Request, handle: str) -> dict[str, Any]:
    """Return what a line holds of an attempt that has begun.

    Args:
        request: of the attempt.
        handle: by which a later search can rejoin it; "": it cannot.
    """
    return {
        "begun": request.number,
        "attempt": request.attempt,
        "repeat": request.repeat,
        "architecture": request.architecture,
        "epochs": request.epochs,
        "handle": handle,
    }


def written(number: float) -> float | str:
    """Return a number for JSON, which has no NaN and no infinity: as text."""
    return number if math.isfinite(number) else str(number)


def read_number(number: float | str) -> float:
    """Return the number that :func:`written` wrote."""
    return float(number)
