"""The search pipeline: Algorithm 2 unrolled into one namespace a step, and the report.

The steps themselves are :mod:`optiproxy_nas.algorithm.steps`, run by Kedro and plain Python alike.
``step_00`` is the initial sample; ``step_01`` .. ``step_NN`` follow from the budget, the initial
sample and B. The list of nodes is built once: adding pipelines one by one is quadratic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial, update_wrapper
from typing import Any

import pandas as pd
from kedro.pipeline import Node

from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.budget import number_of_steps
from optiproxy_nas.algorithm.regret_left import bound_regret
from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.algorithm.step_diagnostics import diagnose
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.loading import open_benchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.evaluation.batch import evaluate_batch
from optiproxy_nas.evaluation.benchmark_problem import check_benchmark, evaluator_of
from optiproxy_nas.evaluation.function_evaluator import Evaluate
from optiproxy_nas.pipelines.confirm import confirm_nodes, join, retrain
from optiproxy_nas.pipelines.model_export import export_node
from optiproxy_nas.pipelines.own_problem import load_problem, problem_node
from optiproxy_nas.pipelines.prior import (
    FACTS,
    MEANS,
    fit_prior,
    guided_by_prior,
    guided_summary,
    prior_nodes,
)
from optiproxy_nas.pipelines.problem_summary import summarise_problem
from optiproxy_nas.pipelines.project_pipeline import (
    ProjectPipeline,
    dots_in_names,
    node_in,
)
from optiproxy_nas.pipelines.report_nodes import collect_diagnostics, report, report_problem
from optiproxy_nas.report.run_report import (
    COMMON,
    figures_of,
)
from optiproxy_nas.report.run_summary import summary_of
from optiproxy_nas.runs.manifest import CONFIRMATIONS
from optiproxy_nas.spaces import SearchSpace, get_space

SEARCH, RUN, EVALUATED, FAILED = "params:search", "params:run", ".evaluations", ".failed"
BOUND = ".regret_left"  # how likely regret is left, and whether the search ends for it
MADE = (".candidates", ".trace", ".fit", ".logits")  # in a step, on the way to its batch
PAGES = ("markdown", "page")
FIGURES = tuple(figure.id for figure in COMMON)  # of the plain objective


def step_name(step: int) -> str:
    """Return the namespace of a step: ``step_00`` for the initial sample."""
    return f"step_{step:02d}"


@lru_cache(maxsize=2)  # the runs of a sweep have one shape, or few
def create_pipeline(
    last_step: int,
    figures: tuple[str, ...] = FIGURES,
    datasets: tuple[str, ...] | None = None,
    export: bool = True,
    may_stop: bool = False,
    confirms: bool = False,
    has_prior: bool = False,
) -> ProjectPipeline:
    """Return the pipeline: load, encode, initial sample, search steps, confirm, report.

    Inputs: ``params:search``, ``params:run``; ``benchmark_table`` and ``benchmark_model`` (of the
    ingest pipeline), or ``journal`` and the datasets of a problem; ``prior.trials``.

    Args:
        last_step: number of search steps; the initial sample is step 0.
        figures: names of the pictures of the report.
        datasets: of the problem, in the catalog; None: a benchmark answers.
        export: whether the answer of a problem is exported.
        may_stop: whether the search may end before the last step, for the regret that is left.
        confirms: whether the best are trained again.
        has_prior: whether earlier runs guide the search.
    """
    archive, steps_made = f"{step_name(last_step)}.archive", range(1, last_step + 1)
    with dots_in_names():
        return ProjectPipeline(
            [
                *_load_and_sample(datasets, has_prior),
                *(node for step in steps_made for node in _step(step, may_stop, has_prior)),
                *(confirm_nodes(archive, retrain, join) if confirms else []),
                *_report(last_step, figures, datasets is not None, confirms, has_prior),
                *([export_node()] if export and datasets is not None else []),
            ],
            "search",
        )


def pipeline_of(
    parameters: SearchParameters,
    datasets: tuple[str, ...] | None = None,
    export: bool = True,
    most_steps: int | None = None,
) -> ProjectPipeline:
    """Return the pipeline of a search: as many steps, and figures, as its parameters say.

    ``most_steps`` is for drawings of it; None: all.
    """
    has_prior = bool(parameters.prior)
    figures = tuple(figure.id for figure in figures_of(parameters.objective, has_prior))
    flags = export, parameters.stop_regret is not None, parameters.confirm is not None, has_prior
    steps = number_of_steps(parameters)
    drawn = steps if most_steps is None else min(steps, most_steps)
    return create_pipeline(drawn, figures, datasets, *flags)


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
        ObjectiveError: the benchmark lacks a metric of the objective.
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
    failed: pd.DataFrame,
    benchmark: Benchmark,
    search: SearchParameters,
    run: dict[str, Any],
    diagnostics: pd.DataFrame,
) -> dict[str, Any]:
    """Return what the run found. Only now, after the search, is the table queried for more."""
    return summary_of(archive, benchmark, search, run["run_id"], failed, diagnostics)


def _load_and_sample(datasets: tuple[str, ...] | None, has_prior: bool) -> list[Node]:
    """Return the nodes that load what answers, encode the space, and draw the initial sample."""
    first, guided = step_name(0), [MEANS] if has_prior else []
    sample = guided_by_prior(steps.initial_batch) if has_prior else steps.initial_batch
    inputs = ["space", ".batch", "evaluate", SEARCH]
    benchmark = ["benchmark_table", "benchmark_model", SEARCH]
    if datasets is None:
        load = node_in("", "load_benchmark", load_benchmark, benchmark, ["benchmark", "evaluate"])
    else:
        load = problem_node(load_problem, datasets)
    return [
        load,
        node_in("", "encode", encode, [SEARCH], ["space", "encoding"]),
        *(prior_nodes(fit_prior, "report.diagnostics") if has_prior else []),
        node_in(first, "sample", sample, [*guided, "space", SEARCH], ".batch"),
        node_in(first, "evaluate", evaluate_batch, inputs, [EVALUATED, FAILED]),
        node_in(first, "update_archive", steps.update_archive, [EVALUATED, SEARCH], ".archive"),
    ]


def _step(step: int, may_stop: bool, has_prior: bool) -> list[Node]:
    """Return the six nodes of one step, that of its diagnostics, and that which may end it all."""
    previous = step_name(step - 1)
    archive, failed = f"{previous}.archive", f"{previous}{FAILED}"
    # The first step has no proxy or logits to start from.
    warm_weights = [f"{previous}.proxy"] if step > 1 else []
    warm_logits = [f"{previous}.logits"] if step > 1 else []
    name, bound = step_name(step), [BOUND] if may_stop else []
    fit = _at(step, steps.fit_proxy)
    node = partial(_unless_ended, step) if may_stop and step > 1 else partial(node_in, name)
    inputs = ["space", ".archive", SEARCH, *([f"{previous}{BOUND}"] if step > 1 else [])]
    return [
        *(node_in(name, "bound_regret", bound_regret, inputs, output) for output in bound),
        node(
            "fit_proxy",
            guided_by_prior(fit) if has_prior else fit,
            [*([MEANS] if has_prior else []), "space", archive, SEARCH, failed, *warm_weights],
            [".proxy", ".fit"],
        ),
        node(
            "gradient_search",
            _at(step, steps.search_logits),
            ["space", ".proxy", archive, SEARCH, *warm_logits],
            [".logits", ".trace"],
        ),
        node(
            "sample",
            _at(step, steps.sample_candidates),
            ["space", ".logits", archive, SEARCH, failed],
            ".candidates",
        ),
        node(
            "select",
            _at(step, steps.select_batch),
            ["space", ".candidates", ".proxy", archive, SEARCH, failed],
            ".batch",
        ),
        node(
            "evaluate",
            evaluate_batch,
            ["space", ".batch", "evaluate", SEARCH, archive, failed],
            [EVALUATED, FAILED],
        ),
        node("update_archive", steps.update_archive, [EVALUATED, SEARCH, archive], ".archive"),
        node(
            "diagnose",
            _at(step, diagnose),
            ["space", EVALUATED, ".archive", *MADE, SEARCH, *bound],
            ".diagnostics",
        ),
    ]


def _unless_ended(
    step: int,
    name: str,
    function: Callable[..., Any],
    inputs: list[str],
    outputs: str | list[str],
) -> Node:
    """Return a node of step 2..S that passes on what the step before had if that was the last.

    So a search that ends early, for the regret that is left, makes no further query.
    """
    previous, names = step_name(step - 1), [outputs] if isinstance(outputs, str) else outputs
    before = [f"{previous}{output}" for output in names]
    passing = update_wrapper(partial(_run_or_pass_on, function, len(names)), function)
    del passing.__wrapped__  # its signature is another
    passing.__annotations__ = {}  # so are its types, of which Kedro warns
    return node_in(
        step_name(step), name, passing, [f"{previous}{BOUND}", *before, *inputs], outputs
    )


def _run_or_pass_on(
    function: Callable[..., Any], count: int, bound: dict[str, Any], *inputs: Any
) -> Any:
    """Return what a function of ``inputs[count:]`` gives; if the search has ended, the others."""
    if bound["stopped"]:
        return inputs[0] if count == 1 else inputs[:count]
    return function(*inputs[count:])


def _report(
    last_step: int, figures: Sequence[str], of_problem: bool, confirms: bool, has_prior: bool
) -> list[Node]:
    """Return the nodes that summarise the run, and draw and write its report."""
    names = [step_name(step) for step in range(1, last_step + 1)]
    archive, failed = (f"{step_name(last_step)}{name}" for name in (".archive", FAILED))
    diagnostics = [f"{name}.diagnostics" for name in names]
    drawn = [f"{name}.{part}" for part in ("trace", "logits") for name in names]
    drawn += [f"{name}.proxy" for name in names[-1:]]
    node, guided = partial(node_in, "report"), [FACTS] * has_prior
    function: Callable[..., Any] = summarise_problem if of_problem else summarise
    if has_prior:
        function = guided_summary(function)
    if of_problem:
        inputs = [archive, failed, "evaluate", SEARCH, RUN, ".diagnostics", "journal"]
        inputs += [CONFIRMATIONS] * confirms
        summary = node("summarise", function, [*guided, *inputs], [".summary", ".trials"])
    else:
        inputs = [archive, failed, "benchmark", SEARCH, RUN, ".diagnostics"]
        summary = node("summarise", function, [*guided, *inputs], ".summary")
    page = [".summary", archive, "space", ".diagnostics", SEARCH]
    page += [".trials"] if of_problem else []
    return [
        summary,
        node("collect_diagnostics", collect_diagnostics, diagnostics, ".diagnostics"),
        node(
            "report",
            report_problem if of_problem else report,
            [*page, *drawn],
            {name: f"report.{name}" for name in (*figures, *PAGES)},
        ),
    ]


def _at(step: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` with its ``step`` bound, and the same name and annotations."""
    return update_wrapper(partial(function, step=step), function)
