"""The file of a journal: how its lines are written, read back and checked.

It is text, one JSON object a line: first the header, which tells searches apart, then one line an
attempt at a trial that has ended, and one for the test of the answer. Each line ends with a digest
of itself and of the line before, so an edit, a missing line and another order are found.

The journal of a search whose trials end in any order also says when the method was asked
(``{"ask": 3, "wanted": 2}``, before its fourth time), and what was begun (``{"begun": 7, ...}``).
Then the order of its lines is the order in which the search was asked and told.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from optiproxy_nas.core.errors import JournalError, ParameterError
from optiproxy_nas.evaluation.journal_lines import check_line

FORMAT = "optiproxy-nas journal 1"
DIGITS = 16  # of a line's digest
_START = json.dumps({"format": FORMAT})[:-1].encode()  # of every journal
_END = ', "digest": "{}"}}'
_END_LENGTH = len(_END.format("0" * DIGITS))


def is_journal(path: Path) -> bool:
    """Return whether a file begins as a journal does."""
    try:
        with path.open("rb") as file:
            return file.read(len(_START)) == _START
    except OSError:
        return False


def journal_path(given: Any) -> Path:
    """Return the path of a journal.

    Raises:
        ParameterError: it is no path.
    """
    if not isinstance(given, str | Path) or not str(given) or "\0" in str(given):
        raise ParameterError(
            f"journal = {given!r:.200} ({type(given).__name__}): it must be the path of a file, "
            "such as journal='search.jsonl'."
        )
    return Path(given).absolute()


def check_is_file(path: Path) -> None:
    """Refuse the path of a folder, or of a device.

    Raises:
        JournalError: it is one.
    """
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise JournalError(
            f"The journal {str(path)!r} is {what}. Name a file, such as 'journal.jsonl'.",
            path=str(path),
        )


def read_records(path: str | Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a journal's header tells of its search, and its lines as they are written.

    Raises:
        JournalError: as of :func:`read_journal`.
    """
    path = Path(path)
    check_is_file(path)
    try:
        content = path.read_bytes()
    except (FileNotFoundError, ValueError) as error:  # ValueError: no name, with a NUL in it
        raise JournalError(
            f"There is no journal {str(path)!r}.",
            advice="A search writes it: search(..., journal=path).",
            path=str(path),
        ) from error
    except OSError as error:
        raise unusable(path, error) from error
    if is_unbegun(content):
        return {}, []
    parsed = parse(content, path)
    return parsed.header["search"], parsed.records


class Parsed(NamedTuple):
    """The content of a journal."""

    header: dict[str, Any]
    records: list[dict[str, Any]]
    digest: str  # of the last line
    length: int  # of the lines that are whole, in bytes
    torn: bool  # whether there is a part of a line behind them


def parse(content: bytes, path: Path) -> Parsed:
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
                return Parsed(lines[0], lines[1:], digest, length, True)
            raise JournalError(
                f"Line {number} of the journal {str(path)!r} is not what was written there, or a "
                "line before it is missing.",
                advice="Restore the file, or move it away and begin anew; initial= starts warm "
                "from a table of the trials that you trust.",
                path=str(path),
                line=number,
            )
        lines.append(_value(line, number, path))
        digest, length = expected, min(length + len(line) + 1, len(content))
    return Parsed(lines[0], lines[1:], digest, length, False)


def _value(line: bytes, number: int, path: Path) -> dict[str, Any]:
    """Return what a line holds, whose digest has been checked.

    Raises:
        JournalError: a search writes no such line.
    """
    try:
        value: dict[str, Any] = json.loads(line)
        check_line(line, value, number)
    except (ValueError, RecursionError) as error:
        raise JournalError(
            f"Line {number} of the journal {str(path)!r} is none that a search writes ({error}), "
            "though its digest agrees: somebody made it.",
            advice="Use the journal of a search.",
            path=str(path),
            line=number,
        ) from error
    return value


def is_unbegun(content: bytes) -> bool:
    """Return whether a journal has no header yet: it is empty, or its header has no end."""
    if b"\n" in content or not _START.startswith(content[: len(_START)]):
        return False
    body, tail = content[:-_END_LENGTH], content[-_END_LENGTH:]
    return tail != _END.format(_digest_of("", body)).encode()


def line_of(record: Mapping[str, Any], before: str) -> tuple[bytes, str]:
    """Return the line of a record, and its digest, given that of the line before."""
    body = json.dumps(record, allow_nan=False)[:-1]
    digest = _digest_of(before, body.encode())
    return (body + _END.format(digest) + "\n").encode(), digest


def _digest_of(before: str, body: bytes) -> str:
    """Return the digest of a line, given that of the line before."""
    return hashlib.sha256(before.encode() + body).hexdigest()[:DIGITS]


def make_folder(folder: Path) -> None:
    """Make a folder with those above it, so that they survive a power cut."""
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that a new file of it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unusable(path: Path, error: OSError) -> JournalError:
    """Return the error of a journal that the system does not read or write."""
    return JournalError(
        f"The journal {str(path)!r} cannot be read or written: {error.strerror or error}. What it "
        "holds is kept.",
        advice="Mend that, or use another path, and search again.",
        path=str(path),
    )
