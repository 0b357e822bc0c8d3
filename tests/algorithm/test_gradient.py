"""Algorithm 1."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from optiproxy_nas.algorithm import gradient
from optiproxy_nas.algorithm.gradient import initial_logits, optimise_logits
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.errors import ProxyError
from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import build_proxy
from optiproxy_nas.proxies.targets import acquisition_score
from optiproxy_nas.spaces import Encoding, Logits
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.nb201 import NASBench201
from optiproxy_nas.spaces.relaxation import entropy, temperature_at
from tiny_space import TinySpace

pytestmark = pytest.mark.usefixtures("global_state")


class Concave(nn.Module):
    """-(distance to one architecture)²: its only maximum is that architecture."""

    def __init__(self, space: Any, code: Any, members: int = 1) -> None:
        super().__init__()
        self.best = space.encode(code.unsqueeze(0))
        self.members = members

    def forward(self, encoding: Any) -> Any:
        gaps = zip(encoding, self.best, strict=True)
        distance = sum((x - y).square().flatten(1).sum(1) for x, y in gaps)
        return -distance.expand(self.members, 1, -1)


def start(space: Any, parameters: Any, seed: int = 0) -> Any:
    return initial_logits(space, parameters.gradient, seed, 1)


def climb(space: Any, proxy: Any, parameters: Any, logits: Any = None, seed: int = 0) -> Any:
    """With the plain objective: what the acquisition makes of the only head."""
    return optimise_logits(
        space,
        proxy,
        start(space, parameters) if logits is None else logits,
        parameters.gradient,
        lambda predictions: acquisition_score(predictions[:, 0], parameters.selection),
        torch.Generator().manual_seed(seed),
    )


def small_proxy(space: Any, name: str = "mlp") -> Any:
    small = {"name": name, "hidden": 8, "layers": 2, "members": 2}
    settings = ProxySettings(**{**load_preset("paper")["proxy"], **small})
    return build_proxy(space, settings, torch.Generator().manual_seed(0)).requires_grad_(False)


@pytest.mark.parametrize("name", ["mlp", "gcn"])
def test_the_proxy_is_left_bit_for_bit_as_it_was(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters], name: str
) -> None:
    proxy = small_proxy(space, name)
    before = {key: value.clone() for key, value in proxy.state_dict().items()}
    climb(space, proxy, make_parameters())
    assert all(torch.equal(value, before[key]) for key, value in proxy.state_dict().items())
    assert all(weight.grad is None for weight in proxy.parameters())


def test_the_logits_given_are_not_changed(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    parameters = make_parameters()
    logits = start(space, parameters)
    kept = [part.clone() for part in logits]
    found, _ = climb(space, small_proxy(space), parameters, logits)
    assert all(map(torch.equal, logits, kept))
    assert not any(part.requires_grad for part in (*logits, *found))
    assert not torch.equal(found.alpha, logits.alpha)


@pytest.mark.parametrize("acquisition", ["mean", "optimistic"])
def test_a_concave_proxy_drives_every_group_to_its_maximum(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters], acquisition: str
) -> None:
    code = (
        torch.tensor([3, 0, 2, 1, 4, 3]) if space.num_edges == 0 else torch.tensor([2, 0, 1, 0, 1])
    )
    parameters = make_parameters(
        gradient={"groups": 3, "epochs": 240, "lr_alpha": 0.1, "lr_beta": 0.1},
        selection={"acquisition": acquisition, "optimism": 1.0},
    )
    found, trace = climb(space, Concave(space, code), parameters)
    nodes = space.num_nodes
    assert torch.equal(found.alpha.argmax(-1), code[:nodes].expand(3, nodes))
    assert torch.equal((found.beta > 0).long(), code[nodes:].expand(3, space.num_edges))
    assert torch.softmax(found.alpha, -1).amax(-1).min() > 0.8
    assert trace.score[-20:].mean() > trace.score[:20].mean() + 1
    assert trace.entropy[-1].max() < trace.entropy[0].min()


def record_logits(monkeypatch: pytest.MonkeyPatch, space: Any) -> Any:
    """(α, β) as each epoch's relaxation sees them."""
    seen = []
    relax = space.relax

    def spy(logits: Any, temperature: Any, generator: Any, noise: Any) -> Any:
        seen.append(
            (logits.alpha.detach().clone(), logits.beta.detach().clone(), temperature, noise)
        )
        return relax(logits, temperature, generator, noise)

    monkeypatch.setattr(space, "relax", spy)
    return seen


