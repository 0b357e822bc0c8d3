"""Nodes around the steps of Algorithm 2: what comes before the loop, and the report after it.

The steps themselves are :mod:`optiproxy_nas.algorithm.steps`, run by Kedro and plain Python alike.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import pandas as pd
import torch

from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.algorithm.steps import Tensors
from optiproxy_nas.benchmarks.base import TEST_ACCURACY, Benchmark
from optiproxy_nas.benchmarks.loading import open_benchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.methods.settings import reference_of, setting_of
from optiproxy_nas.objectives.base import Evaluate
from optiproxy_nas.report import captions
from optiproxy_nas.report.bundle import run_figures
from optiproxy_nas.report.edges import edge_probabilities
from optiproxy_nas.report.page import html_page, markdown_page
from optiproxy_nas.report.statistics import TIE
from optiproxy_nas.report.style import png
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


def load_benchmark(
    table: pd.DataFrame, model: bytes, search: SearchParameters
) -> tuple[Benchmark, Evaluate]:
    """The benchmark, for the report; and what the search gets of it: answers to queries."""
    return open_checked(table, model, search)


def open_checked(
    table: pd.DataFrame, model: bytes, run: RunParameters
) -> tuple[Benchmark, Evaluate]:
    """The benchmark of any run, and its answers to queries.

    Raises:
        ObjectiveError: the benchmark cannot answer what the objective asks for.
    """
    benchmark = open_benchmark(table, model, run.dataset, get_source(run.source))
    objective = run.objective
    objective.check(benchmark)
    return benchmark, objective.evaluator(benchmark)


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
    objective = parameters.objective
    best = objective.incumbent(archive)
    row = archive.iloc[best]
    architecture, value = str(row["architecture"]), float(row["value"])
    optimum = objective.optimum(benchmark)
    regret = None if optimum is None or pd.isna(row["best"]) else _distance(optimum, value)
    return {
        "run_id": run_id,
        "space": parameters.space,
        "dataset": parameters.dataset,
        "source": parameters.source,
        "method": parameters.method,
        "preset": parameters.preset if isinstance(parameters, SearchParameters) else "",
        "objective": parameters.objective.name,
        "reference": reference_of(parameters),
        "seed": parameters.seed,
        "budget": parameters.budget,
        "overrides": ", ".join(setting_of(parameters)) or "none",
        "queries": len(archive),
        "queries_to_best": best + 1,
        "best_architecture": architecture,
        "best_drawing": get_space(parameters.space).draw(architecture),
        "target": benchmark.target,
        "caution": benchmark.caution,
        benchmark.target: value,
        **_test_accuracy(benchmark, architecture),
        "optimum": optimum,
        "regret": regret,
        **objective.summary(archive),
        **{
            name: value if value is None or math.isfinite(value) else "cannot run there"
            for name, value in benchmark.measurements(architecture).items()
        },
    }


def _test_accuracy(benchmark: Benchmark, architecture: str) -> dict[str, float | None]:
    """Of the answer, unless it is what was searched for; None where the benchmark has none."""
    if benchmark.target == TEST_ACCURACY:
        return {}
    held = TEST_ACCURACY in benchmark.metrics
    return {
        TEST_ACCURACY: float(benchmark.query([architecture], TEST_ACCURACY)[0]) if held else None
    }


def _distance(optimum: float, value: float) -> float:
    """The regret; published means of equal accuracies differ in the seventh decimal, or so."""
    return 0.0 if abs(optimum - value) < TIE else optimum - value


def collect_diagnostics(*steps: dict[str, Any]) -> pd.DataFrame:
    """The diagnostics of all steps as one table, one row a step."""
    return pd.DataFrame(list(steps))


def figure_names(parameters: RunParameters) -> tuple[str, ...]:
    """The objective's own pictures by file name."""
    drawn = _own_figures(parameters)
    return () if drawn is None else tuple(drawn.FIGURES.values())


def _own_figures(parameters: RunParameters) -> Any:
    """The module that draws the objective's own pictures, or None."""
    module = parameters.objective.figures
    return importlib.import_module(module) if module else None


def report(
    summary: dict[str, Any],
    archive: pd.DataFrame,
    space: SearchSpace,
    diagnostics: pd.DataFrame,
    search: SearchParameters,
    *told: Tensors,
) -> dict[str, Any]:
    """PNG pictures by name, and the page as "markdown" (linking them) and "page" (HTML, whole).

    ``told`` are the traces of steps 1..S and, where β is to be shown, then their logits.
    """
    traces = [part for part in told if "entropy" in part]
    logits = [part for part in told if "beta" in part and space.num_edges]
    by_step = {step: dict(trace) for step, trace in enumerate(traces, start=1)}
    for step, part in enumerate(logits, start=1):
        edges = edge_probabilities(space, part["alpha"], part["beta"])
        by_step[step]["edges"] = torch.from_numpy(edges)
    drawn = _own_figures(search)
    own = drawn.figures(archive, diagnostics, summary) if drawn else {}
    names = {**FIGURES, **(drawn.FIGURES if drawn else {})}
    figures = run_figures(archive, by_step, diagnostics, summary, space, space.node_labels, own)
    eligible = search.objective.eligible(archive)
    pictures = {title: png(figure) for title, figure in figures.items()}
    files = {title: f"{names[title]}.png" for title in pictures}
    return {
        **{names[title]: picture for title, picture in pictures.items()},
        "markdown": markdown_page(summary, archive, files, eligible),
        "page": html_page(summary, archive, pictures, eligible),
    }
