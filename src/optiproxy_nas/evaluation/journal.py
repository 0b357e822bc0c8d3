"""The journal of a search: a file to which each finished trial is added, for good, as it ends.

It is text, one JSON object a line: first the header, which tells searches apart, then one line an
attempt at a trial, and one for the test of the answer. Each line ends with a digest of itself and
of the line before, so an edit, a missing line and another order are found. A line is written at
once and flushed to the disk; killed at any time, a search loses what was running, and no more.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import filelock
import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.errors import JournalError, RunLockedError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.objectives.base import Objective

FORMAT = "optiproxy-nas journal 1"
VALUE = "value"
_START = json.dumps({"format": FORMAT})[:-1].encode()  # of every journal
_DIGITS = 16  # of a line's digest
_END = ', "digest": "{}"}}'
_END_LENGTH = len(_END.format("0" * _DIGITS))
_SHOWN = 5  # differences in a message
_NOT_METRICS = ("number", "attempt", "architecture", "epochs", "seed", "error", "seconds", "output")

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
_Key = tuple[str, int | None, int]  # architecture, epochs, attempt


def header_of(
    parameters: RunParameters, target: str = VALUE, initial: Sequence[Trial] = ()
) -> dict[str, Any]:
    """Return what tells the journal of one search from that of another.

    Args:
        parameters: of the search; its budget and ``failures`` may change.
        target: name of the metric that is searched for, as the evaluation gives it.
        initial: trials that the search starts warm from.
    """
    header = {"target": target, **parameters.decisive}
    if initial:
        told = [[t.text, t.epochs, sorted(t.metrics.items()), t.error] for t in initial]
        header["initial"] = hashlib.sha256(repr(told).encode()).hexdigest()[:_DIGITS]
    return header


class Journal:
    """A journal that is open, and locked, for one search; ``with`` closes it.

    Attributes:
        path: of the file.
        is_new: whether the search has just begun.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path, self.is_new = path, False
        self._target = str(header.get("target", VALUE))
        self._found: dict[_Key, Outcome] = {}
        self._tested: dict[tuple[str, int | None], dict[str, float]] = {}
        self._file: BinaryIO | None = None
        self._lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        self._digest = ""  # of the last line

    @classmethod
    def open(cls, path: str | Path, header: Mapping[str, Any]) -> Self:
        """Open the journal of a search, or begin it.

        A last line that was not written to its end is dropped, with a warning.

        Args:
            path: of the file; folders above it are made.
            header: of :func:`header_of`, and whatever else tells searches apart.

        Raises:
            JournalError: it is no journal, was edited, is of another search (in what), or cannot
                be read or written.
            RunLockedError: another search writes to it.
        """
        journal = cls(Path(path).absolute(), header)
        try:
            journal._open(json.loads(json.dumps(header)))  # as it is read back
        except OSError as error:
            journal.close()
            raise _unusable(journal.path, error) from error
        except BaseException:
            journal.close()
            raise
        return journal

    def find(self, request: Request) -> Outcome | None:
        """Return what an attempt gave, None where the journal has none."""
        return self._found.get((request.architecture, request.epochs, request.attempt))

    def record(self, request: Request, outcome: Outcome) -> None:
        """Add what an attempt gave; when this returns, it is on the disk.

        Raises:
            JournalError: it cannot be written; what was written before is as it was.
        """
        metrics = {
            self._target if name == VALUE else name: _written(number)
            for name, number in outcome.metrics.items()
        }
        self._append(
            {
                "number": request.number,
                "attempt": request.attempt,
                "architecture": request.architecture,
                "epochs": request.epochs,
                "seed": request.seed,
                "metrics": metrics,
                "error": outcome.error,
                "seconds": outcome.seconds,
                "curve": [[step, _written(value)] for step, value in outcome.curve],
                "output": outcome.output,
                "time": _now(),
            }
        )
        self._found[request.architecture, request.epochs, request.attempt] = outcome

    def find_test(self, request: Request) -> dict[str, float] | None:
        """Return what the test of an answer gave, None where it was not tested."""
        return self._tested.get((request.architecture, request.epochs))

    def record_test(self, request: Request, metrics: Mapping[str, float]) -> None:
        """Add what the test of an answer gave.

        Raises:
            JournalError: it cannot be written.
        """
        line = {
            "tested": request.number,
            "architecture": request.architecture,
            "epochs": request.epochs,
            "metrics": {name: _written(number) for name, number in metrics.items()},
            "time": _now(),
        }
        self._append(line)
        self._tested[request.architecture, request.epochs] = dict(metrics)

    def __len__(self) -> int:
        """Return how many attempts it holds."""
        return len(self._found)

    def close(self) -> None:
        """Close the file and give up its lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self, header: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.is_dir():
            raise JournalError(
                f"The journal {str(self.path)!r} is a folder. Name a file in it, such as "
                f"{str(self.path / 'journal.jsonl')!r}.",
                path=str(self.path),
            )
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise RunLockedError(
                f"Another search, or a process that it left running, writes to the journal "
                f"{str(self.path)!r}. Wait for it, or use another path.",
                path=str(self.path),
            ) from None
        content = self.path.read_bytes() if self.path.exists() else b""
        self._file = self.path.open("ab", buffering=0)
        if _is_begun(content):
            self._file.truncate(0)
            self.is_new = True
            _sync_folder(self.path.parent)
            self._append({"format": FORMAT, "begun": _now(), "search": header})
            return
        parsed = _parse(content, self.path)
        _check_search(parsed.header["search"], header, self.path)
        if parsed.torn:
            _log.warning(
                "The last line of the journal %s was not written to its end, so that trial is "
                "trained again.",
                self.path,
            )
        if parsed.length != len(content):
            self._file.truncate(parsed.length)
        if not content[: parsed.length].endswith(b"\n"):
            self._file.write(b"\n")
        self._digest = parsed.digest
        for record in parsed.records:
            if "tested" in record:
                metrics = {name: _read(number) for name, number in record["metrics"].items()}
                self._tested[record["architecture"], record["epochs"]] = metrics
            else:
                key = record["architecture"], record["epochs"], record["attempt"]
                self._found[key] = _outcome(record, self._target)

    def _append(self, record: Mapping[str, Any]) -> None:
        """Write a line and flush it to the disk, or leave the file as it was."""
        if self._file is None:
            raise JournalError(f"The journal {str(self.path)!r} is closed.", path=str(self.path))
        body = json.dumps(record, allow_nan=False)[:-1]
        digest = _digest_of(self._digest, body.encode())
        line = (body + _END.format(digest) + "\n").encode()
        length = os.fstat(self._file.fileno()).st_size
        try:
            view = memoryview(line)
            while view:  # a disk that is nearly full takes a part
                view = view[self._file.write(view) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            try:
                self._file.truncate(length)
            except OSError:
                _log.debug("The journal %s ends with a part of a line", self.path)
            raise _unusable(self.path, error) from error
        self._digest = digest


class Journaled(Evaluator):
    """An evaluator whose outcomes go to a journal, and are not trained again if they are in it.

    Args:
        evaluator: trains what the journal lacks.
        journal: that is open.
        replay_only: train nothing.
    """

    def __init__(self, evaluator: Evaluator, journal: Journal, replay_only: bool = False) -> None:
        self._evaluator, self._journal, self._replay_only = evaluator, journal, replay_only
        self.at_once = evaluator.at_once

    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        """Give what the journal has, and what its evaluator gives for the others.

        Raises:
            JournalError: an outcome cannot be written; it is raised after that outcome was given.
                Or one is missing, and nothing is to be trained.
            OptiProxyError: as of the evaluator.
        """
        missing = []
        for place, request in enumerate(requests):
            if (found := self._journal.find(request)) is not None:
                yield place, found
            elif self._replay_only:
                raise JournalError(
                    f"The journal {str(self._journal.path)!r} has no answer for "
                    f"{request.architecture} (attempt {request.attempt}): the search is not the "
                    "one that it was written by.",
                    path=str(self._journal.path),
                    architecture=request.architecture,
                )
            else:
                missing.append(place)
        asked = [requests[place] for place in missing]
        for index, outcome in self._evaluator.ended(objective, asked) if asked else ():
            lost = None
            try:
                self._journal.record(asked[index], outcome)
            except JournalError as error:
                lost = error
            try:
                yield missing[index], outcome
            except GeneratorExit:  # the search was stopped by this very outcome
                if lost is not None:
                    _log.warning(lost.message)
                raise
            if lost is not None:
                raise lost

    def close(self) -> None:
        """Release what its evaluator holds; the journal stays open."""
        self._evaluator.close()


def read_journal(path: str | Path) -> pd.DataFrame:
    """Return a journal as a table, one row an attempt, in the order in which they ended.

    It may be read while a search writes to it.

    Returns:
        number, attempt, architecture (text), epochs, seed, the metrics by their names (NaN where
        it failed), error ("" unless it failed), seconds, output (a path, or "") and time (UTC).
        A metric that is called like one of these is "metrics.NAME".

    Raises:
        JournalError: it is no journal, was edited, or cannot be read.
    """
    rows = [
        {name: record[name] for name in _NOT_METRICS[:5]}
        | {
            f"metrics.{name}" if name in (*_NOT_METRICS, "time") else name: _read(number)
            for name, number in record["metrics"].items()
        }
        | {name: record[name] for name in (*_NOT_METRICS[5:], "time")}
        for record in read_records(path)[1]
        if "tested" not in record
    ]
    return pd.DataFrame(rows, columns=None if rows else [*_NOT_METRICS, "time"])


def journal_trials(path: str | Path) -> pd.DataFrame:
    """Return the trials of a journal, the last attempt at each, to start another search from.

    Returns:
        architecture, epochs, seconds, error (None unless it failed), ``value`` and the other
        metrics.

    Raises:
        JournalError: as of :func:`read_journal`.
    """
    header, lines = read_records(path)
    trials: dict[tuple[str, int | None], dict[str, Any]] = {}
    for line in lines:
        if "tested" not in line:
            outcome = _outcome(line, header["target"])
            trials[line["architecture"], line["epochs"]] = {
                "value": math.nan,
                **outcome.metrics,
                "architecture": line["architecture"],
                "epochs": line["epochs"],
                "error": outcome.error or None,
                "seconds": outcome.seconds,
            }
    return pd.DataFrame(list(trials.values()))


def is_journal(path: Path) -> bool:
    """Return whether a file begins as a journal does."""
    with path.open("rb") as file:
        return file.read(len(_START)) == _START


def read_records(path: str | Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a journal's header tells of its search, and its lines as they are written.

    Raises:
        JournalError: as of :func:`read_journal`.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unusable(path, error) from error
    if _is_begun(content):
        return {}, []
    parsed = _parse(content, path)
    return parsed.header["search"], parsed.records


class _Parsed(NamedTuple):
    """The content of a journal."""

    header: dict[str, Any]
    records: list[dict[str, Any]]
    digest: str  # of the last line
    length: int  # of the lines that are whole, in bytes
    torn: bool  # whether there is a part of a line behind them


def _parse(content: bytes, path: Path) -> _Parsed:
    """Return what a journal holds.

    Raises:
        JournalError: it is none, or a line is not what was written (its number, from 1).
    """
    if not content.startswith(_START):
        raise JournalError(
            f"{str(path)!r} is not the journal of a search, or its first line was edited. Nothing "
            "was changed in it; use another path.",
            path=str(path),
        )
    lines: list[dict[str, Any]] = []
    digest, length = "", 0
    *whole, last = content.split(b"\n")
    for number, line in enumerate([*whole, last] if last else whole, 1):
        body, tail = line[:-_END_LENGTH], line[-_END_LENGTH:]
        expected = _digest_of(digest, body)
        if tail != _END.format(expected).encode():
            if number > len(whole):  # the last line, not written to its end
                return _Parsed(lines[0], lines[1:], digest, length, True)
            raise JournalError(
                f"Line {number} of the journal {str(path)!r} is not what was written there, or a "
                "line before it is missing. Restore the file, or move it away and begin anew; "
                "initial= starts warm from a table of the trials that you trust.",
                path=str(path),
                line=number,
            )
        lines.append(json.loads(line))
        digest, length = expected, min(length + len(line) + 1, len(content))
    return _Parsed(lines[0], lines[1:], digest, length, False)


def _is_begun(content: bytes) -> bool:
    """Return whether a journal has no header yet: it is empty, or its header has no end."""
    if b"\n" in content or not _START.startswith(content[: len(_START)]):
        return False
    body, tail = content[:-_END_LENGTH], content[-_END_LENGTH:]
    return tail != _END.format(_digest_of("", body)).encode()


def _check_search(recorded: Any, header: Mapping[str, Any], path: Path) -> None:
    """Refuse the journal of another search.

    Raises:
        JournalError: in what it differs.
    """
    before, now = flatten(recorded), flatten(header)
    names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    if not names:
        return
    told = [f"{name} = {before.get(name)!r:.80}, now {now.get(name)!r:.80}" for name in names]
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    raise JournalError(
        f"The journal {str(path)!r} is of another search: {'; '.join(told[:_SHOWN])}{more}. Use "
        f"another path; initial={str(path)!r} starts warm from its trials.",
        path=str(path),
        names=names,
    )


def _outcome(record: Mapping[str, Any], target: str) -> Outcome:
    """Return what an attempt gave, of its line."""
    metrics = {name: _read(number) for name, number in record["metrics"].items()}
    if target in metrics:
        metrics[VALUE] = metrics[target]
    curve = tuple((step, _read(value)) for step, value in record["curve"])
    return Outcome(metrics, record["error"], record["seconds"], curve, record["output"])


def _written(number: float) -> float | str:
    """Return a number for JSON, which has no NaN and no infinity: as text."""
    return number if math.isfinite(number) else str(number)


def _read(number: float | str) -> float:
    return float(number)


def _digest_of(before: str, body: bytes) -> str:
    """Return the digest of a line, given that of the line before."""
    return hashlib.sha256(before.encode() + body).hexdigest()[:_DIGITS]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _sync_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that a new file of it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unusable(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"The journal {str(path)!r} cannot be read or written: {error.strerror or error}. What it "
        "holds is kept; mend that, or use another path, and search again.",
        path=str(path),
    )
