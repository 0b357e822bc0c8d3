"""Other models in the place of the proxy: size, speed, ranking and what the search reaches."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np

from evidence import table
from evidence.collect import Evidence
from evidence.comparison import quoted_table
from evidence.measures import compare, measure
from evidence.rendered import Rendered
from evidence.sections import Row, Section
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks.loading import load_benchmark
from optiproxy_nas.report.statistics import bootstrap_mean
from optiproxy_nas.spaces import get_space

Quality = dict[str, Any]


def render(section: Section, evidence: Evidence) -> Rendered:
    """Texts ``<name>`` (the models), ``<name>-search`` (what is found) and ``<name>-quoted``.

    ``options.train`` cells are fitted, ``options.held_out`` others ranked, anew in each seed.
    """
    return Rendered(
        {
            section.name: _models(section, evidence),
            f"{section.name}-search": _searches(section, evidence),
            f"{section.name}-quoted": quoted_table(section.quoted, section.datasets()),
        }
    )


def _models(section: Section, evidence: Evidence) -> str:
    datasets = section.datasets()
    lines = []
    for row in section.rows:
        measured = {dataset: _quality(section, evidence, row, dataset) for dataset in datasets}
        every = [quality for qualities in measured.values() for quality in qualities]
        correlations = []
        for dataset in datasets:
            for key in ("kendall_tau", "spearman"):
                correlations.append(_mean([quality[key] for quality in measured[dataset]]))
        lines.append(
            [
                row.label,
                f"{every[0]['parameters']:,}",
                f"{every[0]['flops']:,}",
                table.number(float(np.median([q["fit_seconds"] for q in every])), 2),
                *correlations,
            ]
        )
    head = ["proxy", "weights", "FLOPs", "fit (s)"]
    head += [f"{table.name_of(d)} {name}" for d in datasets for name in ("Kendall τ", "Spearman ρ")]
    return table.markdown(head, lines)


def _mean(values: list[float]) -> str:
    """Mean and interval over seeds; a dash where a proxy ranked nothing (a constant prediction)."""
    if not np.isfinite(values).all():
        return table.NONE
    return f"{np.mean(values):.2f} ({table.interval(bootstrap_mean(values), 2)})"


def _quality(section: Section, evidence: Evidence, row: Row, dataset: str) -> list[Quality]:
    """One measurement a seed, with the settings that the row's searches had."""
    from evidence.proxy_quality import measure_proxy

    _, runs = evidence.of(section, row)
    runs = runs[runs["dataset"] == dataset].sort_values("seed")
    source = str(runs["source"].iloc[0])
    benchmark = load_benchmark(source, dataset)
    evaluate = partial(benchmark.query, metric=benchmark.target)
    qualities = []
    for seed, text in zip(runs["seed"], runs["parameters"], strict=True):
        parameters = SearchParameters.model_validate(json.loads(text))
        qualities.append(
            measure_proxy(
                get_space(parameters.space),
                evaluate,
                parameters.proxy,
                parameters.fit,
                int(seed),
                train=section.options["train"],
                held_out=section.options["held_out"],
            )
        )
    return qualities


def _searches(section: Section, evidence: Evidence) -> str:
    """Mean after the search, and the paired difference to the first row."""
    datasets, budget = section.datasets(), section.budgets[0]
    lines = []
    for row in section.rows:
        line = [row.label]
        for dataset in datasets:
            measured = measure(evidence, section, row, dataset, budget)
            reference = measure(evidence, section, section.rows[0], dataset, budget)
            assert measured is not None  # the rows of this section are searches on all datasets
            assert reference is not None
            value, _ = compare(measured, reference)
            first = row is section.rows[0]
            line += [table.number(measured.mean), "reference" if first else table.difference(value)]
        lines.append([*line, str(len(row.seed_list()))])
    head = ["proxy"]
    for dataset in datasets:
        head += [f"{table.name_of(dataset)} mean", "difference (95 % interval)"]
    return table.markdown([*head, "seeds"], lines)
