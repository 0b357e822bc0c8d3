"""The words of the report: labels, units and the order in which a run's facts are told.

``summary`` is a plain dict; every key is optional, None and NaN read "not available", and a
key that is not listed here is shown under its own name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.numbers import (
    capitalised,
    difference_text,
    metric_label,
    metric_name,
    quantity,
    unit,
    value_text,
)
from optiproxy_nas.report.bounds import bound_sentence

Summary = Mapping[str, Any]

MISSING = "not available"
NO_OPTIMUM = "no optimum is known"


def known(value: Any) -> bool:
    """Whether there is something to show: neither None nor NaN."""
    # NaN is the one number that differs from itself, also as a numpy scalar.
    return value is not None and not (isinstance(value, Real) and value != value)


def text(value: Any) -> str:
    """Any value as short text: floats with four digits, containers as JSON."""
    if not known(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{float(value):.4g}"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def target_of(summary: Summary) -> str:
    """The metric that the run maximised."""
    return str(summary.get("target") or VALIDATION_ACCURACY)


def target_label(summary: Summary) -> str:
    """Of axes with values of that metric; a surrogate's are labelled as such."""
    return metric_label(target_of(summary), str(summary.get("caution") or ""))


def percent(value: Any) -> str:
    """An accuracy in %."""
    return f"{float(value):.2f} %" if known(value) else MISSING


def amount(summary: Summary, value: Any) -> str:
    """A value of what the run maximised: ``91.61 %``, ``-4.61 nats``."""
    if not known(value):
        return MISSING
    return value_text(target_of(summary), float(value))


def points(summary: Summary, value: Any) -> str:
    """A difference of two such values; of percentages, in points."""
    return difference_text(target_of(summary), float(value))


def duration(value: Any) -> str:
    """Seconds, in the two largest units that fit."""
    if not known(value):
        return MISSING
    seconds = float(value)
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for size, large, small, part in ((86400, "d", "h", 3600), (3600, "h", "min", 60)):
        if whole >= size:
            return f"{whole // size} {large} {whole % size // part} {small}"
    return f"{whole // 60} min {whole % 60} s"


def milliseconds(value: Any) -> str:
    """A duration that is given in milliseconds."""
    return duration(float(value) / 1000) if known(value) else MISSING


def millions(value: Any) -> str:
    """A number of parameters that is given in millions."""
    return f"{float(value):.3g} million" if known(value) else MISSING


def nats(value: Any) -> str:
    """A difference of losses."""
    return f"{float(value):.3g} nats" if known(value) else MISSING


# key -> (label, format), after the target. The order is that of the report.
RESULT: dict[str, tuple[str, Callable[[Any], str]]] = {
    "test_accuracy": ("Test accuracy", percent),
    "queries": ("Queries", text),
    "low_queries": ("Queries at low fidelity", text),
    "full_queries": ("Cells trained fully", text),
    "spent_epochs": ("Training epochs spent", text),
    "trials": ("Proposals, repeats included", text),
    "queries_to_best": ("Queries to the best", text),
    "optimum": ("Optimum of the table", text),
    "regret": ("Regret", text),
    "feasible": ("Keeps all bounds", text),
    "constraints": ("Constraint", text),
    "hypervolume": ("Hypervolume of the Pareto front", text),
    "latency_ms": ("Latency", milliseconds),
    "parameters_millions": ("Parameters", millions),
    "training_seconds": ("Training time", duration),
    "surrogate_sd_nats": ("The surrogate's standard deviation", nats),
    "distance_to_data": ("Distance to the surrogate's data (typical within it: 1)", text),
    "eyeriss_arithmetic_intensity": ("Eyeriss arithmetic intensity", text),
}
SETTINGS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "run_id": ("Run", text),
    "space": ("Search space", text),
    "dataset": ("Dataset", text),
    "source": ("Benchmark source", text),
    "method": ("Method", text),
    "preset": ("Preset", text),
    "objective": ("Objective", text),
    "overrides": ("Changed from the preset", text),
    "reference": ("Follows", text),
    "seed": ("Seed", text),
    "budget": ("Query budget", text),
    "training_seeds": ("Training seeds of the best", text),
    "wall_seconds": ("Wall time", duration),
    "artifacts": ("Artifacts", text),
}
# Told elsewhere on the page, so not repeated in a table.
ELSEWHERE = frozenset(
    {"best_architecture", "best_drawing", "mlflow_command", "run_command", "target", "caution"}
)


