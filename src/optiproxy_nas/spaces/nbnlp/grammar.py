"""The grammar of recipes, recipes as tensors, and their canonical codes.

A recipe (Klyuchnikov et al. 2022) is a DAG of named nodes: ``{"h_new_0": {"input": ["node_0"],
"op": "activation_tanh"}, "node_0": {"input": ["x", "h_prev_0"], "op": "linear"}}``. The rules, kept
by all 4,322 published recipes:

1. An operation takes a fixed number of distinct inputs: linear 2 or 3, blend 3 (gate, what it
   keeps where the gate is open, what else), product and sum 2, an activation 1.
2. Inputs are x, hidden states or other nodes. x feeds linear nodes only: it has another width.
3. No cycles.
4. One to three hidden states, numbered from 0. State k has both its ends: a node h_new_k makes it,
   and some node reads h_prev_k. A node makes one state at most.
5. x is read, and every node has a path to some h_new_k.

The benchmark's own generator also keeps habits: linear nodes read x, states and activations;
activations read linear nodes. Only the LSTM and the GRU among the 4,322 break them. Such edges are
valid, but drawn with a weight of ``UNUSUAL`` only.

A recipe can be numbered in many ways; ``canonical`` chooses one by colour refinement (Weisfeiler &
Leman 1968). The colour of a node is hashed with those of its inputs (by place, where the order
matters) and of its readers until all nodes that differ in the graph differ in colour. Nodes of
equal colour, such as like gates of an LSTM, are then told apart one by one, and nodes are numbered
by level, operation and colour. A code defines its recipe exactly, so different recipes never share
one. Equal colours mean interchangeable nodes in all recipes met so far; a recipe constructed to
fool colour refinement could have two canonical codes.
"""

from __future__ import annotations

from enum import IntEnum
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import check_codes
from optiproxy_nas.spaces.nbnlp.code_rows import code_bytes, codes_of_bytes, remember_rows

NODES = 16  # the largest published recipe
STATES = 3
SOURCES = ("x", "h_prev_0", "h_prev_1", "h_prev_2")
FIRST = 1 + len(SOURCES)  # the input choice that stands for node 0; 0 is none, then the sources
CHOICES = FIRST + NODES


class Op(IntEnum):
    """The operations, by their place in ``OPERATIONS``."""

    ABSENT, LINEAR, BLEND, PRODUCT, SUM, TANH, SIGMOID, LEAKY_RELU = range(8)


OPERATIONS = (
    "absent",
    "linear",
    "blend",
    "elementwise_prod",
    "elementwise_sum",
    "activation_tanh",
    "activation_sigm",
    "activation_leaky_relu",
)
LEAST_INPUTS = (0, 2, 3, 2, 2, 1, 1, 1)
MOST_INPUTS = (0, 3, 3, 2, 2, 1, 1, 1)
UNUSUAL = 1e-4

check_range = partial(  # of codes [n, L]
    check_codes,
    choices=torch.tensor(  # a node reads sources and the nodes before it
        [len(OPERATIONS)] * NODES
        + [FIRST + node for node in range(NODES) for _ in range(3)]
        + [1 + NODES] * STATES
    ),
    rule="A NAS-Bench-NLP code is 16 operations of 0-7, three inputs for each node (0 none, 1 x, "
    "2-4 the previous states, 5 and more the nodes before it), and the nodes that make three "
    "states (1-16, or 0).",
)
_ROUNDS = 8  # of colour refinement
_COLOUR_BITS = 54
_REMEMBERED = 200_000  # codes


def _reading_weights() -> Tensor:
    """Return the weight [8, 10] with which an operation (row) reads a source (column); 0: never.

    Columns: none, x, a hidden state, then a node by its operation.
    """
    weights = torch.zeros(8, 10)
    activations = slice(2 + Op.TANH, 3 + Op.LEAKY_RELU)
    weights[Op.LINEAR, 2 + Op.LINEAR :] = UNUSUAL
    weights[Op.LINEAR, [1, 2]] = weights[Op.LINEAR, activations] = 1
    for operation in (Op.BLEND, Op.PRODUCT, Op.SUM):
        weights[operation, 2] = weights[operation, 2 + Op.LINEAR :] = 1
    for operation in (Op.TANH, Op.SIGMOID, Op.LEAKY_RELU):
        weights[operation, 2] = weights[operation, 2 + Op.LINEAR :] = UNUSUAL
        weights[operation, 2 + Op.LINEAR] = 1
    return weights


