"""The result of a run in words: labels, units, the order of its facts, and the headline.

A key of the summary that is not listed here is shown under its own name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from optiproxy_nas.core import numbers
from optiproxy_nas.report.run_data import Summary, known, target_of

Format = Callable[[Any], str]

MISSING = "not available"
NO_OPTIMUM = "no optimum is known"


def text(value: Any) -> str:
    """Return any value as short text: floats with four digits, containers as JSON."""
    if not known(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Real) and not isinstance(value, Integral):
        return numbers.significant(float(value), 4)
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def duration(value: Any) -> str:
    """Return seconds in the two largest units that fit."""
    if not known(value):
        return MISSING
    seconds = float(value)
    if seconds < 1:
        return f"{numbers.significant(seconds * 1000)} ms"
    if seconds < 60:
        return f"{numbers.significant(seconds)} s"
    whole = round(seconds)
    for size, large, small, part in ((86400, "d", "h", 3600), (3600, "h", "min", 60)):
        if whole >= size:
            return f"{whole // size} {large} {whole % size // part} {small}"
    return f"{whole // 60} min {whole % 60} s"


def _measured(metric: str) -> Format:
    """Return the format of a measurement in the unit of a metric."""
    return lambda value: numbers.quantity(metric, value) if known(value) else MISSING


# key -> (label, format), after the target. The order is that of the report.
RESULT: dict[str, tuple[str, Format]] = {
    "test_accuracy": (
        "Test accuracy",
        lambda value: (
            numbers.value_text("test_accuracy", float(value)) if known(value) else MISSING
        ),
    ),
    "queries": ("Queries", text),
    "failed_trials": ("Failed trials, charged too", text),
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
    "latency_ms": ("Latency", lambda value: duration(value / 1000 if known(value) else value)),
    "parameters_millions": ("Parameters", _measured("parameters_millions")),
    "training_seconds": ("Training time", duration),
    "surrogate_sd_nats": ("The surrogate's standard deviation", _measured("surrogate_sd_nats")),
    "distance_to_data": ("Distance to the surrogate's data (typical within it: 1)", text),
    "eyeriss_arithmetic_intensity": ("Eyeriss arithmetic intensity", text),
}
SETTINGS: dict[str, tuple[str, Format]] = {
    "run_id": ("Run", text),
    "problem": ("Problem", text),
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
# Shown elsewhere on the page, so not repeated in a table.
ELSEWHERE = frozenset(
    {
        "best_architecture",
        "best_drawing",
        "mlflow_command",
        "run_command",
        "target",
        "caution",
        "failures",
        "metrics",
        "test",
    }
)


def amount(summary: Summary, key: str) -> str:
    """Return a value of what the run maximised: ``91.61 %``, ``-4.61 nats``."""
    if not known(summary.get(key)):
        return MISSING
    return numbers.value_text(target_of(summary), float(summary[key]), digits=_digits(summary))


def result_text(summary: Summary, key: str) -> str:
    """Return one result; optimum and regret are in the unit of what was maximised."""
    if not known(summary[key]):
        return MISSING
    if key == "regret":
        digits = _digits(summary)
        return numbers.difference_text(target_of(summary), float(summary[key]), digits=digits)
    return amount(summary, key) if key == "optimum" else RESULT[key][1](summary[key])


def _digits(summary: Summary) -> int:
    """Return the decimals at which the best value and the optimum look different."""
    target = target_of(summary)
    shown = (summary.get(target), summary.get("optimum"))
    return numbers.decimals(target, [float(value) for value in shown if known(value)])


def result_rows(summary: Summary) -> list[tuple[str, str]]:
    """Return (label, text) of what was found; keys that are absent are left out.

    Each constraint has a row of its own, and so has each metric that names its unit.
    """
    target = target_of(summary)
    rows = []
    if target in summary:
        rows.append((numbers.capitalised(numbers.metric_name(target)), amount(summary, target)))
    rows += test_rows(summary)
    for key, (label, _) in RESULT.items():
        if key == "constraints":
            rows += [(label, bound_sentence(bound)) for bound in summary.get(key) or ()]
        elif key == "optimum" and key in summary and not known(summary[key]):
            rows.append(("Optimum", NO_OPTIMUM))  # there may be no table
        elif key in summary and key not in (target, *_impossible(summary)):
            rows.append((label, result_text(summary, key)))
    metrics = {key: summary[key] for key in _measurements(summary)} | summary.get("metrics", {})
    return rows + [
        (numbers.capitalised(numbers.metric_name(key)), _measured(key)(value))
        for key, value in metrics.items()
    ]


def test_rows(summary: Summary) -> list[tuple[str, str]]:
    """Return (label, text) of what the test of a problem's answer gave."""
    target = target_of(summary)
    rows = []
    for name, value in (summary.get("test") or {}).items():
        metric = target if target.partition(" [")[0] == name else name
        given = value if isinstance(value, str) or value is None else float(value)
        shown = numbers.value_text(metric, given) if isinstance(given, float) else given or MISSING
        rows.append((f"Test {numbers.metric_name(metric)}", shown))
    return rows


def noun(summary: Summary) -> str:
    """Return what the members of the space are called."""
    return "architecture" if "problem" in summary else "cell"


