"""Selecting B of the Q candidates by the proxy (Algorithm 2, line 8)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from optiproxy_nas.core.parameters import SelectionSettings

Predict = Callable[[Tensor], Tensor]  # codes [n, L] -> predictions [E, H, n]


def select_best(
    score: Tensor, count: int, settings: SelectionSettings, generator: torch.Generator
) -> Tensor:
    """The rows of the ``count`` highest scores, best first (ties: first drawn): [count].

    With ``use_proxy`` off, ``count`` random rows instead: what the selection is worth is seen by
    leaving it out (section 3.4).

    Args:
        score: of the candidates [q].
        count: B.
        settings: whether the proxy chooses.
        generator: draws where it does not.
    """
    order = score if settings.use_proxy else torch.rand(len(score), generator=generator)
    return torch.argsort(order, descending=True, stable=True)[:count]
