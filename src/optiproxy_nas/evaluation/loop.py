"""The loop of every search: ask for trials, evaluate them, and tell what they gave."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import OptiProxyError
from optiproxy_nas.core.run_settings import ConfirmSettings
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.confirmation import (
    candidates,
    confirming,
    retrain,
    tabulate,
    trainings_of,
)
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.function_evaluator import Evaluate, as_evaluator
from optiproxy_nas.evaluation.incumbent import Confirmation, cautions_of
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.methods import METHODS, Method
from optiproxy_nas.objectives import Objective, resolve_objective
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
# Called after each trial that is over; ``search.stop(reason)`` ends the search.
Callback = Callable[[AskTell, Trial], Any]


def open_search(
    space: SearchSpace, parameters: RunParameters, prior: Tensors | None = None
) -> AskTell:
    """Return the search that parameters describe, ready to be asked; ``prior``: earlier runs."""
    method: Method = METHODS.load(parameters.method).build(space, parameters)
    if prior is not None:
        method.take_prior(prior)
    search = AskTell(
        space,
        parameters.objective,
        method,
        parameters.search_budget,
        parameters.seed,
        parameters.failures,
        parameters.stopping,
    )
    search.kept_back = parameters.kept_back
    return search


def run_search(
    space: SearchSpace,
    evaluate: Evaluate,
    parameters: RunParameters,
    callbacks: Iterable[Callback] = (),
) -> SearchRecord:
    """Search by the method that the parameters name, until it, a callback or the budget ends it.

    Args:
        space: the search space.
        evaluate: what the objective asks for (:mod:`optiproxy_nas.evaluation.function_evaluator`).
        parameters: of :func:`optiproxy_nas.methods.resolve_method`.
        callbacks: called after each trial.

    Raises:
        OptiProxyError: as of :func:`drive`.
    """
    search = open_search(space, parameters)
    drive(search, evaluate, callbacks)
    confirm_best(search, evaluate, parameters)
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


def confirm_best(
    search: AskTell,
    evaluate: Evaluate,
    parameters: RunParameters,
    on_ended: Callable[[Request, Outcome], Any] | None = None,
) -> None:
    """Train the best of a search that is over again, where its parameters say so.

    ``search.confirmations`` has these trainings then, also those before an error or Ctrl-C.

    Args:
        search: that is over.
        evaluate: as of :func:`drive`.
        parameters: of the search.
        on_ended: called with each training that is over.

    Raises:
        OptiProxyError: as of the evaluator.
    """
    if (settings := parameters.confirm) is None:
        return
    objective, archive = search.objective, search.archive()
    by_row = {trial.order: trial for trial in search.trials}
    best = [by_row[row] for row in candidates(objective, archive, settings.best)]
    requests = confirming([search.trained(it) for it in best], settings, parameters.seed)
    before = trainings_of(search.confirmations, objective.full_fidelity)
    over = {(request.architecture, request.repeat): (request, it) for request, it in before}
    missing = [it for it in requests if (it.architecture, it.repeat) not in over]
    evaluator = as_evaluator(evaluate, search.space)
    try:
        for request, outcome in retrain(objective, evaluator, missing, parameters.failures.retries):
            over[request.architecture, request.repeat] = request, outcome
            if on_ended is not None:
                on_ended(request, outcome)
    finally:
        search.confirmations = tabulate(objective, over.values(), search.target_name)
    say_confirmed(objective, archive, settings, search.confirmations)


def say_confirmed(
    objective: Objective, archive: pd.DataFrame, settings: ConfirmSettings, trained: pd.DataFrame
) -> None:
    """Warn of what has to be known of a confirmation: failed trainings, fewer than asked for."""
    confirmation = Confirmation.of(objective, archive, settings, trained)
    if confirmation is None:
        _log.warning("The search found nothing that can be the answer, so nothing is confirmed.")
        return
    for sentence in cautions_of(confirmation, settings):
        _log.warning(sentence)


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
