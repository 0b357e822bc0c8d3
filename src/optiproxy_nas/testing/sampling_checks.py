"""Check that discrete sampling follows the logits, and ends where few architectures do."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import Candidates, Encoding, Logits, SearchSpace
from optiproxy_nas.testing.determinism import (
    SURE,
    check_codes,
    check_one_code_each,
    generator,
    logits_of,
    point_at,
)

DRAWS = 1000  # from which frequencies are compared
_MOST_DEVIATIONS = 6.0  # one frequency in hundreds of millions differs by more by chance


def check_sampling(space: SearchSpace, codes: Tensor, seed: int) -> None:
    """Assert that ``sample`` follows its logits, its generator and its exploration share."""
    sure = point_at(space, codes[:4])
    drawn = space.sample(sure, 3, generator(seed))
    _check_candidates(space, drawn, 12)
    assert drawn.rejected == 0, "sample: valid architectures rejected"
    expected = [identity for identity in space.identify(codes[:4]) for _ in range(3)]
    by_group = torch.argsort(drawn.group, stable=True)
    assert drawn.group[by_group].tolist() == [k for k in range(4) for _ in range(3)], (
        "sample: group"
    )
    assert space.identify(drawn.codes[by_group]) == expected, "sample: does not follow the logits"
    logits = logits_of(space, 4, seed)
    first, again, other = (
        space.sample(logits, 8, generator(number)) for number in (seed, seed, seed + 1)
    )
    assert torch.equal(first.codes, again.codes), "sample: not reproducible"
    assert first.rejected == again.rejected, "sample: rejected is not reproducible"
    assert not torch.equal(first.codes, other.codes), "sample: ignores its generator"
    _check_candidates(space, first, 32)
    check_one_code_each(space, torch.cat([first.codes, codes]), "sample and random")
    explored = space.sample(sure, DRAWS // len(sure.alpha), generator(seed), exploration=1.0)
    check_alike(space, explored.codes, space.random(DRAWS, generator(seed + 1)))


def check_alike(space: SearchSpace, explored: Tensor, random: Tensor) -> None:
    """Assert that every choice is as frequent at exploration 1 as among random architectures.

    Differences are measured in standard deviations of a difference of two frequencies, so that the
    absence of a rare choice is noticed, though its frequency differs by little.

    Args:
        space: the plug-in.
        explored: codes [n, L] drawn by ``sample`` at exploration 1.
        random: codes [m, L] drawn by ``random``.
    """
    pairs = zip(Encoding._fields, space.encode(explored), space.encode(random), strict=True)
    for field, one, two in pairs:
        first, second = one.double().mean(0), two.double().mean(0)
        pooled = (len(one) * first + len(two) * second) / (len(one) + len(two))
        variance = pooled * (1 - pooled) * (1 / len(one) + 1 / len(two))
        deviations = (first - second).abs() / variance.clamp_min(1e-12).sqrt()
        if bool((deviations > _MOST_DEVIATIONS).any()):
            worst = int(deviations.argmax())
            raise AssertionError(
                f"sample: {field} at exploration 1 are not as random has them: entry {worst} is "
                f"{float(first.flatten()[worst]):.3f} in the mean, not "
                f"{float(second.flatten()[worst]):.3f}"
            )


def _check_candidates(space: SearchSpace, drawn: Candidates, count: int) -> None:
    codes = drawn.codes
    check_codes("sample", space, codes, count)
    assert drawn.group.shape == (count,), "sample: group is not [n]"
    assert isinstance(drawn.rejected, int), "sample: rejected is not an int"
    assert drawn.rejected >= 0, "sample: rejected is negative"
    assert space.identify(space.from_string(space.to_string(codes))) == space.identify(codes), (
        "sample: invalid architectures"
    )


def check_extremes(space: SearchSpace, seed: int) -> None:
    """Assert that sampling ends for logits that hardly any valid architecture follows.

    ``boundary_checks`` checks that rejected draws are reported.
    """
    for logits in extremes(space, seed):
        _check_candidates(space, space.sample(logits, 2, generator(seed)), 4)


def extremes(space: SearchSpace, seed: int) -> Iterator[Logits]:
    """Yield two groups of logits each: all edges absent or present, one operation everywhere.

    Where a node does not have it, it is the node's first.
    """
    alpha, first = logits_of(space, 2, seed).alpha, space.allowed.int().argmax(-1)
    for sign in (-1, 1):
        beta = torch.full((2, space.num_edges), sign * SURE)
        for choice in range(alpha.shape[-1]):
            pushed = alpha.clone()
            everywhere = torch.where(space.allowed[:, choice], choice, first)
            pushed[:, torch.arange(space.num_nodes), everywhere] = SURE
            yield Logits(pushed, beta)
