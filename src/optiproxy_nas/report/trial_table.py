"""The trials of a user's problem as a table of the report, with links to what they wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

from optiproxy_nas.core import numbers
from optiproxy_nas.evaluation.journal_table import metric_columns
from optiproxy_nas.report.html import breakable

Table = tuple[list[tuple[str, str]], list[list[Any]]]  # (heading, class) of columns, and rows
_OUTPUTS = "../../07_model_output"  # as seen from the page of a run


def trial_rows(trials: pd.DataFrame, run_id: str) -> Table:
    """Return columns (heading, class) and rows of all attempts, in the order in which they ended.

    Args:
        trials: a journal as a table, its outputs relative to the run's folder.
        run_id: of the run.
    """
    metrics = metric_columns(trials)
    labels = [numbers.capitalised(numbers.metric_label(metric)) for metric in metrics]
    headings = ["Trial", *labels, "Seconds"]
    columns = [(heading, "num") for heading in headings]
    columns += [("Error", ""), ("Output", ""), ("Architecture", "")]
    rows = []
    for row in trials.fillna({"error": "", "output": ""}).to_dict("records"):
        measured = [_number(row[name]) for name in (*metrics, "seconds")]
        note = row["error"] or ("stopped early" if row["stopped"] else "")
        link = _output_link(row, run_id)
        rows.append([_trial(row), *measured, note, link, breakable(row["architecture"])])
    return columns, rows


def failed_rows(trials: pd.DataFrame, run_id: str) -> Table:
    """Return columns and rows of the attempts that failed, with links to what they wrote."""
    columns = [("Trial", "num"), ("Seconds", "num"), ("Error", ""), ("Log", "")]
    table = trials.fillna({"error": "", "output": ""})
    rows = [
        [
            _trial(row),
            _number(row["seconds"]),
            row["error"],
            _output_link(row, run_id),
            breakable(row["architecture"]),
        ]
        for row in table[table["error"] != ""].to_dict("records")
    ]
    return [*columns, ("Architecture", "")], rows


def training_seconds(trials: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (label, text) of what the trainings took: in all, those that failed, and each."""
    if trials.empty:
        return []
    seconds = trials["seconds"].fillna(0.0)
    repeats, failed = trials["repeat"] > 0, trials["error"].fillna("") != ""
    kinds = [("All trainings", seconds == seconds), ("Of these to confirm", repeats)]
    rows = [
        (f"{label} ({int(mask.sum())})", numbers.duration(float(seconds[mask].sum())))
        for label, mask in [*kinds, ("Of these failed", failed)]
        if mask.any()
    ]
    middle, most = float(seconds.median()), float(seconds.max())
    each = f"{numbers.duration(middle)} (median), {numbers.duration(most)} at most"
    return [*rows, ("One training", each)]


def bound_rows(constraints: Sequence[Mapping[str, Any]]) -> Table:
    """Return columns and rows of the bounded metrics of the answer: value, bound and margin.

    Args:
        constraints: of the summary: constraint, metric, value, margin and margin_percent (None
            where it cannot run).
    """
    columns = [("Metric", ""), ("Value", "num"), ("Bound", "num"), ("Margin", "num"), ("", "")]
    rows: list[list[Any]] = []
    for fact in constraints:
        metric, bound = str(fact["constraint"]).split(maxsplit=1)
        value, margin = fact["value"], fact["margin"]
        is_kept = margin is not None and (margin > 0 or (margin == 0 and "=" in bound))
        words = Markup(
            '<span class="kept">kept</span>' if is_kept else '<b class="broken">broken</b>'
        )
        shown = "cannot run there" if value is None else numbers.significant(float(value), 4)
        left = ""
        if margin is not None:
            left = f"{numbers.significant(margin, 2)} ({fact['margin_percent']:.1f} %)"
        label = numbers.capitalised(numbers.metric_label(metric))
        rows.append([label, shown, bound, left.replace("-", "−"), words])
    return columns, rows


def candidate_rows(
    candidates: Sequence[Mapping[str, Any]], target: str
) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Return columns (heading, class) and rows of the candidates that were confirmed, best first.

    Args:
        candidates: trial, architecture, single, mean, sd (None: there is none) and values, by seed
            (None where it failed), of each.
        target: the metric that was searched for.
    """
    found = [value for it in candidates for value in (it["single"], it["mean"])]
    digits = numbers.decimals(target, found)

    def shown(value: float | None) -> str:
        return "failed" if value is None else numbers.fixed(value, digits)

    labels = [numbers.with_unit("Mean", target), "SD", "In the search", "By seed", "Trial"]
    rows = []
    for it in candidates:
        sd = "" if it["sd"] is None else shown(it["sd"])
        by_seed = ", ".join(map(shown, it["values"]))
        row = [shown(it["mean"]), sd, shown(it["single"]), by_seed, str(it["trial"])]
        rows.append([*row, str(it["architecture"])])
    return [*((label, "num") for label in labels), ("Architecture", "")], rows


def _trial(row: Mapping[Any, Any]) -> str:
    """Return the number of a trial, with its attempt and confirmation where there are several."""
    number = str(row["number"]) + (f", attempt {row['attempt']}" if row["attempt"] > 1 else "")
    return number + (f", confirmation {row['repeat']}" if row.get("repeat") else "")


def _output_link(row: Mapping[Any, Any], run_id: str) -> Markup | str:
    path = f"{_OUTPUTS}/{quote(run_id)}/{quote(row['output'])}"
    return Markup('<a href="{}">output</a>').format(path) if row["output"] else ""


def _number(value: float) -> str:
    return "" if pd.isna(value) else numbers.significant(float(value))
