"""Initial (α, β): a Latin hypercube over the K groups (section 2.4, Table 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import qmc

from optiproxy_nas.algorithm.gradient import initial_logits, latin_hypercube
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.spaces.base import SearchSpace
from tiny_space import TinySpace

pytestmark = pytest.mark.usefixtures("global_state")


def settings(make_parameters: Callable[..., SearchParameters], **values: Any) -> Any:
    return make_parameters(gradient=values).gradient


@pytest.mark.parametrize("groups", [1, 5, 20])
def test_every_dimension_has_one_group_in_each_stratum(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters], groups: int
) -> None:
    chosen = settings(make_parameters, groups=groups, lhs_lower=0.9, lhs_range=0.1)
    alpha, beta = initial_logits(space, chosen, seed=0, step=1)
    assert alpha.shape == (groups, space.num_nodes, len(space.operations))
    assert beta.shape == (groups, space.num_edges)
    assert alpha.dtype == beta.dtype == torch.float32
    unit = torch.cat([(alpha.flatten(1).double() - 0.9) / 0.1, beta.double() / 0.1 + 0.5], dim=1)
    # A float32 next to a border may be on the other side of it: keep off by 1e-5.
    strata = (unit * groups).clamp(1e-5, groups - 1e-5).floor().long()
    for dimension in strata.T:
        assert sorted(dimension.tolist()) == list(range(groups))


def test_values_lie_in_the_range(
    tiny: TinySpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    chosen = settings(make_parameters, groups=20, lhs_lower=-2.0, lhs_range=3.0)
    alpha, beta = initial_logits(tiny, chosen, seed=0, step=1)
    assert alpha.min() >= -2
    assert alpha.max() <= 1
    assert beta.abs().max() <= 1.5
    assert alpha.std() > 0.5
    assert beta.std() > 0.5


def test_groups_depend_on_seed_and_step_alone(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    chosen = settings(make_parameters, groups=4)
    first, again = (initial_logits(space, chosen, 3, 2) for _ in range(2))
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first.alpha, initial_logits(space, chosen, 4, 2).alpha)
    assert not torch.equal(first.alpha, initial_logits(space, chosen, 3, 3).alpha)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ({"lhs_beta_lower": 0.3, "lhs_beta_range": 0.2}, 0.3, 0.5),
        ({"lhs_beta_lower": -1.0}, -1.0, 1.0),
        ({"lhs_beta_range": 0.4}, -0.2, 0.2),
    ],
)
def test_beta_may_have_a_range_of_its_own(
    tiny: TinySpace,
    make_parameters: Callable[..., SearchParameters],
    values: Any,
    low: float,
    high: float,
) -> None:
    plain = settings(make_parameters, groups=20, lhs_lower=0.0, lhs_range=2.0)
    chosen = settings(make_parameters, groups=20, lhs_lower=0.0, lhs_range=2.0, **values)
    logits = initial_logits(tiny, chosen, seed=0, step=1)
    width = high - low
    assert low <= logits.beta.min() < low + 0.1 * width
    assert high - 0.1 * width < logits.beta.max() <= high
    assert torch.equal(logits.alpha, initial_logits(tiny, plain, seed=0, step=1).alpha)


@pytest.mark.parametrize(("count", "width"), [(1, 3), (10, 30), (7, 0)])
def test_the_hypercube_is_that_of_scipy(count: int, width: int) -> None:
    found = latin_hypercube(count, width, np.random.default_rng(3).spawn(1)[0])
    expected = qmc.LatinHypercube(d=width, rng=np.random.default_rng(3)).random(count)
    assert np.array_equal(found, expected)
