"""The figure of what the choices of the space matter, by the last proxy of the run."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from optiproxy_nas.report import style
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.report.style import ReportFigure

SHOWN = 15  # choices, at most
RANGE = (0.05, 0.95)  # quantiles over the draws, of the bars of uncertainty
TITLE = "How much each choice matters"


def importance(run: RunData) -> Figure:
    """Draw the effect of each choice with its uncertainty, the largest first."""
    effects = run.effects
    if effects is None or not effects.choices:
        return style.empty_figure(TITLE, "no proxy was fitted")
    mean = effects.shares.mean(0)
    order = np.argsort(-mean, kind="stable")[:SHOWN]
    low, high = np.quantile(effects.shares, RANGE, axis=0)
    figure = style.new_figure(8.0, 1.3 + 0.34 * len(order))
    axes = figure.subplots()
    place, width = np.arange(len(order)), 100 * mean[order]
    errors = 100 * np.stack([np.maximum(mean - low, 0), np.maximum(high - mean, 0)])[:, order]
    look: dict[str, Any] = {"color": style.BLUE, "alpha": 0.75, "height": 0.66}
    axes.barh(place, width, xerr=errors, error_kw={"ecolor": style.INK, "elinewidth": 1.2}, **look)
    names = [style.shortened(effects.choices[i]) for i in order]
    axes.set_yticks(place, names)
    for row, i in enumerate(order):
        end = width[row] + errors[1, row] + 0.01 * (width + errors[1]).max()
        text = f"best: {style.shortened(effects.best[i])}"
        axes.text(end, row, text, va="center", fontsize=8, color=style.INK)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(0, max(1.25 * float((width + errors[1]).max()), 1.0))
    style.tidy(axes, TITLE, "share of the variance of the predicted value (%)")
    return figure


def _remarks(run: RunData) -> str:
    effects = run.effects
    if effects is None or not effects.choices:
        return ""
    rest = max(0.0, 1 - float(effects.shares.mean(0).sum()))
    text = f"The remaining {rest:.0%} are interactions: what a choice does depends on others."
    if (more := len(effects.choices) - SHOWN) > 0:
        text = f"{more} further choices matter less. {text}"
    return text


IMPORTANCE: ReportFigure[RunData] = ReportFigure(
    "importance",
    TITLE,
    "How much of what the last proxy predicts, over random architectures, each choice decides by "
    "itself, and which option is best on average; strokes reach from the 5 % to the 95 % quantile "
    "of the proxy's draws. It is the proxy's opinion, on the scale on which it was fitted: it "
    "knows best what the search looked at.",
    importance,
    _remarks,
)
