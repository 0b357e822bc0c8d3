"""One-change neighbours of recipes, and other numberings of the same recipe.

A change is one of:

* a node: another operation, an input added, removed, replaced or exchanged with another;
* a state: made by another node; two states exchanged; one added (read by a linear node as its third
  input) or the last one removed;
* a layer in between: a node's input, or the maker of a state, goes first through an activation, a
  linear node with one more input (and its activation), a sum or a product with another source;
* a bypass: all readers of a node read another source instead.

Then nodes without a path to a state are dropped. No change makes an unusual edge (``grammar``).
Changes are listed for all recipes at once; masks select the possible ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from optiproxy_nas.spaces.nbnlp import grammar
from optiproxy_nas.spaces.nbnlp.code_rows import code_bytes, codes_of_bytes, remember_rows
from optiproxy_nas.spaces.nbnlp.grammar import CHOICES, FIRST, NODES, STATES, Cells, Op

_LEAST, _MOST = torch.tensor(grammar.LEAST_INPUTS), torch.tensor(grammar.MOST_INPUTS)
_USUAL = grammar.WEIGHTS == 1
_REMEMBERED = 300  # recipes, with some 300 neighbours each


class _Changed(NamedTuple):
    owner: Tensor  # [m] int64, the row of the recipe that was changed
    cells: Cells  # m recipes; a node may come before its inputs


def one_change_neighbours(codes: Tensor) -> Tensor:
    """Return the one-change neighbours of canonical codes [n, L], in code order: [m, L]."""
    return codes_of_bytes(_neighbour_rows(codes), codes.shape[1])


@remember_rows(limit=_REMEMBERED)
def _neighbour_rows(codes: Tensor) -> list[bytes]:
    """Return the neighbours of each of canonical codes [n, L], joined in rising order."""
    cells = grammar.unpack(codes)
    after = _followers(cells)
    changed = [
        *_nodes(cells, after),
        *_states(cells),
        *_layers(cells, after),
        *_bypasses(cells, after),
    ]
    owner = torch.cat([group.owner for group in changed])
    fields = (torch.cat(field) for field in zip(*(group.cells for group in changed), strict=True))
    changed_cells = grammar.pruned(in_order(Cells(*fields)))
    valid = grammar.complete(changed_cells)
    moved = grammar.canonical_rows(grammar.pack(changed_cells.rows(valid)))
    found: list[set[bytes]] = [set() for _ in codes]
    for row, neighbour in zip(owner[valid].tolist(), moved, strict=True):
        found[row].add(neighbour)
    pairs = zip(found, code_bytes(codes), strict=True)
    return [b"".join(sorted(others - {code})) for others, code in pairs]


def renumbered(cells: Cells, generator: torch.Generator) -> Cells:
    """Return the same recipes, nodes in a random order within each level, inputs too if free."""
    count = len(cells.operations)
    level = grammar.levels(cells) + 99 * (cells.operations == Op.ABSENT)
    mixed = grammar.renumber(
        cells, (level + torch.rand(count, NODES, generator=generator)).argsort(1)
    )
    keys = torch.rand(count, NODES, 3, generator=generator) + 9 * (mixed.inputs == 0)
    shuffled = mixed.inputs.gather(2, keys.argsort(2))
    ordered = (mixed.operations == Op.BLEND).unsqueeze(-1)
    return Cells(mixed.operations, torch.where(ordered, mixed.inputs, shuffled), mixed.outputs)


def in_order(cells: Cells) -> Cells:
    """Renumber acyclic cells with their nodes in any order so that inputs come first."""
    flat = cells.inputs.flatten(1)
    level = torch.zeros(len(flat), CHOICES, dtype=torch.int64)
    for _ in range(NODES):
        deeper = level.gather(1, flat).reshape(-1, NODES, 3).amax(-1) + 1
        if torch.equal(deeper, level[:, FIRST:]):
            break
        level[:, FIRST:] = deeper
    level = level[:, FIRST:] + 99 * (cells.operations == Op.ABSENT)
    return grammar.renumber(cells, level.argsort(dim=1, stable=True))


def _followers(cells: Cells) -> Tensor:
    """Return which choices a node cannot read [n, NODES, CHOICES]: itself and what follows it.

    Reading them makes a cycle. Choices that stand for nothing count as well.
    """
    count = len(cells.operations)
    follows = torch.zeros(count, NODES, CHOICES, dtype=torch.bool)
    for node in range(NODES):
        follows[:, node, FIRST + node] = True
        read = cells.inputs[:, node].unsqueeze(1).expand(-1, NODES, -1)  # [n, NODES, 3]
        follows[:, :, FIRST + node] |= follows.gather(2, read).any(-1)
    return follows | (grammar.kinds(cells) == 0).unsqueeze(1)


def _transformations() -> tuple[Tensor, Tensor, Tensor]:
    """Return all changes of three inputs: place of the new one or -1, new source, old order.

    Order entries are old places; 3 stands for none.
    """
    rows = [(-1, 0, (0, 1, 2))]
    rows += [(-1, 0, order) for order in ((1, 2, 3), (0, 2, 3), (0, 1, 3))]  # one removed
    rows += [(-1, 0, order) for order in ((1, 0, 2), (2, 1, 0), (0, 2, 1))]  # two exchanged
    rows += [(place, new, (0, 1, 2)) for place in range(3) for new in range(1, CHOICES)]
    places, new, order = zip(*rows, strict=True)
    return torch.tensor(places), torch.tensor(new), torch.tensor(order)


_PLACE, _NEW, _ORDER = _transformations()


def _nodes(cells: Cells, after: Tensor) -> Iterator[_Changed]:
    """Change the operation or the inputs of one node."""
    count, kind = len(cells.operations), grammar.kinds(cells)
    padded = torch.nn.functional.pad(cells.inputs, (0, 1))  # a fourth place: none
    inputs = padded[:, :, _ORDER]  # [n, NODES, T, 3]
    is_new = _PLACE.unsqueeze(1) == torch.arange(3)  # [T, 3]
    inputs = torch.where(is_new, _NEW.unsqueeze(1), inputs)
    filled = inputs > 0
    # An added input goes to the first empty place only.
    packed = (filled[..., :-1] | ~filled[..., 1:]).all(-1)
    cyclic = after.gather(2, _NEW.expand(count, NODES, -1)) & (_PLACE >= 0)
    first, second, third = inputs.unbind(-1)
    twice = (first == second) & (first > 0) | (third > 0) & ((third == first) | (third == second))
    local = packed & ~cyclic & ~twice & (cells.operations > 0).unsqueeze(-1)
    number = filled.sum(-1)
    read = (
        kind.unsqueeze(1).expand(-1, NODES, -1).gather(2, inputs.flatten(2)).reshape(inputs.shape)
    )
    same_inputs = inputs == padded[:, :, None, :3]
    readers = _reader_operations(cells)  # [n, NODES, 8]
    for operation in range(Op.LINEAR, Op.LEAKY_RELU + 1):
        kept = (cells.operations == operation).unsqueeze(-1)
        usual = _USUAL[operation][read] | ~filled | (kept.unsqueeze(-1) & same_inputs)
        fits = (_LEAST[operation] <= number) & (number <= _MOST[operation]) & usual.all(-1)
        welcome = ~(readers & ~_USUAL[:, 2 + operation]).any(-1).unsqueeze(-1) | kept
        unchanged = kept & same_inputs.all(-1)
        # Exchanging inputs means something for a blend only.
        exchanged = (torch.arange(len(_PLACE)) >= 4) & (torch.arange(len(_PLACE)) < 7)
        idle = exchanged & (operation != Op.BLEND)
        owner, node, change = (local & fits & welcome & ~unchanged & ~idle).nonzero().unbind(1)
        moved = cells.rows(owner)
        row = torch.arange(len(owner))
        moved.operations[row, node] = operation
        moved.inputs[row, node] = inputs[owner, node, change]
        yield _Changed(owner, moved)


def _reader_operations(cells: Cells) -> Tensor:
    """Return which operations (last axis) read a node: [n, NODES, 8]."""
    count = len(cells.operations)
    reads = torch.zeros(count, CHOICES * 8, dtype=torch.bool)
    place = cells.inputs * 8 + cells.operations.unsqueeze(-1)
    reads.scatter_(1, place.flatten(1), True)
    return reads.reshape(count, CHOICES, 8)[:, FIRST:]


def _states(cells: Cells) -> Iterator[_Changed]:
    """Change which nodes make the states, or how many states there are."""
    present = cells.operations > 0
    made = cells.outputs > 0
    nodes = torch.arange(1, NODES + 1)
    free = present & ~(cells.outputs.unsqueeze(-1) == nodes).any(1)  # makes no state
    # Made by another node.
    owner, state, node = (made.unsqueeze(-1) & free.unsqueeze(1)).nonzero().unbind(1)
    moved = cells.rows(owner)
    moved.outputs[torch.arange(len(owner)), state] = node + 1
    yield _Changed(owner, moved)
    # Two exchanged.
    for one, other in ((0, 1), (0, 2), (1, 2)):
        owner = made[:, other].nonzero().flatten()
        moved = cells.rows(owner)
        order = list(range(STATES))
        order[one], order[other] = other, one
        yield _Changed(owner, moved._replace(outputs=moved.outputs[:, order]))
    # One added, read by a linear node with two inputs.
    reader = (cells.operations == Op.LINEAR) & (cells.inputs[..., 2] == 0)
    possible = free.unsqueeze(2) & reader.unsqueeze(1) & ~made[:, 2, None, None]
    owner, node, place = possible.nonzero().unbind(1)
    moved, row = cells.rows(owner), torch.arange(len(owner))
    state = made[owner].sum(1)
    moved.outputs[row, state] = node + 1
    moved.inputs[row, place, 2] = state + 2
    yield _Changed(owner, moved)
    # The last one removed, where all its readers keep enough inputs.
    last = made.sum(1) - 1
    gone = cells.inputs == (last + 2)[:, None, None]
    left = ((cells.inputs > 0) & ~gone).sum(-1)
    owner = ((left >= _LEAST[cells.operations]).all(1) & (last > 0)).nonzero().flatten()
    moved = cells.rows(owner)
    inputs = torch.where(gone[owner], 0, moved.inputs)
    outputs = moved.outputs.scatter(1, last[owner, None], 0)
    yield _Changed(
        owner, Cells(moved.operations, grammar.sorted_inputs(moved.operations, inputs), outputs)
    )


def _layers(cells: Cells, after: Tensor) -> Iterator[_Changed]:
    """Insert nodes between a source and one of its readers, or the state that it makes."""
    count, kind = len(cells.operations), grammar.kinds(cells)
    size = (cells.operations > 0).sum(1)
    outputs = torch.where(cells.outputs > 0, cells.outputs - 1 + FIRST, 0)
    source = torch.cat([cells.inputs.flatten(1), outputs], 1)  # [n, 51]
    reader = torch.cat(
        [cells.operations.repeat_interleave(3, 1), torch.zeros(count, STATES).long()], 1
    )
    accepts = _USUAL[reader]  # [n, 51, 10]
    accepts[:, 3 * NODES :] = True
    kind_of_source = kind.gather(1, source)
    # A second source, neither the first nor one that follows the reader.
    states = (kind == 0).unsqueeze(1).expand(-1, STATES, -1)
    barred = torch.cat([after.repeat_interleave(3, 1), states], 1)  # [n, 51, CHOICES]
    second = ~barred & (torch.arange(CHOICES) != source.unsqueeze(-1))
    exists = source > 0

    def add(possible: Tensor, operation: int, activation: int) -> _Changed:
        """Insert where possible [n, 51, CHOICES]; the last axis is the second input."""
        owner, edge, other = possible.nonzero().unbind(1)
        moved, row = cells.rows(owner), torch.arange(len(owner))
        new, old = size[owner], source[owner, edge]
        moved.operations[row, new] = operation
        moved.inputs[row, new, 0], moved.inputs[row, new, 1] = old, other
        if activation:
            new = new + 1
            moved.operations[row, new] = activation
            moved.inputs[row, new, 0] = FIRST + new - 1
        inner = edge < 3 * NODES
        place = edge.clamp(max=3 * NODES - 1)
        old_input = moved.inputs[row, place // 3, place % 3]
        moved.inputs[row, place // 3, place % 3] = torch.where(inner, FIRST + new, old_input)
        state = (edge - 3 * NODES).clamp(min=0)
        old_maker = moved.outputs[row, state]
        moved.outputs[row, state] = torch.where(inner, old_maker, new + 1)
        return _Changed(owner, moved)

    def room(nodes: int) -> Tensor:
        return (size + nodes <= NODES)[:, None, None] & exists.unsqueeze(-1)

    alone = torch.arange(CHOICES) == 0
    for activation in range(Op.TANH, Op.LEAKY_RELU + 1):
        fits = (_USUAL[activation][kind_of_source] & accepts[..., 2 + activation]).unsqueeze(-1)
        yield add(fits & alone & room(1), activation, Op.ABSENT)
    for operation in (Op.LINEAR, Op.PRODUCT, Op.SUM):
        reads = _USUAL[operation]
        pair = reads[kind_of_source].unsqueeze(-1) & reads[kind].unsqueeze(1) & second
        yield add(pair & accepts[..., 2 + operation, None] & room(1), operation, Op.ABSENT)
        if operation == Op.LINEAR:
            for activation in range(Op.TANH, Op.LEAKY_RELU + 1):
                fits = pair & accepts[..., 2 + activation, None] & room(2)
                yield add(fits, Op.LINEAR, activation)


def _bypasses(cells: Cells, after: Tensor) -> Iterator[_Changed]:
    """Let all readers of a node read another source [n, NODES, CHOICES] instead."""
    kind = grammar.kinds(cells)
    readers = _reader_operations(cells)
    accepted = ~(readers.unsqueeze(2) & ~_USUAL.T[kind].unsqueeze(1)).any(-1)
    possible = accepted & ~after & readers.any(-1, keepdim=True)
    owner, node, other = possible.nonzero().unbind(1)
    moved = cells.rows(owner)
    hit = moved.inputs == (FIRST + node)[:, None, None]
    has = (moved.inputs == other[:, None, None]).any(-1)
    distinct = ~(hit.any(-1) & has).any(1)
    inputs = torch.where(hit, other[:, None, None], moved.inputs)
    yield _Changed(owner[distinct], Cells(moved.operations, inputs, moved.outputs).rows(distinct))
