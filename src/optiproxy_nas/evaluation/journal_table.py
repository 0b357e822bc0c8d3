"""A journal as a table, one row an attempt, as users and reports read it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.journal_file import read_records
from optiproxy_nas.evaluation.journal_lines import (
    is_attempt,
    is_trial,
    outcome_of,
    read_number,
    request_of,
)

# Columns of a journal's table that are no metrics.
_BEFORE = ("number", "attempt", "architecture", "epochs", "seed", "repeat", "folder")
_BEHIND = ("error", "stopped", "seconds", "output", "time")


def read_journal(path: str | Path) -> pd.DataFrame:
    """Return a journal as a table, one row an attempt, in the order in which they ended.

    It may be read while a search writes to it.

    Example:
        >>> from optiproxy_nas import read_journal
        >>> read_journal("search.jsonl").sort_values("accuracy").tail(3)  # doctest: +SKIP

    Returns:
        number, attempt, architecture (text), epochs, seed, repeat (0: the search's own training; 1,
        2, ...: a confirmation), folder (as ``Request.folder``), the metrics by their names (NaN
        where it failed), error ("" unless it failed), stopped (whether it was ended early),
        seconds, output (a path, or "") and time (UTC).
        A metric that is called like one of these is "metrics.NAME".

    Raises:
        JournalError: it is no journal, was edited, or cannot be read.
    """
    rows = [
        {name: it for name, it in request_of(record)._asdict().items() if name in _BEFORE}
        | {metric_column(name): read_number(value) for name, value in record["metrics"].items()}
        | {name: record.get(name, False) for name in _BEHIND}
        for record in read_records(path)[1]
        if is_attempt(record)
    ]
    return pd.DataFrame(rows, columns=None if rows else [*_BEFORE, *_BEHIND])


def metric_column(name: str) -> str:
    """Return what the column of a metric is called in a journal's table."""
    return f"metrics.{name}" if name in (*_BEFORE, *_BEHIND) else name


def metric_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of a journal's table that are metrics."""
    return [str(name) for name in table if name not in (*_BEFORE, *_BEHIND)]


def journal_trials(path: str | Path) -> pd.DataFrame:
    """Return the trials of a journal, the last attempt at each, to start another search from.

    Confirmations are not among them.

    Returns:
        architecture, epochs, seconds, error (None unless it failed), ``value`` and the other
        metrics.

    Raises:
        JournalError: as of :func:`read_journal`.
    """
    header, lines = read_records(path)
    return trials_table(
        (request_of(line), outcome_of(line, header["target"])) for line in lines if is_trial(line)
    )


def trials_table(ended: Iterable[tuple[Request, Outcome]]) -> pd.DataFrame:
    """Return the last attempt at each trial, as :func:`journal_trials`."""
    trials: dict[tuple[str, int | None], dict[str, Any]] = {}
    for request, outcome in ended:
        trials[request.architecture, request.epochs] = {
            "value": math.nan,
            **outcome.metrics,
            "architecture": request.architecture,
            "epochs": request.epochs,
            "error": outcome.error or None,
            "seconds": outcome.seconds,
            "stopped": outcome.stopped,
        }
    return pd.DataFrame(list(trials.values()))


def last_attempts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the last attempt at each trial of a journal's table; of others, all rows.

    The confirmations of a journal are left out.
    """
    if not {"number", "attempt", "architecture"} <= set(table):
        return table
    if "repeat" in table:
        table = table[table["repeat"] == 0]
    return table.drop_duplicates(["number", "architecture"], keep="last")


def row_request(row: Mapping[Any, Any], full: int | None = None) -> Request:
    """Return what an attempt was asked for, of a row of :func:`read_journal`, or one like it.

    Args:
        row: of the attempt.
        full: epochs of full training, which a journal does not tell.
    """
    numbers = {name: int(row[name]) for name in ("number", "attempt", "seed", "repeat")}
    epochs = None if pd.isna(row.get("epochs")) else int(row["epochs"])
    texts = {name: str(row[name]) for name in ("architecture", "folder")}
    return Request(**numbers, **texts, epochs=epochs, full_epochs=full)  # type: ignore[arg-type]
