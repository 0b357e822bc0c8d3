"""Nodes of the pipeline that runs any method."""

from __future__ import annotations

from typing import Any

import pandas as pd

from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.evaluation.evaluator import Evaluate
from optiproxy_nas.evaluation.loop import run_search
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.pipelines.search.nodes import open_checked
from optiproxy_nas.report.run_data import summary_of
from optiproxy_nas.spaces import get_space


def load_benchmark(
    table: pd.DataFrame, model: bytes, search: dict[str, Any]
) -> tuple[Benchmark, Evaluate]:
    """The benchmark, for the summary; and what the method gets: answers to queries."""
    return open_checked(table, model, parameters_of(search))


def search(
    evaluate: Evaluate, search: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The whole search: archive, trials (proposals, repeats included), diagnostics by step."""
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
    """What the run found. Only here, after the search, is the table asked for more."""
    parameters = parameters_of(search)
    return {
        **summary_of(archive, benchmark, parameters, run["run_id"]),
        "trials": len(trials),
    }
