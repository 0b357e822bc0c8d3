"""Earlier runs that guide a run: read once into its folder, fitted, and accounted for.

``prior=`` names them: run ids, ``experiment:NAME``, ``sweep:NAME``, ``filter:CONDITION`` (as of
``compare``), files, and scores without a training. They are read before the first node, into
``prior.trials``, which a run that goes on or is audited reads in their place.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import CatalogProtocol
from kedro.pipeline import Node

from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.bounded_files import read_parquet
from optiproxy_nas.core.errors import OptiProxyError, ParameterError, project_error
from optiproxy_nas.evaluation.finished_run import FinishedRun, FoundRuns
from optiproxy_nas.evaluation.prior_sources import (
    EarlierRun,
    dataset_of,
    facts_of_parameters,
    is_score,
    named_score,
    of_finished,
    read_file,
)
from optiproxy_nas.evaluation.prior_table import MOST, fitted_prior, prior_facts, prior_table
from optiproxy_nas.pipelines.project_pipeline import node_in
from optiproxy_nas.runs.datasets.mlflow_runs import MlflowRuns
from optiproxy_nas.runs.manifest import AUDITED_PRIOR, PRIOR, read_manifest, reporting_folder
from optiproxy_nas.runs.stored_archives import stored_trials
from optiproxy_nas.spaces import get_space

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error

TRIALS, MEANS, FACTS = PRIOR, "prior.means", "report.prior"
SELECTORS = ("experiment", "sweep", "filter")


def prior_nodes(fit: Callable[..., Any], diagnostics: str) -> list[Node]:
    """Return the node that fits the earlier runs, and that which accounts for them.

    Args:
        fit: :func:`fit_prior`, for the parameters as the pipeline gives them.
        diagnostics: the dataset of the steps' diagnostics.
    """
    return [
        node_in("prior", "fit", fit, [TRIALS, "params:search"], MEANS),
        node_in("report", "describe_prior", describe_prior, [TRIALS, diagnostics], FACTS),
    ]


def fit_prior(trials: pd.DataFrame, search: SearchParameters) -> Tensors:
    """Return the tensors of the earlier runs."""
    space = get_space(search.space)
    return fitted_prior(space, trials, search.objective, search.fit.targets)


def describe_prior(trials: pd.DataFrame, diagnostics: pd.DataFrame) -> dict[str, Any]:
    """Return which earlier runs there were, with how many trials, and how they were trusted."""
    runs = prior_facts(trials)
    for number, run in enumerate(runs, 1):
        run["trust"] = _last(diagnostics, f"prior_trust_{number}")
    return {
        "runs": runs,
        "trials": sum(run["trials"] for run in runs if run["kind"] == "run"),
        "trust": _last(diagnostics, "prior_trust"),
    }


def _last(table: pd.DataFrame, column: str) -> float | None:
    """Return the last number of a column, None where there is none."""
    found = table[column].dropna() if column in table else pd.Series(dtype=float)
    return float(found.iloc[-1]) if len(found) else None


def guided_by_prior(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a step of the search whose first input are the tensors of earlier runs."""

    def guided(prior: Tensors, *inputs: Any) -> Any:
        return step(*inputs, prior=prior)

    return _named_like(step, guided)


