"""All figures of one run under the titles that the pages have captions for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from optiproxy_nas.report import captions, figures
from optiproxy_nas.report.cell import draw_cell
from optiproxy_nas.report.summary import Summary, known, target_label
from optiproxy_nas.report.traces import Traces
from optiproxy_nas.spaces.base import SearchSpace


def run_figures(
    archive: pd.DataFrame,
    traces: Traces,
    diagnostics: pd.DataFrame,
    summary: Summary,
    space: SearchSpace,
    node_labels: Sequence[str] = (),
    extra: Mapping[str, Figure] | None = None,
) -> dict[str, Figure]:
    """Title -> figure, in reading order.

    Args:
        archive: one row per query.
        traces: step -> what the search recorded over its epochs.
        diagnostics: one row per step.
        summary: the run's facts; ``best_architecture`` and ``optimum`` are used where known.
        space: the search space of the run.
        node_labels: names of the N searched nodes; missing ones are numbered.
        extra: the objective's own figures by title: they come right after the first, and one with
            the title of a figure here takes its place.
    """
    own = dict(extra or {})
    optimum = float(summary["optimum"]) if known(summary.get("optimum")) else None
    metric = target_label(summary)
    usual: dict[str, Callable[[], Figure]] = {
        captions.BEST_SO_FAR: partial(figures.best_so_far, archive, optimum, metric)
    }
    if summary.get("best_architecture"):
        best = str(summary["best_architecture"])
        usual[captions.CELL] = partial(draw_cell, space, best, node_labels=node_labels)
    usual |= {
        captions.PREDICTED: partial(figures.predicted_against_true, archive, metric),
        captions.DIAGNOSTICS: partial(figures.step_diagnostics, diagnostics),
        captions.ENTROPY: partial(figures.entropy_trace, traces, len(space.operations)),
        captions.LOGITS: partial(figures.logits_heatmap, traces, space.operations, node_labels),
    }
    first, *others = usual
    added = [title for title in own if title not in usual]
    return {
        title: own[title] if title in own else usual[title]() for title in (first, *added, *others)
    }
