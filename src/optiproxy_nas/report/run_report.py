"""The report of one run: its figures, its page in HTML and Markdown, and its lines at the end.

Nothing here reads a clock or a file: the same run gives the same report, byte for byte.
"""

from __future__ import annotations

import math
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from optiproxy_nas.core import numbers
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.objectives.constraints import metrics_of
from optiproxy_nas.report import constraint_figures, epoch_figures
from optiproxy_nas.report.archive_figures import BEST_CELL, BEST_SO_FAR, DIAGNOSTICS, PREDICTED
from optiproxy_nas.report.html import breakable, code, plain, render
from optiproxy_nas.report.logit_figures import ENTROPY, LOGITS
from optiproxy_nas.report.run_data import RunData, Summary, known, target_of
from optiproxy_nas.report.style import ReportFigure, png
from optiproxy_nas.report.summary import (
    amount,
    bound_sentence,
    headline,
    label_of,
    nothing_feasible,
    noun,
    result_rows,
    result_text,
    settings_rows,
    test_rows,
)
from optiproxy_nas.report.summary_fields import MISSING, duration, text
from optiproxy_nas.report.trial_table import trial_rows

RunFigures = tuple[ReportFigure[RunData], ...]

COMMON: RunFigures = (BEST_SO_FAR, BEST_CELL, PREDICTED, DIAGNOSTICS, ENTROPY, LOGITS)
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
    "another value. What is called a test was measured after the search, once, of its answer."
)
# Results that the terminal shows, after the value.
TERMINAL = (
    "test_accuracy",
    "constraints",
    "queries",
    "failed_trials",
    "trainings",
    "low_queries",
    "full_queries",
    "queries_by_rung",
    "spent_epochs",
    "regret",
)


