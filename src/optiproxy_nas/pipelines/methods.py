"""The pipeline that runs any method, whole in one node: what baselines and sweeps use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.evaluation.confirmation import joined
from optiproxy_nas.evaluation.function_evaluator import Evaluate
from optiproxy_nas.evaluation.identity import Digests
from optiproxy_nas.evaluation.loop import drive, open_search
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.pipelines.confirm import confirm_nodes, retrained
from optiproxy_nas.pipelines.model_export import export_node
from optiproxy_nas.pipelines.own_problem import (
    open_problem,
    problem_node,
)
from optiproxy_nas.pipelines.prior import FACTS, MEANS, guided_summary, prior_nodes
from optiproxy_nas.pipelines.prior import fit_prior as fit_runs
from optiproxy_nas.pipelines.problem_summary import summary_and_trials
from optiproxy_nas.pipelines.project_pipeline import (
    ProjectPipeline,
    dots_in_names,
    pipeline_of_nodes,
)
from optiproxy_nas.pipelines.run_evaluator import RunEvaluator
from optiproxy_nas.pipelines.search import RUN, SEARCH, open_checked
from optiproxy_nas.report.run_summary import summary_of
from optiproxy_nas.runs.datasets.files import TrialFiles
from optiproxy_nas.runs.manifest import CONFIRMATIONS
from optiproxy_nas.spaces import get_space


def create_pipeline(
    datasets: tuple[str, ...] | None = None,
    export: bool = True,
    confirms: bool = False,
    has_prior: bool = False,
) -> ProjectPipeline:
    """Return the pipeline: load, search by the chosen method, confirm, summarise.

    Inputs: ``params:search``, ``params:run``; and ``benchmark_table``, ``benchmark_model`` (of the
    ingest pipeline), or ``journal`` and the datasets of a problem.

    Args:
        datasets: of the problem, in the catalog; None: a benchmark answers.
        export: whether the answer of a problem is exported.
        confirms: whether the best are trained again.
        has_prior: whether earlier runs guide the search.
    """
    guided, described = [MEANS] * has_prior, [FACTS] * has_prior
    with_facts = guided_summary if has_prior else _as_it_is
    with dots_in_names():
        prior = prior_nodes(fit_prior, "report.diagnostics") if has_prior else []
    results = ["result.archive", "result.trials", "result.failed"]
    if datasets is not None:
        inputs = [*results, "evaluate", SEARCH, RUN, "report.diagnostics", "journal"]
        inputs += [CONFIRMATIONS] * confirms
        nodes = pipeline_of_nodes(
            "methods",
            (search, ["evaluate", SEARCH, *guided], [*results, "report.diagnostics"]),
            (
                with_facts(summarise_problem),
                [*described, *inputs],
                ["report.summary", "report.trials"],
            ),
        )
        with dots_in_names():
            confirm = confirm_nodes(results[0], retrain, join) if confirms else []
            last = [export_node()] if export else []
            load = problem_node(load_problem, datasets)
            return ProjectPipeline([load, *prior, *nodes.nodes, *confirm, *last], "methods")
    inputs = [*described, *results, "benchmark", SEARCH, RUN, "report.diagnostics"]
    nodes = pipeline_of_nodes(
        "methods",
        (
            load_benchmark,
            ["benchmark_table", "benchmark_model", SEARCH],
            ["benchmark", "evaluate"],
        ),
        (search, ["evaluate", SEARCH, *guided], [*results, "report.diagnostics"]),
        (with_facts(summarise), inputs, "report.summary"),
    )
    with dots_in_names():
        return ProjectPipeline([*nodes.nodes, *prior], "methods")


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def fit_prior(trials: pd.DataFrame, search: dict[str, Any]) -> Tensors:
    """Return the tensors of the earlier runs."""
    parameters = parameters_of(search)
    assert isinstance(parameters, SearchParameters)
    return fit_runs(trials, parameters)


def load_benchmark(
    table: pd.DataFrame, model: bytes, search: dict[str, Any]
) -> tuple[Benchmark, Evaluate]:
    """Return the benchmark, for the summary, and its answers to queries, for the method."""
    return open_checked(table, model, parameters_of(search))


def load_problem(
    files: TrialFiles,
    search: dict[str, Any],
    run: dict[str, Any],
    *datasets: Any,
    names: tuple[str, ...],
) -> tuple[RunEvaluator, Digests]:
    """Return what trains the trials of a problem, and the digests of its ``datasets``."""
    return open_problem(parameters_of(search), run, files, names, datasets)


def search(
    evaluate: Evaluate, search: dict[str, Any], prior: Tensors | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return archive, proposals (repeats included), failed trials, and diagnostics by step."""
    parameters = parameters_of(search)
    with isolated():
        opened = open_search(get_space(parameters.space), parameters, prior)
    if isinstance(evaluate, RunEvaluator):
        evaluate.drive(opened)
    else:
        drive(opened, evaluate)
    diagnostics = opened.records().diagnostics
    return opened.archive(), opened.proposals(), opened.failed(), diagnostics


def retrain(archive: pd.DataFrame, evaluate: RunEvaluator, search: dict[str, Any]) -> pd.DataFrame:
    """Train the best again; return one row a training."""
    return retrained(archive, evaluate, parameters_of(search))


def join(archive: pd.DataFrame, trainings: pd.DataFrame, search: dict[str, Any]) -> pd.DataFrame:
    """Return D and the trainings that confirm, which the column ``repeat`` distinguishes."""
    return joined(parameters_of(search).objective, archive, trainings)


def summarise(
    archive: pd.DataFrame,
    trials: pd.DataFrame,
    failed: pd.DataFrame,
    benchmark: Benchmark,
    search: dict[str, Any],
    run: dict[str, Any],
    diagnostics: pd.DataFrame,
) -> dict[str, Any]:
    """Return what the run found. Only now, after the search, is the table queried for more."""
    parameters = parameters_of(search)
    summary = summary_of(archive, benchmark, parameters, run["run_id"], failed, diagnostics)
    return {**summary, "trials": len(trials)}


def summarise_problem(
    archive: pd.DataFrame,
    trials: pd.DataFrame,
    failed: pd.DataFrame,
    evaluate: RunEvaluator,
    search: dict[str, Any],
    run: dict[str, Any],
    diagnostics: pd.DataFrame,
    files: TrialFiles,
    trainings: pd.DataFrame | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what the run found, and all trials. Only now, once, is the answer tested and timed."""
    parameters = parameters_of(search)
    summary, attempts = summary_and_trials(
        archive, failed, evaluate, parameters, run, diagnostics, files, trainings
    )
    return {**summary, "trials": len(trials)}, attempts
