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

_OUTPUTS = "../../07_model_output"  # as seen from the page of a run


def trial_rows(trials: pd.DataFrame, run_id: str) -> tuple[list[tuple[str, str]], list[list[Any]]]:
    """Return columns (heading, class) and rows of all attempts, in the order in which they ended.

    Args:
        trials: a journal as a table, its outputs relative to the run's folder.
        run_id: of the run.
    """
    metrics = metric_columns(trials)
    headings = ["Trial", *map(numbers.metric_label, metrics), "Seconds"]
    columns = [(heading, "num") for heading in headings]
    columns += [("Error", ""), ("Output", ""), ("Architecture", "")]
    rows = []
    for row in trials.fillna({"error": "", "output": ""}).to_dict("records"):
        measured = [_number(row[name]) for name in (*metrics, "seconds")]
        path = f"{_OUTPUTS}/{quote(run_id)}/{quote(row['output'])}"
        link = Markup('<a href="{}">output</a>').format(path) if row["output"] else ""
        number = str(row["number"]) + (f", attempt {row['attempt']}" if row["attempt"] > 1 else "")
        number += f", confirmation {row['repeat']}" if row.get("repeat") else ""
        note = row["error"] or ("stopped early" if row["stopped"] else "")
        rows.append([number, *measured, note, link, breakable(row["architecture"])])
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


def _number(value: float) -> str:
    return "" if pd.isna(value) else numbers.significant(float(value))
