"""The few lines that a run prints when it ends; plain ASCII, so every console can show it."""

from __future__ import annotations

import shlex
import textwrap

from optiproxy_nas.core.numbers import capitalised, metric_name
from optiproxy_nas.report.bounds import bound_sentence
from optiproxy_nas.report.summary import (
    RESULT,
    Summary,
    amount,
    duration,
    known,
    nothing_feasible,
    shown,
    target_of,
    text,
)

SHOWN = (
    "test_accuracy",
    "constraints",
    "queries",
    "low_queries",
    "full_queries",
    "spent_epochs",
    "regret",
)


def terminal_summary(summary: Summary) -> str:
    """What was found, how good it is, and where to look next.

    Besides the keys of the report, ``wall_seconds``, ``artifacts`` (a path) and
    ``mlflow_command`` are shown where they are given. An architecture string is never broken,
    so that it can be copied; all other lines fit 80 columns unless a value is longer.
    """
    keys = ("space", "dataset", "preset" if summary.get("preset") else "method")
    where = [text(summary[key]) for key in keys if summary.get(key)]
    if known(summary.get("seed")):
        where.append(f"seed {summary['seed']}")
    lines = [f"OptiProxy-NAS  {', '.join(where)}".rstrip(), "-" * 60]
    if summary.get("best_architecture"):
        title = "Best cell"
        if nothing_feasible(summary):
            title = "NO FEASIBLE CELL WAS FOUND; the least violating is"
        lines += [title, f"  {summary['best_architecture']}", ""]
    if summary.get("best_drawing"):
        lines += [f"  {line}".rstrip() for line in str(summary["best_drawing"]).splitlines()]
        lines.append("")
    target = target_of(summary)
    rows = []
    if known(summary.get(target)):
        rows.append((capitalised(metric_name(target)), amount(summary, summary[target])))
    for key in SHOWN:
        label, show = RESULT[key]
        if key == "constraints":
            rows += [(label, bound_sentence(bound)) for bound in summary.get(key) or ()]
        elif known(summary.get(key)) and key != target:
            rows.append((label, shown(summary, key, show) + _remark(key, summary)))
    if not summary.get("preset") and summary.get("reference"):
        rows.append(("Follows", str(summary["reference"])))
    if known(summary.get("wall_seconds")):
        rows.append(("Wall time", duration(summary["wall_seconds"])))
    if known(summary.get("run_id")):
        rows.append(("Run", str(summary["run_id"])))
    if known(summary.get("artifacts")):
        rows.append(("Artifacts", str(summary["artifacts"])))
    if known(summary.get("run_id")):
        rows.append(("Audit", f"kedro audit {shlex.quote(str(summary['run_id']))}"))
    if known(summary.get("mlflow_command")):
        rows.append(("MLflow UI", str(summary["mlflow_command"])))
    width = max((len(label) for label, _ in rows), default=0)
    lines += [f"{label:<{width}}  {value}" for label, value in rows]
    if summary.get("caution"):
        lines += ["", *textwrap.wrap(f"Note: {summary['caution']}", 80)]
    return "\n".join(lines)


def _remark(key: str, summary: Summary) -> str:
    # A search on several fidelities has its budget in epochs.
    charged = "spent_epochs" if known(summary.get("spent_epochs")) else "queries"
    budget, first = summary.get("budget"), summary.get("queries_to_best")
    remark = f" of {text(budget)}" if key == charged and known(budget) else ""
    if key == "queries":
        return remark + (f" (best at query {text(first)})" if known(first) else "")
    if key == "regret" and known(summary.get("optimum")):
        kind = "feasible optimum" if known(summary.get("feasible")) else "optimum"
        return f" to the table's {kind}, {amount(summary, summary['optimum'])}"
    return remark
