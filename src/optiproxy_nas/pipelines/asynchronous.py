"""The pipeline of an asynchronous search on a problem: a worker that is free begins the next trial.

One node, ``asynchronous.search``, drives it: which proposal follows from which answers is decided
by when workers end, so there are no steps to declare. The journal is written as it goes. What each
fit of the proxy started from and made are the partitions of the datasets ``refits.*``, a file a
step. All other nodes are those of the unrolled pipeline (:mod:`optiproxy_nas.pipelines.search`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.evaluation.loop import open_search
from optiproxy_nas.methods.base import StepRecord
from optiproxy_nas.pipelines.confirm import confirm_nodes, join, retrain
from optiproxy_nas.pipelines.model_export import export_node
from optiproxy_nas.pipelines.own_problem import load_problem, problem_node
from optiproxy_nas.pipelines.prior import FACTS, MEANS, fit_prior, guided_summary, prior_nodes
from optiproxy_nas.pipelines.problem_summary import summarise_problem
from optiproxy_nas.pipelines.project_pipeline import ProjectPipeline, dots_in_names, node_in
from optiproxy_nas.pipelines.report_nodes import report_asynchronous
from optiproxy_nas.pipelines.run_evaluator import RunEvaluator
from optiproxy_nas.pipelines.search import PAGES, RUN, SEARCH, encode, step_name
from optiproxy_nas.report.run_report import asynchronous_figures
from optiproxy_nas.runs.manifest import CONFIRMATIONS, REFITS
from optiproxy_nas.spaces import SearchSpace

NAMESPACE = "asynchronous"
Partitions = Mapping[str, Tensors | Callable[[], pd.DataFrame]]  # name of a step -> value


def create_pipeline(
    figures: tuple[str, ...],
    datasets: tuple[str, ...],
    export: bool = True,
    confirms: bool = False,
    has_prior: bool = False,
) -> ProjectPipeline:
    """Return the pipeline: load, encode, search, confirm, report, export.

    Inputs: ``params:search``, ``params:run``, ``journal``, the datasets of the problem, and
    ``prior.trials``.

    Args:
        figures: names of the pictures of the report.
        datasets: of the problem, in the catalog.
        export: whether the answer is exported.
        confirms: whether the best are trained again.
        has_prior: whether earlier runs guide the search.
    """
    guided, described = [MEANS] * has_prior, [FACTS] * has_prior
    summarise = guided_summary(summarise_problem) if has_prior else summarise_problem
    archive, failed = f"{NAMESPACE}.archive", f"{NAMESPACE}.failed"
    refits = [f"{REFITS}.{kind}" for kind in ("archive", "proxy", "logits", "trace")]
    # A run that was killed while they were stored has no archive, and stores all of them again.
    found = [*refits, ".trials", failed, "report.diagnostics", archive]
    inputs = [archive, failed, "evaluate", SEARCH, RUN, "report.diagnostics", "journal"]
    inputs += [CONFIRMATIONS] * confirms
    page = ["report.summary", archive, "space", "report.diagnostics", SEARCH, "report.trials"]
    pictures = {name: f"report.{name}" for name in (*figures, *PAGES)}
    in_report = partial(node_in, "report")
    with dots_in_names():
        return ProjectPipeline(
            [
                problem_node(load_problem, datasets),
                node_in("", "encode", encode, [SEARCH], ["space", "encoding"]),
                *(prior_nodes(fit_prior, "report.diagnostics") if has_prior else []),
                node_in(NAMESPACE, "search", search, ["space", "evaluate", SEARCH, *guided], found),
                *(confirm_nodes(archive, retrain, join) if confirms else []),
                in_report("summarise", summarise, [*described, *inputs], [".summary", ".trials"]),
                in_report("report", report_asynchronous, [*page, *refits[1:]], pictures),
                *([export_node()] if export else []),
            ],
            "search",
        )


def pipeline_of(
    parameters: SearchParameters, datasets: tuple[str, ...], export: bool = True
) -> ProjectPipeline:
    """Return the pipeline of a search, with the figures that its parameters say."""
    has_prior = bool(parameters.prior)
    figures = tuple(figure.id for figure in asynchronous_figures(parameters.objective, has_prior))
    return create_pipeline(figures, datasets, export, parameters.confirm is not None, has_prior)


def search(
    space: SearchSpace,
    evaluate: RunEvaluator,
    search: SearchParameters,
    prior: Tensors | None = None,
) -> tuple[Partitions | pd.DataFrame, ...]:
    """Search until the budget or a rule ends it, and return all that it made.

    Returns:
        D, weights, logits and trace by refit; proposals, failed trials, diagnostics by step, D.
    """
    with isolated():
        opened = open_search(space, search, prior)
    evaluate.drive(opened)
    records, archive = opened.records(), opened.archive()
    return (
        _by_step(records.steps, lambda step: partial(archive.head, step.rows)),
        _by_step(records.steps, lambda step: step.weights),
        _by_step(records.steps, lambda step: step.logits),
        {step_name(step): trace for step, trace in records.traces.items()},
        opened.proposals(),
        opened.failed(),
        records.diagnostics,
        archive,
    )


def _by_step(
    steps: Mapping[int, StepRecord],
    value: Callable[[StepRecord], Tensors | Callable[[], pd.DataFrame]],
) -> Partitions:
    """Return a value of each step by the name of its partition."""
    return {step_name(step): value(record) for step, record in steps.items()}
