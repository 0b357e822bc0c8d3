"""Figures of a search on several fidelities, whose budget is counted in training epochs.

Beside the common columns the archive has ``epochs`` (of training behind ``value``) and ``cost``
(epochs charged). A cell may occur twice: trained briefly, then promoted to full training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optiproxy_nas.core.arrays import Floats, Integers, Mask, as_array
from optiproxy_nas.core.numbers import decimals, fixed
from optiproxy_nas.report import style
from optiproxy_nas.report.archive_figures import BEST_SO_FAR
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.report.style import ReportFigure

COLUMNS = frozenset({"epochs", "cost"})  # of the archive, that these figures need


class Kinds(NamedTuple):
    """Which rows [n] of an archive are brief, promoted, or full at once."""

    low: Mask
    promoted: Mask  # trained fully after it was trained briefly
    whole: Mask  # trained fully at once
    before: Integers  # the row of a promoted cell's last brief training, else -1


def kinds_of(archive: pd.DataFrame) -> Kinds:
    """Return the kinds of an archive's rows.

    Args:
        archive: columns architecture, epochs and best (NaN before a full training).
    """
    epochs = archive["epochs"].to_numpy()
    # There is a best value from the first full training on, and not before.
    full = epochs == epochs.max() if archive["best"].notna().any() else np.zeros_like(epochs, bool)
    before = np.full(len(archive), -1)
    seen: dict[str, int] = {}
    for row, architecture in enumerate(archive["architecture"]):
        if not full[row]:
            seen[architecture] = row
        else:
            before[row] = seen.get(architecture, -1)
    return Kinds(~full, full & (before >= 0), full & (before < 0), before)


def epochs_text(archive: pd.DataFrame, rows: Mask) -> str:
    """Return ``12 epochs``, or ``12 to 50 epochs``."""
    epochs = archive["epochs"].to_numpy()[rows]
    few, many = int(epochs.min()), int(epochs.max())
    return f"{many} epochs" if few == many else f"{few} to {many} epochs"


def best_by_epochs(run: RunData) -> Figure:
    """Draw the best fully trained value against epochs spent (Fig. 4), and brief trainings."""
    archive, title = run.archive, "Best so far"
    if archive.empty:
        return style.empty_figure(title, "no queries yet")
    kinds, spent = kinds_of(archive), as_array(archive["cost"]).cumsum()
    figure = style.new_figure(8.0, 6.4 if kinds.low.any() else 4.6)
    if kinds.low.any():
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _draw_brief(below, run, kinds, spent)
        style.tidy(below, f"After {epochs_text(archive, kinds.low)}", "", run.value_label)
    else:
        above = below = figure.subplots()
    if not kinds.low.all():
        _draw_full(above, run, kinds, spent)
    else:
        style.note(above, "nothing was trained fully yet")
    style.tidy(above, title, "", run.value_label)
    below.set_xlabel("training epochs spent", fontsize=10)
    below.set_xlim(0, 1.02 * spent.max())
    style.legend_below(figure)
    return figure


def _draw_full(axes: Axes, run: RunData, kinds: Kinds, spent: Floats) -> None:
    """Draw the cells that were trained fully, the best so far, and the answer."""
    archive, optimum, full = run.archive, run.optimum, ~kinds.low
    value, step = as_array(archive["value"]), as_array(archive["step"])
    winner = run.incumbent
    assert winner is not None  # a cell was trained fully
    digits = decimals(run.target, (value[winner], optimum))
    low, high = style.top_range(value[full], step[full], optimum, run.sign)
    end, beyond, pointer = style.worse_end((low, high), run.sign)
    below = run.sign * value < run.sign * end
    for mask, marker, colour, size, text in (
        (kinds.whole & ~below, "o", style.BLUE, 20, "trained fully at once"),
        (kinds.promoted & ~below, "D", style.GREEN, 22, "promoted to full training"),
        (full & below, pointer, style.FAINT, 20, f"{beyond} the range ({(full & below).sum()})"),
    ):
        look = {"marker": marker, "color": colour, "s": size, "alpha": 0.65, "label": text}
        style.marks(axes, mask, spent, np.where(below, end, value), **look)
    # It goes on to the end, over what was spent since on brief training.
    best = as_array(archive["best"])
    axes.step(spent, best, where="post", color=style.INK, linewidth=1.8, label="best fully trained")
    if optimum is not None:
        style.level(axes, optimum, f"optimum of the table: {fixed(optimum, digits)}", zorder=1)
    text = f"best found: {fixed(value[winner], digits)} ({spent[winner]:.0f} epochs)"
    style.star(axes, spent[winner], value[winner], label=text, clip_on=False)
    axes.set_ylim(low, high)


def _draw_brief(axes: Axes, run: RunData, kinds: Kinds, spent: Floats) -> None:
    value, step = as_array(run.archive["value"]), as_array(run.archive["step"])
    low, high = style.top_range(value[kinds.low], step[kinds.low], None, run.sign)
    end, beyond, pointer = style.worse_end((low, high), run.sign)
    chosen = np.zeros(len(value), dtype=bool)
    chosen[kinds.before[kinds.promoted]] = True
    below = kinds.low & (run.sign * value < run.sign * end)
    plain = {"color": style.FAINT}
    ringed = {"facecolors": "white", "edgecolors": style.GREEN, "linewidths": 1.3}
    count = f"trained briefly, {beyond} the range ({below.sum()})"
    # One entry in the legend: their edges tell them apart as those of the dots do.
    other = "_nolegend_" if (~chosen & below).any() else count
    layers: tuple[tuple[Mask, int, str, dict[str, Any], str], ...] = (
        (kinds.low & ~chosen & ~below, 12, "o", plain, "trained briefly"),
        (chosen & ~below, 26, "o", ringed, "trained briefly, later promoted"),
        (~chosen & below, 20, pointer, plain, count),
        (chosen & below, 26, pointer, ringed, other),
    )
    for mask, size, marker, look, text in layers:
        look = {**look, "marker": marker, "s": size, "alpha": 0.8, "label": text}
        style.marks(axes, mask, spent, np.where(below, end, value), **look)
    axes.set_ylim(low, high)


def low_against_full(run: RunData) -> Figure:
    """Draw brief against full training of the promoted cells, coloured by order."""
    archive, title = run.archive, "Low against full fidelity"
    kinds = kinds_of(archive)
    if not kinds.promoted.any():
        return style.empty_figure(title, "nothing was promoted from brief to full training")
    value = as_array(archive["value"])
    brief, full = value[kinds.before[kinds.promoted]], value[kinds.promoted]
    order = as_array(archive["order"])[kinds.promoted] + 1
    figure = style.new_figure(6.6, 5.4)
    axes = figure.subplots()
    norm, colours = style.order_norm(order), style.sequence_colours()
    (left, right), (bottom, top) = style.shared_range(brief), style.shared_range(full)
    look = {"c": order, "cmap": colours, "norm": norm, "s": 30, "alpha": 0.85}
    x, y = np.clip(brief, left, right), np.clip(full, bottom, top)
    style.marks(axes, np.ones(len(x), dtype=bool), x, y, **look)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    outside = int(((x != brief) | (y != full)).sum())
    style.remark(axes, style.spearman_text(brief, full), outside)
    brief_label, full_label = (
        f"{run.value_label} after {epochs_text(archive, rows)}"
        for rows in (kinds.low, kinds.promoted)
    )
    style.tidy(axes, title, brief_label, full_label)
    if len(full) > 1:
        ticks = style.whole_ticks(8)
        style.colour_bar(figure, axes, norm, "query of the full training", ticks=ticks)
    return figure


def epochs_by_step(run: RunData) -> Figure:
    """Draw what each step spent its epochs on, and the rank correlation it had to go by."""
    archive, title = run.archive, "Training epochs by step"
    if archive.empty:
        return style.empty_figure(title, "no queries yet")
    kinds, cost = kinds_of(archive), as_array(archive["cost"])
    steps = np.arange(int(archive["step"].max()) + 1)
    figure = style.new_figure(8.0, 5.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    bottom = np.zeros(len(steps))
    for mask, colour, hatch, text in (
        (kinds.low, style.FAINT, "", "brief training"),
        (kinds.promoted, style.GREEN, "//", "promotions to full training"),
        (kinds.whole, style.BLUE, "", "full training at once"),
    ):
        if mask.any():
            step = archive["step"].to_numpy()[mask]
            height = np.bincount(step, weights=cost[mask], minlength=len(steps))
            look = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0}
            label = f"{text}: {cost[mask].sum():.0f}"
            above.bar(steps, height, bottom=bottom, width=0.7, label=label, **look)
            bottom += height
    style.tidy(above, title, "", "training epochs")
    style.legend_beside(above)

    style.tidy(below, "Brief against full training of those that had both", "step", "Spearman ρ")
    below.axhline(0, color=style.FAINT, linewidth=1.0)
    below.set_ylim(-1.05, 1.05)
    rho = as_array(run.diagnostics.get("fidelity_spearman", []))
    if np.isfinite(rho).any():
        below.plot(
            as_array(run.diagnostics["step"]), rho, color=style.BLUE, marker="o", markersize=4
        )
    else:
        style.note(below, "not measured")
    style.step_axis(below, as_array(steps))
    return figure


FIGURES: tuple[ReportFigure[RunData], ...] = (
    replace(BEST_SO_FAR, draw=best_by_epochs),
    ReportFigure(
        "fidelities",
        "Low against full fidelity",
        "What was trained briefly and then fully: the closer to one order, the better the "
        "brief training tells which are worth the full one.",
        low_against_full,
    ),
    ReportFigure(
        "epochs_by_step",
        "Training epochs by step",
        "Above: what the budget was spent on. Below: how well brief training ranked those "
        "that were also trained fully, as far as the search could know (1 perfect, 0 chance).",
        epochs_by_step,
    ),
)
