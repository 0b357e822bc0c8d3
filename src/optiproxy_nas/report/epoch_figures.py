"""Figures of a search on several rungs, whose budget is counted in training epochs or another unit.

Beside the common columns the archive has ``epochs`` (the rung: how long ``value`` was trained
for) and ``cost`` (what was charged). An architecture may occur once a rung: trained briefly, then
raised.
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
from optiproxy_nas.report import ranges, style
from optiproxy_nas.report.archive_figures import BEST_SO_FAR, star_confirmed, with_confirmed
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.report.style import ReportFigure

COLUMNS = frozenset({"epochs", "cost"})  # of the archive, that these figures need
_LOWER = (style.FAINT, style.ORANGE, style.BLUE)  # colours of the rungs below full training


class Kinds(NamedTuple):
    """Which rows [n] of an archive are brief, promoted, or full at once."""

    low: Mask
    promoted: Mask  # trained fully after it was trained briefly
    whole: Mask  # trained fully at once
    before: Integers  # the row of the architecture's last shorter training, else -1
    lower: tuple[int, ...]  # the rungs of ``low``, ascending


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
        earlier = seen.get(architecture, -1)
        if earlier >= 0 and epochs[earlier] < epochs[row]:
            before[row] = earlier
        seen[architecture] = row
    lower = tuple(np.unique(epochs[~full]).tolist())
    return Kinds(~full, full & (before >= 0), full & (before < 0), before, lower)


def unit_of(run: RunData) -> str:
    """Return what the rungs of a run count."""
    return str(run.summary.get("unit") or "epochs")


def rungs_text(archive: pd.DataFrame, rows: Mask, unit: str) -> str:
    """Return ``12 epochs``, or ``12 to 50 epochs``."""
    epochs = archive["epochs"].to_numpy()[rows]
    few, many = int(epochs.min()), int(epochs.max())
    return f"{many} {unit}" if few == many else f"{few} to {many} {unit}"


def best_by_epochs(run: RunData) -> Figure:
    """Draw the best fully trained value against epochs spent (Fig. 4), and brief trainings."""
    archive, title, unit = run.archive, "Best so far", unit_of(run)
    if archive.empty:
        return style.empty_figure(title, "no queries yet")
    kinds, spent = kinds_of(archive), as_array(archive["cost"]).cumsum()
    figure = style.new_figure(8.0, 6.4 if kinds.low.any() else 4.6)
    if kinds.low.any():
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _draw_brief(below, run, kinds, spent)
        style.tidy(below, f"After {rungs_text(archive, kinds.low, unit)}", "", run.value_label)
    else:
        above = below = figure.subplots()
    if not kinds.low.all():
        _draw_full(above, run, kinds, spent)
    else:
        style.note(above, "nothing was trained fully yet")
    style.tidy(above, title, "", run.value_label)
    below.set_xlabel(f"{_training(unit)} spent", fontsize=10)
    below.set_xlim(0, 1.02 * spent.max())
    style.legend_below(figure)
    return figure


def _training(unit: str) -> str:
    return "training epochs" if unit == "epochs" else unit


def _draw_full(axes: Axes, run: RunData, kinds: Kinds, spent: Floats) -> None:
    """Draw the cells that were trained fully, the best so far, and the answer."""
    archive, optimum, full = run.archive, run.optimum, ~kinds.low
    value, step = as_array(archive["value"]), as_array(archive["step"])
    winner = run.incumbent
    assert winner is not None  # a cell was trained fully
    digits = decimals(run.target, (value[winner], optimum))
    low, high = ranges.top_range(value[full], step[full], optimum, run.sign)
    end, beyond, pointer = ranges.worse_end((low, high), run.sign)
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
    if run.confirmed is not None:
        at = float(spent[run.confirmed[0]])
        star_confirmed(axes, run, at, f"{at:.0f} {unit_of(run)} spent")
    else:
        text = f"best found: {fixed(value[winner], digits)} ({spent[winner]:.0f} {unit_of(run)})"
        style.star(axes, spent[winner], value[winner], label=text, clip_on=False)
    axes.set_ylim(with_confirmed((low, high), run))


def _draw_brief(axes: Axes, run: RunData, kinds: Kinds, spent: Floats) -> None:
    value, step = as_array(run.archive["value"]), as_array(run.archive["step"])
    low, high = ranges.top_range(value[kinds.low], step[kinds.low], None, run.sign)
    end, beyond, pointer = ranges.worse_end((low, high), run.sign)
    chosen = np.zeros(len(value), dtype=bool)
    chosen[kinds.before[kinds.before >= 0]] = True
    below = kinds.low & (run.sign * value < run.sign * end)
    count = f"trained briefly, {beyond} the range ({below.sum()})"
    rings = {"facecolors": "white", "linewidths": 1.3}
    for place, epochs in enumerate(kinds.lower):
        rung, single = run.archive["epochs"].to_numpy() == epochs, len(kinds.lower) == 1
        text = "trained briefly" if single else f"after {epochs} {unit_of(run)}"
        plain = {"color": _LOWER[place % len(_LOWER)]}
        ringed = {**rings, "edgecolors": style.GREEN if single else plain["color"]}
        # One entry in the legend: their edges distinguish them as those of the dots do.
        layers: tuple[tuple[Mask, int, str, dict[str, Any], str], ...] = (
            (rung & ~chosen & ~below, 12, "o", plain, text),
            (rung & chosen & ~below, 26, "o", ringed, f"{text}, later promoted"),
            (rung & ~chosen & below, 20, pointer, plain, count),
            (rung & chosen & below, 26, pointer, ringed, count),
        )
        for mask, size, marker, look, label in layers:
            if label == count and mask.any():
                label, count = count, "_nolegend_"
            look = {**look, "marker": marker, "s": size, "alpha": 0.8, "label": label}
            style.marks(axes, mask, spent, np.where(below, end, value), **look)
    axes.set_ylim(low, high)


def low_against_full(run: RunData) -> Figure:
    """Draw shorter against longer training of what was promoted, a panel a rung, by order."""
    archive, title = run.archive, "Low against full fidelity"
    kinds, epochs = kinds_of(archive), archive["epochs"].to_numpy()
    raised = kinds.before >= 0
    if not raised.any():
        return style.empty_figure(title, "nothing was promoted from brief to full training")
    rungs = np.unique(epochs[raised]).tolist()
    figure = style.new_figure(6.6 if len(rungs) == 1 else 5.2 * len(rungs), 5.4)
    norm = style.order_norm(as_array(archive["order"])[raised] + 1)
    panels = figure.subplots(1, len(rungs), squeeze=False)[0]
    for axes, rung in zip(panels, rungs, strict=True):
        rows = raised & (epochs == rung)
        heading = title if len(rungs) == 1 else f"To {rung} {unit_of(run)}"
        _draw_promotions(axes, run, kinds, rows, norm)
        longer, shorter = (
            f"{run.value_label} after {rungs_text(archive, of, unit_of(run))}"
            for of in (rows, _rows(kinds.before[rows], len(archive)))
        )
        style.tidy(axes, heading, shorter, longer)
    if raised.sum() > 1:
        ticks, name = style.whole_ticks(8), "query of the full training"
        name = name if len(rungs) == 1 else "query of the longer training"
        style.colour_bar(figure, panels[-1], norm, name, ticks=ticks)
    return figure


def _rows(places: Integers, count: int) -> Mask:
    mask = np.zeros(count, dtype=bool)
    mask[places] = True
    return mask


def _draw_promotions(axes: Axes, run: RunData, kinds: Kinds, rows: Mask, norm: Any) -> None:
    """Draw rows of one rung against what their architectures had at the one below."""
    value = as_array(run.archive["value"])
    brief, full = value[kinds.before[rows]], value[rows]
    (left, right), (bottom, top) = ranges.shared_range(brief), ranges.shared_range(full)
    order = as_array(run.archive["order"])[rows] + 1
    look = {"c": order, "cmap": style.sequence_colours(), "norm": norm, "s": 30, "alpha": 0.85}
    x, y = np.clip(brief, left, right), np.clip(full, bottom, top)
    style.marks(axes, np.ones(len(x), dtype=bool), x, y, **look)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    outside = int(((x != brief) | (y != full)).sum())
    style.remark(axes, style.correlation_text(brief, full), outside)


def epochs_by_step(run: RunData) -> Figure:
    """Draw what each step spent its budget on, and the rank correlation it had to go by."""
    archive, unit = run.archive, unit_of(run)
    title = f"{_training(unit).capitalize()} by step"
    if archive.empty:
        return style.empty_figure(title, "no queries yet")
    kinds, cost = kinds_of(archive), as_array(archive["cost"])
    steps = np.arange(int(archive["step"].max()) + 1)
    figure = style.new_figure(8.0, 5.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    bottom = np.zeros(len(steps))
    for mask, colour, hatch, text in _spending(archive, kinds, unit):
        if mask.any():
            step = archive["step"].to_numpy()[mask]
            height = np.bincount(step, weights=cost[mask], minlength=len(steps))
            look = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0}
            label = f"{text}: {cost[mask].sum():.0f}"
            above.bar(steps, height, bottom=bottom, width=0.7, label=label, **look)
            bottom += height
    style.tidy(above, title, "", _training(unit))
    style.legend_beside(above)

    heading = "Brief against full training of those that had both"
    if len(kinds.lower) > 1:
        heading = "The last rung against the one below, of those that had both"
    style.tidy(below, heading, "step", "Spearman ρ")
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


def _spending(archive: pd.DataFrame, kinds: Kinds, unit: str) -> list[tuple[Mask, str, str, str]]:
    """Return rows, colour, hatching and name of what a budget was spent on."""
    epochs, found = archive["epochs"].to_numpy(), []
    for place, rung in enumerate(kinds.lower):
        text = "brief training" if len(kinds.lower) == 1 else f"{rung} {unit}"
        found.append((epochs == rung, _LOWER[place % len(_LOWER)], "", text))
    return [
        *found,
        (kinds.promoted, style.GREEN, "//", "promotions to full training"),
        (kinds.whole, style.BLUE, "", "full training at once"),
    ]


FIGURES: tuple[ReportFigure[RunData], ...] = (
    replace(BEST_SO_FAR, draw=best_by_epochs),
    ReportFigure(
        "fidelities",
        "Low against full fidelity",
        "What was trained briefly and then longer: the closer to one order, the better the "
        "brief training tells which are worth the longer one.",
        low_against_full,
    ),
    ReportFigure(
        "epochs_by_step",
        "What each step was spent on",
        "Above: what the budget was spent on. Below: how well brief training ranked those "
        "that were also trained fully, as far as the search could know (1 perfect, 0 chance).",
        epochs_by_step,
    ),
)
