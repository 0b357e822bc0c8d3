"""The result of a run in words: its facts with labels and units, and the headline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from optiproxy_nas.core import numbers
from optiproxy_nas.problems.latency import latency_text, machine_text
from optiproxy_nas.report.run_data import Summary, present, target_of
from optiproxy_nas.report.summary_fields import (
    ELSEWHERE,
    MISSING,
    NO_OPTIMUM,
    RESULT,
    SETTINGS,
    measured,
    text,
)


def amount(summary: Summary, key: str) -> str:
    """Return a value of what the run maximised: ``91.61 %``, ``-4.61 nats``."""
    if not present(summary.get(key)):
        return MISSING
    return numbers.value_text(target_of(summary), float(summary[key]), digits=_digits(summary))


def result_text(summary: Summary, key: str) -> str:
    """Return one result; optimum and regret are in the unit of what was maximised."""
    if not present(summary[key]):
        return MISSING
    if key == "regret":
        digits = _digits(summary)
        return numbers.difference_text(target_of(summary), float(summary[key]), digits=digits)
    return amount(summary, key) if key == "optimum" else RESULT[key][1](summary[key])


def value_rows(summary: Summary) -> list[tuple[str, str]]:
    """Return (label, text) of the value that was searched for, and of its confirmation."""
    target = target_of(summary)
    if target not in summary:
        return []
    label = numbers.capitalised(numbers.metric_name(target))
    rows = [(label, f"{amount(summary, target)}{_in_brackets(_table_mean(summary))}")]
    if text := _confirmation(summary):
        rows.append(("Confirmed", text))
    return rows


def _confirmation(summary: Summary) -> str:
    """Return what the confirmed value is the mean of, "" where it is not confirmed."""
    if not present(mean := summary.get("confirmed_value")):
        return ""
    spread = summary.get("confirmed_sd")
    sd = float(spread) if present(spread) else math.nan
    single, count = float(summary["single_value"]), int(summary["confirmations"])
    asked = max((len(it["values"]) for it in summary.get("candidates") or ()), default=0)
    return numbers.confirmed_text(target_of(summary), float(mean), sd, single, count, asked)


def _table_mean(summary: Summary) -> str:
    """Return what the value of a benchmark is the mean of, "" where its table does not say so."""
    if "problem" in summary or not present(seeds := summary.get("training_seeds")):
        return ""
    return f"the table's mean over {seeds:g} training seed{'' if seeds == 1 else 's'}"


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _digits(summary: Summary) -> int:
    """Return the decimals at which the best value and the optimum look different."""
    target = target_of(summary)
    shown = (summary.get(target), summary.get("optimum"))
    return numbers.decimals(target, [float(value) for value in shown if present(value)])


def result_rows(summary: Summary) -> list[tuple[str, str]]:
    """Return (label, text) of what was found; keys that are absent are left out.

    Each constraint has a row of its own, and so has each metric that names its unit.
    """
    target = target_of(summary)
    rows = value_rows(summary) + test_rows(summary)
    for key, (label, _) in RESULT.items():
        if key == "constraints":
            rows += [(label, bound_sentence(bound)) for bound in summary.get(key) or ()]
        elif key == "optimum" and key in summary and not present(summary[key]):
            rows.append(("Optimum", NO_OPTIMUM))  # there may be no table
        elif key in summary and key not in (target, *_impossible(summary)):
            shown = result_text(summary, key)
            rows.append((label_of(key, summary), shown + _how(key, summary)))
    rows += latency_rows(summary)
    metrics = {key: summary[key] for key in _measurements(summary)} | summary.get("metrics", {})
    return rows + [
        (
            numbers.capitalised(numbers.metric_name(key)),
            measured(key)(value) + _how(key, summary),
        )
        for key, value in metrics.items()
    ]


def label_of(key: str, summary: Summary) -> str:
    """Return the label of a result; what was spent is in the unit of the run."""
    if key == "spent_epochs" and present(summary.get("unit")):
        return f"{numbers.capitalised(str(summary['unit']))} spent"
    if key in ("optimum", "regret") and present(summary.get("feasible")):
        kinds = {"optimum": "Feasible optimum of the table", "regret": "Regret to it"}
        return kinds[key]
    return RESULT[key][0]


def test_rows(summary: Summary) -> list[tuple[str, str]]:
    """Return (label, text) of what the test of a problem's answer gave."""
    target = target_of(summary)
    rows = []
    for name, value in (summary.get("test") or {}).items():
        metric = target if target.partition(" [")[0] == name else name
        given = value if isinstance(value, str) or value is None else float(value)
        shown = numbers.value_text(metric, given) if isinstance(given, float) else given or MISSING
        rows.append((f"Test {numbers.metric_name(metric)}", shown))
    if error := summary.get("test_error"):
        rows.append(("Test", f"failed: {error}"))
    return rows


def latency_rows(summary: Summary) -> list[tuple[str, str]]:
    """Return (label, text) of the latency that was measured once more, and of the machine."""
    if not (facts := summary.get("latency")):
        return []
    again, where = latency_text(facts), machine_text(facts)
    return [("Latency, measured again", again), ("Latency, measured on", where)]


def bound_rows(summary: Summary) -> list[tuple[str, str]]:
    """Return (label, text) of each bound on a latency or an energy of a benchmark: the device."""
    bounds = summary.get("constraints") or ()
    metrics = dict.fromkeys(bound["constraint"].split()[0] for bound in bounds)
    return [
        (f"{numbers.capitalised(numbers.metric_name(metric))}, measured", how)
        for metric in metrics
        if (how := measured_how(metric, summary))
    ]


