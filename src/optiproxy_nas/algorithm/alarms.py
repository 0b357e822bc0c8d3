"""Alarms of a running search: proxy gap, mode collapse, and queries outside the bounds.

They are of a step's numbers (:mod:`~optiproxy_nas.algorithm.step_diagnostics`), change nothing of
the search, and are told once each.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd
from pydantic import Field

from optiproxy_nas.algorithm.collapse import CollapseSettings, collapse_reasons

RECENT = 20  # queries over which the proxy's recent rank correlation is measured
KINDS = {"proxy": "proxy gap", "collapse": "mode collapse", "violation": "violated bounds"}
LOGGER = "optiproxy_nas.alarms"


class AlarmSettings(CollapseSettings):
    """When a running search warns; it decides no query."""

    # Of 20 pairs without any relation τ has a standard deviation of 0.16: this is two below chance.
    kendall_tau: float = Field(
        -0.3,
        ge=-1,
        le=1,
        description="alarm where Kendall's τ of prediction and value over the last 20 queries is "
        "below this, after as many queries without a new best as patience says; -1: never",
    )
    violation_rate: float = Field(
        0.8,
        ge=0,
        le=1,
        description="alarm where a greater share of the last 20 queries breaks a bound; 1: never",
    )


def raised_alarms(
    numbers: Mapping[Any, Any], predicted: int, groups: int, settings: AlarmSettings
) -> dict[str, int]:
    """Return ``<kind>_alarm``, 0 or 1, of each of ``KINDS`` that the numbers of a step speak of.

    Args:
        numbers: of the step: queries, stagnation, recent_kendall_tau, what
            :func:`~optiproxy_nas.algorithm.collapse.group_numbers` gives (not where candidates do
            not come from the groups), recent_violation_rate (where there are bounds).
        predicted: queries by then that were predicted before they were made.
        groups: K.
        settings: the thresholds.
    """
    tau, found = numbers["recent_kendall_tau"], {}
    is_stuck = numbers["stagnation"] >= settings.patience
    is_low = tau is not None and predicted >= RECENT and tau < settings.kendall_tau
    found["proxy"] = is_low and is_stuck
    if "spread" in numbers:
        found["collapse"] = bool(collapse_reasons(numbers, groups, settings))
    if "recent_violation_rate" in numbers:
        is_high = numbers["recent_violation_rate"] > settings.violation_rate
        found["violation"] = is_high and numbers["queries"] > RECENT
    return {f"{kind}_alarm": int(is_raised) for kind, is_raised in found.items()}


def alarm_text(kind: str, numbers: Mapping[Any, Any], groups: int, settings: AlarmSettings) -> str:
    """Return an alarm that a step raised as a sentence."""
    since = f"no new best for {numbers['stagnation']:.0f} queries"
    if kind == "proxy":
        why = f"Kendall's τ of the last {RECENT} predictions is {numbers['recent_kendall_tau']:.2f}"
        why += f", below {settings.kendall_tau:g}; {since}"
    elif kind == "collapse":
        why = f"{collapse_reasons(numbers, groups, settings)}; {since}"
    else:
        why = f"{numbers['recent_violation_rate']:.0%} of the last {RECENT} queries broke a bound, "
        why += f"more than {settings.violation_rate:.0%}"
    return f"{KINDS[kind]} at query {numbers['queries']:.0f}: {why}."


def alarm_facts(
    diagnostics: pd.DataFrame, groups: int, settings: AlarmSettings
) -> dict[str, list[str]]:
    """Return ``alarms``, the first of each kind and in how many steps it was raised.

    Nothing where none was raised.
    """
    texts = []
    for kind in KINDS:
        name = f"{kind}_alarm"
        raised = diagnostics[diagnostics[name] > 0] if name in diagnostics else diagnostics.head(0)
        if len(raised):
            first = alarm_text(kind, raised.iloc[0].to_dict(), groups, settings)
            texts.append(f"{first} Raised in {len(raised)} of {len(diagnostics)} steps.")
    return {"alarms": texts} if texts else {}


class AlarmLog:
    """Warns of each kind of alarm once, in the step that raises it first.

    Args:
        groups: K.
        settings: the thresholds.
    """

    def __init__(self, groups: int, settings: AlarmSettings) -> None:
        self._groups, self._settings = groups, settings
        self._told: set[str] = set()

    def look(self, numbers: Mapping[str, Any]) -> None:
        """Warn of what a step raises for the first time."""
        for kind in KINDS:
            if numbers.get(f"{kind}_alarm") and kind not in self._told:
                self._told.add(kind)
                text = alarm_text(kind, numbers, self._groups, self._settings)
                logging.getLogger(LOGGER).warning("Alarm: %s", text)
