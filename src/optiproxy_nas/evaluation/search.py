"""One search by any method: OptiProxy-NAS or a registered baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.evaluation.loop import run_method
from optiproxy_nas.evaluation.smbo import SearchResult, run_search
from optiproxy_nas.methods import build_method
from optiproxy_nas.methods.settings import BaselineParameters
from optiproxy_nas.objectives.base import Evaluate
from optiproxy_nas.spaces.base import SearchSpace


def search_by_method(
    space: SearchSpace,
    evaluate: Evaluate,
    parameters: RunParameters,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> SearchResult:
    """Search until the budget is spent.

    Args:
        space: the search space.
        evaluate: what the objective asks for; of the plain one, architecture strings [n] ->
            values [n], higher is better.
        parameters: of :func:`optiproxy_nas.methods.settings.resolve_method`.
        on_step: called with ``{"queries", "best"}`` (and more, by OptiProxy-NAS) as they grow.

    Raises:
        EvaluationError: ``evaluate`` failed; the archive so far is in ``data["archive"]``, the
            answers after it in ``data["answers"]``.
        OptiProxyError: see :mod:`optiproxy_nas.core.errors`.
    """
    if isinstance(parameters, SearchParameters):
        return run_search(space, evaluate, parameters, on_step)
    assert isinstance(parameters, BaselineParameters)
    method = build_method(
        parameters.method, space, parameters.settings, parameters.budget, parameters.seed
    )

    price = parameters.objective.price

    def on_query(query: dict[str, Any]) -> None:
        if on_step is not None:
            on_step({**query, "queries": query["query"], "spent": price * query["query"]})

    archive, trials = run_method(
        space, evaluate, method, parameters.budget, on_query, parameters.objective
    )
    return SearchResult(parameters, archive, trials, diagnostics=pd.DataFrame({"step": []}))
