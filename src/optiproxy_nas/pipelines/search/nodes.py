"""Nodes around the steps of Algorithm 2: what comes before the loop, and the report after it.

The steps themselves are :mod:`optiproxy_nas.algorithm.steps`, run by Kedro and plain Python alike.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.steps import Evaluate, Tensors
from optiproxy_nas.benchmarks.base import Benchmark, Metric
from optiproxy_nas.benchmarks.tabular import TabularBenchmark
from optiproxy_nas.methods.settings import reference_of, setting_of
from optiproxy_nas.parameters import RunParameters, SearchParameters
from optiproxy_nas.reporting import captions
from optiproxy_nas.reporting.bundle import run_figures
from optiproxy_nas.reporting.page import html_page, markdown_page
from optiproxy_nas.reporting.style import png
from optiproxy_nas.spaces import SearchSpace, get_space

# Title -> catalog name and file name of each figure, in the order of ``run_figures``.
FIGURES = {
    captions.BEST_SO_FAR: "best_so_far",
    captions.CELL: "best_cell",
    captions.PREDICTED: "predicted_against_true",
    captions.DIAGNOSTICS: "step_diagnostics",
    captions.ENTROPY: "entropy",
    captions.LOGITS: "logits",
}


def load_benchmark(table: pd.DataFrame, search: SearchParameters) -> tuple[Benchmark, Evaluate]:
    """The benchmark, for the report; and what the search gets of it: validation values by query."""
    return open_benchmark(table, search)


def open_benchmark(table: pd.DataFrame, run: RunParameters) -> tuple[Benchmark, Evaluate]:
    """The benchmark of any run, and its validation values by query."""
    benchmark = TabularBenchmark(table, run.dataset, run.source, run.benchmark, run.space)
    return benchmark, partial(benchmark.query, metric=Metric.VALIDATION_ACCURACY)


def encode(search: SearchParameters) -> tuple[SearchSpace, dict[str, Any]]:
    """The space with its encoding, and the encoding's dimensions for the record (A.8)."""
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
    """What the run found. Only here, after the search, is the table asked for more."""
    return summary_of(archive, benchmark, search, run["run_id"])


def summary_of(
    archive: pd.DataFrame, benchmark: Benchmark, parameters: RunParameters, run_id: str
) -> dict[str, Any]:
    """The summary of a run by any method."""
    best = int(archive["value"].argmax())  # the first, of equals
    architecture, value = (
        str(archive["architecture"].iloc[best]),
        float(archive["value"].iloc[best]),
    )
    validation = Metric.VALIDATION_ACCURACY
    test = Metric.TEST_ACCURACY
    _, optimum = benchmark.optimum(validation)
    return {
        "run_id": run_id,
        "space": parameters.space,
        "dataset": parameters.dataset,
        "source": parameters.source,
        "method": parameters.method,
        "preset": parameters.preset if isinstance(parameters, SearchParameters) else "",
        "reference": reference_of(parameters),
        "seed": parameters.seed,
        "budget": parameters.budget,
        "overrides": ", ".join(setting_of(parameters)) or "none",
        "queries": len(archive),
        "queries_to_best": best + 1,
        "best_architecture": architecture,
        "best_drawing": get_space(parameters.space).draw(architecture),
        "validation_accuracy": value,
        "test_accuracy": (
            float(benchmark.query([architecture], test)[0]) if test in benchmark.metrics else None
        ),
        "optimum": optimum,
        "regret": optimum - value,
        **benchmark.measurements(architecture),
    }


def collect_diagnostics(*steps: dict[str, Any]) -> pd.DataFrame:
    """The diagnostics of all steps as one table, one row a step."""
    return pd.DataFrame(list(steps))


def report(
    summary: dict[str, Any],
    archive: pd.DataFrame,
    space: SearchSpace,
    diagnostics: pd.DataFrame,
    *traces: Tensors,
) -> dict[str, Any]:
    """PNG pictures by name, and the page as "markdown" (linking them) and "page" (HTML, whole).

    ``traces`` are those of steps 1..S.
    """
    by_step = dict(enumerate(traces, start=1))
    figures = run_figures(archive, by_step, diagnostics, summary, space, space.node_labels)
    pictures = {title: png(figure) for title, figure in figures.items()}
    files = {title: f"{name}.png" for title, name in FIGURES.items()}
    return {
        **{FIGURES[title]: picture for title, picture in pictures.items()},
        "markdown": markdown_page(summary, archive, files),
        "page": html_page(summary, archive, pictures),
    }
