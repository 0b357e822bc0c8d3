"""The plain-Python entry: the same steps as the pipeline, without Kedro."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from tqdm import tqdm

from optiproxy_nas.algorithm.smbo import SearchResult
from optiproxy_nas.benchmarks.load import load_benchmark
from optiproxy_nas.errors import ParameterError
from optiproxy_nas.methods.search import search_by_method
from optiproxy_nas.methods.settings import resolve_method
from optiproxy_nas.objectives import objective_of
from optiproxy_nas.objectives.base import Evaluate
from optiproxy_nas.spaces import get_space


def search(
    dataset: str | None = None,
    budget: int = 100,
    seed: int = 0,
    *,
    source: str | None = None,
    method: str = "optiproxy",
    preset: str = "default",
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
        >>> result.best_architecture, result.best_value  # doctest: +SKIP

    Args:
        dataset: of the benchmark, default ``cifar10``; with ``evaluate``, only a label.
        budget: in all, the random initial sample included: queries, or epochs where the objective
            counts them.
        seed: decides the search together with the other arguments.
        source: where the benchmark's values come from: ``embedded`` (the default), ``v1_0``,
            ``naslib``; with ``evaluate``, only a label.
        method: ``optiproxy``, or a baseline: ``random_search``, ``regularized_evolution``,
            ``local_search``, ``bananas``, ``gaussian_process``, ``tpe``.
        preset: of OptiProxy-NAS, ``default`` or ``paper``.
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
        OptiProxyError: see :mod:`optiproxy_nas.errors`.
    """
    # What the record of a search says must be true: a user's own objective is no benchmark.
    label = "custom" if evaluate is not None else None
    dataset, source = dataset or label or "cifar10", source or label or "embedded"
    parameters = resolve_method(
        {
            "space": space,
            "benchmark": space,
            "source": source,
            "dataset": dataset,
            "method": method,
            "preset": preset,
            "objective": objective,
            "seed": seed,
            "budget": budget,
            **overrides,
        }
    )
    if evaluate is None:
        benchmark = load_benchmark(source, dataset)
        if benchmark.space != space:
            raise ParameterError(
                f"Source {source!r} is of search space {benchmark.space!r}, not {space!r}. Give "
                "another source, or your own evaluate.",
                source=source,
                space=space,
            )
        objective_of(parameters).check(benchmark)
        evaluate = objective_of(parameters).evaluator(benchmark)
    unit = objective_of(parameters).unit
    with tqdm(total=budget, desc=unit, disable=not progress) as bar:

        def show(step: dict[str, Any]) -> None:
            if not pd.isna(step["best"]):  # nothing feasible yet
                bar.set_postfix_str(f"best {step['best']:.3f}", refresh=False)
            bar.update(step["spent"] - bar.n)

        return search_by_method(get_space(space), evaluate, parameters, show)
