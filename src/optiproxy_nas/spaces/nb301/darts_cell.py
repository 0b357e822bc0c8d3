"""A DARTS cell: its inputs and operations, their graph, and the other orders of its nodes.

A cell has two inputs, c_{k-2} (number 0) and c_{k-1} (1), and four intermediate nodes (2 to 5), all
of which its output concatenates. A node adds up two operations, each applied to another one of
the inputs and nodes before it. In a code the nodes are counted from 0; node j has operation slots
2j and 2j + 1, the first that of the lower input, and one of ``PAIRS[j]`` as its two inputs.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations, permutations
from typing import NamedTuple

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import check_codes

# The order of NASLib and of DARTS' own list, which has "none" in front.
OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
CELLS = ("normal", "reduce")
NODES = 4
SLOTS = 2 * NODES
# The pairs of distinct inputs of each node, in lexicographic order: 1, 3, 6 and 10 of them.
PAIRS = tuple(tuple(combinations(range(node + 2), 2)) for node in range(NODES))
CHOICES = tuple(len(pairs) for pairs in PAIRS)
VERTICES = 2 + SLOTS + 1
check_range = partial(  # of codes [n, 24]
    check_codes,
    choices=torch.tensor(2 * SLOTS * [len(OPERATIONS)] + 2 * list(CHOICES)),
    rule="A NAS-Bench-301 code is 16 operations of 0-6 and the pairs of inputs of 8 nodes, which "
    "have 1, 3, 6 and 10 of them in each cell.",
)


def graph_of_pairs() -> tuple[Tensor, Tensor]:
    """Return how the pairs of both cells wire the merged graph of 22 vertices (Fig. 12 of A.8.3).

    Vertices of a cell: its inputs 0 and 1, its slots 2 to 9, its output 10. An intermediate node
    that is chosen as an input stands for both of its slots, whose results it adds up. Every slot
    feeds the output, and the output of the normal cell both inputs of the reduction cell.

    Returns:
        The edges that are always there [22, 22], and those of each pair [40, 22, 22]; the normal
        cell's 20 pairs come first, ordered by node.
    """
    size = 2 * VERTICES
    fixed = torch.zeros(size, size)
    chosen = torch.zeros(2 * sum(CHOICES), size, size)
    row = 0
    for base in (0, VERTICES):
        fixed[base + 2 : base + VERTICES - 1, base + VERTICES - 1] = 1
        for node, pairs in enumerate(PAIRS):
            for pair in pairs:
                for slot, source in enumerate(pair):
                    sources = [source] if source < 2 else [2 * source - 2, 2 * source - 1]
                    for vertex in sources:
                        chosen[row, base + vertex, base + 2 + 2 * node + slot] = 1
                row += 1
    fixed[VERTICES - 1, VERTICES : VERTICES + 2] = 1
    return fixed, chosen


class Move(NamedTuple):
    """The changes of one node that replace one of its two inputs by another."""

    pair: Tensor  # [pairs, moves] int64, the new pair's number
    swapped: Tensor  # [pairs, moves] bool, whether its two operations change places


def input_moves(node: int) -> Move:
    """Return all replacements of one input of a node: 0, 2, 4 or 6 for each of its pairs.

    The operation on the input that stays goes with it; the other one goes to the new input.
    """
    pairs = PAIRS[node]
    moved = [[other for other in pairs if len({*other, *pair}) == 3] for pair in pairs]
    return Move(
        torch.tensor([[pairs.index(other) for other in row] for row in moved]).long(),
        torch.tensor(
            [
                [other[1] == pair[0] or other[0] == pair[1] for other in row]
                for pair, row in zip(pairs, moved, strict=True)
            ]
        ).bool(),
    )


class NodeOrders(NamedTuple):
    """Cells with their nodes in every order; where an order is impossible, the given one again."""

    operations: Tensor  # [n, 24, 8], the given order first
    pairs: Tensor  # [n, 24, 4]
    keys: Tensor  # [n, 24] int64, a number for each cell in this order


# Orders of the nodes: old node -> new place, the identity first.
_ORDERS = torch.tensor(list(permutations(range(NODES))))
_LOW = torch.tensor([[pair[0] for pair in (*p, *[(0, 1)] * (10 - len(p)))] for p in PAIRS])
_HIGH = torch.tensor([[pair[1] for pair in (*p, *[(0, 1)] * (10 - len(p)))] for p in PAIRS])


def _pair_numbers() -> Tensor:
    numbers = torch.zeros(NODES, NODES + 2, NODES + 2, dtype=torch.int64)  # [node, low, high]
    for node, pairs in enumerate(PAIRS):
        for number, (low, high) in enumerate(pairs):
            numbers[node, low, high] = number
    return numbers


_NUMBERS = _pair_numbers()


def node_orders(operations: Tensor, pairs: Tensor) -> NodeOrders:
    """Return the same cells with the nodes numbered in every order.

    Args:
        operations: [n, 8] int64.
        pairs: [n, 4] int64, each node's number in ``PAIRS``.
    """
    count, orders = len(operations), len(_ORDERS)
    nodes = torch.arange(NODES)
    place = torch.cat([torch.tensor([[0, 1]]).expand(orders, 2), _ORDERS + 2], dim=1)  # [24, 6]
    low, high = (place[:, table[nodes, pairs]].transpose(0, 1) for table in (_LOW, _HIGH))
    first, second = torch.minimum(low, high), torch.maximum(low, high)  # [n, 24, old node]
    possible = (second < _ORDERS + 2).all(-1)  # [n, 24]: inputs come before their node
    slots = operations.reshape(count, 1, NODES, 2).expand(-1, orders, -1, -1)
    slots = torch.where((low > high).unsqueeze(-1), slots.flip(-1), slots)
    former = torch.argsort(_ORDERS, dim=1).expand(count, orders, NODES)  # new place -> old node
    first, second = first.gather(2, former), second.gather(2, former)
    slots = slots.gather(2, former.unsqueeze(-1).expand(-1, -1, -1, 2))
    wired = _NUMBERS[nodes, first, second]
    keep = possible.unsqueeze(-1)
    moved = torch.where(keep, slots.flatten(2), operations.unsqueeze(1))
    joined = torch.where(keep, wired, pairs.unsqueeze(1))
    return NodeOrders(moved, joined, cell_keys(moved, joined))


def cell_keys(operations: Tensor, pairs: Tensor) -> Tensor:
    """Return one number for each cell in the given order: [..., 8], [..., 4] -> [...] int64."""
    key = torch.zeros(pairs.shape[:-1], dtype=torch.int64)
    for node, choices in enumerate(CHOICES):
        key = key * choices + pairs[..., node]
        for slot in (2 * node, 2 * node + 1):
            key = key * len(OPERATIONS) + operations[..., slot]
    return key
