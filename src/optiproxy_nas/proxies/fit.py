"""Fit the proxy on the archive D (Algorithm 2, line 6), and predict with a fitted one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from optiproxy_nas.core.adam import AdamW
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import ProxyError
from optiproxy_nas.core.parameters import FitSettings, ProxySettings
from optiproxy_nas.core.random_streams import numpy_generator, torch_generator
from optiproxy_nas.proxies import build_proxy, check_contract
from optiproxy_nas.proxies.base import FeatureProxy, FitsItself
from optiproxy_nas.proxies.losses import fitting_loss
from optiproxy_nas.proxies.prior_mean import with_prior, without_prior
from optiproxy_nas.spaces.base import Encoding, SearchSpace


class Fit(NamedTuple):
    """A fitted proxy."""

    weights: Tensors  # θ*, a state dict
    loss: Tensor  # [epochs] mean loss of an epoch over members and batches


def load_proxy(
    space: SearchSpace, settings: ProxySettings, weights: Tensors, heads: int = 1
) -> nn.Module:
    """Return the proxy with weights θ*, without gradients (Algorithm 1, line 4)."""
    # The initial weights are overwritten, so their generator does not matter.
    proxy = build_proxy(space, settings, torch.Generator(), heads)
    proxy.load_state_dict(without_prior(weights))
    return with_prior(space, proxy, weights).eval().requires_grad_(False)


def fit_proxy(
    space: SearchSpace,
    codes: Tensor,
    targets: Tensor,
    proxy_settings: ProxySettings,
    settings: FitSettings,
    previous: Tensors | None,
    seed: int,
    step: int,
) -> Fit:
    """Fit θ* = argmin ℒ(f̂_θ(𝒜), f(𝒜)) over the archive by AdamW.

    Args:
        space: the search space.
        codes: the archive's architectures [n, L].
        targets: of each head [H, n]; NaN: not observed.
        proxy_settings: which proxy.
        settings: how to fit it.
        previous: weights of the step before; used where ``settings.warm_start`` says so.
        seed: run seed.
        step: search step, 1..S.

    Raises:
        ProxyError: the loss is not finite.
    """
    initial = torch_generator(seed, step, "proxy-initial-weights")
    heads, count = targets.shape
    proxy = build_proxy(space, proxy_settings, initial, heads).train()
    if step == 1:
        check_contract(proxy, space, proxy_settings, heads)
    start = previous if settings.warm_start else None
    if start is not None:
        proxy.load_state_dict(without_prior(start))
    if isinstance(proxy, FitsItself):
        return _fit_of(proxy, proxy.fit(codes, targets), proxy_settings, settings, step)
    predict_rows = _by_rows(proxy, space.encode(codes))
    weights = _bootstrap(count, proxy_settings.members, seed) if settings.bootstrap else None
    parameters = list(proxy.parameters())
    optimizer = AdamW(parameters, settings.lr, settings.weight_decay)
    order = torch_generator(seed, step, "fit-batches")
    epochs = settings.first_epochs if start is None else settings.epochs
    losses = []
    for epoch in range(epochs):
        optimizer.lr = learning_rate(epoch, epochs, settings)
        batch_losses = []
        for rows in _batches(count, settings, order):
            loss = fitting_loss(
                predict_rows(rows),
                targets[:, rows],
                settings.ranking_coefficient,
                settings.ranking_margin,
                settings.ranking_reduction,
                None if weights is None else weights[:, rows],
            )
            # Members share no weight, so each follows its own gradient.
            optimizer.step(torch.autograd.grad(loss.sum(), parameters))
            batch_losses.append(loss.detach().mean())
        losses.append(torch.stack(batch_losses).mean())
    return _fit_of(proxy, torch.stack(losses), proxy_settings, settings, step)


def _fit_of(
    proxy: nn.Module,
    curve: Tensor,
    proxy_settings: ProxySettings,
    settings: FitSettings,
    step: int,
) -> Fit:
    if not bool(torch.isfinite(curve).all()):
        first = int((~torch.isfinite(curve)).nonzero()[0])
        raise ProxyError(
            f"The proxy {proxy_settings.name!r} diverged in step {step}: its loss is not finite "
            f"from epoch {first} on. Lower fit.lr (now {settings.lr}).",
            step=step,
            epoch=first,
        )
    return Fit({name: value.detach().clone() for name, value in proxy.state_dict().items()}, curve)


def _by_rows(proxy: nn.Module, encoding: Encoding) -> Callable[[Tensor], Tensor]:
    """Return a function of rows [b] of D that predicts [E, H, b]; features are computed once."""
    # A plug-in that overrides ``forward`` is called through it.
    if isinstance(proxy, FeatureProxy) and type(proxy).forward is FeatureProxy.forward:
        with torch.no_grad():
            features = proxy.features(encoding)
        return lambda rows: proxy.predict(features[rows])
    return lambda rows: proxy(Encoding(encoding.operations[rows], encoding.edges[rows]))


def learning_rate(epoch: int, epochs: int, settings: FitSettings) -> float:
    """Return the learning rate of an epoch, 0-based.

    ``exponential``: lr · γ^⌊epoch / lr_step⌋ (Table 5). ``cosine``: up in the first tenth of the
    epochs, then down along half a cosine to 0.
    """
    if settings.lr_schedule == "exponential":
        return settings.lr * settings.lr_gamma ** (epoch // settings.lr_step)
    progress = (epoch + 0.5) / epochs
    return settings.lr * min(1.0, 10 * progress) * 0.5 * (1 + math.cos(math.pi * progress))


def _batches(count: int, settings: FitSettings, generator: torch.Generator) -> list[Tensor]:
    """Partition range(count) into batches at random; a last one of 1 joins its neighbour.

    At most ``batches_per_epoch`` are returned, so that a step costs the same for a long archive.
    """
    if count <= settings.batch_size:
        return [torch.arange(count)]
    order = torch.randperm(count, generator=generator)
    batches = list(torch.split(order, settings.batch_size))
    if len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches[: settings.batches_per_epoch]


def _bootstrap(count: int, members: int, seed: int) -> Tensor:
    """Draw the weights [E, n] ~ Exponential(1) of a Bayesian bootstrap, fixed for the run."""
    # Drawn row by row, so the first n rows are the same for every longer archive.
    draws = numpy_generator(seed, 0, "bootstrap").exponential(size=(count, members))
    return torch.from_numpy(draws.T).float()


@torch.no_grad()
def predict(proxy: nn.Module, encoding: Encoding) -> Tensor:
    """Return the predictions [E, H, n] of a fitted proxy.

    Raises:
        ProxyError: a prediction is not finite.
    """
    predictions: Tensor = proxy(encoding)
    if not bool(torch.isfinite(predictions).all()):
        bad = int((~torch.isfinite(predictions)).sum())
        raise ProxyError(
            f"The proxy gave {bad} predictions that are not finite (NaN or infinite) out of "
            f"{predictions.numel()}; no query was spent on them. Lower fit.lr, or check the proxy.",
            not_finite=bad,
        )
    return predictions
