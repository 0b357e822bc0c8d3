"""What a proxy costs and how well it ranks architectures that it has not seen (Table A1)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau, spearmanr
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from optiproxy_nas.algorithm.candidates import sample_random
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.parameters import FitSettings, ProxySettings
from optiproxy_nas.core.random_streams import one_thread, torch_generator
from optiproxy_nas.objectives.base import Evaluate
from optiproxy_nas.proxies.fit import fit_proxy, load_proxy, predict
from optiproxy_nas.proxies.targets import make_targets
from optiproxy_nas.spaces.base import SearchSpace


@one_thread()
def measure_proxy(
    space: SearchSpace,
    evaluate: Evaluate,
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
