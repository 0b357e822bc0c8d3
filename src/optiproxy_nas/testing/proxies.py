"""The conformance checks of a proxy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies.base import FitsItself
from optiproxy_nas.spaces.base import Encoding, SearchSpace
from optiproxy_nas.testing.determinism import (
    COUNT,
    generator,
    global_randomness_untouched,
    logits_of,
)

BuildProxy = Callable[[SearchSpace, ProxySettings, torch.Generator, int], nn.Module]
_HEADS = 2


def check_proxy(build: BuildProxy, space: SearchSpace, seed: int = 0) -> None:
    """Assert that a proxy can be fitted as an ensemble, frozen, and climbed by gradient.

    Args:
        build: the plug-in's class, called as ``build(space, settings, generator, heads)``.
        space: any search space that the proxy supports.
        seed: of the weights and architectures.

    Raises:
        AssertionError: which promise is broken.
    """
    small = {"name": "checked", "hidden": 8, "layers": 2, "members": 3}
    settings = ProxySettings(**{**load_preset("paper")["proxy"], **small})
    with global_randomness_untouched():
        codes = space.random(COUNT, generator(seed))
        hard = space.encode(codes)

        def made(seed: int, heads: int = _HEADS) -> nn.Module:
            proxy = build(space, settings, generator(seed), heads)
            if isinstance(proxy, FitsItself):
                proxy.fit(codes, torch.randn(heads, COUNT, generator=generator(seed)))
            return proxy.eval()

        proxy, again, other = made(seed), made(seed), made(seed + 1)
        soft = space.relax(logits_of(space, 4, seed), 0.7, generator(seed), "logistic")
        predictions: Tensor = proxy(hard)
        _check_shape(predictions, _HEADS)
        _check_shape(made(seed, 1)(hard), 1)
        for name, encoding in (("hard", hard), ("soft", soft)):
            assert torch.isfinite(proxy(encoding)).all(), f"predictions of {name} encodings"
        assert torch.equal(predictions, proxy(hard)), "two calls in eval mode differ"
        assert torch.equal(predictions, again(hard)), "weights do not come from the generator alone"
        assert not torch.equal(predictions, other(hard)), "weights ignore the generator"
        first = proxy(Encoding(hard.operations[:3], hard.edges[:3]))
        assert torch.allclose(first, predictions[..., :3], atol=1e-5), (
            "a prediction depends on the rest of the batch"
        )
        assert not torch.isclose(predictions[0], predictions[1]).all(), "members are equal"
        assert not torch.isclose(predictions[:, 0], predictions[:, 1]).all(), "heads are equal"
        if not isinstance(proxy, FitsItself):  # which has no weights that follow gradients
            _check_members_share_no_weight(proxy, hard)
        other.load_state_dict(proxy.state_dict())
        assert torch.equal(predictions, other(hard)), "state_dict does not hold the whole proxy"
        _check_frozen(other.requires_grad_(False), soft)


def _check_shape(predictions: Tensor, heads: int) -> None:
    shape, expected = tuple(predictions.shape), (3, heads, COUNT)
    assert shape == expected, (
        f"predictions have shape {shape}, not [members, heads, n] = {expected}"
    )


def _check_members_share_no_weight(proxy: nn.Module, encoding: Encoding) -> None:
    named = [(name, weight) for name, weight in proxy.named_parameters() if weight.requires_grad]
    weights = [weight for _, weight in named]
    gradients = [
        torch.autograd.grad(member.sum(), weights, retain_graph=True, allow_unused=True)
        for member in proxy(encoding)[:2]
    ]
    for (name, _), first, second in zip(named, *gradients, strict=True):
        if first is not None and second is not None:
            assert ((first == 0) | (second == 0)).all(), f"two members share the weights {name!r}"


def _check_frozen(proxy: nn.Module, soft: Encoding) -> None:
    """Assert that a frozen proxy carries gradients to its input, as Algorithm 1 needs."""
    before = {name: value.clone() for name, value in proxy.state_dict().items()}
    encoding = Encoding(*(field.detach().clone().requires_grad_() for field in soft))
    score = proxy(encoding).sum()
    fields = ("operations", "edges") if encoding.edges.shape[1] else ("operations",)
    for field in fields:
        (gradient,) = torch.autograd.grad(
            score, getattr(encoding, field), retain_graph=True, allow_unused=True
        )
        assert gradient is not None, f"not differentiable in {field}"
        assert torch.isfinite(gradient).all(), f"gradient in {field} not finite"
        assert (gradient != 0).any(), f"gradient in {field} is zero"
    for name, value in proxy.state_dict().items():
        assert torch.equal(value, before[name]), f"a frozen proxy changed its {name!r}"
