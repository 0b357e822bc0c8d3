"""What a proxy without a graph sees of declared architectures."""

from __future__ import annotations

import torch
from torch import Tensor


class Features:
    """Vectors of encodings, linear in them and without empty columns.

    They are the probabilities of each option of the choices that are not ordered; of the existence
    of each conditional choice; and of each ordered option but the first, or a later one: a
    thermometer, in which near options are near. One-hot rows beside a thermometer rank worse
    (docs/results/choices.md).

    Args:
        allowed: bool [N, M], the options of each choice.
        ordered: bool [N].
        conditional: bool [N].
    """

    def __init__(self, allowed: Tensor, ordered: Tensor, conditional: Tensor) -> None:
        later = allowed[ordered]
        options = allowed & ~ordered.unsqueeze(-1)
        later[:, 1] = False
        self._options, self._later, self._ordered, self._conditional = (
            mask.flatten().nonzero()[:, 0] for mask in (options, later, ordered, conditional)
        )

    def of(self, rows: Tensor) -> Tensor:
        """Return the features [n, D] of the rows [n, N, M] of an encoding."""
        at_least = rows[:, self._ordered].flip(-1).cumsum(-1).flip(-1)
        features = (
            rows.flatten(1).index_select(1, self._options),
            1 - rows[:, self._conditional, 0],
            at_least.flatten(1).index_select(1, self._later),
        )
        return torch.cat(features, dim=1)
