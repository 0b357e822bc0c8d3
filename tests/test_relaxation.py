"""The relaxation against its closed forms (Eq. 5, 6, 9, 10; appendix A.5; Table 6)."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from optiproxy_nas.core.errors import UnknownNameError
from optiproxy_nas.spaces.base import Logits
from optiproxy_nas.spaces.relaxation import (
    binary_concrete,
    entropy,
    gumbel_noise,
    gumbel_softmax,
    largest_entropy,
    logistic_noise,
    noisy_logits,
    sample_edges,
    sample_operations,
    temperature_at,
)

pytestmark = pytest.mark.usefixtures("global_state")

DRAWS = 40_000
ALPHA = torch.tensor([[[0.0, 1.0, -1.0, 0.5, 2.0], [3.0, 0.0, 0.0, -2.0, 0.0]]])  # [1, 2, 5]
BETA = torch.tensor([[-2.0, 0.0, 1.5]])


def assert_frequencies(drawn: torch.Tensor, probability: torch.Tensor) -> None:
    """Chi-square of indices [n, N] against probabilities [N, M]."""
    for node in range(drawn.shape[1]):
        counts = torch.bincount(drawn[:, node], minlength=probability.shape[-1])
        expected = probability[node].double() / probability[node].double().sum() * len(drawn)
        assert chisquare(counts, expected).pvalue > 1e-3


@pytest.mark.parametrize(
    ("noise", "law"), [(gumbel_noise, "gumbel_r"), (logistic_noise, "logistic")]
)
def test_noise_follows_its_law(noise: Any, law: str, generator: torch.Generator) -> None:
    assert kstest(noise((DRAWS,), generator).double().numpy(), law).pvalue > 1e-3


@pytest.mark.parametrize("noise", [gumbel_noise, logistic_noise])
def test_noise_is_finite_even_at_the_ends_of_the_uniform(
    noise: Any, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for end in (torch.zeros, torch.ones):
        monkeypatch.setattr(torch, "rand", lambda shape, generator, end=end: end(shape))
        assert torch.isfinite(noise((3,), generator)).all()


def test_sample_operations_draws_from_the_softmax(generator: torch.Generator) -> None:
    drawn = sample_operations(ALPHA, DRAWS, generator)
    assert drawn.shape == (1, DRAWS, 2)
    assert drawn.dtype == torch.int64
    assert_frequencies(drawn[0], torch.softmax(ALPHA[0], -1))


def test_sample_operations_keeps_groups_apart(generator: torch.Generator) -> None:
    alpha = torch.full((3, 2, 4), -50.0)
    for group in range(3):
        alpha[group, :, group] = 50.0
    drawn = sample_operations(alpha, 7, generator)
    assert torch.equal(drawn, torch.arange(3).view(3, 1, 1).expand(3, 7, 2))


@pytest.mark.parametrize("exploration", [0.3, 1.0])
def test_exploration_mixes_operations_with_the_uniform(
    exploration: float, generator: torch.Generator
) -> None:
    expected = torch.softmax(ALPHA[0], -1) * (1 - exploration) + exploration / 5
    assert_frequencies(sample_operations(ALPHA, DRAWS, generator, exploration)[0], expected)


def test_noisy_weights_are_the_softmax_and_a_uniform_number_each(
    generator: torch.Generator,
) -> None:
    noisy = noisy_logits(Logits(ALPHA, BETA), 1000, 0.3, generator)
    added = (noisy.alpha.exp() - torch.softmax(ALPHA, -1)) / 0.3  # [1000, 2, 5]
    assert noisy.alpha.shape == (1000, 2, 5)
    assert torch.equal(noisy.beta, BETA.expand(1000, -1))
    assert kstest(added.flatten().double().numpy(), "uniform").pvalue > 1e-3


def test_noisy_weights_are_close_to_a_uniform_share_that_grows_with_the_choices(
    generator: torch.Generator,
) -> None:
    """ε = w M / (2 + w M): the share is 0.43 of five options at w = 0.3, 0.23 of two."""
    for choices, share in ((5, 0.75 / 1.75), (2, 0.3 / 1.3)):
        alpha = ALPHA[..., :choices]
        noisy = noisy_logits(Logits(alpha, BETA), 10_000, 0.3, generator)
        drawn = sample_operations(noisy.alpha, 1, generator)[:, 0]
        counts = torch.stack([torch.bincount(node, minlength=choices) for node in drawn.T])
        expected = (1 - share) * torch.softmax(alpha[0], -1) + share / choices
        torch.testing.assert_close(counts / 10_000, expected, atol=0.02, rtol=0)


def test_noise_of_the_weights_leaves_out_what_is_not_allowed(generator: torch.Generator) -> None:
    noisy = noisy_logits(Logits(ALPHA, BETA), 500, 2.0, generator, ALLOWED)
    assert noisy.alpha.dtype == ALPHA.dtype
    assert (noisy.alpha[:, ~ALLOWED] == 0).all()
    weights = torch.softmax(ALPHA[0].masked_fill(~ALLOWED, -torch.inf), -1)
    added = (noisy.alpha.exp() - weights)[:, ALLOWED] / 2.0
    assert kstest(added.flatten().double().numpy(), "uniform").pvalue > 1e-3
    drawn = sample_operations(noisy.alpha, 1, generator, allowed=ALLOWED)[:, 0]
    assert ALLOWED[torch.arange(2), drawn].all()


@pytest.mark.parametrize("exploration", [0.0, 0.4, 1.0])
def test_sample_edges_draws_from_the_mixed_sigmoid(
    exploration: float, generator: torch.Generator
) -> None:
    drawn = sample_edges(BETA, DRAWS, generator, exploration)
    assert drawn.shape == (1, DRAWS, 3)
    assert drawn.dtype == torch.int64
    on = torch.sigmoid(BETA[0]) * (1 - exploration) + exploration / 2
    assert_frequencies(drawn[0], torch.stack([1 - on, on], -1))


def test_without_exploration_edges_are_drawn_from_the_sigmoid(generator: torch.Generator) -> None:
    on = torch.sigmoid(BETA[0])
    assert_frequencies(sample_edges(BETA, DRAWS, generator)[0], torch.stack([1 - on, on], -1))


def test_gumbel_softmax_tends_to_the_categorical(generator: torch.Generator) -> None:
    """Eq. 11: P(lim ŝ_o = one-hot j) = softmax(α)_j."""
    cold = gumbel_softmax(ALPHA.expand(DRAWS, 2, 5), 1e-4, generator)
    assert (cold.amax(-1) > 0.999).float().mean() > 0.999
    assert_frequencies(cold.argmax(-1), torch.softmax(ALPHA[0], -1))


@given(temperature=st.floats(0.05, 50), seed=st.integers(0, 2**32))
def test_gumbel_softmax_is_the_printed_formula(temperature: Any, seed: Any) -> None:
    relaxed = gumbel_softmax(ALPHA, temperature, torch.Generator().manual_seed(seed))
    noise = gumbel_noise((1, 2, 5), torch.Generator().manual_seed(seed)).double()
    scaled = (ALPHA + noise) / temperature
    printed = torch.exp(scaled - scaled.amax(-1, keepdim=True))  # the common factor cancels
    printed /= printed.sum(-1, keepdim=True)
    torch.testing.assert_close(relaxed.double(), printed, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(relaxed.sum(-1), torch.ones(1, 2))


@pytest.mark.parametrize("noise", ["logistic", "gumbel"])
@given(temperature=st.floats(0.05, 50), seed=st.integers(0, 2**32))
def test_binary_concrete_is_the_printed_formula(noise: str, temperature: Any, seed: Any) -> None:
    relaxed = binary_concrete(BETA, temperature, torch.Generator().manual_seed(seed), noise)
    draw = {"logistic": logistic_noise, "gumbel": gumbel_noise}[noise]
    drawn = draw((1, 3), torch.Generator().manual_seed(seed))
    printed = 1 / (1 + torch.exp(-(BETA + drawn).double() / temperature))
    torch.testing.assert_close(relaxed.double(), printed, atol=1e-4, rtol=1e-3)


def test_logistic_noise_makes_the_edges_unbiased(generator: torch.Generator) -> None:
    """A.5: P(lim ŝ_t = 1) = σ(β)."""
    cold = binary_concrete(BETA.expand(DRAWS, 3), 1e-4, generator)
    on = torch.sigmoid(BETA[0])
    assert_frequencies((cold > 0.5).long(), torch.stack([1 - on, on], -1))


def test_gumbel_noise_of_equation_10_is_biased(generator: torch.Generator) -> None:
    """Eq. 10 as printed: P(lim ŝ_t = 1) = 1 - exp(-exp(β)), and not σ(β)."""
    cold = binary_concrete(BETA.expand(DRAWS, 3), 1e-4, generator, noise="gumbel")
    biased = 1 - torch.exp(-torch.exp(BETA[0]))
    assert_frequencies((cold > 0.5).long(), torch.stack([1 - biased, biased], -1))
    share = (cold > 0.5).float().mean(0)
    assert abs(float(share[1]) - 0.632) < 0.01
    assert abs(float(share[1]) - 0.5) > 0.1


def test_binary_concrete_names_the_noise_it_does_not_know(generator: torch.Generator) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'logistic'"):
        binary_concrete(BETA, 0.5, generator, noise="logistik")


def test_relaxed_samples_carry_gradients_and_keep_double_precision(
    generator: torch.Generator,
) -> None:
    alpha, beta = ALPHA.double().requires_grad_(), BETA.double().requires_grad_()
    operations = gumbel_softmax(alpha, 0.5, generator)
    edges = binary_concrete(beta, 0.5, generator)
    assert operations.dtype == edges.dtype == torch.float64
    gradients = torch.autograd.grad(operations[..., 0].sum() + edges.sum(), (alpha, beta))
    assert all(bool((gradient != 0).any()) for gradient in gradients)


def test_impossible_choices_are_never_drawn(generator: torch.Generator) -> None:
    alpha = torch.tensor([[[0.0, -torch.inf, -300.0]]])
    assert (sample_operations(alpha, 1000, generator) == 0).all()


@given(
    base=st.floats(0.3, 5), minimum=st.floats(0.01, 0.3), epochs=st.integers(2, 400),
)  # fmt: skip
def test_temperature_is_linear_between_its_ends(base: Any, minimum: Any, epochs: Any) -> None:
    decay = [temperature_at(epoch, epochs, base, minimum) for epoch in range(epochs)]
    assert decay[0] == base
    assert decay[-1] == pytest.approx(minimum)
    steps = torch.tensor(decay, dtype=torch.float64).diff()
    torch.testing.assert_close(steps, torch.full_like(steps, (minimum - base) / (epochs - 1)))


def test_temperature_of_a_single_epoch_is_the_lowest() -> None:
    assert temperature_at(0, 1, 0.7, 0.2) == pytest.approx(0.2)


def test_entropy_of_uniform_and_collapsed_groups() -> None:
    alpha = torch.stack([torch.full((6, 5), 3.0), torch.eye(5)[[0, 1, 2, 3, 4, 0]] * 100])
    assert entropy(alpha).tolist() == pytest.approx([math.log(5), 0.0], abs=1e-6)
    half = torch.tensor([[[0.0, 0.0, -torch.inf], [0.0, -torch.inf, -torch.inf]]])
    assert float(entropy(half)) == pytest.approx(math.log(2) / 2)


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: gumbel_softmax(ALPHA, 0.5, g),
        lambda g: binary_concrete(BETA, 0.5, g),
        lambda g: sample_operations(ALPHA, 50, g),
        lambda g: sample_edges(BETA, 50, g),
    ],
)
def test_draws_depend_on_the_generator_alone(draw: Any) -> None:
    first, same, other = (draw(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


ALLOWED = torch.tensor([[True, False, True, True, False], [False, True, True, True, True]])


def test_only_allowed_operations_are_drawn_and_exploration_spreads_over_them(
    generator: torch.Generator,
) -> None:
    shares = torch.softmax(ALPHA[0].masked_fill(~ALLOWED, -torch.inf), -1)
    for exploration in (0.0, 0.3, 1.0):
        drawn = sample_operations(ALPHA, 4000, generator, exploration, ALLOWED)[0]
        uniform = ALLOWED / ALLOWED.sum(-1, keepdim=True)
        expected = (1 - exploration) * shares + exploration * uniform
        counts = torch.stack([torch.bincount(column, minlength=5) for column in drawn.T])
        assert (counts[~ALLOWED] == 0).all()
        torch.testing.assert_close(counts / 4000, expected, atol=0.04, rtol=0)


def test_the_relaxation_gives_the_rest_nothing_and_no_gradient(generator: torch.Generator) -> None:
    alpha = ALPHA.clone().requires_grad_()
    relaxed = gumbel_softmax(alpha, 0.7, generator, ALLOWED)
    assert (relaxed[:, ~ALLOWED] == 0).all()
    torch.testing.assert_close(relaxed.sum(-1), torch.ones(1, 2))
    (gradient,) = torch.autograd.grad(relaxed[..., 2].sum(), alpha)
    assert torch.isfinite(gradient).all()
    assert (gradient[:, ~ALLOWED] == 0).all()
    assert (gradient[:, ALLOWED] != 0).all()


@pytest.mark.parametrize(
    "draw",
    [
        lambda g, allowed: gumbel_softmax(ALPHA, 0.5, g, allowed),
        lambda g, allowed: sample_operations(ALPHA, 50, g, 0.3, allowed),
        lambda g, allowed: entropy(ALPHA, allowed),
    ],
)
def test_all_allowed_is_as_no_mask_to_the_bit(draw: Any) -> None:
    everything = torch.ones(2, 5, dtype=torch.bool)
    with_mask, without = (
        draw(torch.Generator().manual_seed(1), allowed) for allowed in (everything, None)
    )
    assert torch.equal(with_mask, without)


def test_the_largest_entropy_is_that_of_a_uniform_group() -> None:
    assert largest_entropy(ALLOWED) == pytest.approx((math.log(3) + math.log(4)) / 2)
    assert float(entropy(torch.zeros(1, 2, 5), ALLOWED)) == pytest.approx(largest_entropy(ALLOWED))
