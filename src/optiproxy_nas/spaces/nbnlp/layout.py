"""Edge choices as one vector: which entry of ``Encoding.edges`` is which choice.

Each of the three inputs of each node is one choice among none, x, the hidden states and the earlier
nodes; each state's maker one among none and the nodes (state 0 has no none). A group of entries is
one choice, one-hot for a discrete recipe.
"""

from __future__ import annotations

import torch
from torch import Tensor

from optiproxy_nas.spaces.nbnlp.grammar import CHOICES, FIRST, NODES, STATES, Cells

_ROWS = 3 * NODES + STATES


def _allowed() -> Tensor:
    mask = torch.zeros(_ROWS, CHOICES, dtype=torch.bool)
    for node in range(NODES):
        mask[3 * node : 3 * node + 3, : FIRST + node] = True
    mask[3 * NODES :, 0] = True
    mask[3 * NODES :, FIRST:] = True
    mask[3 * NODES, 0] = False
    return mask


ALLOWED = _allowed()  # [51, CHOICES]
_ENTRIES = ALLOWED.flatten().nonzero().flatten()  # entry -> its place in [51 · CHOICES]
_PLACES = torch.full((_ROWS * CHOICES,), len(_ENTRIES)).scatter(
    0, _ENTRIES, torch.arange(len(_ENTRIES))
)  # place -> its entry; one past the last where there is none
NUM_EDGES = len(_ENTRIES)


def spread(edges: Tensor, fill: float) -> tuple[Tensor, Tensor]:
    """Edges [n, E] as the inputs' choices [n, NODES, 3, CHOICES] and outputs' [n, 3, 1 + NODES]."""
    # index_select: its gradient is much faster than that of indexing.
    table = torch.nn.functional.pad(edges, (0, 1), value=fill).index_select(1, _PLACES)
    rows = table.reshape(-1, _ROWS, CHOICES)
    inputs = rows[:, : 3 * NODES].reshape(-1, NODES, 3, CHOICES)
    outputs = rows[:, 3 * NODES :]
    return inputs, torch.cat([outputs[..., :1], outputs[..., FIRST:]], -1)


def flatten(table: Tensor) -> Tensor:
    """Rows of choices [n, 51, CHOICES] as edges [n, E]."""
    return table.flatten(1).index_select(1, _ENTRIES)


def one_hot(cells: Cells) -> Tensor:
    """The edges [n, E] of discrete cells."""
    outputs = torch.where(cells.outputs > 0, cells.outputs - 1 + FIRST, 0)
    choices = torch.cat([cells.inputs.flatten(1), outputs], 1)
    return flatten(torch.nn.functional.one_hot(choices, CHOICES)).float()


def join(inputs: Tensor, outputs: Tensor) -> Tensor:
    """What ``spread`` spreads, as edges [n, E]."""
    gap = outputs.new_zeros(*outputs.shape[:2], FIRST - 1)
    outputs = torch.cat([outputs[..., :1], gap, outputs[..., 1:]], -1)
    return flatten(torch.cat([inputs.flatten(1, 2), outputs], 1))
