"""A DARTS cell: its inputs and operations, their graph, and the other orders of its nodes.

A cell has two inputs, c_{k-2} (number 0) and c_{k-1} (1), and four intermediate nodes (2 to 5), all
of which its output concatenates. A node adds up two operations, each applied to another one of
the inputs and nodes before it. In a code the nodes are counted from 0; node j has operation slots
2j and 2j + 1, the first that of the lower input, and one of ``PAIRS[j]`` as its two inputs.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations, permutations
from math import prod
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


# Orders of the nodes: old node -> new place, the identity first.
ORDERS = torch.tensor(list(permutations(range(NODES))))
IMPOSSIBLE = 2**40  # above all keys of a cell, which are below 2**31


def _keys_of_nodes() -> list[Tensor]:
    """Return what a node adds to the key of its cell in each order: [pairs * 7 * 7, 24] each.

    Rows are by the node's pair, then by its two operations. ``IMPOSSIBLE`` where an input of the
    node would come after it.
    """
    choices = len(OPERATIONS)
    slots = torch.arange(choices**2)
    swapped_slots = slots % choices * choices + slots // choices
    tables = []
    for node, pairs in enumerate(PAIRS):
        table = torch.full((len(pairs), choices**2, len(ORDERS)), IMPOSSIBLE)
        for column, order in enumerate(ORDERS.tolist()):
            place, vertices = order[node], [0, 1, *(2 + it for it in order)]
            weight = prod(choices**2 * count for count in CHOICES[place + 1 :])
            for row, (low, high) in enumerate(pairs):
                moved = vertices[low], vertices[high]
                if (wired := (min(moved), max(moved))) in PAIRS[place]:
                    operations = slots if moved == wired else swapped_slots
                    number = PAIRS[place].index(wired) * choices**2 + operations
                    table[row, :, column] = number * weight
        tables.append(table.flatten(0, 1))
    return tables


_KEYS_OF_NODES = _keys_of_nodes()


def keys_by_order(operations: Tensor, pairs: Tensor) -> Tensor:
    """Return a number for each cell with its nodes in every order, the given one first: [n, 24].

    It is at least ``IMPOSSIBLE`` where an order is.

    Args:
        operations: [n, 8] int64.
        pairs: [n, 4] int64, each node's number in ``PAIRS``.
    """
    first, second = operations.reshape(-1, NODES, 2).unbind(-1)
    rows = (pairs * len(OPERATIONS) + first) * len(OPERATIONS) + second
    keys = torch.zeros(len(rows), len(ORDERS), dtype=torch.int64)
    for table, row in zip(_KEYS_OF_NODES, rows.T, strict=True):
        keys += table[row]
    return keys


def decode(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return operations [n, 8] and pairs [n, 4] of cells of which keys [n] are given."""
    operations: list[Tensor] = []
    pairs: list[Tensor] = []
    for choices in reversed(CHOICES):
        for _ in range(2):
            operations.insert(0, keys % len(OPERATIONS))
            keys = keys // len(OPERATIONS)
        pairs.insert(0, keys % choices)
        keys = keys // choices
    return torch.stack(operations, 1), torch.stack(pairs, 1)
