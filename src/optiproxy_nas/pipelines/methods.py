"""The pipeline that runs any method, whole in one node: what baselines and sweeps use."""

from __future__ import annotations

from typing import Any

import pandas as pd

from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.evaluation.evaluator import Evaluate
from optiproxy_nas.evaluation.loop import drive, open_search
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.pipelines.project_pipeline import ProjectPipeline, pipeline_of_nodes
from optiproxy_nas.pipelines.search import open_checked
from optiproxy_nas.report.run_data import summary_of
from optiproxy_nas.spaces import get_space


def create_pipeline() -> ProjectPipeline:
    """Return the pipeline: load, search by the chosen method, summarise.

    Inputs: ``benchmark_table``, ``benchmark_model`` (of the ingest pipeline), ``params:search``,
    ``params:run``.
    """
    results = ["result.archive", "result.trials", "result.failed"]
    return pipeline_of_nodes(
        "methods",
        (
            load_benchmark,
            ["benchmark_table", "benchmark_model", "params:search"],
            ["benchmark", "evaluate"],
        ),
        (search, ["evaluate", "params:search"], [*results, "report.diagnostics"]),
        (summarise, [*results, "benchmark", "params:search", "params:run"], "report.summary"),
    )


def load_benchmark(
    table: pd.DataFrame, model: bytes, search: dict[str, Any]
) -> tuple[Benchmark, Evaluate]:
    """Return the benchmark, for the summary, and its answers to queries, for the method."""
    return open_checked(table, model, parameters_of(search))


def search(
    evaluate: Evaluate, search: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return archive, proposals (repeats included), failed trials, and diagnostics by step."""
    parameters = parameters_of(search)
    with isolated():
        opened = open_search(get_space(parameters.space), parameters)
    drive(opened, evaluate)
    diagnostics = opened.records().diagnostics
    return opened.archive(), opened.proposals(), opened.failed(), diagnostics


def summarise(
    archive: pd.DataFrame,
    trials: pd.DataFrame,
    failed: pd.DataFrame,
    benchmark: Benchmark,
    search: dict[str, Any],
    run: dict[str, Any],
) -> dict[str, Any]:
    """Return what the run found. Only here, after the search, is the table asked for more."""
    parameters = parameters_of(search)
    summary = summary_of(archive, benchmark, parameters, run["run_id"], failed)
    return {**summary, "trials": len(trials)}
