"""The grammar of recipes, and cells as tensors.

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
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import check_codes

NODES = 16  # the largest published recipe
STATES = 3
SOURCES = ("x", "h_prev_0", "h_prev_1", "h_prev_2")
FIRST = 1 + len(SOURCES)  # the input choice that stands for node 0; 0 is none, then the sources
CHOICES = FIRST + NODES
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


def _weights() -> Tensor:
    """How willingly an operation (row) reads a source (column); 0: it must not. [8, 10].

    Columns: none, x, a hidden state, then a node by its operation.
    """
    weights = torch.zeros(8, 10)
    activations = slice(2 + TANH, 3 + LEAKY_RELU)
    weights[LINEAR, 2 + LINEAR :] = UNUSUAL
    weights[LINEAR, [1, 2]] = weights[LINEAR, activations] = 1
    for operation in (BLEND, PRODUCT, SUM):
        weights[operation, 2] = weights[operation, 2 + LINEAR :] = 1
    for operation in (TANH, SIGMOID, LEAKY_RELU):
        weights[operation, 2] = weights[operation, 2 + LINEAR :] = UNUSUAL
        weights[operation, 2 + LINEAR] = 1
    return weights


WEIGHTS = _weights()


class Cells(NamedTuple):
    """n recipes. Nodes are numbered so that a node comes after its inputs.

    Input choices: 0 none, 1 x, 2-4 the hidden states, ``FIRST`` + i node i.
    """

    operations: Tensor  # [n, NODES]
    inputs: Tensor  # [n, NODES, 3]; blend: gate, kept, other
    outputs: Tensor  # [n, STATES]: 1 + the node that makes the state; 0: no such state

    def rows(self, index: Tensor) -> Cells:
        """Some of them, by index or mask."""
        return Cells(*(part[index] for part in self))


def pack(cells: Cells) -> Tensor:
    """Codes [n, 4 NODES + 3]: operations, inputs node by node, outputs."""
    return torch.cat([cells.operations, cells.inputs.flatten(1), cells.outputs], 1)


# Choices of each place of a code: a node reads sources and the nodes before it.
_PLACES = torch.tensor(
    [len(OPERATIONS)] * NODES
    + [FIRST + node for node in range(NODES) for _ in range(3)]
    + [1 + NODES] * STATES
)


def check_range(codes: Tensor) -> None:
    """Refuse numbers that no code has.

    Raises:
        ValueError: an operation, an input or a maker of a state that there is not.
    """
    check_codes(
        codes,
        _PLACES,
        "A NAS-Bench-NLP code is 16 operations of 0-7, three inputs for each node (0 none, 1 x, "
        "2-4 the previous states, 5 and more the nodes before it), and the nodes that make three "
        "states (1-16, or 0).",
    )


def unpack(codes: Tensor) -> Cells:
    """The cells of codes."""
    inputs = codes[:, NODES : 4 * NODES].reshape(-1, NODES, 3)
    return Cells(codes[:, :NODES], inputs, codes[:, 4 * NODES :])


def kinds(cells: Cells) -> Tensor:
    """Each input choice as a column of ``WEIGHTS`` [n, CHOICES]; 0 for what is not there."""
    head = torch.tensor([[0, 1]]).expand(len(cells.operations), 2)
    states = 2 * (cells.outputs > 0)
    nodes = torch.where(cells.operations > 0, cells.operations + 2, 0)
    return torch.cat([head, states, nodes], 1)


def levels(cells: Cells) -> Tensor:
    """Each node's longest path from a source [n, NODES], 1 for the first; 0: absent."""
    level = torch.zeros(len(cells.operations), CHOICES, dtype=torch.int64)
    for node in range(NODES):
        deepest = level.gather(1, cells.inputs[:, node]).amax(1)
        level[:, FIRST + node] = (deepest + 1) * (cells.operations[:, node] > 0)
    return level[:, FIRST:]


def live(cells: Cells) -> Tensor:
    """Which input choices have a path to an output, [n, CHOICES]; column 0 means nothing."""
    count = len(cells.operations)
    found = torch.zeros(count, 1 + CHOICES, dtype=torch.bool)  # the last column is for no output
    column = torch.where(cells.outputs > 0, cells.outputs - 1 + FIRST, CHOICES)
    found.scatter_(1, column, True)
    for node in reversed(range(NODES)):
        here = found[:, FIRST + node, None].expand(-1, 3)
        read = torch.zeros_like(found).scatter_(1, cells.inputs[:, node], here)
        found |= read
    return found[:, :CHOICES]


def pruned(cells: Cells) -> Cells:
    """Without the nodes that lead to no output; their places stay empty."""
    kept = live(cells)[:, FIRST:] & (cells.operations > 0)
    return Cells(cells.operations * kept, cells.inputs * kept.unsqueeze(-1), cells.outputs)


