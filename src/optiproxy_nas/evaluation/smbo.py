"""Algorithm 2: the OptiProxy-NAS loop as one plain function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.archive import empty_archive
from optiproxy_nas.algorithm.budget import number_of_steps
from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.algorithm.steps import Tensors
from optiproxy_nas.evaluation.answers import keeping_answers
from optiproxy_nas.objectives.base import Evaluate
from optiproxy_nas.spaces.base import SearchSpace


@dataclass(frozen=True)
class SearchResult:
    """What a search found, and everything it did; ``print`` tells the answer."""

    parameters: RunParameters
    archive: pd.DataFrame  # D, one row a query
    trials: pd.DataFrame  # one row a proposal: trial, its row of D, whether it was charged
    diagnostics: pd.DataFrame  # one row a step
    # Of OptiProxy-NAS only:
    traces: dict[int, Tensors] = field(default_factory=dict)  # step -> trace of the search epochs
    weights: Tensors = field(default_factory=dict)  # θ* of the last step
    logits: Tensors = field(default_factory=dict)  # (α*, β*) of the last step
    # Of a benchmark's search:
    target: str = "value"  # the metric that was maximised
    caution: str = ""  # what has to be told wherever its values are shown

    def __str__(self) -> str:
        """The answer, what it is worth and what has to be known of that, in a line each."""
        value = f"{self.target} {self.best_value:.6g} after {len(self.archive)} queries"
        found = value if self.is_eligible else f"{value}, which is no answer: see is_eligible"
        return "\n".join(filter(None, [self.best_architecture, found, self.caution]))

    @property
    def best_architecture(self) -> str:
        """𝒜*: the best architecture queried (the first, of equals)."""
        return str(self.archive["architecture"].iloc[self._incumbent])

    @property
    def best_value(self) -> float:
        """f(𝒜*): its value of ``target``, higher is better, in that metric's unit."""
        return float(self.archive["value"].iloc[self._incumbent])

    @property
    def is_eligible(self) -> bool:
        """Whether it is an answer: false where no feasible architecture was found."""
        return bool(self.parameters.objective.eligible(self.archive)[self._incumbent])

    @property
    def _incumbent(self) -> int:
        return self.parameters.objective.incumbent(self.archive)


def run_search(
    space: SearchSpace,
    evaluate: Evaluate,
    parameters: SearchParameters,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> SearchResult:
    """Fit, search, sample, select, evaluate and update until the budget is spent.

    Args:
        space: the search space.
        evaluate: what the objective asks for; of the plain one, architecture strings [n] ->
            values [n], higher is better. Asked once for each query, within the budget.
        parameters: of :func:`optiproxy_nas.presets.resolve`.
        on_step: called with the diagnostics of each finished step.

    Raises:
        EvaluationError: ``evaluate`` failed; the archive so far is in ``data["archive"]``, the
            answers of the failing step, as far as there are any, in ``data["answers"]``.
        OptiProxyError: see :mod:`optiproxy_nas.core.errors`.
    """
    objective = parameters.objective
    first = steps.initial_batch(space, parameters)
    with keeping_answers(evaluate, first, empty_archive(space, objective)) as ask:
        evaluations = steps.evaluate_batch(space, first, ask, parameters)
    archive = steps.update_archive(evaluations, parameters)
    weights: Tensors | None = None
    logits: Tensors | None = None
    diagnostics, traces = [], {}
    for step in range(1, number_of_steps(parameters) + 1):
        weights, fit = steps.fit_proxy(space, archive, parameters, weights, step=step)
        logits, trace = steps.search_logits(space, weights, archive, parameters, logits, step=step)
        candidates = steps.sample_candidates(space, logits, archive, parameters, step=step)
        batch = steps.select_batch(space, candidates, weights, archive, parameters, step=step)
        with keeping_answers(evaluate, batch, archive) as ask:
            evaluations = steps.evaluate_batch(space, batch, ask, parameters, archive)
        archive = steps.update_archive(evaluations, parameters, archive)
        traces[step] = trace
        diagnostics.append(steps.diagnose(evaluations, archive, candidates, trace, fit, parameters))
        if on_step is not None:
            on_step(diagnostics[-1])
    # It never proposes what it has queried: every proposal is a query.
    order = np.arange(len(archive))
    trials = pd.DataFrame({"trial": order, "order": order, "charged": True})
    return SearchResult(
        parameters, archive, trials, pd.DataFrame(diagnostics), traces, weights or {}, logits or {}
    )
