"""Jobs and their ends as JSON, in which they pass between a search and its workers.

A search unpickles nothing that lies on a disk which it shares with workers: who may write there
would run code in the search. A job is JSON too, but for an architecture of a class of its own, as a
sweep's point is: the search pickles that, and a worker unpickles it as it does the training.
"""

from __future__ import annotations

import base64
import json
import math
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optiproxy_nas.core.stop_line import StopLine
from optiproxy_nas.execution.jobs import Ended, Job, reason_of

_LARGEST = 2**20  # bytes of an answer: it is a few numbers
LARGEST_END = 2**26  # bytes of what a worker leaves of a job: its answer and its curve
_PLAIN = (type(None), bool, int, float, str)


@dataclass(frozen=True)
class Encoded:
    """An architecture as values of JSON, until the process that trains it decodes it."""

    value: Any

    def decoded(self) -> Any:
        """Return the architecture as it was submitted, with its tuples."""
        return _decoded(self.value)


def encoded(job: Job) -> Job:
    """Return a job with its architecture encoded.

    Raises:
        Exception: it can neither be written as JSON nor pickled.
    """
    job = job._replace(architecture=Encoded(_encoded(job.architecture)))
    json.dumps(job_fields(job))
    return job


def job_fields(job: Job) -> dict[str, Any]:
    """Return an encoded job as values of JSON."""
    return {**job._asdict(), "architecture": job.architecture.value}


def read_job(fields: Mapping[str, Any]) -> Job:
    """Return the encoded job of :func:`job_fields`."""
    job = Job(**fields)
    if job.stop_line is not None:
        sign, steps, values, end = job.stop_line
        job = job._replace(stop_line=StopLine(sign, tuple(steps), tuple(values), end))
    return job._replace(architecture=Encoded(job.architecture))


def end_fields(ended: Ended) -> dict[str, Any]:
    """Return what became of a job as values of JSON, without the job."""
    return {it: getattr(ended, it) for it in ("answer", "error", "seconds", "curve")}


def read_limited(path: Path) -> bytes:
    """Return a file that a worker has written, and one byte too many of one that is too large.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(LARGEST_END + 1)


def read_end(job: Job, content: bytes) -> Ended:
    """Return what became of a job; where that cannot be read, the job has failed.

    Args:
        job: that it is of.
        content: of :func:`end_fields`, in JSON.
    """
    try:
        if len(content) > LARGEST_END:
            raise ValueError(f"it is of more than {LARGEST_END / 2**20:g} MiB")
        fields = json.loads(content)
        curve = [(int(step), float(value)) for step, value in fields["curve"]]
        if not math.isfinite(seconds := float(fields["seconds"])):
            raise ValueError(f"seconds = {seconds}")
        return Ended(job, fields["answer"], str(fields["error"]), seconds, curve)
    except Exception as failure:
        return Ended(job, error=f"what it has left cannot be read: {reason_of(failure)}")


def parsed(content: bytes) -> dict[str, Any]:
    """Return the values of a JSON object that a worker has written; none where it is none."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def plain(answer: Any, place: str = "the answer") -> Any:
    """Return an answer as JSON holds it: numbers, texts, None, and lists and mappings of them.

    Numbers and arrays of NumPy, torch and pandas become numbers and lists, keys of mappings texts.

    Args:
        answer: of an evaluation.
        place: of a part of it, for messages.

    Raises:
        TypeError: it holds something else.
        ValueError: it is large.
    """
    value = _plain(answer, place)
    _check_size(len(json.dumps(value)), place)
    return value


def _check_size(size: int, place: str) -> None:
    if size > _LARGEST:
        raise ValueError(
            f"{place} is of {size / 2**20:.1f} MiB; give numbers, and keep what is large in files"
        )


def _plain(value: Any, place: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):  # NumPy has classes of these
        if isinstance(value, kind):
            return kind(value)
    if value is getattr(sys.modules.get("pandas"), "NA", None):
        return None
    if isinstance(value, Mapping):
        return {str(name): _plain(it, f"{place}[{name!r}]") for name, it in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(it, f"{place}[{number}]") for number, it in enumerate(value)]
    if hasattr(value, "detach"):  # a tensor
        value = value.detach().cpu()
    _check_size(getattr(value, "nbytes", 0), place)
    if hasattr(value, "to_dict"):  # of pandas
        return _plain(value.to_dict(), place)
    if hasattr(value, "tolist"):
        listed = value.tolist()
        return float(listed) if type(listed) is type(value) else _plain(listed, place)
    raise TypeError(
        f"{place} is of type {type(value).__name__}; give numbers, texts, and lists and mappings "
        "of them"
    )


def _encoded(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        return [_encoded(it) for it in value]
    if kind is tuple:
        return {"tuple": [_encoded(it) for it in value]}
    if kind is dict:
        return {"dict": [[_encoded(name), _encoded(it)] for name, it in value.items()]}
    return {"pickle": base64.b64encode(pickle.dumps(value)).decode()}


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(it) for it in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "pickle":
        return pickle.loads(base64.b64decode(content))
    items = [_decoded(it) for it in content]
    return tuple(items) if kind == "tuple" else dict(items)
