"""The keys of a summary: their labels, how their values read, and the order in which they stand.

A key that is not listed here is shown under its own name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from optiproxy_nas.core import numbers
from optiproxy_nas.report.run_data import present

Format = Callable[[Any], str]

MISSING = "not available"
NO_OPTIMUM = "no optimum is known"


def text(value: Any) -> str:
    """Return any value as short text: floats with four digits, containers as JSON."""
    if not present(value):
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
    return numbers.duration(float(value)) if present(value) else MISSING


def measured(metric: str) -> Format:
    """Return the format of a measurement in the unit of a metric."""
    return lambda value: numbers.quantity(metric, value) if present(value) else MISSING


def earlier_runs(runs: Any) -> str:
    """Return the earlier runs that guided a search, each with its trials and the last trust."""
    shown = []
    for run in runs:
        failed = f", {run['failed']} failed" if run["failed"] else ""
        trust = f", trust {run['trust']:.2f}" if present(run["trust"]) else ""
        kind = "scores" if run["kind"] == "score" else "trials"
        data = ", of this dataset" if run.get("same_dataset") else ""
        shown.append(f"{run['name']} ({run['trials']} {kind}{failed}{data}{trust})")
    return ", ".join(shown)


# key -> (label, format), after the target. The order is that of the report.
RESULT: dict[str, tuple[str, Format]] = {
    "test_accuracy": (
        "Test accuracy",
        lambda value: (
            numbers.value_text("test_accuracy", float(value)) if present(value) else MISSING
        ),
    ),
    "queries": ("Queries", text),
    "earlier_runs": ("Learned from", earlier_runs),
    "earlier_trials": ("Trials of these, not charged", text),
    "prior_trust": (
        "Weight of earlier runs at the end",
        lambda value: f"{value:.2f} of 1" if present(value) else MISSING,
    ),
    "stopped": ("Stopped early", text),
    "regret_left": (
        "Probability of more regret than epsilon",
        lambda value: f"{value:.1%}" if present(value) else MISSING,
    ),
    "failed_trials": ("Failed trials, charged too", text),
    "kept_back": ("Of the budget, kept back to confirm", text),
    "low_queries": ("Queries at low fidelity", text),
    "full_queries": ("Trained fully", text),
    "queries_by_rung": (
        "Trials by rung",
        lambda value: ", ".join(f"{rung}: {count}" for rung, count in value.items()),
    ),
    "spent_epochs": ("Training epochs spent", text),
    "trials": ("Proposals, repeats included", text),
    "trainings": ("Trainings", text),
    "failed_trainings": ("Of these failed", text),
    "stopped_trainings": ("Of these stopped early", text),
    "imprecise_trainings": ("With a latency less precise than asked for", text),
    "trainings_seconds": ("They took, in all", duration),
    "workers": ("Workers", text),
    "busy_share": (
        "Workers busy",
        lambda value: (
            f"{value:.0%} of the time until the last training began" if present(value) else MISSING
        ),
    ),
    "answer_trial": ("Number of the best trial", text),
    "queries_to_best": ("Queries to the best", text),
    "recent_kendall_tau": ("Kendall's τ of the last 20 predictions", text),
    "alarms": ("Alarms", " ".join),
    "optimum": ("Optimum of the table", text),
    "regret": ("Regret", text),
    "feasible": ("Keeps all bounds", text),
    "constraints": ("Constraint", text),
    "hypervolume": ("Hypervolume of the Pareto front", text),
    "latency_ms": ("Latency", lambda value: duration(value / 1000 if present(value) else value)),
    "parameters_millions": ("Parameters", measured("parameters_millions")),
    "training_seconds": ("Training time", duration),
    "surrogate_sd_nats": ("The surrogate's standard deviation", measured("surrogate_sd_nats")),
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
    "answer_folder": ("Folder of the best trial", text),
    "trial_folders": ("Folders of all trials", text),
    "journal": ("Journal", text),
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
        "is_eligible",
        "metrics",
        "test",
        "test_error",
        "latency",
        "measured",
        "unit",
        "candidates",
        "confirmations",
        "confirmed_value",
        "confirmed_sd",
        "single_value",
    }
)
