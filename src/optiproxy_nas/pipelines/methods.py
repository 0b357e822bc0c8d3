"""The pipeline that runs any method, whole in one node: what baselines and sweeps use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.source_registry import check_source
from optiproxy_nas.evaluation.evaluator import Evaluate
from optiproxy_nas.evaluation.loop import run_search
from optiproxy_nas.methods import parameters_of, resolve_method
from optiproxy_nas.pipelines.run_parameters import RUN_KEYS, name_run
from optiproxy_nas.pipelines.search.nodes import open_checked
from optiproxy_nas.report.run_data import summary_of
from optiproxy_nas.spaces import get_space


def resolve(values: Mapping[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Return ``params:search`` of the given values, and set the run's id and source."""
    parameters = resolve_method(values, also=RUN_KEYS)
    check_source(parameters)
    name_run(run, parameters, parameters.label)
    return {"search": parameters.model_dump(), "source": parameters.source}


def create_pipeline() -> Pipeline:
    """Return the pipeline: load, search by the chosen method, summarise.

    Inputs: ``benchmark_table``, ``benchmark_model`` (of the ingest pipeline), ``params:search``,
    ``params:run``.
    """
    return Pipeline(
        [
            Node(
                load_benchmark,
                ["benchmark_table", "benchmark_model", "params:search"],
                ["benchmark", "evaluate"],
                name="load_benchmark",
            ),
            Node(
                search,
                ["evaluate", "params:search"],
                ["result.archive", "result.trials", "report.diagnostics"],
                name="search",
            ),
            Node(
                summarise,
                ["result.archive", "result.trials", "benchmark", "params:search", "params:run"],
                "report.summary",
                name="summarise",
            ),
        ]
    )


def load_benchmark(
    table: pd.DataFrame, model: bytes, search: dict[str, Any]
) -> tuple[Benchmark, Evaluate]:
    """Return the benchmark, for the summary, and its answers to queries, for the method."""
    return open_checked(table, model, parameters_of(search))


def search(
    evaluate: Evaluate, search: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return archive, trials (proposals, repeats included) and diagnostics by step."""
    parameters = parameters_of(search)
    result = run_search(get_space(parameters.space), evaluate, parameters)
    return result.archive, result.trials, result.diagnostics


def summarise(
    archive: pd.DataFrame,
    trials: pd.DataFrame,
    benchmark: Benchmark,
    search: dict[str, Any],
    run: dict[str, Any],
) -> dict[str, Any]:
    """Return what the run found. Only here, after the search, is the table asked for more."""
    parameters = parameters_of(search)
    return {
        **summary_of(archive, benchmark, parameters, run["run_id"]),
        "trials": len(trials),
    }
