"""The loop of every search: ask for trials, evaluate them, and tell what they gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.errors import OptiProxyError
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.evaluator import Evaluate, as_evaluator
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.methods import METHODS, Method
from optiproxy_nas.objectives import Objective, resolve_objective
from optiproxy_nas.spaces.base import SearchSpace

# Called after each trial that is over; ``search.stop(reason)`` ends the search.
Callback = Callable[[AskTell, Trial], Any]


def open_search(space: SearchSpace, parameters: RunParameters) -> AskTell:
    """Return the search that parameters describe, ready to be asked."""
    method: Method = METHODS.load(parameters.method).build(space, parameters)
    return AskTell(
        space,
        parameters.objective,
        method,
        parameters.budget,
        parameters.seed,
        parameters.failures,
    )


def run_search(
    space: SearchSpace,
    evaluate: Evaluate,
    parameters: RunParameters,
    callbacks: Iterable[Callback] = (),
) -> SearchRecord:
    """Search by the method that the parameters name, until it, a callback or the budget ends it.

    Args:
        space: the search space.
        evaluate: what the objective asks for (:mod:`optiproxy_nas.evaluation.evaluator`).
        parameters: of :func:`optiproxy_nas.methods.resolve_method`.
        callbacks: called after each trial.

    Raises:
        OptiProxyError: as of :func:`drive`.
    """
    search = open_search(space, parameters)
    drive(search, evaluate, callbacks)
    return SearchRecord.of(search, parameters)


def run_method(
    space: SearchSpace,
    evaluate: Evaluate,
    method: Method,
    budget: int,
    callbacks: Iterable[Callback] = (),
    objective: Objective | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Search by a method that is ready to be asked: return the archive and the proposals.

    Args:
        space: the search space.
        evaluate: as of :func:`run_search`.
        method: ready to be asked.
        budget: in all, in the objective's unit.
        callbacks: called after each trial.
        objective: default: the highest value.

    Raises:
        BudgetError: the space has fewer architectures than the budget; nothing was queried.
        OptiProxyError: as of :func:`drive`.
    """
    search = AskTell(space, objective or resolve_objective("accuracy"), method, budget)
    drive(search, evaluate, callbacks)
    return search.archive(), search.proposals()


def drive(search: AskTell, evaluate: Evaluate, callbacks: Iterable[Callback] = ()) -> None:
    """Evaluate what a search asks for, until there is nothing more.

    Trials that are running when it begins are not evaluated.

    Raises:
        EvaluationError: an answer cannot be used, or a batched evaluation raised.
        FailedTrialsError: too many trials failed.
        OptiProxyError: as of :meth:`AskTell.ask`. All of them have ``data["archive"]`` and
            ``data["trials"]``.
    """
    callbacks, evaluator = tuple(callbacks), as_evaluator(evaluate, search.space)
    try:
        while trials := search.ask():
            requests = [search.request(trial) for trial in trials]
            found = evaluator.outcomes(search.objective, requests)
            for trial, outcome in zip(trials, found, strict=True):
                if outcome is None:
                    continue
                over = search.take(trial, outcome)
                if over.state == "waiting":  # it is tried again
                    continue
                for callback in callbacks:
                    callback(search, over)
                search.check_failures()
                if search.stopped and not evaluator.at_once:
                    return
    except OptiProxyError as error:
        search.keep_trials(error)
        raise