def _impossible(summary: Summary) -> set[str]:
    """Return the results that this run cannot have, and so does not miss."""
    keys = set()
    if not known(summary.get("optimum")) and not known(summary.get("regret")):
        keys.add("regret")
    if numbers.unit(target_of(summary)) != "%" and not known(summary.get("test_accuracy")):
        keys.add("test_accuracy")
    return keys


def _measurements(summary: Summary) -> list[str]:
    """Return the keys of numbers that nothing names but their unit."""
    named = RESULT.keys() | SETTINGS.keys() | ELSEWHERE | {target_of(summary)}
    return [
        str(key)
        for key, value in summary.items()
        if key not in named
        and numbers.unit(str(key))
        and (value is None or (isinstance(value, Real) and not isinstance(value, bool)))
    ]


def settings_rows(summary: Summary) -> list[tuple[str, str]]:
    """Return (label, text) of how it was found, then every key that nothing else shows."""
    labels = {"budget": "Epoch budget"} if known(summary.get("spent_epochs")) else {}
    rows = [
        (labels.get(key, label), show(summary[key]))
        for key, (label, show) in SETTINGS.items()
        if key in summary
    ]
    shown = RESULT.keys() | SETTINGS.keys() | ELSEWHERE
    shown |= {target_of(summary), *_measurements(summary)}
    return rows + [(str(key), text(value)) for key, value in summary.items() if key not in shown]


def bound_sentence(bound: Mapping[str, Any]) -> str:
    """Return ``EdgeGPU latency 3.71 < 4: 0.29 ms (7.3 %) below the bound``.

    Args:
        bound: constraint (its text), metric, bound, value, margin, margin_percent; the margin is
            positive inside, and these three are None where the cell cannot run.
    """
    metric, operator, limit = str(bound["constraint"]).split(maxsplit=2)
    name = numbers.capitalised(numbers.metric_name(metric))
    value, margin = bound.get("value"), bound.get("margin")
    if value is None or margin is None:
        return f"{name} {operator} {limit}: broken, the cell cannot run there"
    kept = margin > 0 or (margin == 0 and operator.endswith("="))
    shown = (
        f"{name} {numbers.significant(float(value), 4)}{'' if kept else ', not'} {operator} {limit}"
    )
    if margin == 0:
        return f"{shown}: at the bound"
    side = "below" if (margin > 0) == operator.startswith("<") else "above"
    distance = f"{numbers.significant(abs(margin), 2)} {numbers.unit(metric)}".rstrip()
    return f"{shown}: {distance} ({abs(bound['margin_percent']):.1f} %) {side} the bound"


def nothing_feasible(summary: Summary) -> bool:
    """Return whether the run had bounds, and its cell is only the one that breaks them least."""
    return known(summary.get("feasible")) and not summary["feasible"]


def headline(summary: Summary) -> str:
    """Return the result of the run in a few sentences."""
    target = target_of(summary)
    result = f"{amount(summary, target)} {numbers.metric_name(target)}"
    if known(summary.get("test_accuracy")) and target != "test_accuracy":
        result += f" ({result_text(summary, 'test_accuracy')} test accuracy)"
    if known(summary.get("queries_to_best")):
        result += f", found at query {text(summary['queries_to_best'])}"
        if known(summary.get("queries")):
            result += f" of {text(summary['queries'])}"
    elif known(summary.get("queries")):
        result += f" after {text(summary['queries'])} queries"
    if nothing_feasible(summary):
        thing = noun(summary)
        start = f"No feasible {thing} was found; the least violating is one of {result}."
    else:
        kind = "Best feasible" if known(summary.get("feasible")) else "Best"
        start = f"{kind} {noun(summary)}: {result}."
    bounds = [f"{bound_sentence(bound)}." for bound in summary.get("constraints") or ()]
    caution = str(summary.get("caution") or "")
    bounds += [f"{label}: {value}." for label, value in test_rows(summary)]
    sentences = (start, *bounds, _epochs(summary), _judgement(summary), caution)
    return " ".join(sentence for sentence in sentences if sentence)


def _judgement(summary: Summary) -> str:
    """Return how good it is as a sentence, where the best of all is known."""
    if not known(summary.get("optimum")):
        return ""
    optimum = amount(summary, "optimum")
    kind = "feasible cell" if known(summary.get("feasible")) else "cell"
    if known(summary.get("regret")):
        if float(summary["regret"]) <= 0:
            return f"No {kind} of the table is better ({optimum})."
        regret = result_text(summary, "regret")
        return f"The best {kind} of the table has {optimum}: a regret of {regret}."
    # Nothing feasible: a difference to what is feasible would mean nothing.
    return f"The best {kind} of the table has {optimum}." if nothing_feasible(summary) else ""


def _epochs(summary: Summary) -> str:
    """Return what a search on several fidelities spent, as a sentence; empty for others."""
    if not known(summary.get("spent_epochs")):
        return ""
    kinds = (("full_queries", "cells trained fully"), ("low_queries", "queries at low fidelity"))
    counts = [f"{text(summary[key])} {kind}" for key, kind in kinds if known(summary.get(key))]
    spent = f"It took {text(summary['spent_epochs'])} training epochs"
    return spent + (f": {' and '.join(counts)}" if counts else "") + "."