WEIGHTS = _reading_weights()


class Cells(NamedTuple):
    """n recipes. Nodes are numbered so that a node comes after its inputs.

    Input choices: 0 none, 1 x, 2-4 the hidden states, ``FIRST`` + i node i.
    """

    operations: Tensor  # [n, NODES] int64, 0-7
    inputs: Tensor  # [n, NODES, 3] int64; blend: gate, kept, other
    outputs: Tensor  # [n, STATES] int64: 1 + the node that makes the state; 0: no such state

    def rows(self, index: Tensor) -> Cells:
        """Return the recipes of an index or a mask."""
        return Cells(*(field[index] for field in self))


def pack(cells: Cells) -> Tensor:
    """Return codes [n, 4 NODES + 3]: operations, inputs node by node, outputs."""
    return torch.cat([cells.operations, cells.inputs.flatten(1), cells.outputs], 1)


def unpack(codes: Tensor) -> Cells:
    """Return the cells of codes [n, L], as views."""
    inputs = codes[:, NODES : 4 * NODES].reshape(-1, NODES, 3)
    return Cells(codes[:, :NODES], inputs, codes[:, 4 * NODES :])


def kinds(cells: Cells) -> Tensor:
    """Return each input choice as a column of ``WEIGHTS`` [n, CHOICES]; 0 where it is absent."""
    head = torch.tensor([[0, 1]]).expand(len(cells.operations), 2)
    states = 2 * (cells.outputs > 0)
    nodes = torch.where(cells.operations > 0, cells.operations + 2, 0)
    return torch.cat([head, states, nodes], 1)


def levels(cells: Cells) -> Tensor:
    """Return each node's longest path from a source [n, NODES], 1 for the first; 0: absent."""
    level = torch.zeros(len(cells.operations), CHOICES, dtype=torch.int64)
    for node in range(NODES):
        deepest = level.gather(1, cells.inputs[:, node]).amax(1)
        level[:, FIRST + node] = (deepest + 1) * (cells.operations[:, node] > 0)
    return level[:, FIRST:]


def live(cells: Cells) -> Tensor:
    """Return which input choices have a path to an output [n, CHOICES]; ignore column 0."""
    count = len(cells.operations)
    reaching = torch.zeros(count, 1 + CHOICES, dtype=torch.bool)  # last column: no output
    column = torch.where(cells.outputs > 0, cells.outputs - 1 + FIRST, CHOICES)
    reaching.scatter_(1, column, True)
    for node in reversed(range(NODES)):
        node_reaches = reaching[:, FIRST + node, None].expand(-1, 3)
        reaching |= torch.zeros_like(reaching).scatter_(1, cells.inputs[:, node], node_reaches)
    return reaching[:, :CHOICES]


def pruned(cells: Cells) -> Cells:
    """Drop the nodes that lead to no output; their places stay empty."""
    kept = live(cells)[:, FIRST:] & (cells.operations > 0)
    return Cells(cells.operations * kept, cells.inputs * kept.unsqueeze(-1), cells.outputs)


def complete(cells: Cells) -> Tensor:
    """Return whether pruned cells read x and all their states, and no node makes two states: [n].

    The rules on inputs (1-3) hold by construction where cells are drawn or changed.
    """
    read = torch.zeros(len(cells.operations), CHOICES, dtype=torch.bool)
    used = read.scatter_(1, cells.inputs.flatten(1), True)[:, 1:FIRST]  # x, h_prev_0 ...
    required = torch.cat([torch.ones_like(used[:, :1]), cells.outputs > 0], 1)
    outputs = cells.outputs
    first, second, third = outputs.unbind(1)
    distinct = (first != second) & ((third == 0) | ((first != third) & (second != third)))
    is_node = torch.nn.functional.pad(cells.operations, (1, 0), value=1).gather(1, outputs) > 0
    numbered = (first > 0) & ((third == 0) | (second > 0))
    return (used == required).all(1) & distinct & is_node.all(1) & numbered


