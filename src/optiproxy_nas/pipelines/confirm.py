"""The stage that confirms the best of a run on a problem, between its last step and the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from kedro.pipeline import Node

from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.evaluation import confirmation
from optiproxy_nas.evaluation.loop import say_confirmed
from optiproxy_nas.pipelines.run_evaluator import RunEvaluator
from optiproxy_nas.runs.manifest import CONFIRMATIONS, CONFIRMED


def confirm_nodes(
    archive: str, retrain: Callable[..., Any], join: Callable[..., Any]
) -> list[Node]:
    """Return the nodes of the stage.

    Args:
        archive: the dataset of D.
        retrain: :func:`retrain`, for the parameters as the pipeline gives them.
        join: :func:`join`, likewise.
    """
    inputs = [archive, "evaluate", "params:search"]
    joined = [archive, CONFIRMATIONS, "params:search"]
    return [
        Node(retrain, inputs, CONFIRMATIONS, name="retrain", namespace="confirm"),
        Node(join, joined, CONFIRMED, name="join", namespace="confirm"),
    ]


def retrain(
    archive: pd.DataFrame, evaluate: RunEvaluator, search: SearchParameters
) -> pd.DataFrame:
    """Train the best again; return one row a training."""
    return retrained(archive, evaluate, search)


def join(archive: pd.DataFrame, trainings: pd.DataFrame, search: SearchParameters) -> pd.DataFrame:
    """Return D and the trainings that confirm, told apart by the column ``repeat``."""
    return confirmation.joined(search.objective, archive, trainings)


def retrained(
    archive: pd.DataFrame, evaluator: RunEvaluator, parameters: RunParameters
) -> pd.DataFrame:
    """Train the best of any run again; return ``confirmation.tabulate`` of it."""
    objective, settings = parameters.objective, parameters.confirm
    assert settings is not None
    places = confirmation.candidates(objective, archive, settings.best)
    best = [evaluator.searched(str(name)).request for name in archive["architecture"].iloc[places]]
    trained = confirmation.retrain(
        objective,
        evaluator,
        confirmation.confirming(best, settings, parameters.seed),
        parameters.failures.retries,
    )
    table = confirmation.tabulate(objective, trained, evaluator.problem.target.name)
    say_confirmed(objective, archive, settings, table)
    return table
