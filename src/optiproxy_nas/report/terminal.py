"""The lines that a run prints when it ends: what was found, and where to look next."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator
from typing import Any

from optiproxy_nas.report.run_data import Summary, present, target_of
from optiproxy_nas.report.summary import (
    amount,
    bound_rows,
    bound_sentence,
    label_of,
    latency_rows,
    nothing_feasible,
    noun,
    result_text,
    test_rows,
    value_rows,
)
from optiproxy_nas.report.summary_fields import duration, text

WIDTH = 80  # columns
# Results that the terminal shows, after the value.
TERMINAL = (
    "test_accuracy",
    "constraints",
    "queries",
    "earlier_runs",
    "earlier_trials",
    "prior_trust",
    "stopped",
    "failed_trials",
    "trainings",
    "workers",
    "busy_share",
    "low_queries",
    "full_queries",
    "queries_by_rung",
    "spent_epochs",
    "regret",
)


def terminal_summary(summary: Summary) -> str:
    """Return the lines that a run prints when it ends: what was found, and where to look next.

    Besides the keys of the report, ``wall_seconds``, ``artifacts`` and ``page`` (paths) and
    ``mlflow_command`` are shown where they are given. It is plain ASCII, so that every console can
    show it. An architecture string, a path and a command are never broken, so that they can be
    copied; all other lines fit 80 columns.
    """
    keys = ("space", "dataset", "preset" if summary.get("preset") else "method")
    about = [*dict.fromkeys(text(summary[key]) for key in keys if summary.get(key))]
    if present(summary.get("seed")):
        about.append(f"seed {summary['seed']}")
    lines = [f"OptiProxy-NAS  {', '.join(about)}".rstrip(), "-" * 60]
    if summary.get("best_architecture"):
        thing = noun(summary)
        failed = f"NO FEASIBLE {thing.upper()} WAS FOUND; the least violating is"
        title = failed if nothing_feasible(summary) else f"Best {thing}"
        if summary.get("is_eligible") is False and not nothing_feasible(summary):
            title = f"NO {thing.upper()} WAS TRAINED FULLY; the best of the others is"
        lines += [title, f"  {summary['best_architecture']}", ""]
    if summary.get("best_drawing"):
        lines += [f"  {line}".rstrip() for line in str(summary["best_drawing"]).splitlines()]
        lines.append("")
    results, pointers = [*_terminal_results(summary)], [*_terminal_pointers(summary)]
    width = max((len(label) for label, _ in (*results, *pointers)), default=0)
    lines += [line for label, value in results for line in _wrapped(f"{label:<{width}}  ", value)]
    lines += [f"{label:<{width}}  {value}" for label, value in pointers]
    for alarm in summary.get("alarms") or ():  # of the proxy; plain ASCII, as all lines
        lines += ["", *textwrap.wrap(f"Alarm: {alarm}".replace("τ", "tau"), WIDTH)]
    if summary.get("caution"):
        lines += ["", *textwrap.wrap(f"Note: {summary['caution']}", WIDTH)]
    return "\n".join(lines)


def _wrapped(label: str, value: str) -> list[str]:
    """Return a result in lines of at most 80 columns."""
    return textwrap.wrap(
        label + value,
        WIDTH,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _terminal_results(summary: Summary) -> Iterator[tuple[str, str]]:
    target = target_of(summary)
    if present(summary.get(target)):
        yield from value_rows(summary)
    yield from test_rows(summary)
    for key in TERMINAL:
        label = label_of(key, summary)
        if key == "constraints":
            yield from ((label, bound_sentence(bound)) for bound in summary.get(key) or ())
            yield from (*bound_rows(summary), *latency_rows(summary))
        elif key == "failed_trials" and not summary.get(key):
            continue
        elif present(summary.get(key)) and key != target:
            yield label, result_text(summary, key) + _remark(key, summary)


def _remark(key: str, summary: Summary) -> str:
    """Return what stands after a result: the budget, the query of the best, the optimum."""
    if key == "regret" and present(summary.get("optimum")):
        kind = "feasible optimum" if present(summary.get("feasible")) else "optimum"
        return f" to the table's {kind}, {amount(summary, 'optimum')}"
    # A search on several fidelities has its budget in epochs.
    charged = "spent_epochs" if present(summary.get("spent_epochs")) else "queries"
    budget, first = summary.get("budget"), summary.get("queries_to_best")
    if key == "trainings" and present(summary.get("trainings_seconds")):
        failed = summary.get("failed_trainings") or "none"
        stopped, imprecise = summary.get("stopped_trainings"), summary.get("imprecise_trainings")
        line = f" in {duration(summary['trainings_seconds'])}, all added up; {failed} failed"
        line += f", {stopped} stopped early" if present(stopped) else ""
        return line + (f", {imprecise} with an imprecise latency" if imprecise else "")
    kept_back = summary.get("kept_back")
    of = f" of {text(budget)}" if key == charged and present(budget) else ""
    spent = "" if summary.get("candidates") or summary.get("confirmations") else "kept back "
    of += f", {text(kept_back)} of them {spent}to confirm" if of and present(kept_back) else ""
    return of + (f" (best at query {text(first)})" if key == "queries" and present(first) else "")


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
        ("Audit", "run_id", audit_command),
        ("MLflow", "mlflow_command", str),
    ):
        if present(summary.get(key)):
            yield label, form(summary[key])


def audit_command(run_id: Any) -> str:
    """Return the command that checks a stored run."""
    return f"kedro audit {shlex.quote(str(run_id))}"
