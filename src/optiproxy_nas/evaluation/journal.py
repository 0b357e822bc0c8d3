"""The journal of a search: a file to which each finished trial is added, for good, as it ends.

A line of it is written at once and flushed to the disk; killed at any time, a search loses what was
running, and no more. Called again, it takes from the journal what was trained before.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

import filelock

from optiproxy_nas.core.errors import JournalError, RunLockedError
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.journal_file import (
    FORMAT,
    check_is_file,
    is_unbegun,
    line_of,
    make_folder,
    parse,
    sync_folder,
    unusable,
)
from optiproxy_nas.evaluation.journal_header import check_header
from optiproxy_nas.evaluation.journal_history import History, history_of
from optiproxy_nas.evaluation.journal_lines import (
    begun_record,
    is_attempt,
    outcome_of,
    read_number,
    record_of,
    repeat_of,
    request_of,
    written,
)
from optiproxy_nas.problems import VALUE

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
_Key = tuple[str, int | None, int, int]  # architecture, epochs, attempt, repeat


class Journal:
    """A journal that is open, and locked, for one search; ``with`` closes it.

    Attributes:
        path: of the file.
        is_new: whether the search has just begun.
        history: what it had when it was opened.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path, self.is_new = path, False
        self.history = History()
        self._target = str(header.get("target", VALUE))
        self._found: dict[_Key, tuple[Request, Outcome]] = {}
        self._tested: dict[tuple[str, int | None, int], dict[str, float]] = {}
        self._file: BinaryIO | None = None
        self._lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        self._digest = ""  # of the last line
        self._torn: int | None = None  # where a part of a line begins that could not be removed

    @classmethod
    def open(cls, path: str | Path, header: Mapping[str, Any]) -> Self:
        """Open the journal of a search, or begin it.

        A last line that was not written to its end is dropped, with a warning.

        Args:
            path: of the file; folders above it are made.
            header: of :func:`~optiproxy_nas.evaluation.journal_header.header_of`.

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
            raise unusable(journal.path, error) from error
        except BaseException:
            journal.close()
            raise
        return journal

    def find(self, request: Request) -> Outcome | None:
        """Return what an attempt gave, None where the journal has none."""
        return self._found[_key(request)][1] if _key(request) in self._found else None

    def attempts(self) -> list[tuple[Request, Outcome]]:
        """Return all attempts, also at confirmations, in the order in which they ended."""
        return list(self._found.values())

    def trials(self) -> list[tuple[Request, Outcome]]:
        """Return all attempts at trials of the search, in the order in which they ended."""
        return [found for found in self._found.values() if not found[0].repeat]

    def record(self, request: Request, outcome: Outcome) -> None:
        """Add what an attempt gave; when this returns, it is on the disk.

        Raises:
            JournalError: it cannot be written; what was written before is as it was.
        """
        self._append({**record_of(request, outcome, self._target), "time": _now()})
        self._found[_key(request)] = request, outcome

    def record_ask(self, number: int, wanted: int) -> None:
        """Add that the method is asked now, having been told the results of the lines above.

        Args:
            number: how often it was asked before.
            wanted: as of ``methods.Unavailable``.

        Raises:
            JournalError: it cannot be written.
        """
        self._append({"ask": number, "wanted": wanted, "time": _now()}, lasting=False)

    def begin_order(self, number: int, retries: int) -> None:
        """Add that the lines from here on are in the order in which the search is asked and told.

        Nothing is added where a line before says so, with as many retries.

        Args:
            number: how often the method was asked before.
            retries: how often a failed trial is tried again, from here on.

        Raises:
            JournalError: it cannot be written.
        """
        if self.history.retries != retries:
            self._append({"asked": number, "retries": retries, "time": _now()})

    def record_begun(self, request: Request, handle: str) -> None:
        """Add that an attempt has begun, with the handle by which it can be rejoined ("": none).

        Raises:
            JournalError: it cannot be written.
        """
        self._append({**begun_record(request, handle), "time": _now()}, lasting=False)

    def find_test(self, request: Request) -> dict[str, float] | None:
        """Return what the test of an answer gave, None where it was not tested."""
        return self._tested.get((request.architecture, request.epochs, request.repeat))

    def record_test(self, request: Request, metrics: Mapping[str, float]) -> None:
        """Add what the test of an answer gave.

        Raises:
            JournalError: it cannot be written.
        """
        line = {
            "tested": request.number,
            "architecture": request.architecture,
            "epochs": request.epochs,
            **repeat_of(request),
            "metrics": {name: written(number) for name, number in metrics.items()},
            "time": _now(),
        }
        self._append(line)
        self._tested[request.architecture, request.epochs, request.repeat] = dict(metrics)

    def __len__(self) -> int:
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
        make_folder(self.path.parent)
        check_is_file(self.path)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise RunLockedError(
                f"Another search, or a process that it left running, writes to the journal "
                f"{str(self.path)!r}. Wait for it, close it, or use another path.",
                path=str(self.path),
            ) from None
        content = self.path.read_bytes() if self.path.exists() else b""
        self._file = self.path.open("ab", buffering=0)
        if is_unbegun(content):
            self._file.truncate(0)
            self.is_new = True
            sync_folder(self.path.parent)
            self._append({"format": FORMAT, "begun": _now(), "search": header})
            return
        parsed = parse(content, self.path)
        check_header(parsed.header["search"], header, self.path)
        if parsed.torn:
            _log.warning(
                "The last line of the journal %s was not written to its end. It is dropped, and "
                "what it was of is done again.",
                self.path,
            )
        if parsed.length != len(content):
            self._file.truncate(parsed.length)
        if not content[: parsed.length].endswith(b"\n"):
            self._file.write(b"\n")
        self._digest = parsed.digest
        self.history = history_of(parsed.records, self._target)
        for record in parsed.records:
            if "tested" in record:
                metrics = {name: read_number(number) for name, number in record["metrics"].items()}
                key = record["architecture"], record["epochs"], record.get("repeat", 0)
                self._tested[key] = metrics
            elif is_attempt(record):
                request = request_of(record)
                self._found[_key(request)] = request, outcome_of(record, self._target)

    def _append(self, record: Mapping[str, Any], lasting: bool = True) -> None:
        """Write a line, or leave the file as it was; a lasting one is flushed to the disk."""
        if self._file is None:
            raise JournalError(f"The journal {str(self.path)!r} is closed.", path=str(self.path))
        line, digest = line_of(record, self._digest)
        length = None
        try:
            if self._torn is not None:
                self._file.truncate(self._torn)
                self._torn = None
            length = os.fstat(self._file.fileno()).st_size
            view = memoryview(line)
            while view:  # a disk that is nearly full takes a part
                view = view[self._file.write(view) :]
            if lasting:
                os.fsync(self._file.fileno())
        except OSError as error:
            if length is not None:
                try:
                    self._file.truncate(length)
                except OSError:  # it is tried again before the next line
                    self._torn = length
                    _log.debug("The journal %s ends with a part of a line", self.path)
            raise unusable(self.path, error) from error
        self._digest = digest


def _key(request: Request) -> _Key:
    return request.architecture, request.epochs, request.attempt, request.repeat


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
