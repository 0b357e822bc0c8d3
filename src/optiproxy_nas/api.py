"""The plain-Python entry: any method on any problem, without Kedro."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tqdm import tqdm

from optiproxy_nas.algorithm.search_parameters import OWN_EVALUATION, RunParameters
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.benchmarks.source_registry import (
    check_source,
    family_of,
    find_source,
    get_source,
)
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.numbers import value_text
from optiproxy_nas.core.validation import validate
from optiproxy_nas.evaluation.benchmark_problem import check_benchmark, evaluator_of
from optiproxy_nas.evaluation.evaluator import Evaluate
from optiproxy_nas.evaluation.loop import OnProgress, Progress, run_search
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.methods.result import SearchResult
from optiproxy_nas.objectives import name_of
from optiproxy_nas.presets import preset_for
from optiproxy_nas.spaces import get_space


def search(
    dataset: str | None = None,
    budget: int = 100,
    seed: int = 0,
    *,
    source: str | None = None,
    method: str = "optiproxy",
    preset: str | None = None,
    space: str = "nb201",
    objective: str | Mapping[str, Any] = "accuracy",
    evaluate: Evaluate | None = None,
    progress: bool = False,
    **overrides: Any,
) -> SearchResult:
    """Search a space with as few evaluations as possible.

    Example:
        >>> from optiproxy_nas import search
        >>> result = search("cifar100", budget=100, seed=0)  # doctest: +SKIP
        >>> print(result)  # doctest: +SKIP
        >>> result.best_architecture, result.best_value, result.target  # doctest: +SKIP

    Args:
        dataset: of the benchmark, default the source's first (``cifar10``, ``ptb``); with
            ``evaluate``, only a label.
        budget: in all, the random initial sample included: queries, or epochs where the objective
            counts them.
        seed: decides the search together with the other arguments.
        source: where the benchmark's values come from; default the first that is registered for
            the space (``embedded``, ``nb101_table``, ``nb301_yahpo``, ``nbnlp_surrogate``); with
            ``evaluate``, only a label.
        method: ``optiproxy``, or a baseline: ``random_search``, ``regularized_evolution``,
            ``local_search``, ``bananas``, ``gaussian_process``, ``tpe``.
        preset: of OptiProxy-NAS, ``default``, ``paper``, ``large``, ``nlp``, ``hardware`` or
            ``low_fidelity``; default that which was tuned for the objective and the space.
        space: a registered search space, or ``package.module:Class``.
        objective: what is searched for, a registered name or a mapping of its name and settings:
            ``accuracy``, ``{"name": "constrained", "constraints": ["latency_ms <= 12"]}``,
            ``{"name": "multi_fidelity", ...}``.
        evaluate: your own evaluation, architecture strings [n] -> values [n], higher is better;
            called once for each architecture. Where the objective needs more than a value, it gives
            a mapping of columns (``{"value": [...], "latency_ms": [...]}``), or takes the number
            of training epochs as a second argument. Default: the benchmark's.
        progress: show a progress bar.
        **overrides: any key of the preset, nested: ``proxy={"hidden": 128}``; of a baseline
            ``settings={"population": 20}``.

    Raises:
        OptiProxyError: see :mod:`optiproxy_nas.core.errors`.
    """
    if evaluate is None:
        known = _source_of(source, space)
        source, benchmark_name = source or known.name, known.family.name
        dataset = dataset or known.datasets[0]
    else:  # the record of a search names no benchmark that did not answer it
        source, benchmark_name = source or OWN_EVALUATION, space
        dataset = dataset or OWN_EVALUATION
    # The dataset decides no setting: it goes to the table, and into the record at the end.
    parameters = resolve_method(
        {
            "space": space,
            "benchmark": benchmark_name,
            "source": source,
            "method": method,
            "preset": preset or preset_for(space, name_of(objective)) or "default",
            "objective": objective,
            "seed": seed,
            "budget": budget,
            **overrides,
        }
    )
    recorded = validate(type(parameters), {**dict(parameters), "dataset": dataset})
    target, caution = "value", ""
    if evaluate is None:
        check_source(parameters, dataset)
        benchmark = load_benchmark(parameters.source, dataset, complete=True)
        check_benchmark(parameters.objective, benchmark)
        evaluate = evaluator_of(parameters.objective, benchmark)
        target, caution = benchmark.target, benchmark.caution
    with _progress_bar(parameters, target, progress) as show:
        result = run_search(get_space(space), evaluate, parameters, show)
    return replace(result, parameters=recorded, target=target, caution=caution)


@contextmanager
def _progress_bar(parameters: RunParameters, target: str, visible: bool) -> Iterator[OnProgress]:
    """Give what shows the progress of a search as a bar: what is spent, and the best value."""
    unit = parameters.objective.price.unit
    with tqdm(total=parameters.budget, desc=unit, disable=not visible) as bar:

        def show(progress: Progress) -> None:
            if not math.isnan(progress.best):  # something is eligible
                bar.set_postfix_str(f"best {value_text(target, progress.best)}", refresh=False)
            bar.update(progress.spent - bar.n)

        yield show


def _source_of(source: str | None, space: str) -> Source:
    """Return the source that is named, or the default one of the space's benchmark.

    Raises:
        UnknownNameError: no such source or space.
        ParameterError: none is named, and none is registered for the space.
    """
    family = family_of(space)
    if source is not None:
        return find_source(source, family.name if family else "")
    if family is None:
        raise ParameterError(
            f"No registered source is of search space {space!r}: give one, source=..., or your own "
            "evaluate=...",
            space=space,
        )
    return get_source(family.source)