def _how(metric: str, summary: Summary) -> str:
    how = measured_how(metric, summary) if isinstance(summary.get(metric), Real) else ""
    return f", {how}" if how else ""


def measured_how(metric: str, summary: Summary) -> str:
    """Return ``on the edge GPU (Jetson TX2)``, what the benchmark says of a metric; "": nothing."""
    meaning = str((summary.get("measured") or {}).get(metric, ""))
    beginning = numbers.DEVICE_UNITS.get(numbers.unit(metric), "")
    return meaning.removeprefix(beginning).lstrip(", ")


def noun(summary: Summary) -> str:
    """Return what the members of the space are called."""
    return "architecture" if "problem" in summary else "cell"


def _impossible(summary: Summary) -> set[str]:
    """Return the results that this run cannot have, and so does not miss."""
    keys = set()
    if not present(summary.get("optimum")) and not present(summary.get("regret")):
        keys.add("regret")
    if numbers.unit(target_of(summary)) != "%" and not present(summary.get("test_accuracy")):
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
    labels = {"budget": "Epoch budget"} if present(summary.get("spent_epochs")) else {}
    if present(summary.get("unit")):
        labels = {"budget": f"Budget in {summary['unit']}"}
    ours = {"dataset", "source"} if "problem" in summary else set()  # it has neither
    rows = [
        (labels.get(key, label), show(summary[key]))
        for key, (label, show) in SETTINGS.items()
        if key in summary and key not in ours
    ]
    shown = RESULT.keys() | SETTINGS.keys() | ELSEWHERE
    shown |= {target_of(summary), *_measurements(summary)}
    return rows + [(str(key), text(value)) for key, value in summary.items() if key not in shown]


def bound_sentence(bound: Mapping[str, Any]) -> str:
    """Return ``EdgeGPU latency 3.71 < 4: 0.29 ms (7.3 %) below the bound``.

    Args:
        bound: constraint (its text), metric, bound, value, margin, margin_percent; the margin is
            positive inside, and these three are None where it cannot run.
    """
    metric, operator, limit = str(bound["constraint"]).split(maxsplit=2)
    name = numbers.capitalised(numbers.metric_name(metric))
    value, margin = bound.get("value"), bound.get("margin")
    if value is None or margin is None:
        return f"{name} {operator} {limit}: broken, it cannot run there"
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
    return present(summary.get("feasible")) and not summary["feasible"]


def headline(summary: Summary) -> str:
    """Return the result of the run in a few sentences."""
    target = target_of(summary)
    result = f"{amount(summary, target)} {numbers.metric_name(target)}"
    result += _in_brackets(_confirmation(summary) or _table_mean(summary))
    if present(summary.get("test_accuracy")) and target != "test_accuracy":
        result += f" ({result_text(summary, 'test_accuracy')} test accuracy)"
    if present(summary.get("queries_to_best")):
        result += f", found at query {text(summary['queries_to_best'])}"
        if present(summary.get("queries")):
            result += f" of {text(summary['queries'])}"
        if present(summary.get("answer_trial")):
            result += f" (trial {text(summary['answer_trial'])})"
    elif present(summary.get("queries")):
        result += f" after {text(summary['queries'])} queries"
    if summary.get("failed_trials"):
        result += f", beside {summary['failed_trials']} that failed"
    if nothing_feasible(summary):
        thing = noun(summary)
        start = f"No feasible {thing} was found; the least violating is one of {result}."
    elif summary.get("is_eligible") is False:
        thing = noun(summary)
        start = f"No {thing} was trained fully; the best of the others is one of {result}."
    else:
        kind = "Best feasible" if present(summary.get("feasible")) else "Best"
        start = f"{kind} {noun(summary)}: {result}."
    bounds = [f"{bound_sentence(bound)}." for bound in summary.get("constraints") or ()]
    caution = str(summary.get("caution") or "")
    bounds += [f"{label}: {value}." for label, value in test_rows(summary)]
    sentences = (start, *bounds, _epochs(summary), _judgement(summary), caution)
    return " ".join(sentence for sentence in sentences if sentence)


def _judgement(summary: Summary) -> str:
    """Return how good it is as a sentence, where the best of all is known."""
    if not present(summary.get("optimum")):
        return ""
    optimum = amount(summary, "optimum")
    kind = "feasible cell" if present(summary.get("feasible")) else "cell"
    if present(summary.get("regret")):
        if float(summary["regret"]) <= 0:
            return f"No {kind} of the table is better ({optimum})."
        regret = result_text(summary, "regret")
        return f"The best {kind} of the table has {optimum}: a regret of {regret}."
    # Nothing feasible: a difference to what is feasible would mean nothing.
    return f"The best {kind} of the table has {optimum}." if nothing_feasible(summary) else ""


def _epochs(summary: Summary) -> str:
    """Return what a search on several fidelities spent, as a sentence; empty for others."""
    if not present(summary.get("spent_epochs")):
        return ""
    unit = str(summary.get("unit") or "epochs")
    kinds = (
        ("full_queries", f"{noun(summary)}s trained fully"),
        ("low_queries", "queries at low fidelity"),
    )
    counts = [f"{text(summary[key])} {kind}" for key, kind in kinds if present(summary.get(key))]
    if present(by_rung := summary.get("queries_by_rung")):
        *lower, _ = by_rung.items()
        counts = [counts[0], *(f"{count} trials of {rung}" for rung, count in reversed(lower))]
    what = "training epochs" if unit == "epochs" else unit
    spent = f"It took {text(summary['spent_epochs'])} {what}"
    listed = " and ".join(filter(None, [", ".join(counts[:-1]), *counts[-1:]]))
    return spent + (f": {listed}" if listed else "") + "."
