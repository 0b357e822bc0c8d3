"""Entropy of α over all search epochs, the groups' diversity by step, and the collapse alarm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optiproxy_nas.report.diagnose.collapse import Alarm
from optiproxy_nas.report.diagnose.settings import CollapseSettings
from optiproxy_nas.report.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    as_array,
    empty_figure,
    new_figure,
    tidy,
    whole_ticks,
)

TITLE = "Entropy of α over the search, and mode collapse"
ALARM = "#b3261e"


def collapse_figure(
    traces: Mapping[int, Mapping[str, Any]],
    numbers: pd.DataFrame,
    alarms: Sequence[Alarm],
    settings: CollapseSettings,
    num_operations: int,
) -> Figure:
    """Above: entropy over the epochs, all steps joined; below: the groups at each step's end.

    Args:
        traces: step -> entropy [epochs, K] and more.
        numbers: one row a step, of :func:`optiproxy_nas.report.diagnose.collapse.group_numbers`.
        alarms: stretches of steps to shade.
        settings: the thresholds, drawn as lines.
        num_operations: M.
    """
    blocks = {step: as_array(traces[step]["entropy"]) for step in sorted(traces)}
    blocks = {step: block for step, block in blocks.items() if block.size}
    if not blocks or numbers.empty:
        return empty_figure(TITLE, "no search epochs were recorded")
    figure = new_figure(8.6, 7.2)
    epochs, groups = figure.subplots(2, 1, height_ratios=[3, 2.6], sharex=True)
    # One unit of the axis is one step, so that both panels share it.
    for step, block in blocks.items():
        x = step - 0.5 + (np.arange(len(block)) + 0.5) / len(block)
        low, middle, high = np.quantile(block, [0.0, 0.5, 1.0], axis=1)
        first = step == min(blocks)
        epochs.fill_between(
            x, low, high, color=BLUE, alpha=0.2, linewidth=0,
            label="all groups" if first else "_nolegend_",
        )  # fmt: skip
        epochs.plot(
            x, middle, color=INK, linewidth=1.4, label="median group" if first else "_nolegend_"
        )
    uniform = math.log(max(num_operations, 2))
    label = f"log({num_operations}), no preference"
    epochs.axhline(uniform, color=GREEN, linestyle="--", linewidth=1.2, label=label)
    epochs.set_ylim(0, uniform * 1.08)
    tidy(epochs, TITLE, "", "entropy (nats)")

    steps = as_array(numbers["step"])
    for column, label, colour, style in (
        ("spread", "spread of the pool", INK, "-"),
        ("within", "part within the groups", BLUE, "-"),
        ("agreement", "largest share of groups with the same best cell", ORANGE, "-"),
    ):
        groups.plot(
            steps, as_array(numbers[column]), style, color=colour, linewidth=1.6, label=label
        )
    label = f"alarm where the spread is below {settings.spread:g}"
    groups.axhline(settings.spread, color=INK, linestyle=":", linewidth=1.0, label=label)
    groups.set_ylim(0, 1.03)
    tidy(groups, "The groups at the end of each step", "search step", "0 to 1")
    groups.xaxis.set_major_locator(whole_ticks(9))
    groups.set_xlim(0.5, steps.max() + 0.5)
    for axes in (epochs, groups):
        for index, alarm in enumerate(alarms):
            label = "alarm" if axes is groups and index == 0 else "_nolegend_"
            axes.axvspan(
                alarm.first_step - 0.5,
                alarm.last_step + 0.5,
                color=ALARM,
                alpha=0.13,
                linewidth=0,
                label=label,
                zorder=0,
            )
    since = as_array(numbers["stagnation"]) >= settings.patience
    if since.any():
        waiting = np.where(since, 0.985, np.nan)
        label = f"no new best for {settings.patience} queries"
        groups.plot(steps, waiting, color=ALARM, linewidth=3, label=label, solid_capstyle="butt")
    epochs.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.05), ncols=3, fontsize=9, frameon=False
    )
    groups.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=9, frameon=False
    )
    return figure
