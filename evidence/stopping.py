"""Whether a search that stops for the regret that is left was right, and what it saved.

One search a table and seed is run until the rule has stopped it at every ε, or its budget is spent.
What it gave is kept in data/08_reporting/evidence/stopping.jsonl, so that it is run once.
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
from evidence.sections import Section, digest_of
from optiproxy_nas import search
from optiproxy_nas.algorithm import gaussian_posterior
from optiproxy_nas.algorithm import regret_left as rule
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.presets import load_preset
from optiproxy_nas.report.statistics import share

KEPT = Path("data") / "08_reporting" / "evidence" / "stopping.jsonl"
# Lines that were made before there was a digest end in this list, and are of this rule. As all
# others, they are run again where :func:`rule_digest` is another.
_FIRST_RULE, _WITHOUT_DIGEST = "e42520015f58", [-0.7, 0.1, -0.052, 1000, 1000]


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
    found = measure(options, evidence.project / KEPT)
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
    return Rendered({section.name: table.markdown(head, lines)})


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


def measure(options: Mapping[str, Any], kept: Path) -> dict[tuple[str, float], list[Stop]]:
    """Return the stops of each table's label and ε, by seed; run what ``kept`` lacks."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    past: dict[str, list[Stop]] = {}
    if kept.exists():
        for line in kept.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            *searched, of = entry["search"]
            of = _FIRST_RULE if of == _WITHOUT_DIGEST else of
            past[json.dumps([*searched, of])] = [Stop(*stop) for stop in entry["stops"]]
    found: dict[tuple[str, float], list[Stop]] = {}
    decided_by = rule_digest()
    with kept.open("a", encoding="utf-8") as file:
        for place in range(max(entry["seeds"] for entry in options["tables"])):
            seed = options["first_seed"] + place
            for entry in options["tables"]:
                if place >= entry["seeds"]:
                    continue
                epsilons = entry["epsilons"]
                budget, confidence = options["budget"], options["confidence"]
                key = json.dumps([entry["search"], seed, budget, confidence, epsilons, decided_by])
                if key not in past:
                    past[key] = stops_of(entry["search"], seed, budget, confidence, epsilons)
                    file.write(json.dumps({"search": json.loads(key), "stops": past[key]}) + "\n")
                    file.flush()
                for epsilon, stop in zip(epsilons, past[key], strict=True):
                    found.setdefault((entry["label"], epsilon), []).append(stop)
    return found


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
