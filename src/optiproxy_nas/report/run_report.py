"""The report of one run: its figures, its page in HTML and Markdown, and its lines at the end.

Nothing here reads a clock or a file: the same run gives the same report, byte for byte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from optiproxy_nas.core import numbers
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.objectives.constraints import metrics_of
from optiproxy_nas.report import constraint_figures, epoch_figures
from optiproxy_nas.report.archive_figures import BEST_CELL, BEST_SO_FAR, DIAGNOSTICS, PREDICTED
from optiproxy_nas.report.encoding_figures import ENCODING
from optiproxy_nas.report.html import breakable, code, plain, render
from optiproxy_nas.report.importance_figures import IMPORTANCE
from optiproxy_nas.report.logit_figures import ENTROPY, LOGITS
from optiproxy_nas.report.prior_figures import TRUST
from optiproxy_nas.report.run_data import RunData, Summary, present
from optiproxy_nas.report.style import ReportFigure, png
from optiproxy_nas.report.summary import (
    headline,
    noun,
    result_rows,
    settings_rows,
)
from optiproxy_nas.report.summary_fields import MISSING
from optiproxy_nas.report.terminal import audit_command
from optiproxy_nas.report.trial_table import (
    Table,
    bound_rows,
    candidate_rows,
    failed_rows,
    training_seconds,
    trial_rows,
)
from optiproxy_nas.report.worker_figures import WORKERS

RunFigures = tuple[ReportFigure[RunData], ...]

COMMON: RunFigures = (
    BEST_SO_FAR,
    BEST_CELL,
    IMPORTANCE,
    PREDICTED,
    DIAGNOSTICS,
    ENTROPY,
    LOGITS,
    ENCODING,
)
# Objectives of installed packages that bring figures of their own.
OBJECTIVE_FIGURES = Registry("figures of the objective", {}, group="optiproxy_nas.figures")
TOP = 10  # cells of the table of the best
HONEST = (
    "Optimum and regret, where given, are computed after the search from the benchmark's table, "
    "to judge the run, and so is the test accuracy of a cell chosen by another value. The search "
    "itself sees only the values that it queried, and each counts in the budget."
)
HONEST_OF_PROBLEM = (
    "The search saw the values of its trials, each of which counts in the budget, and no others. "
    "The best of them flatters: it is the {extreme} of many single trainings; another seed gives "
    "another value. {confirmed}What is called a test was measured after the search, once, of its "
    "answer."
)
HONEST_WHERE_CONFIRMED = (
    "So the best were trained again with fresh seeds, the same for all of them; this is charged, "
    "too, and the answer is the best of them by the mean. "
)


def figures_of(objective: Objective, has_prior: bool = False) -> RunFigures:
    """Return the figures of a run with this objective, in reading order.

    Its own are those registered under its name, else those of what it has: bounds, or fidelities.
    They come right after the first; one with the id of a common figure takes its place. Where
    earlier runs guide the search, the trust in them is one.
    """
    objective_figures: RunFigures = ()
    columns = objective.columns.keys()
    if objective.name in OBJECTIVE_FIGURES:
        objective_figures = OBJECTIVE_FIGURES.load(objective.name)
    elif objective.bounds and columns >= constraint_figures.COLUMNS:
        objective_figures = constraint_figures.FIGURES
    elif objective.fidelities and columns >= epoch_figures.COLUMNS:
        objective_figures = epoch_figures.FIGURES
    replaced = {figure.id: figure for figure in objective_figures}
    first, *others = (replaced.pop(figure.id, figure) for figure in COMMON)
    return (first, *replaced.values(), *([TRUST] if has_prior else []), *others)


def asynchronous_figures(objective: Objective, has_prior: bool = False) -> RunFigures:
    """Return the figures of an asynchronous run: when its workers were busy after the first."""
    first, *others = figures_of(objective, has_prior)
    return (first, WORKERS, *others)


def draw_figures(run: RunData, figures: RunFigures) -> dict[ReportFigure[RunData], bytes]:
    """Return the PNG bytes of each figure."""
    return {figure: png(figure.draw(run)) for figure in figures}


def html_page(run: RunData, pictures: Mapping[ReportFigure[RunData], bytes]) -> str:
    """Return the report as one self-contained HTML page with the PNG bytes of each figure."""
    columns, rows = _top_cells(run)
    last = len(columns) - 1
    classed = [(name, "num" if 0 < i < last else "") for i, name in enumerate(columns)]
    cells = [[*row[:-1], breakable(row[-1])] for row in rows]
    trials, seconds = None, []
    failed: Table = ([("Architecture", ""), ("After queries", "num"), ("Error", "")], [])
    failed[1].extend(_failures(run.summary))
    if run.trials is not None:
        run_id = str(run.summary.get("run_id"))
        trials, seconds = trial_rows(run.trials, run_id), training_seconds(run.trials)
        failed = failed_rows(run.trials, run_id)
    return render(
        "run.html.j2",
        pictures={figure: pictures[figure] for figure in _shown(run, pictures)},
        run=run,
        columns=classed,
        rows=cells,
        trials=trials,
        seconds=seconds,
        failed=failed,
        bounds=bound_rows(run.summary.get("constraints") or ()),
        candidates=_candidates(run, breakable),
        **_facts(run),
    )


def markdown_page(run: RunData, figures: Iterable[ReportFigure[RunData]]) -> str:
    """Return the report as Markdown; the figures are files ``<id>.png`` beside it."""
    columns, rows = _top_cells(run)
    cells = [[*map(plain, row[:-1]), code(row[-1])] for row in rows]
    shown = _shown(run, figures)
    candidates = _candidates(run, code)
    return render(
        "run.md.j2",
        figures=shown,
        run=run,
        columns=columns,
        rows=cells,
        candidates=candidates,
        failures=_failures(run.summary),
        **_facts(run),
    )


def _shown(run: RunData, figures: Iterable[ReportFigure[RunData]]) -> list[ReportFigure[RunData]]:
    """Return the figures of a page; one of a graph is none of a space that has no graph."""
    return [f for f in figures if run.space.num_vertices or f.id != BEST_CELL.id]


def _facts(run: RunData) -> dict[str, Any]:
    """Return what both pages show."""
    summary = run.summary
    cells = _eligible(run)
    heading = f"Top {min(len(cells), TOP)} {noun(summary)}s"
    if len(cells) < len(run.archive):
        heading += f" of the {len(cells)} that can be the answer"
    return {
        "title": f"Run {summary['run_id']}" if present(summary.get("run_id")) else "Run report",
        "headline": headline(summary),
        "architecture": str(summary.get("best_architecture") or ""),
        "drawing": str(summary.get("best_drawing") or ""),
        "result": result_rows(summary),
        "settings": settings_rows(summary),
        "honest": _honest(run),
        "top_heading": heading,
        "commands": _commands(summary),
    }


def _candidates(
    run: RunData, quoted: Callable[[str], str]
) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Return columns and rows of what was confirmed, its architectures as they are quoted."""
    columns, rows = candidate_rows(run.summary.get("candidates") or (), run.target)
    return columns, [[*row[:-1], quoted(row[-1])] for row in rows]


