"""Figures of α over the search epochs of a run, and of β after each step.

The traces are those of :class:`~optiproxy_nas.report.run_data.RunData`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from torch import Tensor

from optiproxy_nas.core.arrays import Floats, Tensors, as_array
from optiproxy_nas.report import style
from optiproxy_nas.report.encoding_figures import COLD, of_best_group
from optiproxy_nas.report.run_data import RunData, Traces
from optiproxy_nas.report.style import ReportFigure
from optiproxy_nas.spaces.base import Logits, SearchSpace
from optiproxy_nas.spaces.relaxation import largest_entropy

MAX_LINES = 40  # groups drawn one by one; more only make a solid block
MAX_LABELS = 20  # step numbers along the upper border
DRAWS = 2000  # of edges, over all groups: a standard error of about 0.01


def edge_probabilities(space: SearchSpace, alpha: Tensor, beta: Tensor) -> Floats:
    """Return the share of draws that take each entry of β, averaged over the groups: [E].

    It is σ(β) where edges are independent, and a softmax where they compete. Only the space knows
    which, so its own draws (Eq. 9, 10) are counted, before any that is invalid is turned away.
    The generator is fixed: equal logits give equal shares.

    Args:
        space: whose logits they are.
        alpha: [K, N, M].
        beta: [K, E].
    """
    repeats = -(-DRAWS // len(beta))
    many = Logits(alpha.repeat(repeats, 1, 1), beta.repeat(repeats, 1))
    with torch.no_grad():
        drawn = space.relax(many, COLD, torch.Generator().manual_seed(0), "logistic")
    shares: Floats = as_array(drawn.edges).mean(axis=0)
    return shares


def with_logits(space: SearchSpace, trace: Tensors, logits: Tensors) -> dict[str, Any]:
    """Return the trace of a step with its best group and, where the space has any, ``edges``.

    That of a step by evolution, which optimises no logits, has its edges and no group.
    """
    if "edges" in trace:
        return dict(trace)
    found = {**trace, **of_best_group(trace, logits)}
    if space.num_edges:
        found["edges"] = edge_probabilities(space, logits["alpha"], logits["beta"])
    return found


def entropy_trace(traces: Traces, allowed: Tensor) -> Figure:
    """Draw the entropy of softmax(α) over the search epochs, all steps one after another.

    Args:
        traces: of the run; steps without epochs are skipped.
        allowed: bool [N, M], the options of each node; a group that prefers nothing has the mean
            of the logarithms of their numbers.
    """
    title = "Entropy of α"
    blocks = step_blocks(traces, "entropy")
    if not blocks:
        return style.empty_figure(title, "no search epochs were recorded")
    figure = style.new_figure(8.0, 4.2)
    axes = figure.subplots()
    start = 0
    for entropy in blocks.values():
        entropy = entropy.reshape(len(entropy), -1)
        pick = style.evenly(entropy.shape[1], MAX_LINES)
        epoch = start + np.arange(len(entropy)) + 1
        # A line of one point is invisible: a marker shows it.
        marker = "o" if len(entropy) == 1 else ""
        axes.plot(
            epoch, entropy[:, pick], color=style.BLUE, alpha=0.3, linewidth=0.7, marker=marker, ms=3
        )
        mean = entropy.mean(axis=1)
        look: dict[str, Any] = {"color": style.INK, "linewidth": 2.0, "marker": marker, "ms": 5}
        axes.plot(epoch, mean, label="mean of the groups", **look)
        start += len(entropy)
    axes.plot([], [], color=style.BLUE, alpha=0.6, linewidth=0.9, label="one group")
    entropy_scale(axes, allowed)
    axes.set_xlim(0.5, start + 0.5)
    axes.xaxis.set_major_locator(style.whole_ticks(8))
    style.tidy(axes, title, "search epochs, all steps one after another", "entropy (nats)", 18)
    _mark_steps(axes, blocks)
    style.legend_below(figure)
    return figure


def entropy_scale(axes: Axes, allowed: Tensor) -> None:
    """Set an axis of entropies, with a line where no option is preferred."""
    uniform, counts = largest_entropy(allowed), set(allowed.sum(-1).tolist())
    if uniform > 0:
        limit = f"log({counts.pop()})" if len(counts) == 1 else f"{uniform:.2f}"
        style.level(axes, uniform, f"{limit}, no preference")
        axes.set_ylim(0, uniform * 1.08)


def logits_heatmap(
    traces: Traces,
    options: Sequence[Sequence[str]],
    node_labels: Sequence[str],
    steps: Literal["last", "all"] = "last",
) -> Figure:
    """Draw the mean softmax(α) over the search epochs: a panel a node, a row an option.

    Where the traces have edges, a last panel shows their probability after every step.

    Args:
        traces: of the run.
        options: the option names of each of the N nodes, "" for one that does not exist.
        node_labels: a title for each of the N nodes; missing ones are numbered.
        steps: the last step only, or all steps one after another.
    """
    title = "Mean softmax(α)"
    blocks = step_blocks(traces, "probability")
    if not blocks:
        return style.empty_figure(title, "no search epochs were recorded")
    if steps == "last":
        last = max(blocks)
        blocks = {last: blocks[last]}
        title += f", step {last}"
    probability = np.concatenate(list(blocks.values()))  # [epochs, N, M]
    epochs, nodes, _ = probability.shape
    names = [{row: name for row, name in enumerate(labels) if name} for labels in options]
    choices = max(map(len, names))
    shared = all(labels == names[0] for labels in names)
    columns = nodes if nodes <= 3 else 3 if nodes <= 6 else 4
    rows = math.ceil(nodes / columns)
    edges = step_blocks({step: t for step, t in traces.items() if "edges" in t}, "edges")
    above, below = 1.0 + rows * (0.6 + 0.24 * choices), _edge_height(edges)
    whole = style.new_figure(1.6 + 2.4 * columns, above + below)
    heights = (above, below) if edges else (above,)
    subfigures = whole.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    figure = subfigures[0]
    if edges:
        _edges(subfigures[1], edges)
    panels = figure.subplots(rows, columns, sharex=True, sharey=shared, squeeze=False)
    for node, axes in enumerate(panels.flat):
        if node >= nodes:
            axes.set_axis_off()
            continue
        shown = probability[:, node, list(names[node])].T
        picture = _picture(axes, shown, (0.5, epochs + 0.5, len(shown) - 0.5, -0.5))
        for boundary in np.arange(len(shown) - 1) + 0.5:
            axes.axhline(boundary, color="white", linewidth=1.0)
        label = node_labels[node] if node < len(node_labels) else f"node {node}"
        axes.set_title(label, fontsize=10, color=style.INK)
        axes.set_yticks(range(len(shown)), [style.shortened(name) for name in names[node].values()])
        axes.tick_params(labelsize=9)
        axes.xaxis.set_major_locator(style.whole_ticks(4))
        if node + columns >= nodes:  # the lowest panel of its column
            axes.tick_params(labelbottom=True)
        _mark_steps(axes, blocks, labels=False)
    figure.suptitle(title, fontsize=11, color=style.INK)
    sequence = " (all steps one after another)" if steps == "all" else ""
    figure.supxlabel(f"search epoch{sequence}", fontsize=10)
    style.colour_bar(figure, panels, picture, "probability", aspect=max(20, 10 * rows))
    return whole


def _picture(
    axes: Axes, probability: Floats, extent: tuple[float, float, float, float]
) -> AxesImage:
    look: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "cmap": "Blues"}
    return axes.imshow(probability, vmin=0, vmax=1, extent=extent, **look)


def _edge_height(edges: Mapping[int, Floats]) -> float:
    """Return the inches of the panel of edges; many rows are thin."""
    return 1.2 + min(0.13 * len(next(iter(edges.values()))), 5.0) if edges else 0.0


def _edges(figure: SubFigure, edges: Mapping[int, Floats]) -> None:
    """Draw the probability of each entry of β (rows) after each step (columns)."""
    probability = np.stack(list(edges.values()), axis=1)  # [E, steps]
    axes = figure.subplots()
    first, last = min(edges) - 0.5, max(edges) + 0.5
    picture = _picture(axes, probability, (first, last, len(probability) + 0.5, 0.5))
    axes.set_title("Mean probability of each searched edge (β)", fontsize=11, color=style.INK)
    axes.set_xlabel("after step", fontsize=10)
    axes.set_ylabel("entry of β", fontsize=10)
    axes.tick_params(labelsize=9)
    axes.xaxis.set_major_locator(style.whole_ticks(9))
    axes.yaxis.set_major_locator(style.whole_ticks(8))
    style.colour_bar(figure, axes, picture, "probability")


def step_blocks(traces: Traces, field: str) -> dict[int, Floats]:
    """Return the field of every step that has epochs, in step order."""
    arrays = {int(step): as_array(traces[step][field]) for step in sorted(traces)}
    return {step: values for step, values in arrays.items() if values.size}


def _mark_steps(axes: Axes, blocks: Mapping[int, Floats], labels: bool = True) -> None:
    """Draw lines between steps, and each step's number (or every k-th) above its middle."""
    start, every = 0, math.ceil(len(blocks) / MAX_LABELS)
    few = len(blocks) <= 8
    look: dict[str, Any] = {"va": "bottom", "fontsize": 8, "color": style.FAINT}
    if labels and not few:
        axes.text(-0.01, 1.0, "step", transform=axes.transAxes, ha="right", **look)
    for index, (step, values) in enumerate(blocks.items()):
        if index:
            axes.axvline(start + 0.5, color=style.FAINT, linewidth=0.7, zorder=1)
        if labels and index % every == 0:
            axes.text(
                start + 0.5 + len(values) / 2,
                1.0,
                f"step {step}" if few else str(step),
                transform=axes.get_xaxis_transform(),
                ha="center",
                **look,
            )
        start += len(values)


ENTROPY: ReportFigure[RunData] = ReportFigure(
    "entropy",
    "Entropy of α",
    "How undecided the groups are: the dashed line is no preference at all, 0 is one architecture, "
    "and lines that stay high after many epochs mean that the proxy's gradient gave no direction.",
    lambda run: entropy_trace(run.traces, run.space.allowed),
)
LOGITS: ReportFigure[RunData] = ReportFigure(
    "logits",
    "Mean softmax(α)",
    "The darker a row, the more the groups agree on that option, or operation of a node; a panel "
    "that stays pale all over is a choice that they left open or disagree on.",
    lambda run: logits_heatmap(run.traces, run.space.option_labels, run.space.node_labels),
    lambda run: (
        "The panel at the bottom shows the probability of each searched edge after every step, in "
        "the order of β."
        if run.space.num_edges
        else ""
    ),
)
