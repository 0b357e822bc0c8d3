"""The words of the report: labels, units and the order in which a run's facts are told.

``summary`` is a plain dict; every key is optional, None and NaN read "not available", and a
key that is not listed here is shown under its own name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

Summary = Mapping[str, Any]

MISSING = "not available"


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


def percent(value: Any) -> str:
    """An accuracy in %."""
    return f"{float(value):.2f} %" if known(value) else MISSING


def points(value: Any) -> str:
    """A difference of accuracies, in percentage points."""
    return f"{float(value):.2f} points" if known(value) else MISSING


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


def millions(value: Any) -> str:
    """A number of parameters that is given in millions."""
    return f"{float(value):.3g} million" if known(value) else MISSING


# key -> (label, format). The order is that of the report.
RESULT: dict[str, tuple[str, Callable[[Any], str]]] = {
    "validation_accuracy": ("Validation accuracy", percent),
    "test_accuracy": ("Test accuracy", percent),
    "queries": ("Queries", text),
    "trials": ("Proposals, repeats included", text),
    "queries_to_best": ("Queries to the best", text),
    "optimum": ("Optimum of the table", percent),
    "regret": ("Regret", points),
    "latency_seconds": ("Latency", duration),
    "parameters_millions": ("Parameters", millions),
    "training_seconds": ("Training time", duration),
}
SETTINGS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "run_id": ("Run", text),
    "space": ("Search space", text),
    "dataset": ("Dataset", text),
    "source": ("Benchmark source", text),
    "method": ("Method", text),
    "preset": ("Preset", text),
    "overrides": ("Changed from the preset", text),
    "reference": ("Follows", text),
    "seed": ("Seed", text),
    "budget": ("Query budget", text),
    "training_seeds": ("Training seeds of the best", text),
    "wall_seconds": ("Wall time", duration),
    "artifacts": ("Artifacts", text),
}
# Told elsewhere on the page, so not repeated in a table.
ELSEWHERE = frozenset({"best_architecture", "best_drawing", "mlflow_command", "run_command"})


def result_rows(summary: Summary) -> list[tuple[str, str]]:
    """(label, text) of what was found; keys that are absent are left out."""
    return [(label, show(summary[key])) for key, (label, show) in RESULT.items() if key in summary]


def settings_rows(summary: Summary) -> list[tuple[str, str]]:
    """(label, text) of how it was found, then every key that nothing else shows."""
    rows = [
        (label, show(summary[key])) for key, (label, show) in SETTINGS.items() if key in summary
    ]
    told = ELSEWHERE | RESULT.keys() | SETTINGS.keys()
    return rows + [(str(key), text(value)) for key, value in summary.items() if key not in told]


def headline(summary: Summary) -> str:
    """The result of the run in one or two sentences."""
    sentence = f"Best cell: {percent(summary.get('validation_accuracy'))} validation accuracy"
    if known(summary.get("test_accuracy")):
        sentence += f" ({percent(summary['test_accuracy'])} test accuracy)"
    if known(summary.get("queries_to_best")):
        sentence += f", found at query {text(summary['queries_to_best'])}"
        if known(summary.get("queries")):
            sentence += f" of {text(summary['queries'])}"
    elif known(summary.get("queries")):
        sentence += f" after {text(summary['queries'])} queries"
    sentence += "."
    if known(summary.get("regret")) and known(summary.get("optimum")):
        optimum, regret = percent(summary["optimum"]), float(summary["regret"])
        sentence += (
            f" No cell of the table is better ({optimum})."
            if regret <= 0
            else f" The best cell of the table has {optimum}: a regret of {points(regret)}."
        )
    return sentence
