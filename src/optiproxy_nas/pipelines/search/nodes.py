"""Nodes around the steps of Algorithm 2: what comes before the loop, and the report after it.

The steps themselves are :mod:`optiproxy_nas.algorithm.steps`, run by Kedro and plain Python alike.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.loading import open_benchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.evaluation.benchmark_problem import check_benchmark, evaluator_of
from optiproxy_nas.evaluation.evaluator import Evaluate
from optiproxy_nas.report.logit_figures import with_edges
from optiproxy_nas.report.run_data import RunData, summary_of
from optiproxy_nas.report.run_report import draw_figures, figures_of, html_page, markdown_page
from optiproxy_nas.spaces import SearchSpace, get_space


def load_benchmark(
    table: pd.DataFrame, model: bytes, search: SearchParameters
) -> tuple[Benchmark, Evaluate]:
    """Return the benchmark, for the report, and the answers to queries, for the search."""
    return open_checked(table, model, search)


def open_checked(
    table: pd.DataFrame, model: bytes, run: RunParameters
) -> tuple[Benchmark, Evaluate]:
    """Return the benchmark of any run, and its answers to queries.

    Raises:
        ObjectiveError: the benchmark cannot answer what the objective asks for.
    """
    benchmark = open_benchmark(table, model, run.dataset, get_source(run.source))
    objective = run.objective
    check_benchmark(objective, benchmark)
    return benchmark, evaluator_of(objective, benchmark)


def encode(search: SearchParameters) -> tuple[SearchSpace, dict[str, Any]]:
    """Return the space, and the dimensions of its encoding for the record (A.8)."""
    space = get_space(search.space)
    return space, {
        "space": space.name,
        "operations": list(space.operations),
        "N": space.num_nodes,
        "M": len(space.operations),
        "E": space.num_edges,
        "code_length": space.code_length,
        "graph_vertices": space.num_vertices,
        "graph_features": space.num_features,
        "size": space.size,
    }


def summarise(
    archive: pd.DataFrame,
    benchmark: Benchmark,
    search: SearchParameters,
    run: dict[str, Any],
) -> dict[str, Any]:
    """Return what the run found. Only now, after the search, is the table asked for more."""
    return summary_of(archive, benchmark, search, run["run_id"])


def collect_diagnostics(*steps: dict[str, Any]) -> pd.DataFrame:
    """Return the diagnostics of all steps as one table, one row a step."""
    return pd.DataFrame(list(steps))


def figure_names(parameters: RunParameters) -> tuple[str, ...]:
    """Return the names of the pictures in the report of a run."""
    return tuple(figure.id for figure in figures_of(parameters.objective))


def report(
    summary: dict[str, Any],
    archive: pd.DataFrame,
    space: SearchSpace,
    diagnostics: pd.DataFrame,
    search: SearchParameters,
    *steps: Tensors,
) -> dict[str, Any]:
    """Return the PNG pictures by name, and the page as "markdown" (linking them) and "page" (HTML).

    ``steps`` are the traces of steps 1..S, followed by their logits.
    """
    count = len(steps) // 2
    traces = {
        step: with_edges(space, trace, logits)
        for step, (trace, logits) in enumerate(zip(steps[:count], steps[count:], strict=True), 1)
    }
    eligible = search.objective.order.eligible(archive)
    run = RunData(summary, archive, space, diagnostics, traces, eligible)
    pictures = draw_figures(run, figures_of(search.objective))
    return {
        **{figure.id: picture for figure, picture in pictures.items()},
        "markdown": markdown_page(run, pictures),
        "page": html_page(run, pictures),
    }
