"""One-change neighbours of NAS-Bench-101 cells, all cells and all changes at once.

Removing an edge can leave a vertex unused, but adding one never brings a vertex into use: that
takes an edge to the vertex and one from it. So the insertion of a vertex is one change; without it,
cells could only shrink. An edge, or a vertex, may come between any two vertices that make no cycle,
also where the code has them in the other order.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from optiproxy_nas.spaces.base import operation_moves
from optiproxy_nas.spaces.nb101 import isomorphism
from optiproxy_nas.spaces.nb101.isomorphism import INNER, OPERATIONS, PAIRS, PLACES, VERTICES

_CHOICES = len(OPERATIONS)
_COLUMN = torch.zeros(VERTICES, VERTICES, dtype=torch.int64)  # of a code, for a pair
for _row, (_i, _j) in enumerate(PAIRS):
    _COLUMN[_i, _j] = INNER + _row
# Inner vertices i < j, and the orders that have j before i: [10], [10], [120, 10].
_EARLIER, _LATER = torch.tensor(list(combinations(range(1, VERTICES - 1), 2))).T
_TURNED = PLACES[:, _LATER] < PLACES[:, _EARLIER]


def _room() -> Tensor:
    """Return gather maps [5, 26] that make room at vertex 1-5: each column's source; 26: zero."""
    maps, zero = [], isomorphism.CODE_LENGTH
    for place in range(1, VERTICES - 1):
        old = {v: v - 1 if place < v < VERTICES - 1 else v for v in range(VERTICES) if v != place}
        columns = [old[v] - 1 if v in old else zero for v in range(1, VERTICES - 1)]
        for i, j in PAIRS:
            new = place in (i, j)
            columns.append(zero if new else int(_COLUMN[old[i], old[j]]))
        maps.append(columns)
    return torch.tensor(maps)


_ROOM = _room()
# Every place of a new vertex with every source before and every target after it: [35, 3].
_GAPS = torch.tensor(
    [
        (place, source, target)
        for place in range(1, VERTICES - 1)
        for source in range(place)
        for target in range(place + 1, VERTICES)
    ]
)


def one_change_neighbours(codes: Tensor) -> Tensor:
    """Return canonical codes [m, 26] of the valid cells one change away, each once, by cell."""
    if not len(codes):
        return codes
    cells = isomorphism.canonicalise(codes)
    operations = operation_moves(cells, INNER, _CHOICES)
    changed = torch.cat([operations, _flipped(cells), _grown(cells), _turned(cells)], dim=1)
    owner = torch.arange(len(codes)).repeat_interleave(changed.shape[1])
    flat = changed.flatten(0, 1)
    valid = isomorphism.is_valid(flat)
    flat, owner = flat[valid], owner[valid]
    changed_keys = isomorphism.keys(flat)
    is_other = changed_keys != isomorphism.keys(cells)[owner]
    changed_keys, owner = changed_keys[is_other], owner[is_other]
    # The first of equals, in the order of the changes.
    pairs = torch.stack([owner, changed_keys], dim=1).numpy()
    _, first = np.unique(pairs, axis=0, return_index=True)
    return isomorphism.decode(changed_keys[torch.from_numpy(np.sort(first))])


def _flipped(codes: Tensor) -> Tensor:
    """Return each code with one edge added or removed: [n, 21, 26]."""
    changed = codes.unsqueeze(1).repeat(1, len(PAIRS), 1)
    rows = torch.arange(len(PAIRS))
    changed[:, rows, INNER + rows] = 1 - changed[:, rows, INNER + rows]
    return changed


def _grown(codes: Tensor) -> Tensor:
    """Return each code with a vertex inserted between two, in the code's order: [n, 105, 26]."""
    repeated = codes.unsqueeze(1).expand(-1, len(_GAPS), -1)
    return _insert(repeated, *(column.expand(len(codes), -1) for column in _GAPS.T))


def _turned(codes: Tensor) -> Tensor:
    """Return each code with an edge, or a vertex, against the code's order: [n, 40, 26]."""
    keys = isomorphism.keys_by_order(codes).unsqueeze(2) + isomorphism.BROKEN * ~_TURNED
    least, order = keys.min(1)  # [n, 10], an order that exchanges the two
    reordered = isomorphism.decode(least.flatten().long()).reshape(len(codes), -1, codes.shape[1])
    possible = least < isomorphism.BROKEN
    source = PLACES[order, _LATER].where(possible, 1)  # [n, 10]
    target = PLACES[order, _EARLIER].where(possible, 2)
    linked = reordered.scatter(2, _COLUMN[source, target].unsqueeze(2), 1)
    changed = torch.cat([linked, _insert(reordered, source + 1, source, target + 1)], dim=1)
    kept = possible.repeat(1, 1 + _CHOICES).unsqueeze(2)
    return torch.where(kept, changed, codes.unsqueeze(1))


def _insert(codes: Tensor, place: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Insert a vertex of each operation at its place, fed by source and feeding target.

    Args:
        codes: [n, k, 26], unused vertices last.
        place, source, target: [n, k], as numbered with the new vertex.

    Returns:
        [n, 3 k, 26], operation by operation; the code itself where all vertices are in use.
    """
    padded = torch.nn.functional.pad(codes, (0, 1))
    grown = padded.gather(2, _ROOM[place - 1])
    for edge in (_COLUMN[source, place], _COLUMN[place, target]):
        grown = grown.scatter(2, edge.unsqueeze(2), 1)
    full = codes[..., _COLUMN[VERTICES - 2, VERTICES - 1]] == 1  # vertex 5 is in use
    by_operation = [
        torch.where(full.unsqueeze(2), codes, grown.scatter(2, (place - 1).unsqueeze(2), operation))
        for operation in range(_CHOICES)
    ]
    return torch.cat(by_operation, dim=1)
