"""The nodes that collect what a search did, and draw and write its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.report.choice_effects import choice_effects
from optiproxy_nas.report.logit_figures import with_logits
from optiproxy_nas.report.run_data import RunData, Traces
from optiproxy_nas.report.run_report import (
    RunFigures,
    asynchronous_figures,
    draw_figures,
    figures_of,
    html_page,
    markdown_page,
)
from optiproxy_nas.spaces import SearchSpace


def collect_diagnostics(*steps: dict[str, Any]) -> pd.DataFrame:
    """Return the diagnostics of all steps as one table, one row a step that was made."""
    made = {values["step"]: values for values in steps}
    return pd.DataFrame(list(made.values()), columns=None if made else ["step"])


def report_problem(
    summary: dict[str, Any],
    archive: pd.DataFrame,
    space: SearchSpace,
    diagnostics: pd.DataFrame,
    search: SearchParameters,
    trials: pd.DataFrame,
    *steps: Tensors,
) -> dict[str, Any]:
    """Return what :func:`report` does, the page with all trials."""
    return report(summary, archive, space, diagnostics, search, *steps, trials=trials)


def report(
    summary: dict[str, Any],
    archive: pd.DataFrame,
    space: SearchSpace,
    diagnostics: pd.DataFrame,
    search: SearchParameters,
    *steps: Tensors,
    trials: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Return the PNG pictures by name, and the page as "markdown" (linking them) and "page" (HTML).

    ``steps`` are the traces of steps 1..S, followed by their logits and the weights of the last
    proxy; those after the last step of the diagnostics were not made.
    """
    count, weights = len(steps) // 2, steps[-1] if steps else None
    drawn = zip(steps[:count], steps[count : 2 * count], strict=True)
    traces = {
        step: with_logits(space, trace, logits)
        for step, (trace, logits) in enumerate(drawn, 1)
        if step <= len(diagnostics)
    }
    figures = figures_of(search.objective, bool(search.prior))
    return _drawn(figures, summary, archive, space, diagnostics, search, traces, trials, weights)


def report_asynchronous(
    summary: dict[str, Any],
    archive: pd.DataFrame,
    space: SearchSpace,
    diagnostics: pd.DataFrame,
    search: SearchParameters,
    trials: pd.DataFrame,
    proxies: Mapping[str, Callable[[], Tensors]],
    logits: Mapping[str, Callable[[], Tensors]],
    traces: Mapping[str, Callable[[], Tensors]],
) -> dict[str, Any]:
    """Return what :func:`report` does of an asynchronous run, and when its workers were busy.

    ``proxies``, ``logits`` and ``traces`` read those of each refit, by the names of their steps.
    """
    weights = proxies[max(proxies)]() if proxies else None
    steps = {
        int(name.removeprefix("step_")): with_logits(space, read(), logits[name]())
        for name, read in traces.items()
    }
    figures = asynchronous_figures(search.objective, bool(search.prior))
    return _drawn(figures, summary, archive, space, diagnostics, search, steps, trials, weights)


def _drawn(
    figures: RunFigures,
    summary: dict[str, Any],
    archive: pd.DataFrame,
    space: SearchSpace,
    diagnostics: pd.DataFrame,
    search: SearchParameters,
    traces: Traces,
    trials: pd.DataFrame | None,
    weights: Tensors | None,
) -> dict[str, Any]:
    """Return the pictures by name, and the pages."""
    eligible = search.objective.order.eligible(archive)
    direction = search.objective.direction
    effects = None if weights is None else choice_effects(space, search, weights)
    run = RunData(
        summary, archive, space, diagnostics, traces, eligible, direction, trials, effects
    )
    pictures = draw_figures(run, figures)
    return {
        **{figure.id: picture for figure, picture in pictures.items()},
        "markdown": markdown_page(run, pictures),
        "page": html_page(run, pictures),
    }
