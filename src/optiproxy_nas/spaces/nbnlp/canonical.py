"""One numbering of the nodes of a recipe, whatever numbering it came in.

Colour refinement (Weisfeiler & Leman 1968): a node's colour is hashed with those of its inputs (by
place, where the order matters) and of its readers until all that differ in the graph differ in
colour; nodes of one colour that remain, as like gates of an LSTM, are told apart one by one. Nodes
are then numbered by level, operation and colour. Codes define their recipes exactly, so different
recipes never get one code. Like nodes are interchangeable in all recipes that one meets; for a
made-up graph that fools colour refinement, two numberings could get two codes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from optiproxy_nas.spaces.nbnlp.grammar import (
    ABSENT,
    BLEND,
    CHOICES,
    FIRST,
    NODES,
    Cells,
    check_range,
    levels,
    pack,
    unpack,
)

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