def guided_summary(summarise: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that adds to a summary what its first input says of earlier runs."""

    def guided(prior: Mapping[str, Any], *inputs: Any) -> Any:
        facts = {
            "earlier_runs": prior["runs"],
            "earlier_trials": prior["trials"],
            "prior_trust": prior["trust"],
        }
        found = summarise(*inputs)
        if isinstance(found, tuple):
            return ({**found[0], **facts}, *found[1:])
        return {**found, **facts}

    return _named_like(summarise, guided)


def _named_like(function: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    named = update_wrapper(other, function)
    del named.__wrapped__  # its signature is another
    named.__annotations__ = {}  # so are its types, which Kedro would check
    return named


def read_prior(
    project: Path,
    parameters: RunParameters,
    run: Mapping[str, Any],
    target: str,
    catalog: CatalogProtocol[Any, Any],
) -> pd.DataFrame | None:
    """Return the trials of a run's earlier runs; of a run that goes on, those that it has.

    Args:
        project: the project's folder.
        parameters: of the run.
        run: parameters of the run itself.
        target: the metric that is searched for.
        catalog: of the run.

    Returns:
        The prior's trials; None where no prior is given.

    Raises:
        OptiProxyError: one cannot be read, or cannot guide this search.
    """
    if not isinstance(parameters, SearchParameters) or not parameters.prior:
        return None
    if run["replay"] and (copied := project / AUDITED_PRIOR).exists():
        return read_parquet(copied)
    if catalog.exists(TRIALS):
        found: pd.DataFrame = catalog.load(TRIALS)
        return found
    return earlier_trials(project, parameters, str(run["run_id"]), target)


def earlier_trials(
    project: Path, parameters: SearchParameters, run_id: str, target: str
) -> pd.DataFrame:
    """Return the trials of the earlier runs that the parameters of a run name, read now.

    Raises:
        OptiProxyError: one cannot be read, or cannot guide this search.
    """
    runs = []
    for name in parameters.prior:
        runs += _named(project, name, run_id, parameters)
    dataset = dataset_of(parameters.model_dump(mode="json"))
    space = get_space(parameters.space)
    return prior_table(runs, space, parameters.objective, target, dataset)


def with_run_ids(project: Path, names: Sequence[str]) -> list[str]:
    """Return the names of ``prior=``, ids of the runs that they find now in the place of selectors.

    Raises:
        OptiProxyError: a selector finds none.
    """
    ids: list[str] = []
    for name in names:
        if _is_selector(name):
            found = _selected(project, name)
            ids += [it.run_id if _is_kept(project, it.run_id) else it.reference for it in found]
        else:
            ids.append(name)
    return list(dict.fromkeys(ids))


def _is_selector(name: str) -> bool:
    selector, _, value = name.partition(":")
    return selector in SELECTORS and bool(value)


def _is_kept(project: Path, run_id: str) -> bool:
    """Return whether the project has the folder of a run."""
    return (reporting_folder(project) / run_id / "manifest.json").exists()


def _named(project: Path, name: str, run_id: str, parameters: SearchParameters) -> list[EarlierRun]:
    """Return the earlier runs of one name of ``prior=``."""
    if _is_selector(name):
        return [of_finished(run) for run in _selected(project, name) if run.run_id != run_id]
    if is_score(name):
        return [named_score(name, get_space(parameters.space), parameters.seed)]
    if name == run_id:
        raise ParameterError(f"prior = {name}: a run cannot learn from itself.", name=name)
    path = project / name
    if (path.exists() and path.is_file()) or "/" in name:
        return [read_file(path)]
    if _is_kept(project, name):  # it needs no store
        return [_of_project(project, name)]
    try:
        return [of_finished(run) for run in _from_store(project, {"runs": [name]}).runs]
    except OptiProxyError as error:
        raise _unknown_run(project, name, error) from None


def _unknown_run(project: Path, name: str, error: OptiProxyError) -> OptiProxyError:
    """Return the error of a name that is no run's, with one of this project that is like it."""
    runs = [path.parent.name for path in reporting_folder(project).glob("*/manifest.json")]
    near = difflib.get_close_matches(name, runs, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    latest = error.data.get("latest")
    stored = error.message if latest is None else f"The latest in MLflow: {', '.join(latest)}."
    message = f"prior = {name}: no run or file of this project has this name{hint}. {stored}"
    return type(error)(message, **error.data)


def _selected(project: Path, name: str) -> tuple[FinishedRun, ...]:
    """Return the finished runs of a selector, ``MOST`` at most."""
    selector, _, value = name.partition(":")
    try:
        found = _from_store(project, {selector: value.strip()})
    except OptiProxyError as error:
        raise type(error)(f"prior = {name}: {error.message}", **error.data) from None
    if found.older:
        total = found.older + len(found.runs)
        _log.warning("prior = %s: of %d runs the last %d are used.", name, total, MOST)
    return found.runs


def _from_store(project: Path, selection: Mapping[str, Any]) -> FoundRuns:
    """Return the last finished runs of the MLflow store that match."""
    try:
        return MlflowRuns(selection, str(project), last=MOST).load()
    except Exception as error:  # Kedro wraps what loading raises
        ours = project_error(error)
        if ours is None:
            raise
        raise ours from None


def _of_project(project: Path, name: str) -> EarlierRun:
    """Return the earlier run of a run of this project, finished or not."""
    manifest = read_manifest(reporting_folder(project), name)
    trials = stored_trials(project, manifest)
    if trials is None:
        raise ParameterError(
            f"prior = {name}: this run has no archive yet, or it was deleted. Leave it out.",
            name=name,
        )
    result = manifest.get("result") or {}
    finished = manifest["status"] == "finished"
    failures = pd.DataFrame(result.get("failures") or [], columns=["architecture", "error"])
    table = pd.concat([trials, failures], ignore_index=True)
    facts = facts_of_parameters(manifest["parameters"])
    return EarlierRun(name, table, target=str(result.get("target", "")), finished=finished, **facts)


def with_prior(data: Mapping[str, Any], trials: pd.DataFrame | None) -> dict[str, Any]:
    """Return the data of a run with its earlier runs by name, as a manifest has them."""
    if trials is None:
        return dict(data)
    return {**data, "prior": {run["name"]: run for run in prior_facts(trials)}}
