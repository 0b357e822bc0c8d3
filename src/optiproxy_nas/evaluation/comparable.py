"""What the values of a search are: whether the trials of one search may start another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.algorithm.search_parameters import OWN_EVALUATION
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.core.numbers import metric_name, unit
from optiproxy_nas.problems import VALUE

_SHOWN = 5  # differences in a message
_OF_BENCHMARKS = ("benchmark", "source", "dataset")


def check_comparable(
    source: Mapping[str, Any], target: str, search: Mapping[str, Any], wanted: str, what: str
) -> None:
    """Refuse trials whose values say that they are of something else than a search's.

    Args:
        source: what decided the search that made them (``RunParameters.decisive``).
        target: its metric, with its unit; ``value``: it does not say which.
        search: what decides the search that they are to start.
        wanted: its metric.
        what: they are, for the message.

    Raises:
        ParameterError: in what they differ.
    """
    found = differences(facts_of(source, target), facts_of(search, wanted))
    if found:
        raise ParameterError(
            f"initial = {what} is of other values: {difference_text(found)}. This search would "
            "take them for its own. Where they are comparable all the same, give them as a table "
            "or a list of trials, such as initial=result.trials or read_journal(path), which are "
            "taken on trust.",
            names=list(found),
        )


def facts_of(decisive: Mapping[str, Any], target: str) -> dict[str, Any]:
    """Return what tells whether values of two searches are comparable, as far as it is said.

    Args:
        decisive: of a search.
        target: the metric that is searched for, with its unit; ``value``: it is not said.
    """
    direction = decisive.get("objective", {}).get("direction")
    facts = {"space": decisive.get("space"), "direction": direction}
    if decisive.get("problem") is None:
        labels = {name: decisive.get(name) for name in _OF_BENCHMARKS}
        if labels["source"] != OWN_EVALUATION:
            facts |= {name: label for name, label in labels.items() if label != OWN_EVALUATION}
    if target != VALUE:
        facts |= {"target": metric_name(target), "unit": unit(target)}
    return facts


def differences(source: Mapping[str, Any], search: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return in what facts differ, by name: of the source and of the search, as text.

    What one of them alone says is no difference, but for the target where the source says it.
    """
    shared = {name: it for name, it in source.items() if name in search or name == "target"}
    return all_differences(shared, {name: search.get(name, VALUE) for name in shared})


def all_differences(
    source: Mapping[str, Any], search: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    """Return in what nested mappings differ, by name: of the source and of the search, as text."""
    before, now = flatten(source), flatten(search)
    names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    return {name: (_shown(before, name), _shown(now, name)) for name in names}


def _shown(facts: Mapping[str, Any], name: str) -> str:
    return f"{facts[name]!r:.80}" if name in facts else "not set"


def difference_text(found: Mapping[str, tuple[str, str]]) -> str:
    """Return differences in words."""
    shown = [
        f"{name} = {before}, now {now}" for name, (before, now) in list(found.items())[:_SHOWN]
    ]
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(shown) + more