def complete(cells: Cells) -> Tensor:
    """Whether pruned cells read x and all their states, and make no two states in one node: [n].

    The rules on inputs (1-3) hold by construction where cells are drawn or changed.
    """
    used = live(cells)[:, 1:FIRST]  # x, h_prev_0 ...
    wanted = torch.cat([torch.ones_like(used[:, :1]), cells.outputs > 0], 1)
    outputs = cells.outputs
    first, second, third = outputs.unbind(1)
    distinct = (first != second) & ((third == 0) | ((first != third) & (second != third)))
    made = (torch.nn.functional.pad(cells.operations, (1, 0), value=1).gather(1, outputs) > 0).all(
        1
    )
    return (used == wanted).all(1) & distinct & made & (first > 0) & ((third == 0) | (second > 0))


_ROUNDS = 8
_COLOUR_BITS = 54


def _mix(value: Tensor) -> Tensor:
    """A bijection of int64 that spreads every bit (SplitMix64's constants)."""
    value = value * -4658895280553007687
    value ^= value >> 29
    value *= -7723592293110705685
    value ^= value >> 31
    return value


def canonical(cells: Cells) -> Cells:
    """The same recipes with nodes numbered canonically, those present first."""
    count = len(cells.operations)
    marks = torch.zeros(count, 1 + NODES, dtype=torch.int64)
    for state in range(cells.outputs.shape[1]):
        marks.scatter_(1, cells.outputs[:, state, None], state + 1)
    colour = _mix(cells.operations * 8 + marks[:, 1:] + 101)
    rank = (levels(cells) + 32 * (cells.operations == ABSENT)) * 8 + cells.operations
    key = _keys(cells, colour, rank)
    pending = torch.arange(count)
    for _ in range(NODES):
        part = cells.rows(pending)
        ordered, order = key[pending].sort(dim=1, stable=True)
        tied = (ordered[:, 1:] == ordered[:, :-1]) & (part.operations.gather(1, order)[:, 1:] > 0)
        open_ = tied.any(1)
        if not open_.any():
            break
        pending, tied, order = pending[open_], tied[open_], order[open_]
        chosen = order.gather(1, tied.int().argmax(1, keepdim=True))  # the first of the first tie
        colour[pending] = colour[pending].scatter_add(1, chosen, torch.full_like(chosen, 977))
        key[pending] = _keys(cells.rows(pending), colour[pending], rank[pending])
    return renumber(cells, key.argsort(dim=1, stable=True))


def _keys(cells: Cells, colour: Tensor, rank: Tensor) -> Tensor:
    colour = _refine(cells, colour)
    return (rank << _COLOUR_BITS) | (colour & ((1 << _COLOUR_BITS) - 1))


def _refine(cells: Cells, colour: Tensor) -> Tensor:
    count = len(cells.operations)
    places = torch.where(
        (cells.operations == BLEND).unsqueeze(-1), torch.tensor([11, 13, 17]), torch.tensor(7)
    )
    flat = cells.inputs.flatten(1)
    sources = _mix(torch.arange(FIRST) + 7001).expand(count, FIRST)
    for _ in range(_ROUNDS):
        everything = torch.cat([sources, colour], 1)
        read = _mix(everything.gather(1, flat) + places.flatten(1)).reshape(-1, NODES, 3).sum(-1)
        told = _mix(colour.unsqueeze(-1) * 3 + places).flatten(1)
        readers = torch.zeros(count, CHOICES, dtype=torch.int64).scatter_add_(1, flat, told)
        colour = _mix(colour + 3 * read + 5 * readers[:, FIRST:])
    return colour


def renumber(cells: Cells, order: Tensor) -> Cells:
    """Nodes in another order [n, NODES]: which node comes first, second ...; inputs sorted."""
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
    """Inputs whose order does not matter, in rising order; none comes last."""
    last = torch.where(inputs == 0, CHOICES, inputs).sort(-1).values
    return torch.where(
        (operations == BLEND).unsqueeze(-1), inputs, torch.where(last == CHOICES, 0, last)
    )


_known: dict[bytes, bytes] = {}  # code -> its canonical code, as bytes of int8
_MOST_KNOWN = 200_000


def canonical_codes(codes: Tensor) -> Tensor:
    """Canonical codes of codes [n, L]. Those seen before are looked up: a search asks often.

    Raises:
        ValueError: numbers that no code has.
    """
    check_range(codes)
    rows = code_bytes(codes)
    if not rows:
        return codes
    # Each row is looked up once: another thread may empty the table at any time.
    found = [_known.get(row) for row in rows]
    new = [i for i, code in enumerate(found) if code is None]
    if new:
        fresh = code_bytes(pack(canonical(unpack(codes[torch.tensor(new)]))))
        if len(_known) + len(new) > _MOST_KNOWN:
            _known.clear()
        for i, code in zip(new, fresh, strict=True):
            found[i] = _known[rows[i]] = _known[code] = code
    joined = bytearray().join(found)  # type: ignore[arg-type]  # none is missing now
    return torch.frombuffer(joined, dtype=torch.int8).reshape(codes.shape).long()


def code_bytes(codes: Tensor) -> list[bytes]:
    """Each code [n, L] as bytes."""
    width = codes.shape[1]
    flat = codes.to(torch.int8).contiguous().numpy().tobytes()
    return [flat[i : i + width] for i in range(0, len(flat), width)]
