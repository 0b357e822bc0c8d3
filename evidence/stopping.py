"""Whether a search that stops for the regret that is left was right, and what it saved.

One search a table and seed is run until the rule has stopped it at every ε, or its budget is spent.
Where it was stopped is added to the record as it ends (``searched``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evidence import table
from evidence.collect import Evidence
from evidence.pages import Rendered
from evidence.searched import REPORTING, Entry, Record, only, shown_searches
from evidence.sections import Section, digest_of
from optiproxy_nas import search
from optiproxy_nas.algorithm import gaussian_posterior
from optiproxy_nas.algorithm import regret_left as rule
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.presets import load_preset
from optiproxy_nas.report.statistics import share

RECORD = REPORTING / "evidence" / "stopping.jsonl"


class Stop(NamedTuple):
    """Where the rule ended a search: after how many queries, and the regret there."""

    queries: int
    regret: float
    early: bool  # before the budget was spent


def render(section: Section, evidence: Evidence) -> Rendered:
    """Text ``<name>``: a row a table and ε, then tables together at the first ε of each.

    ``options.tables`` are searched with ``options.budget`` queries on as many ``seeds`` as they
    say, from ``options.first_seed`` on, and stopped at each of their ``epsilons`` with
    ``options.confidence``.
    """
    options = section.options
    entries, data = shown_searches(
        evidence, lambda: run_missing(options, evidence.project / RECORD)
    )
    found = measure(options, entries)
    lines = []
    groups: dict[str, list[tuple[float, Stop]]] = {}
    for entry in options["tables"]:
        for place, epsilon in enumerate(entry["epsilons"]):
            stops = [(epsilon, stop) for stop in found[entry["label"], epsilon]]
            lines.append([entry["label"], f"{epsilon:g}", *_cells(stops, options["budget"])])
            if not place:
                groups[entry["group"]] = [*groups.get(entry["group"], []), *stops]
    groups["all tables"] = [stop for stops in groups.values() for stop in stops]
    for group, stops in groups.items():
        lines.append([f"**{group}**", "the first", *_cells(stops, options["budget"])])
    head = ["table", "ε", "searches", "stopped", "of these right", "mean queries", "saved"]
    return Rendered({section.name: table.markdown(head, lines)}, searches=data)


def _cells(stops: Sequence[tuple[float, Stop]], budget: int) -> list[str]:
    early = [(epsilon, stop) for epsilon, stop in stops if stop.early]
    right = sum(stop.regret <= epsilon for epsilon, stop in early)
    queries = float(np.mean([stop.queries for _, stop in stops]))
    return [
        str(len(stops)),
        str(len(early)),
        table.percent(*share(right, len(early))) if early else table.NONE,
        table.number(queries, 1),
        f"{1 - queries / budget:.0%}",
    ]


def measure(
    options: Mapping[str, Any], found: Mapping[str, Entry]
) -> dict[tuple[str, float], list[Stop]]:
    """Return the stops of each table's label and ε, by seed."""
    return {
        (entry["label"], epsilon): [
            Stop(**found[_key(options, entry, seed, epsilon)]) for seed in _seeds(options, entry)
        ]
        for entry in options["tables"]
        for epsilon in entry["epsilons"]
    }


def run_missing(options: Mapping[str, Any], path: Path) -> dict[str, Entry]:
    """Search what the record lacks, add it as it ends, and return what the section shows."""
    record = Record(path, lambda _: rule_digest())
    found, keys = record.read(), []
    for place in range(max(entry["seeds"] for entry in options["tables"])):
        seed = options["first_seed"] + place
        for entry in options["tables"]:
            if seed not in _seeds(options, entry):
                continue
            epsilons = entry["epsilons"]
            keys += (own := [_key(options, entry, seed, epsilon) for epsilon in epsilons])
            if any(key not in found for key in own):
                budget, confidence = options["budget"], options["confidence"]
                stops = stops_of(entry["search"], seed, budget, confidence, epsilons)
                for key, stop in zip(own, stops, strict=True):
                    record.add(key, stop._asdict())
    return only(record.read(), keys)


def _seeds(options: Mapping[str, Any], entry: Mapping[str, Any]) -> range:
    return range(options["first_seed"], options["first_seed"] + entry["seeds"])


def _key(options: Mapping[str, Any], entry: Mapping[str, Any], seed: int, epsilon: float) -> str:
    """Return what tells a search and the ε that it is stopped for from others."""
    asked = [entry["search"], seed, options["budget"], options["confidence"], epsilon]
    return json.dumps(asked, sort_keys=True)


def rule_digest() -> str:
    """Return what tells the constants of the rule, and the presets of the searches, from others."""
    constants = [
        (name, value)
        for module in (rule, gaussian_posterior)
        for name, value in vars(module).items()
        if name.isupper()
    ]
    presets = [load_preset(name) for name in ("ensemble", "large")]
    return digest_of([sorted(constants), presets])


def stops_of(
    arguments: Mapping[str, Any],
    seed: int,
    budget: int,
    confidence: float,
    epsilons: Sequence[float],
) -> list[Stop]:
    """Run one search: return where the rule stops it at each ε."""
    watch = Watch(seed, confidence, epsilons)
    result = search(budget=budget, seed=seed, callbacks=[watch], **arguments)
    assert result.optimum is not None
    best = result.archive["best"].to_numpy()
    queries = [watch.stopped.get(epsilon, budget) for epsilon in epsilons]
    return [
        Stop(count, abs(result.optimum - float(best[count - 1])), epsilon in watch.stopped)
        for epsilon, count in zip(epsilons, queries, strict=True)
    ]


class Watch:
    """Notes after each step where the rule would stop at each ε; ends the search after the last.

    It decides as a search with ``stop_regret`` does, of which it is several at a time.
    """

    def __init__(self, seed: int, confidence: float, epsilons: Sequence[float]) -> None:
        self._seed, self._most, self._epsilons = seed, 1 - confidence, epsilons
        self.stopped: dict[float, int] = {}  # ε -> queries

    def __call__(self, search: AskTell, trial: Trial) -> None:
        """Ask the rule where the step is complete."""
        archive = search.archive()
        if search.pending or search.done or not archive["step"].max():  # the initial sample
            return
        for epsilon in self._epsilons:
            wait = rule.queries_without_gain(archive, search.objective, epsilon)
            # No share is small enough to stop so soon after a gain: it need not be computed.
            if epsilon in self.stopped or rule.recalibrated(0.0, wait) > self._most:
                continue
            left = rule.regret_left(search.space, archive, search.objective, epsilon, self._seed)
            if left <= self._most:
                self.stopped[epsilon] = len(archive)
        if len(self.stopped) == len(self._epsilons):
            search.stop("the rule has stopped it at every epsilon")
