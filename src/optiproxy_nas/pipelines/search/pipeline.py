"""The shared factory: Algorithm 2 unrolled into one namespace a step.

``step_00`` is the initial sample; ``step_01`` .. ``step_NN`` follow from the budget, the initial
sample and B. The list of nodes is built once: adding pipelines one by one is quadratic.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial, update_wrapper
from typing import Any

from kedro.pipeline import Node, Pipeline

from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.budget import number_of_steps
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks.source_registry import check_source
from optiproxy_nas.evaluation.evaluator import evaluate_batch
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.methods.optiproxy import OptiProxy
from optiproxy_nas.pipelines.run_parameters import RUN_KEYS, name_run
from optiproxy_nas.pipelines.search import nodes
from optiproxy_nas.report.run_report import COMMON

PAGES = ("markdown", "page")
FIGURES = tuple(figure.id for figure in COMMON)  # of the plain objective


def step_name(step: int) -> str:
    """Return the namespace of a step: ``step_00`` for the initial sample."""
    return f"step_{step:02d}"


@lru_cache(maxsize=2)  # the runs of a sweep have one shape, or few
def create_pipeline(last_step: int, figures: tuple[str, ...] = FIGURES) -> Pipeline:
    """Return the pipeline: load, encode, initial sample, search steps, report.

    Inputs: ``benchmark_table``, ``benchmark_model`` (of the ingest pipeline), ``params:search``,
    ``params:run``.

    Args:
        last_step: number of search steps; the initial sample is step 0.
        figures: names of the pictures of the report.
    """
    with warnings.catch_warnings():
        # Kedro warns of "step_00.archive" as an input of a node in namespace step_01; a step that
        # reads the one before is what is meant.
        warnings.filterwarnings("ignore", message="One or more dataset names contain")
        return Pipeline(
            [
                *_load_and_sample(),
                *(node for step in range(1, last_step + 1) for node in _step(step)),
                *_report(last_step, figures),
            ]
        )


def pipeline_of(parameters: SearchParameters) -> Pipeline:
    """Return the pipeline of a search: as many steps, and figures, as its parameters say."""
    return create_pipeline(number_of_steps(parameters), nodes.figure_names(parameters))


def resolve(values: Mapping[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Return ``params:search`` of the given values; set the run's id and source.

    Raises:
        OptiProxyError: a parameter is wrong, or the source cannot answer the search.
    """
    parameters = resolve_method(values, also=RUN_KEYS, method=OptiProxy)
    check_source(parameters)
    name_run(run, parameters, parameters.label)
    return {"search": parameters.model_dump(), "source": parameters.source}


def _load_and_sample() -> list[Node]:
    """Return the nodes that load, encode and draw the initial sample, step_00."""
    namespace = step_name(0)
    return [
        Node(
            nodes.load_benchmark,
            ["benchmark_table", "benchmark_model", "params:search"],
            ["benchmark", "evaluate"],
            name="load_benchmark",
        ),
        Node(nodes.encode, "params:search", ["space", "encoding"], name="encode"),
        Node(
            steps.initial_batch,
            ["space", "params:search"],
            f"{namespace}.batch",
            name="sample",
            namespace=namespace,
        ),
        Node(
            evaluate_batch,
            ["space", f"{namespace}.batch", "evaluate", "params:search"],
            f"{namespace}.evaluations",
            name="evaluate",
            namespace=namespace,
        ),
        Node(
            steps.update_archive,
            [f"{namespace}.evaluations", "params:search"],
            f"{namespace}.archive",
            name="update_archive",
            namespace=namespace,
        ),
    ]


def _step(step: int) -> list[Node]:
    """Return the six nodes of one step, and that of its diagnostics."""
    namespace, previous = step_name(step), step_name(step - 1)
    archive = f"{previous}.archive"
    # The first step has no proxy or logits to start from.
    warm_weights = [f"{previous}.proxy"] if step > 1 else []
    warm_logits = [f"{previous}.logits"] if step > 1 else []

    diagnosed = ("evaluations", "archive", "candidates", "trace", "fit")

    def node(function: Callable[..., Any], inputs: list[str], outputs: Any, name: str) -> Node:
        return Node(function, inputs, outputs, name=name, namespace=namespace)

    return [
        node(
            _at(step, steps.fit_proxy),
            ["space", archive, "params:search", *warm_weights],
            [f"{namespace}.proxy", f"{namespace}.fit"],
            "fit_proxy",
        ),
        node(
            _at(step, steps.search_logits),
            ["space", f"{namespace}.proxy", archive, "params:search", *warm_logits],
            [f"{namespace}.logits", f"{namespace}.trace"],
            "gradient_search",
        ),
        node(
            _at(step, steps.sample_candidates),
            ["space", f"{namespace}.logits", archive, "params:search"],
            f"{namespace}.candidates",
            "sample",
        ),
        node(
            _at(step, steps.select_batch),
            ["space", f"{namespace}.candidates", f"{namespace}.proxy", archive, "params:search"],
            f"{namespace}.batch",
            "select",
        ),
        node(
            evaluate_batch,
            ["space", f"{namespace}.batch", "evaluate", "params:search", archive],
            f"{namespace}.evaluations",
            "evaluate",
        ),
        node(
            steps.update_archive,
            [f"{namespace}.evaluations", "params:search", archive],
            f"{namespace}.archive",
            "update_archive",
        ),
        node(
            steps.diagnose,
            [*(f"{namespace}.{name}" for name in diagnosed), "params:search"],
            f"{namespace}.diagnostics",
            "diagnose",
        ),
    ]


def _report(last_step: int, figures: Sequence[str]) -> list[Node]:
    """Return the nodes that summarise the run, and draw and write its report."""
    names = [step_name(step) for step in range(1, last_step + 1)]
    archive = f"{step_name(last_step)}.archive"

    def node(function: Callable[..., Any], inputs: list[str], outputs: Any, name: str) -> Node:
        return Node(function, inputs, outputs, name=name, namespace="report")

    return [
        node(
            nodes.summarise,
            [archive, "benchmark", "params:search", "params:run"],
            "report.summary",
            "summarise",
        ),
        node(
            nodes.collect_diagnostics,
            [f"{name}.diagnostics" for name in names],
            "report.diagnostics",
            "collect_diagnostics",
        ),
        node(
            nodes.report,
            [
                "report.summary",
                archive,
                "space",
                "report.diagnostics",
                "params:search",
                *(f"{name}.{part}" for part in ("trace", "logits") for name in names),
            ],
            {name: f"report.{name}" for name in (*figures, *PAGES)},
            "report",
        ),
    ]


def _at(step: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` with its ``step`` bound, under its own name and annotations."""
    return update_wrapper(partial(function, step=step), function)