@pytest.mark.parametrize(("o_epochs", "t_epochs"), [(3, 2), (1, 1), (2, 4)])
def test_alpha_and_beta_are_updated_in_turn(
    tiny: TinySpace,
    make_parameters: Callable[..., SearchParameters],
    monkeypatch: pytest.MonkeyPatch,
    o_epochs: int,
    t_epochs: int,
) -> None:
    schedule = {"epochs": 13, "o_epochs": o_epochs, "t_epochs": t_epochs}
    seen = record_logits(monkeypatch, tiny)
    found, _ = climb(tiny, small_proxy(tiny), make_parameters(gradient=schedule))
    seen.append((*found, None, None))
    moved = [
        "".join(name for name, a, b in zip("αβ", one[:2], two[:2], strict=True) if not a.equal(b))
        for one, two in pairwise(seen)
    ]
    assert moved == [
        ("α" * o_epochs + "β" * t_epochs)[e % (o_epochs + t_epochs)] for e in range(13)
    ]


class Linear(nn.Module):
    """The sum of an encoding's entries, weighted: its gradient has the same sign everywhere."""

    def forward(self, encoding: Any) -> Any:
        first = encoding.operations[..., 0].sum(1)
        return (first + encoding.edges.sum(1)).expand(1, 1, -1)


