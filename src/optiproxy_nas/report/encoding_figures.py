"""The matrices of one group of (α, β): what it says, a relaxed and a discrete sample of it.

These are the drawings of appendix A.8 (Fig. 5 to 12), of a run in the place of an example.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from optiproxy_nas.core.arrays import Floats, Tensors, as_array
from optiproxy_nas.report import style
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.report.style import ReportFigure
from optiproxy_nas.spaces.base import Encoding, Logits, SearchSpace
from optiproxy_nas.spaces.relaxation import operation_probabilities

DRAWS = 500  # relaxed samples that the shares of edges are counted in
COLD = 1e-3  # a temperature at which a relaxed draw is as good as discrete
NUMBERED = 9  # rows or columns of a matrix, at most, whose entries are written into it
CELL = 0.19  # inches of an entry of a larger matrix
TITLE = "From (α, β) to matrices"


class Matrices(NamedTuple):
    """The matrices of one column: operations [N, M] and, of a graph, its adjacency [V, V].

    The row of a vertex that is not in the graph is 0.
    """

    operations: Floats
    adjacency: Floats | None


def of_best_group(trace: Tensors, logits: Tensors) -> dict[str, Any]:
    """Return α [N, M] and β [E] of the group with the highest score, and τ of the last epoch."""
    group = int(trace["score"][-1].argmax())
    found = {name: logits[name][group] for name in ("alpha", "beta")}
    return {"group": group, "tau": float(trace["temperature"][-1]), **found}


def matrices(space: SearchSpace, alpha: Tensor, beta: Tensor, tau: float) -> dict[str, Matrices]:
    """Return the columns of the figure by their titles: probabilities, ŝ (Eq. 9, 10) and s.

    The probability of an edge is its share of many draws, since only the space knows which edges
    compete and which vertices count. The generator is fixed: equal logits give equal matrices.

    Args:
        space: whose logits they are.
        alpha: [N, M].
        beta: [E].
        tau: temperature of ŝ.
    """
    generator = torch.Generator().manual_seed(0)
    one = Logits(alpha.unsqueeze(0), beta.unsqueeze(0))
    many = Logits(*(field.repeat_interleave(DRAWS, dim=0) for field in one))
    with torch.no_grad():
        drawn = _of(space, space.relax(many, COLD, generator, "logistic"))
        likely = as_array(operation_probabilities(alpha, space.allowed))
        relaxed = _of(space, space.relax(one, tau, generator, "logistic"))
        discrete = _of(space, space.encode(space.sample(one, 1, generator).codes))
    return {
        "probability by (α, β)": drawn._replace(operations=likely),
        f"relaxed sample ŝ, τ = {tau:.2g}": relaxed,
        "discrete sample s": discrete,
    }


def _of(space: SearchSpace, encoding: Encoding) -> Matrices:
    """Return the mean matrices of n encodings."""
    operations = encoding.operations
    if not space.num_vertices:
        return Matrices(as_array(operations.mean(0)), None)
    graph = space.graph(encoding)
    searched = [vertex for vertex, label in enumerate(space.vertex_labels) if not label]
    if len(searched) == space.num_nodes:
        operations = operations * graph.mask[:, searched].unsqueeze(-1)
    return Matrices(as_array(operations.mean(0)), as_array(graph.adjacency.mean(0)))


def encoding_figure(run: RunData) -> Figure:
    """Draw adjacency (above) and operations (below) of the last step's best group."""
    steps = [step for step, trace in run.traces.items() if "alpha" in trace]
    if not steps:
        return style.empty_figure(TITLE, "no (α, β) were optimised")
    step, space = max(steps), run.space
    trace = run.traces[step]
    columns = matrices(space, trace["alpha"], trace["beta"], trace["tau"])
    title = f"{TITLE}: step {step}, group {trace['group'] + 1}, which scores best"
    nodes, options = space.num_nodes, len(space.operations)
    vertices = space.num_vertices
    heights = [_inches(vertices)] * bool(vertices) + [_inches(nodes)]
    width = max(_inches(vertices), _inches(options), 2.2)
    figure = style.new_figure(3 * width + 2.2, sum(heights) + 1.5 + 0.6 * len(heights))
    rows = figure.subplots(len(heights), 3, squeeze=False, height_ratios=heights)
    searched = iter(space.node_labels)
    names = [label.rpartition(": ")[2] or next(searched) for label in space.vertex_labels]
    shared = len(set(space.option_labels)) == 1
    captions = space.option_labels[0] if shared else [f"option {i + 1}" for i in range(options)]
    for column, (heading, shown) in enumerate(columns.items()):
        if shown.adjacency is not None:
            first = _matrix(rows[0, column], shown.adjacency)
            _ticks(rows[0, column], names, names, with_rows=not column)
        picture = _matrix(rows[-1, column], shown.operations)
        _ticks(rows[-1, column], space.node_labels, captions, with_rows=not column)
        rows[0, column].set_title(heading, fontsize=10, color=style.INK)
    if vertices:
        rows[0, 0].set_ylabel("edge from (row) to (column)", fontsize=9)
    rows[-1, 0].set_ylabel("operation" if shared else "choice", fontsize=9)
    figure.suptitle(title, fontsize=11, color=style.INK)
    style.colour_bar(figure, rows, first if vertices else picture, "entry")
    return figure


def _inches(size: int) -> float:
    return max(size * (0.36 if size <= NUMBERED else CELL), 1.2)


def _matrix(axes: Axes, matrix: Floats) -> AxesImage:
    """Draw a matrix of entries in [0, 1], small ones with their numbers."""
    look: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": 1, "aspect": "auto"}
    picture = axes.imshow(matrix, interpolation="nearest", **look)
    for axis, size in ((axes.xaxis, matrix.shape[1]), (axes.yaxis, matrix.shape[0])):
        axis.set_ticks(np.arange(size - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    if max(matrix.shape) <= NUMBERED:
        for (row, column), value in np.ndenumerate(matrix):
            if value >= 0.005:
                text = f"{value:.2f}".lstrip("0") if value < 0.995 else "1"
                colour = "white" if value > 0.6 else style.INK
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    return picture


def _ticks(axes: Axes, rows: Sequence[str], columns: Sequence[str], with_rows: bool) -> None:
    axes.set_xticks(range(len(columns)), map(style.shortened, columns), rotation=90)
    axes.set_yticks(range(len(rows)), map(style.shortened, rows) if with_rows else [])
    axes.tick_params(labelsize=7)


ENCODING: ReportFigure[RunData] = ReportFigure(
    "encoding",
    TITLE,
    "One group of (α, β) as matrices: how likely it makes each option, a relaxed sample as the "
    "proxy sees it while the group is optimised, and a discrete one that could be queried. The "
    "nearer the middle is to 0 and 1, the less the proxy is led outside what it was fitted on.",
    encoding_figure,
    lambda run: "Edges of the graph are above, operations below." if run.space.num_vertices else "",
)
