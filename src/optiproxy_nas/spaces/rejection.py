"""Draw valid architectures from logits by rejection, in a bounded number of rounds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Rounds of drawing from the logits as they are. In each later round the logits' share is halved in
# favour of uniform choices.
_FREE_ROUNDS, _ROUNDS = 6, 12
_SPARE = 2  # draws for each architecture of a group


def draw_valid(
    draw: Callable[[Tensor, int, float], Tensor],
    is_valid: Callable[[Tensor], Tensor],
    shape: tuple[int, int, int],
    exploration: float,
) -> tuple[Tensor, Tensor, int]:
    """Draw up to ``count`` valid architectures for each group.

    Args:
        draw: (indices of groups [k], draws a group, ε) -> codes [k, draws, L].
        is_valid: codes [n, L] -> bool [n].
        shape: K groups, ``count`` and L.
        exploration: ε in [0, 1] of the first six rounds: the share of uniform choices.

    Returns:
        Codes [K, count, L], 0 where none was found; how many were found [K]; and the number of
        invalid draws before the last architecture of their group.
    """
    groups, count, _ = shape
    codes = torch.zeros(shape, dtype=torch.int64)
    found = torch.zeros(groups, dtype=torch.int64)
    rejected = 0
    for attempt in range(_ROUNDS):
        open_groups = (found < count).nonzero()[:, 0]
        if not len(open_groups):
            break
        explored = 1 - (1 - exploration) * 0.5 ** max(0, attempt - _FREE_ROUNDS + 1)
        drawn = draw(open_groups, _SPARE * count, explored)
        valid = is_valid(drawn.flatten(0, 1)).reshape(drawn.shape[:2])
        place = found[open_groups].unsqueeze(1) + valid.cumsum(1) - valid.long()
        needed = place < count  # its group was not complete before this draw
        rows, draws = (valid & needed).nonzero(as_tuple=True)
        codes[open_groups[rows], place[rows, draws]] = drawn[rows, draws]
        found[open_groups] += (valid & needed).sum(1)
        rejected += int((~valid & needed).sum())
    return codes, found, rejected
