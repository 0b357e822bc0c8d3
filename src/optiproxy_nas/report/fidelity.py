"""Figures of a search on several fidelities, whose budget is counted in training epochs.

Beside the common columns the archive has ``epochs`` (of training behind ``value``) and ``cost``
(epochs charged). A cell may occur twice: trained briefly, then promoted to full training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from optiproxy_nas.report import captions
from optiproxy_nas.report.best import METRIC
from optiproxy_nas.report.fidelity_kinds import Kinds, Mask, epochs_text, kinds_of
from optiproxy_nas.report.ranges import shared_range, top_range
from optiproxy_nas.report.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    Floats,
    as_array,
    colour_bar,
    empty_figure,
    new_figure,
    note,
    remark,
    sequence_colours,
    tidy,
    whole_ticks,
)
from optiproxy_nas.report.summary import known, target_label

# Beside the best so far, which takes the place of the one against queries.
FIGURES = {captions.FIDELITIES: "fidelities", captions.EPOCHS: "epochs_by_step"}


def figures(
    archive: pd.DataFrame, diagnostics: pd.DataFrame, summary: Mapping[str, Any]
) -> dict[str, Figure]:
    """Title -> figure, in reading order.

    Args:
        archive: see the module; one row per query.
        diagnostics: one row per step: fidelity_spearman.
        summary: the run's facts; ``optimum`` is used where known.
    """
    optimum = float(summary["optimum"]) if known(summary.get("optimum")) else None
    metric = target_label(summary)
    return {
        captions.BEST_SO_FAR: best_by_epochs(archive, optimum, metric),
        captions.FIDELITIES: low_against_full(archive, metric),
        captions.EPOCHS: epochs_by_step(archive, diagnostics),
    }


def best_by_epochs(
    archive: pd.DataFrame, optimum: float | None = None, metric: str = METRIC
) -> Figure:
    """The best fully trained value against all epochs spent (Fig. 4); brief trainings below."""
    title = captions.BEST_SO_FAR
    if archive.empty:
        return empty_figure(title, "no queries yet")
    kinds, value = kinds_of(archive), as_array(archive["value"])
    spent = as_array(archive["cost"]).cumsum()
    full = ~kinds.low
    figure = new_figure(8.0, 6.4 if kinds.low.any() else 4.6)
    if kinds.low.any():
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _brief(below, archive, kinds, spent, metric)
    else:
        above = below = figure.subplots()
    if full.any():
        _full(above, archive, kinds, spent, optimum)
    else:
        note(above, "no cell was trained fully yet")
    tidy(above, title, "", metric)
    below.set_xlabel("training epochs spent", fontsize=10)
    below.set_xlim(0, 1.02 * spent.max())
    if full.any():
        winner = int(np.where(full, value, -np.inf).argmax())
        above.scatter(
            spent[winner],
            value[winner],
            marker="*",
            s=190,
            color=ORANGE,
            edgecolors="white",
            linewidths=0.8,
            zorder=5,
            label=f"best found: {value[winner]:.2f} ({spent[winner]:.0f} epochs)",
        )
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def _full(
    axes: Axes, archive: pd.DataFrame, kinds: Kinds, spent: Floats, optimum: float | None
) -> None:
    value, step, best = (as_array(archive[name]) for name in ("value", "step", "best"))
    full = ~kinds.low
    low, high = top_range(value[full], step[full], optimum)
    below = value < low
    for mask, marker, colour, size, text in (
        (kinds.whole & ~below, "o", BLUE, 20, "trained fully at once"),
        (kinds.promoted & ~below, "D", GREEN, 22, "promoted to full training"),
        (full & below, "v", FAINT, 20, f"below the range ({(full & below).sum()})"),
    ):
        if mask.any():
            axes.scatter(
                spent[mask],
                np.maximum(value[mask], low),
                marker=marker,
                color=colour,
                s=size,
                alpha=0.65,
                linewidths=0,
                clip_on=False,
                label=text,
            )
    # It goes on to the end, over what was spent since on brief training.
    axes.step(spent, best, where="post", color=INK, linewidth=1.8, label="best fully trained")
    if optimum is not None:
        text = f"optimum of the table: {optimum:.2f}"
        axes.axhline(optimum, color=GREEN, linestyle="--", linewidth=1.2, zorder=1, label=text)
    axes.set_ylim(low, high)


def _brief(axes: Axes, archive: pd.DataFrame, kinds: Kinds, spent: Floats, metric: str) -> None:
    value, step = as_array(archive["value"]), as_array(archive["step"])
    low, high = top_range(value[kinds.low], step[kinds.low], None)
    chosen = np.zeros(len(archive), dtype=bool)
    chosen[kinds.before[kinds.promoted]] = True
    below = kinds.low & (value < low)
    count = f"below the range ({below.sum()})"
    plain = {"color": FAINT, "linewidths": 0}
    ringed = {"facecolors": "white", "edgecolors": GREEN, "linewidths": 1.3}
    marks: tuple[tuple[Mask, int, dict[str, Any], str], ...] = (
        (kinds.low & ~chosen & ~below, 12, plain, "trained briefly"),
        (chosen & ~below, 26, ringed, "trained briefly, later promoted"),
        # One entry in the legend: their edges tell them apart as those of the dots do.
        (~chosen & below, 20, {**plain, "marker": "v"}, f"trained briefly, {count}"),
        (
            chosen & below,
            26,
            {**ringed, "marker": "v"},
            "_nolegend_" if (~chosen & below).any() else f"trained briefly, {count}",
        ),
    )
    for mask, size, style, text in marks:
        if mask.any():
            y = np.maximum(value[mask], low)
            axes.scatter(spent[mask], y, s=size, alpha=0.8, clip_on=False, label=text, **style)
    axes.set_ylim(low, high)
    tidy(axes, f"After {epochs_text(archive, kinds.low)}", "", metric)


def low_against_full(archive: pd.DataFrame, metric: str = METRIC) -> Figure:
    """Brief against full training of the promoted cells, coloured by order."""
    title = captions.FIDELITIES
    kinds = kinds_of(archive)
    if not kinds.promoted.any():
        return empty_figure(title, "no cell was promoted from brief to full training")
    value = as_array(archive["value"])
    brief, full = value[kinds.before[kinds.promoted]], value[kinds.promoted]
    order = as_array(archive["order"])[kinds.promoted] + 1
    figure = new_figure(6.6, 5.4)
    axes = figure.subplots()
    norm = Normalize(float(order.min()), max(float(order.max()), float(order.min()) + 1))
    (left, right), (bottom, top) = shared_range(brief), shared_range(full)
    axes.scatter(
        np.clip(brief, left, right),
        np.clip(full, bottom, top),
        c=order,
        cmap=sequence_colours(),
        norm=norm,
        s=30,
        alpha=0.85,
        linewidths=0,
        clip_on=False,
    )
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    text = f"n = {len(full)}"
    if len(full) > 1 and np.ptp(brief) > 0 and np.ptp(full) > 0:
        text = f"Spearman ρ {float(spearmanr(brief, full).statistic):.2f}, {text}"
    outside = int(((brief < left) | (brief > right) | (full < bottom) | (full > top)).sum())
    if outside:
        text += f"\n{outside} outside the range, drawn at its border"
    remark(axes, text)
    after = epochs_text(archive, kinds.low), epochs_text(archive, kinds.promoted)
    tidy(axes, title, f"{metric} after {after[0]}", f"{metric} after {after[1]}")
    if len(full) > 1:
        colour_bar(figure, axes, norm, "query of the full training")
    return figure


def epochs_by_step(archive: pd.DataFrame, diagnostics: pd.DataFrame) -> Figure:
    """What each step spent its epochs on, and the rank correlation that it had to go by."""
    if archive.empty:
        return empty_figure(captions.EPOCHS, "no queries yet")
    kinds, cost = kinds_of(archive), as_array(archive["cost"])
    steps = np.arange(int(archive["step"].max()) + 1)
    figure = new_figure(8.0, 5.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    bottom = np.zeros(len(steps))
    for mask, colour, hatch, text in (
        (kinds.low, FAINT, "", "brief training"),
        (kinds.promoted, GREEN, "//", "promotions to full training"),
        (kinds.whole, BLUE, "", "full training at once"),
    ):
        if mask.any():
            of_step = archive["step"].to_numpy()[mask]
            height = np.bincount(of_step, weights=cost[mask], minlength=len(steps))
            above.bar(
                steps,
                height,
                bottom=bottom,
                width=0.7,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0,
                label=f"{text}: {cost[mask].sum():.0f}",
            )
            bottom += height
    tidy(above, captions.EPOCHS, "", "training epochs")
    above.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False)

    tidy(below, "Brief against full training of cells that had both", "step", "Spearman ρ")
    below.axhline(0, color=FAINT, linewidth=1.0)
    below.set_ylim(-1.05, 1.05)
    rho = as_array(diagnostics.get("fidelity_spearman", []))
    if np.isfinite(rho).any():
        below.plot(as_array(diagnostics["step"]), rho, color=BLUE, marker="o", markersize=4)
    else:
        note(below, "not measured")
    below.xaxis.set_major_locator(whole_ticks(9))
    below.set_xlim(-0.6, steps[-1] + 0.6)
    return figure
