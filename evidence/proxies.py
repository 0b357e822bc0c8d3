"""Other models in the place of the proxy: size, speed, ranking and what the search reaches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau, spearmanr
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from evidence import table
from evidence.collect import Evidence
from evidence.comparison import quoted_table
from evidence.measures import compare, early, early_caption, measure
from evidence.pages import Rendered
from evidence.sections import Row, Section
from optiproxy_nas.algorithm.candidates import sample_random
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.parameters import FitSettings, ProxySettings
from optiproxy_nas.core.random_streams import isolated, torch_generator
from optiproxy_nas.proxies.fit import fit_proxy, load_proxy, predict
from optiproxy_nas.proxies.gaussian_process import GaussianProcessProxy
from optiproxy_nas.proxies.targets import make_targets
from optiproxy_nas.report.statistics import bootstrap_mean
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.base import Encoding, SearchSpace

Quality = dict[str, Any]


class EncodingProcess(GaussianProcessProxy):
    """A Gaussian process on the encoding alone: without the counts of operations and pairs."""

    @classmethod
    def feature_blocks(cls, space: SearchSpace, encoding: Encoding) -> list[Tensor]:
        """Return one block: the space's features [n, D]."""
        return [space.features(encoding)]


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
    from evidence.proxies import measure_proxy

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
            line += [
                early(evidence, section, row, dataset),
                table.number(measured.mean),
                "reference" if first else table.difference(value),
            ]
        lines.append([*line, str(len(row.seed_list()))])
    head = ["proxy"]
    for dataset in datasets:
        name = table.name_of(dataset)
        head += [f"{name} {early_caption()}", f"{name} mean", "difference (95 % interval)"]
    return table.markdown([*head, "seeds"], lines)


@isolated()
def measure_proxy(
    space: SearchSpace,
    evaluate: Callable[[list[str]], Any],
    proxy_settings: ProxySettings,
    fit_settings: FitSettings,
    seed: int,
    train: int = 100,
    held_out: int = 1000,
) -> dict[str, Any]:
    """Fit a proxy once, from fresh weights, on random architectures, and ask it about others.

    The split depends on the space, the seed and the two sizes alone, so it is the same for all
    proxies of a seed; targets come from the training part alone.

    Args:
        space: the search space.
        evaluate: architecture strings [n] -> values [n], higher is better.
        proxy_settings: which proxy.
        fit_settings: how to fit it; ``first_epochs`` of them.
        seed: of the split, the weights and the batches.
        train: architectures to fit on, at least 2.
        held_out: architectures to rank, at least 2.

    Returns:
        ``proxy``: its name; ``seed``; ``train``; ``held_out``; ``parameters``: weights of all
        members together; ``flops``: of one forward of all members for one architecture, matrix
        products only; ``fit_seconds``: CPU time of the fit, which has one thread;
        ``kendall_tau`` (τ-b) and ``spearman`` of the members' mean prediction on the held-out
        part, NaN where either side is constant.

    Raises:
        SamplingError: the space has no ``train + held_out`` distinct architectures.
        ProxyError: the fit diverged, or a prediction is not finite.
    """
    generator = torch_generator(seed, 0, "proxy-quality")
    codes = sample_random(space, train + held_out, generator)
    values = np.asarray(evaluate(space.to_string(codes)), dtype=np.float64)
    started = time.thread_time()
    targets = make_targets(values[:train], fit_settings.targets).unsqueeze(0)
    fit = fit_proxy(space, codes[:train], targets, proxy_settings, fit_settings, None, seed, step=1)
    seconds = time.thread_time() - started
    proxy = load_proxy(space, proxy_settings, fit.weights)
    predicted = predict(proxy, space.encode(codes[train:]))[:, 0].mean(0).numpy()
    tau, rho = _rank_correlations(predicted, values[train:])
    return {
        "proxy": proxy_settings.name,
        "seed": seed,
        "train": train,
        "held_out": held_out,
        "parameters": sum(weight.numel() for weight in proxy.parameters()),
        "flops": count_flops(proxy, space, codes[:1]),
        "fit_seconds": seconds,
        "kendall_tau": tau,
        "spearman": rho,
    }


@torch.no_grad()
def count_flops(proxy: nn.Module, space: SearchSpace, codes: Tensor) -> int:
    """Floating-point operations of one forward, a multiply-add being two (matrix products only)."""
    encoding = space.encode(codes)
    with FlopCounterMode(display=False) as counter:
        proxy(encoding)
    return int(counter.get_total_flops())


def _rank_correlations(predicted: Floats, values: Floats) -> tuple[float, float]:
    if np.ptp(predicted) == 0 or np.ptp(values) == 0:
        return float("nan"), float("nan")
    return (
        float(kendalltau(predicted, values).statistic),
        float(spearmanr(predicted, values).statistic),
    )
