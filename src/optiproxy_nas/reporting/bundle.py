"""All figures of one run under the titles that the pages have captions for."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from optiproxy_nas.reporting import captions, figures
from optiproxy_nas.reporting.cell import draw_cell
from optiproxy_nas.reporting.summary import Summary, known
from optiproxy_nas.reporting.traces import Traces
from optiproxy_nas.spaces.base import SearchSpace


def run_figures(
    archive: pd.DataFrame,
    traces: Traces,
    diagnostics: pd.DataFrame,
    summary: Summary,
    space: SearchSpace,
    node_labels: Sequence[str] = (),
) -> dict[str, Figure]:
    """Title -> figure, in reading order.

    Args:
        archive: one row per query.
        traces: step -> what the search recorded over its epochs.
        diagnostics: one row per step.
        summary: the run's facts; ``best_architecture`` and ``optimum`` are used where known.
        space: the search space of the run.
        node_labels: names of the N searched nodes; missing ones are numbered.
    """
    optimum = float(summary["optimum"]) if known(summary.get("optimum")) else None
    made = {captions.BEST_SO_FAR: figures.best_so_far(archive, optimum)}
    if summary.get("best_architecture"):
        best = str(summary["best_architecture"])
        made[captions.CELL] = draw_cell(space, best, node_labels=node_labels)
    made[captions.PREDICTED] = figures.predicted_against_true(archive)
    made[captions.DIAGNOSTICS] = figures.step_diagnostics(diagnostics)
    made[captions.ENTROPY] = figures.entropy_trace(traces, len(space.operations))
    made[captions.LOGITS] = figures.logits_heatmap(traces, space.operations, node_labels)
    return made
