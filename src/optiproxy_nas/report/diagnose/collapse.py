"""Mode collapse over a finished search: where its alarm fired, and the groups in a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from optiproxy_nas.algorithm.collapse import CollapseSettings, collapse_reasons
from optiproxy_nas.core.arrays import as_array
from optiproxy_nas.report import style
from optiproxy_nas.report.logit_figures import entropy_scale, step_blocks

TITLE = "Entropy of α over the search, and mode collapse"
ALARM = "#b3261e"


class Alarm(NamedTuple):
    """A stretch of steps in which the alarm fired."""

    first_step: int
    last_step: int
    first_query: int  # queries made when it fired first
    why: str  # one sentence

    def text(self) -> str:
        """Return the alarm as a sentence."""
        steps = f"step {self.first_step}"
        if self.last_step > self.first_step:
            steps = f"steps {self.first_step} to {self.last_step}"
        return f"mode collapse in {steps} (from query {self.first_query} on): {self.why}"


def collapse_alarms(
    numbers: pd.DataFrame, groups: int, settings: CollapseSettings
) -> tuple[list[Alarm], list[str]]:
    """Find where the mode-collapse alarm fires, and why.

    It fires in a step after which at least ``patience`` queries brought no new best, if

    * all groups' most probable architectures are the same one (K > 1), or
    * the groups are copies: their mean distance is below ``distance`` (K > 1), or
    * the spread is below ``spread``.

    A search that has found the optimum stagnates too: the alarm says that further queries find
    nothing new, not that the search has failed.

    Args:
        numbers: one row a step: step, queries (after it), stagnation, and what
            :func:`group_numbers` gives.
        groups: K.
        settings: the thresholds.

    Returns:
        Stretches of consecutive steps in which it fires, and the reasons of every step ("" where
        it does not).
    """
    reasons = [collapse_reasons(row, groups, settings) for row in numbers.to_dict("records")]
    alarms = []
    rows = zip(numbers.to_dict("records"), reasons, strict=True)
    for why, stretch in groupby(rows, key=lambda pair: bool(pair[1])):
        if not why:
            continue
        fired = list(stretch)
        first, last = fired[0][0], fired[-1][0]
        causes = dict.fromkeys(reason for _, text in fired for reason in text.split("; "))
        alarms.append(
            Alarm(
                int(first["step"]),
                int(last["step"]),
                int(first["queries"]),
                f"{'; '.join(causes)}; no new best for {int(last['stagnation'])} queries at its "
                "end.",
            )
        )
    return alarms, reasons


def collapse_figure(
    traces: Mapping[int, Mapping[str, Any]],
    numbers: pd.DataFrame,
    alarms: Sequence[Alarm],
    settings: CollapseSettings,
    allowed: Tensor,
) -> Figure:
    """Draw the entropy over the epochs of all steps, and the groups at the end of each step.

    Args:
        traces: step -> entropy [epochs, K] and more.
        numbers: one row a step, of :func:`group_numbers`.
        alarms: stretches of steps to shade.
        settings: the thresholds, drawn as lines.
        allowed: bool [N, M], the options of each node.
    """
    blocks = step_blocks(traces, "entropy")
    if not blocks or numbers.empty:
        return style.empty_figure(TITLE, "no search epochs were recorded")
    figure = style.new_figure(8.6, 7.2)
    epochs, groups = figure.subplots(2, 1, height_ratios=[3, 2.6], sharex=True)
    # One unit of the axis is one step, so that both panels share it.
    for step, block in blocks.items():
        x = step - 0.5 + (np.arange(len(block)) + 0.5) / len(block)
        low, middle, high = np.quantile(block, [0.0, 0.5, 1.0], axis=1)
        band = {"color": style.BLUE, "alpha": 0.2, "linewidth": 0, "label": "all groups"}
        epochs.fill_between(x, low, high, **band)
        epochs.plot(x, middle, color=style.INK, linewidth=1.4, label="median group")
    entropy_scale(epochs, allowed)
    style.tidy(epochs, TITLE, "", "entropy (nats)")

    steps = as_array(numbers["step"])
    for column, label, colour in (
        ("spread", "spread of the pool", style.INK),
        ("within", "part within the groups", style.BLUE),
        ("agreement", "largest share of groups with the same best choice", style.ORANGE),
    ):
        groups.plot(steps, as_array(numbers[column]), color=colour, linewidth=1.6, label=label)
    label = f"alarm where the spread is below {settings.spread:g}"
    groups.axhline(settings.spread, color=style.INK, linestyle=":", linewidth=1.0, label=label)
    groups.set_ylim(0, 1.03)
    style.tidy(
        groups, "The groups at the end of each step", "search step", "spread and shares (0 to 1)"
    )
    groups.xaxis.set_major_locator(style.whole_ticks(9))
    groups.set_xlim(0.5, steps.max() + 0.5)
    shade = {"color": ALARM, "alpha": 0.13, "linewidth": 0, "zorder": 0}
    for alarm in alarms:
        begin, end = alarm.first_step - 0.5, alarm.last_step + 0.5
        epochs.axvspan(begin, end, **shade)
        groups.axvspan(begin, end, label="alarm", **shade)
    since = as_array(numbers["stagnation"]) >= settings.patience
    if since.any():
        waiting = np.where(since, 0.985, np.nan)
        label = f"no new best for {settings.patience} queries"
        groups.plot(steps, waiting, color=ALARM, linewidth=3, label=label, solid_capstyle="butt")
    style.legend_under(epochs, 0.05, 3)
    style.legend_under(groups, 0.2, 2)
    return figure