def _honest(run: RunData) -> str:
    """Return what the values are, and what they are not."""
    if "problem" not in run.summary:
        return HONEST
    confirmed = HONEST_WHERE_CONFIRMED if present(run.summary.get("confirmed_value")) else ""
    extreme = "highest" if run.sign > 0 else "lowest"
    return HONEST_OF_PROBLEM.format(extreme=extreme, confirmed=confirmed)


def _failures(summary: Summary) -> list[list[str]]:
    """Return architecture, queries before it and error of each failed trial, as text."""
    return [
        [str(trial["architecture"]), str(trial["after"]), str(trial["error"])]
        for trial in summary.get("failures") or ()
    ]


def _eligible(run: RunData) -> pd.DataFrame:
    return run.archive if run.eligible is None else run.archive[run.eligible]


def _top_cells(run: RunData) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of the best cells, earlier queries first among equals.

    Constrained metrics stand after the value, and the architecture comes last.
    """
    metrics = [metric for metric in metrics_of(run.bounds) if metric in run.archive]
    labels = [numbers.capitalised(numbers.metric_label(metric)) for metric in metrics]
    labels = [numbers.with_unit("Value", run.target), *labels]
    best = _eligible(run).sort_values(["value", "order"], ascending=[run.sign < 0, True]).head(TOP)
    digits = numbers.decimals(run.target, best["value"])
    rows = []
    for rank, row in enumerate(best.to_dict("records"), start=1):
        predicted, spread = float(row["predicted"]), float(row["predicted_sd"])
        expected = "initial sample" if int(row["step"]) == 0 else MISSING
        if not math.isnan(predicted):
            expected = numbers.fixed(predicted, digits)
            expected += "" if math.isnan(spread) else f" ± {numbers.fixed(spread, digits)}"
        measured = [numbers.significant(float(row[metric])) for metric in metrics]
        query, step = str(int(row["order"]) + 1), str(int(row["step"]))
        value, architecture = numbers.fixed(float(row["value"]), digits), str(row["architecture"])
        rows.append([str(rank), value, *measured, expected, query, step, architecture])
    return ["Rank", *labels, "Predicted", "Query", "Step", "Architecture"], rows


def _commands(summary: Summary) -> list[tuple[str, str]]:
    """Return (sentence, command or "") of how to check this run and how to repeat it."""
    commands: list[tuple[str, str]] = []
    if present(summary.get("run_id")):
        sentence = "To check the stored run against what it recorded of itself:"
        commands.append((sentence, audit_command(summary["run_id"])))
    if present(summary.get("run_command")):
        commands.append(("To repeat it:", str(summary["run_command"])))
    else:
        sentence = "To repeat it, run the search again with the settings and seed above."
        commands.append((sentence, ""))
    if present(summary.get("mlflow_command")):
        commands.append(("To compare it with other runs:", str(summary["mlflow_command"])))
    return commands