def canonical(cells: Cells) -> Cells:
    """Return the same recipes with nodes numbered canonically, those present first."""
    count = len(cells.operations)
    marks = torch.zeros(count, 1 + NODES, dtype=torch.int64)
    for state in range(cells.outputs.shape[1]):
        marks.scatter_(1, cells.outputs[:, state, None], state + 1)
    colour = _mix(cells.operations * 8 + marks[:, 1:] + 101)
    rank = (levels(cells) + 32 * (cells.operations == Op.ABSENT)) * 8 + cells.operations
    key = _keys(cells, colour, rank)
    pending = torch.arange(count)
    for _ in range(NODES):
        unresolved = cells.rows(pending)
        ordered, order = key[pending].sort(dim=1, stable=True)
        tied = ordered[:, 1:] == ordered[:, :-1]
        tied &= unresolved.operations.gather(1, order)[:, 1:] > 0
        has_tie = tied.any(1)
        if not has_tie.any():
            break
        pending, tied, order = pending[has_tie], tied[has_tie], order[has_tie]
        chosen = order.gather(1, tied.int().argmax(1, keepdim=True))  # the first of the first tie
        colour[pending] = colour[pending].scatter_add(1, chosen, torch.full_like(chosen, 977))
        key[pending] = _keys(cells.rows(pending), colour[pending], rank[pending])
    return renumber(cells, key.argsort(dim=1, stable=True))


def renumber(cells: Cells, order: Tensor) -> Cells:
    """Return the nodes in another order, inputs sorted.

    Args:
        cells: n recipes.
        order: [n, NODES], which node comes first, second ...
    """
    count = len(order)
    place = torch.empty_like(order).scatter_(1, order, torch.arange(NODES).expand(count, NODES))
    head = torch.arange(FIRST).expand(count, FIRST)
    choice = torch.cat([head, place + FIRST], 1)  # old input choice -> new
    inputs = choice.gather(1, cells.inputs.flatten(1)).reshape(-1, NODES, 3)
    inputs = inputs.gather(1, order.unsqueeze(-1).expand(-1, -1, 3))
    operations = cells.operations.gather(1, order)
    outputs = torch.nn.functional.pad(place + 1, (1, 0)).gather(1, cells.outputs)
    return Cells(operations, sorted_inputs(operations, inputs), outputs)


def sorted_inputs(operations: Tensor, inputs: Tensor) -> Tensor:
    """Sort inputs [n, NODES, 3] whose order does not matter, in rising order, none last."""
    ascending = torch.where(inputs == 0, CHOICES, inputs).sort(-1).values
    ascending = torch.where(ascending == CHOICES, 0, ascending)
    return torch.where((operations == Op.BLEND).unsqueeze(-1), inputs, ascending)


def _mix(value: Tensor) -> Tensor:
    """Map int64 to int64 one to one, spreading every bit (SplitMix64's constants)."""
    value = value * -4658895280553007687
    value ^= value >> 29
    value *= -7723592293110705685
    value ^= value >> 31
    return value


def _keys(cells: Cells, colour: Tensor, rank: Tensor) -> Tensor:
    """Return the sorting keys [n, NODES] of nodes: rank, then refined colour."""
    count = len(cells.operations)
    places = torch.where(
        (cells.operations == Op.BLEND).unsqueeze(-1), torch.tensor([11, 13, 17]), torch.tensor(7)
    )
    flat = cells.inputs.flatten(1)
    sources = _mix(torch.arange(FIRST) + 7001).expand(count, FIRST)
    for _ in range(_ROUNDS):
        everything = torch.cat([sources, colour], 1)
        read = _mix(everything.gather(1, flat) + places.flatten(1)).reshape(-1, NODES, 3).sum(-1)
        messages = _mix(colour.unsqueeze(-1) * 3 + places).flatten(1)
        readers = torch.zeros(count, CHOICES, dtype=torch.int64).scatter_add_(1, flat, messages)
        colour = _mix(colour + 3 * read + 5 * readers[:, FIRST:])
    return (rank << _COLOUR_BITS) | (colour & ((1 << _COLOUR_BITS) - 1))


@remember_rows(limit=_REMEMBERED, idempotent=True)
def _canonical_rows(codes: Tensor) -> list[bytes]:
    return code_bytes(pack(canonical(unpack(codes))))


def canonical_rows(codes: Tensor) -> list[bytes]:
    """Return the canonical codes of codes [n, L] as bytes; those seen before are looked up.

    Raises:
        ValueError: an operation, an input or a maker of a state that does not exist.
    """
    check_range(codes)
    return _canonical_rows(codes)


def canonical_codes(codes: Tensor) -> Tensor:
    """Return the canonical codes [n, L] of codes [n, L], as :func:`canonical_rows`."""
    return codes_of_bytes(canonical_rows(codes), codes.shape[1])
