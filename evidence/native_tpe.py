"""Optuna's own TPE on a declared space, as its user would call it: own distributions, own study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from optiproxy_nas.core.parameters import Direction
from optiproxy_nas.objectives.constraints import Constraint
from optiproxy_nas.spaces.choices import Choice, Space

ASKS = 5  # for each query, at most: where all that it proposes was evaluated before

Measure = Callable[[Mapping[str, Any]], dict[str, float]]  # "value", and the bounded metrics


def search(
    space: Space,
    measure: Measure,
    bounds: Sequence[Constraint],
    direction: Direction,
    budget: int,
    seed: int,
) -> list[dict[str, float]]:
    """Return what the first ``budget`` different architectures of a study measure, in its order.

    Fewer where it repeats itself, ``ASKS`` times as often as it may query.

    What it proposes again is answered from memory and costs no query. An ordered choice is an
    integer, the place of its option, another a category; a choice that does not exist is not asked
    for. Bounds are the study's own constraints.
    """
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            direction=direction, sampler=optuna.samplers.TPESampler(seed=seed)
        )
    finally:
        optuna.logging.set_verbosity(level)
    found: dict[str, dict[str, float]] = {}
    for _ in range(ASKS * budget):
        trial = study.ask()
        architecture = _suggested(trial, space.choices)
        (text,) = space.to_string(space.from_string(architecture))
        if text not in found:
            found[text] = measure(architecture)
        measured = found[text]
        for bound in bounds:
            trial.set_constraint(str(bound), float(bound.excess(np.array(measured[bound.metric]))))
        study.tell(trial, measured["value"])
        if len(found) == budget:
            break
    return list(found.values())


def _suggested(trial: optuna.Trial, choices: Mapping[str, Choice]) -> dict[str, Any]:
    """Return the architecture of a trial, choice by choice: one asks for those that exist."""
    architecture: dict[str, Any] = {}
    for name, choice in choices.items():
        if all(architecture.get(other) in values for other, values in choice.when.items()):
            last = len(choice.options) - 1
            architecture[name] = (
                choice.options[trial.suggest_int(name, 0, last)]
                if choice.ordered
                else trial.suggest_categorical(name, choice.options)
            )
    return architecture