def figures_of(objective: Objective) -> RunFigures:
    """Return the figures of a run with this objective, in reading order.

    Its own are those registered under its name, else those of what it has: bounds, or fidelities.
    They come right after the first; one with the id of a common figure takes its place.
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
    return (first, *replaced.values(), *others)


def draw_figures(run: RunData, figures: RunFigures) -> dict[ReportFigure[RunData], bytes]:
    """Return the PNG bytes of each figure."""
    return {figure: png(figure.draw(run)) for figure in figures}


def html_page(run: RunData, pictures: Mapping[ReportFigure[RunData], bytes]) -> str:
    """Return the report as one self-contained HTML page with the PNG bytes of each figure."""
    columns, rows = _top_cells(run)
    last = len(columns) - 1
    classed = [(name, "num" if 0 < i < last else "") for i, name in enumerate(columns)]
    cells = [[*row[:-1], breakable(row[-1])] for row in rows]
    trials = None
    if run.trials is not None:
        trials = trial_rows(run.trials, str(run.summary.get("run_id")))
    return render(
        "run.html.j2",
        pictures={figure: pictures[figure] for figure in _shown(run, pictures)},
        columns=classed,
        rows=cells,
        trials=trials,
        **_facts(run),
    )


def markdown_page(run: RunData, figures: Iterable[ReportFigure[RunData]]) -> str:
    """Return the report as Markdown; the figures are files ``<id>.png`` beside it."""
    columns, rows = _top_cells(run)
    cells = [[*map(plain, row[:-1]), code(row[-1])] for row in rows]
    shown = _shown(run, figures)
    return render("run.md.j2", figures=shown, columns=columns, rows=cells, **_facts(run))


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
        "title": f"Run {summary['run_id']}" if known(summary.get("run_id")) else "Run report",
        "headline": headline(summary),
        "architecture": str(summary.get("best_architecture") or ""),
        "drawing": str(summary.get("best_drawing") or ""),
        "result": result_rows(summary),
        "settings": settings_rows(summary),
        "honest": HONEST_OF_PROBLEM.format(extreme="highest" if run.sign > 0 else "lowest")
        if "problem" in summary
        else HONEST,
        "top_heading": heading,
        "failures": _failures(summary),
        "commands": _commands(summary),
    }


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
    labels = [numbers.with_unit("Value", run.target), *map(numbers.metric_label, metrics)]
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
    if known(summary.get("run_id")):
        sentence = "To check the stored run against what it recorded of itself:"
        commands.append((sentence, _audit_command(summary["run_id"])))
    if known(summary.get("run_command")):
        commands.append(("To repeat it:", str(summary["run_command"])))
    else:
        sentence = "To repeat it, run the search again with the settings and seed above."
        commands.append((sentence, ""))
    if known(summary.get("mlflow_command")):
        commands.append(("To compare it with other runs:", str(summary["mlflow_command"])))
    return commands


def terminal_summary(summary: Summary) -> str:
    """Return the lines that a run prints when it ends: what was found, and where to look next.

    Besides the keys of the report, ``wall_seconds``, ``artifacts`` and ``page`` (paths) and
    ``mlflow_command`` are shown where they are given. It is plain ASCII, so that every console can
    show it. An architecture string is never broken, so that it can be copied; all other lines fit
    80 columns unless a value is longer.
    """
    keys = ("space", "dataset", "preset" if summary.get("preset") else "method")
    about = [*dict.fromkeys(text(summary[key]) for key in keys if summary.get(key))]
    if known(summary.get("seed")):
        about.append(f"seed {summary['seed']}")
    lines = [f"OptiProxy-NAS  {', '.join(about)}".rstrip(), "-" * 60]
    if summary.get("best_architecture"):
        thing = noun(summary)
        failed = f"NO FEASIBLE {thing.upper()} WAS FOUND; the least violating is"
        title = failed if nothing_feasible(summary) else f"Best {thing}"
        lines += [title, f"  {summary['best_architecture']}", ""]
    if summary.get("best_drawing"):
        lines += [f"  {line}".rstrip() for line in str(summary["best_drawing"]).splitlines()]
        lines.append("")
    rows = [*_terminal_results(summary), *_terminal_pointers(summary)]
    width = max((len(label) for label, _ in rows), default=0)
    lines += [f"{label:<{width}}  {value}" for label, value in rows]
    if summary.get("caution"):
        lines += ["", *textwrap.wrap(f"Note: {summary['caution']}", 80)]
    return "\n".join(lines)


def _terminal_results(summary: Summary) -> Iterator[tuple[str, str]]:
    target = target_of(summary)
    if known(summary.get(target)):
        yield numbers.capitalised(numbers.metric_name(target)), amount(summary, target)
    yield from test_rows(summary)
    for key in TERMINAL:
        label = label_of(key, summary)
        if key == "constraints":
            yield from ((label, bound_sentence(bound)) for bound in summary.get(key) or ())
        elif key == "failed_trials" and not summary.get(key):
            continue
        elif known(summary.get(key)) and key != target:
            yield label, result_text(summary, key) + _remark(key, summary)


def _remark(key: str, summary: Summary) -> str:
    """Return what stands after a result: the budget, the query of the best, the optimum."""
    if key == "regret" and known(summary.get("optimum")):
        kind = "feasible optimum" if known(summary.get("feasible")) else "optimum"
        return f" to the table's {kind}, {amount(summary, 'optimum')}"
    # A search on several fidelities has its budget in epochs.
    charged = "spent_epochs" if known(summary.get("spent_epochs")) else "queries"
    budget, first = summary.get("budget"), summary.get("queries_to_best")
    if key == "trainings" and known(summary.get("trainings_seconds")):
        failed = summary.get("failed_trainings") or "none"
        return f" in {duration(summary['trainings_seconds'])}, all added up; {failed} failed"
    remark = f" of {text(budget)}" if key == charged and known(budget) else ""
    return remark + (f" (best at query {text(first)})" if key == "queries" and known(first) else "")


def _terminal_pointers(summary: Summary) -> Iterator[tuple[str, str]]:
    if not summary.get("preset") and summary.get("reference"):
        yield "Follows", str(summary["reference"])
    for label, key, form in (
        ("Wall time", "wall_seconds", duration),
        ("Wall time since resumed", "resumed_seconds", duration),
        ("Run", "run_id", str),
        ("Best trial", "answer_folder", str),
        ("Model", "model", str),
        ("Journal", "journal", str),
        ("Artifacts", "artifacts", str),
        ("Page", "page", str),
        ("Audit", "run_id", _audit_command),
        ("MLflow UI", "mlflow_command", str),
    ):
        if known(summary.get(key)):
            yield label, form(summary[key])


def _audit_command(run_id: Any) -> str:
    return f"kedro audit {shlex.quote(str(run_id))}"