def test_learning_rates_decay_within_a_step(
    tiny: TinySpace,
    make_parameters: Callable[..., SearchParameters],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Adam's first updates are the rate itself where the gradient keeps its sign and size."""
    monkeypatch.setattr(tiny, "relax", lambda logits, *_: Encoding(logits.alpha, logits.beta))
    schedule = {"epochs": 8, "o_epochs": 2, "t_epochs": 2, "weight_decay": 0.0}
    rates = {"lr_alpha": 0.4, "lr_beta": 0.2, "lr_gamma": 0.5, "lr_step": 3}
    logits = Logits(torch.zeros(1, tiny.num_nodes, 3), torch.zeros(1, tiny.num_edges))
    parameters = make_parameters(gradient={**schedule, **rates, "groups": 1})
    found, _ = climb(tiny, Linear(), parameters, logits)
    # Epochs 0, 1, 4, 5 are α's and 2, 3, 6, 7 β's; the rates are halved at 3 and 6.
    assert found.alpha[0, :, 0].tolist() == pytest.approx([0.4 * (1 + 1 + 0.5 + 0.5)] * 2)
    beta = [0.2 * (1 + 0.5 + 0.25 + 0.25)] * tiny.num_edges
    assert found.beta[0].tolist() == pytest.approx(beta)


def test_with_a_fixed_adjacency_every_epoch_is_alphas(
    nb201: NASBench201,
    make_parameters: Callable[..., SearchParameters],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = record_logits(monkeypatch, nb201)
    climb(nb201, small_proxy(nb201), make_parameters(gradient={"epochs": 8, "o_epochs": 1}))
    assert all(not torch.equal(a[0], b[0]) for a, b in pairwise(seen))


@pytest.mark.parametrize("noise", ["logistic", "gumbel"])
def test_temperature_and_noise_reach_the_relaxation_and_the_trace(
    tiny: TinySpace,
    make_parameters: Callable[..., SearchParameters],
    monkeypatch: pytest.MonkeyPatch,
    noise: str,
) -> None:
    seen = record_logits(monkeypatch, tiny)
    settings = {"epochs": 6, "base_temperature": 0.9, "min_temperature": 0.4, "noise": noise}
    _, trace = climb(tiny, small_proxy(tiny), make_parameters(gradient=settings))
    expected = [temperature_at(epoch, 6, 0.9, 0.4) for epoch in range(6)]
    assert [temperature for *_, temperature, _ in seen] == pytest.approx(expected)
    assert trace.temperature.tolist() == pytest.approx(expected)
    assert {name for *_, name in seen} == {noise}


def test_the_trace_tells_what_happened(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    parameters = make_parameters(gradient={"epochs": 7, "groups": 4})
    found, trace = climb(space, small_proxy(space), parameters)
    nodes, choices = space.num_nodes, len(space.operations)
    assert trace.score.shape == trace.entropy.shape == (7, 4)
    assert trace.probability.shape == (7, nodes, choices)
    torch.testing.assert_close(trace.probability.sum(-1), torch.ones(7, nodes))
    # The last row is that of the logits handed back.
    torch.testing.assert_close(trace.entropy[-1], entropy(found.alpha))
    torch.testing.assert_close(trace.probability[-1], torch.softmax(found.alpha, -1).mean(0))
    relaxed = space.relax(
        start(space, parameters), parameters.gradient.base_temperature,
        torch.Generator().manual_seed(0), "logistic",
    )  # fmt: skip
    with torch.no_grad():
        first = acquisition_score(small_proxy(space)(relaxed)[:, 0], parameters.selection)
    torch.testing.assert_close(trace.score[0], first)


def test_groups_follow_their_own_gradient(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    """A group moves the same whatever the others are (the noise is the same)."""
    parameters = make_parameters(gradient={"epochs": 5, "groups": 3})
    proxy, logits = small_proxy(nb201), start(nb201, parameters)
    together, _ = climb(nb201, proxy, parameters, logits)
    others = logits._replace(alpha=logits.alpha.clone())
    others.alpha[1:] = 5 * torch.eye(5)[[0, 1, 2, 3, 4, 0]]
    apart, _ = climb(nb201, proxy, parameters, others)
    torch.testing.assert_close(together.alpha[0], apart.alpha[0])
    assert not torch.allclose(together.alpha[1], apart.alpha[1])


def test_the_score_that_is_climbed_may_be_made_of_several_heads(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    """Head 0 wants one architecture, head 1 another; the score decides between them."""

    class TwoHeads(nn.Module):
        def forward(self, encoding: Any) -> Any:
            ones = encoding.operations.sum(1)  # [n, M]: how often each operation is chosen
            return torch.stack([ones[:, 3], ones[:, 1]]).unsqueeze(0)  # [1, 2, n]

    parameters = make_parameters(gradient={"epochs": 60, "lr_alpha": 0.1})
    for weights, winner in (((1.0, 0.2), 3), ((0.2, 1.0), 1)):
        found, trace = optimise_logits(
            nb201,
            TwoHeads(),
            start(nb201, parameters),
            parameters.gradient,
            lambda predictions, w=weights: w[0] * predictions[0, 0] + w[1] * predictions[0, 1],  # type: ignore[misc]
            torch.Generator().manual_seed(0),
        )
        assert (found.alpha.argmax(-1) == winner).all()
        assert trace.score.shape == (60, parameters.gradient.groups)


def test_weight_decay_pulls_logits_to_zero(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    ends = [
        climb(nb201, small_proxy(nb201), make_parameters(
            gradient={"weight_decay": decay, "epochs": 20, "lhs_lower": 3.0}
        ))[0].alpha.mean() for decay in (0.0, 0.5)
    ]  # fmt: skip
    assert ends[1] < ends[0] - 0.5


def test_equal_generators_give_equal_climbs(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    parameters = make_parameters()
    first, again, other = (
        climb(space, small_proxy(space), parameters, seed=seed)[0] for seed in (1, 1, 2)
    )
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first.alpha, other.alpha)


class Explodes(nn.Module):
    """Finite in the first epoch, infinite once α has moved."""

    calls = 0

    def forward(self, encoding: Any) -> Any:
        self.calls += 1
        value = encoding.operations.sum((-1, -2)) * (1.0 if self.calls == 1 else torch.inf)
        return value.expand(1, 1, -1)


def test_a_proxy_that_explodes_is_a_proxy_error(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    with pytest.raises(ProxyError, match=r"not finite .* on a relaxed architecture") as caught:
        climb(nb201, Explodes(), make_parameters())
    assert caught.value.data["finite_epochs"] == 1


def test_members_that_agree_do_not_spoil_the_optimistic_climb(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    proxy = Concave(nb201, torch.zeros(6, dtype=torch.int64), members=2)
    parameters = make_parameters(
        gradient={"epochs": 1}, selection={"acquisition": "optimistic", "optimism": 1.0}
    )
    found, _ = climb(nb201, proxy, parameters)
    assert torch.isfinite(found.alpha).all()


def test_alpha_and_beta_have_their_own_learning_rates(
    tiny: TinySpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    """The first update of AdamW is lr · sign of the gradient."""
    parameters = make_parameters(
        gradient={"epochs": 2, "o_epochs": 1, "t_epochs": 1, "weight_decay": 0.0}
        | {"lr_alpha": 0.02, "lr_beta": 0.005}
    )
    logits = start(tiny, parameters)
    found, _ = climb(tiny, small_proxy(tiny), parameters, logits)
    for name, lr in (("alpha", 0.02), ("beta", 0.005)):
        moved = (getattr(found, name) - getattr(logits, name)).abs().flatten()
        assert float(moved.median()) == pytest.approx(lr, rel=1e-2)


def test_turns(make_parameters: Callable[..., SearchParameters]) -> None:
    settings = make_parameters(gradient={"o_epochs": 2, "t_epochs": 1}).gradient
    assert [gradient._turn(epoch, settings, 3) for epoch in range(7)] == [0, 0, 1, 0, 0, 1, 0]
    assert [gradient._turn(epoch, settings, 0) for epoch in range(7)] == [0] * 7