def result_rows(summary: Summary) -> list[tuple[str, str]]:
    """(label, text) of what was found; keys that are absent are left out.

    Each constraint has a row of its own, and so has each metric that names its unit.
    """
    target = target_of(summary)
    rows = []
    if target in summary:
        rows.append((capitalised(metric_name(target)), amount(summary, summary[target])))
    for key, (name, show) in RESULT.items():
        if key == "constraints":
            rows += [(name, bound_sentence(bound)) for bound in summary.get(key) or ()]
        elif key == "optimum" and key in summary and not known(summary[key]):
            rows.append(("Optimum", NO_OPTIMUM))  # there may be no table
        elif key in summary and key not in (target, *_untold(summary)):
            rows.append((name, shown(summary, key, show)))
    for key in _measured(summary):
        value = summary[key]
        rows.append(
            (capitalised(metric_name(key)), quantity(key, value) if known(value) else MISSING)
        )
    return rows


def _untold(summary: Summary) -> set[str]:
    """Results that this run cannot have, and so does not miss."""
    untold = set()
    if not known(summary.get("optimum")) and not known(summary.get("regret")):
        untold.add("regret")
    if unit(target_of(summary)) != "%" and not known(summary.get("test_accuracy")):
        untold.add("test_accuracy")
    return untold


def settings_rows(summary: Summary) -> list[tuple[str, str]]:
    """(label, text) of how it was found, then every key that nothing else shows."""
    labels = {"budget": "Epoch budget"} if known(summary.get("spent_epochs")) else {}
    rows = [
        (labels.get(key, name), show(summary[key]))
        for key, (name, show) in SETTINGS.items()
        if key in summary
    ]
    told = ELSEWHERE | RESULT.keys() | SETTINGS.keys() | {target_of(summary), *_measured(summary)}
    return rows + [(str(key), text(value)) for key, value in summary.items() if key not in told]


def shown(summary: Summary, key: str, show: Callable[[Any], str]) -> str:
    """The text of a result; optimum and regret are in the unit of what was maximised."""
    if not known(summary[key]):
        return MISSING
    if key == "optimum":
        return amount(summary, summary[key])
    return points(summary, summary[key]) if key == "regret" else show(summary[key])


def nothing_feasible(summary: Summary) -> bool:
    """Whether the run had bounds, and its cell is only the one that breaks them least."""
    return known(summary.get("feasible")) and not summary["feasible"]


def headline(summary: Summary) -> str:
    """The result of the run in a few sentences."""
    target = target_of(summary)
    accuracy = f"{amount(summary, summary.get(target))} {metric_name(target)}"
    if known(summary.get("test_accuracy")) and target != "test_accuracy":
        accuracy += f" ({percent(summary['test_accuracy'])} test accuracy)"
    if known(summary.get("queries_to_best")):
        found = f", found at query {text(summary['queries_to_best'])}"
        if known(summary.get("queries")):
            found += f" of {text(summary['queries'])}"
    elif known(summary.get("queries")):
        found = f" after {text(summary['queries'])} queries"
    else:
        found = ""
    bounds = [f"{bound_sentence(bound)}." for bound in summary.get("constraints") or ()]
    if nothing_feasible(summary):
        start = f"No feasible cell was found; the least violating is one of {accuracy}{found}."
    else:
        kind = "Best feasible cell" if known(summary.get("feasible")) else "Best cell"
        start = f"{kind}: {accuracy}{found}."
    spent = _epochs(summary)
    caution = str(summary.get("caution") or "")
    return " ".join(part for part in (start, *bounds, spent, *_judged(summary), caution) if part)


def _judged(summary: Summary) -> list[str]:
    """How good it is, where the best of all is known; at most one sentence."""
    if not known(summary.get("optimum")):
        return []
    optimum = amount(summary, summary["optimum"])
    kind = "feasible cell" if known(summary.get("feasible")) else "cell"
    if not known(summary.get("regret")):
        # Nothing feasible: a difference to what is feasible would mean nothing.
        return [f"The best {kind} of the table has {optimum}."] if nothing_feasible(summary) else []
    regret = float(summary["regret"])
    if regret <= 0:
        return [f"No {kind} of the table is better ({optimum})."]
    return [f"The best {kind} of the table has {optimum}: a regret of {points(summary, regret)}."]


def _epochs(summary: Summary) -> str:
    """What a search on several fidelities spent, as a sentence; empty for others."""
    if not known(summary.get("spent_epochs")):
        return ""
    said = f"It took {text(summary['spent_epochs'])} training epochs"
    kinds = (("full_queries", "cells trained fully"), ("low_queries", "queries at low fidelity"))
    parts = [f"{text(summary[key])} {what}" for key, what in kinds if known(summary.get(key))]
    return said + (f": {' and '.join(parts)}" if parts else "") + "."


def _measured(summary: Summary) -> list[str]:
    """Keys of numbers that nothing names but their unit."""
    named = RESULT.keys() | SETTINGS.keys() | ELSEWHERE | {target_of(summary)}
    return [
        str(key)
        for key, value in summary.items()
        if key not in named
        and unit(str(key))
        and (value is None or (isinstance(value, Real) and not isinstance(value, bool)))
    ]
