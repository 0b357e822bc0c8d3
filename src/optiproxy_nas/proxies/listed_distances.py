"""Squared distances to the architectures of a list, of which only few different ones occur."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optiproxy_nas.core.arrays import Integers

LARGEST = 2**23  # combinations of distances that may be told apart: 32 MiB
KEPT = 1000  # columns


class ListedDistances:
    """Distances of architectures to those of a list, as the number of their combination.

    Features that count things have squared distances that are integers, and their combinations over
    the B blocks of features are few: a kernel is computed once for each, and looked up. Integers
    are exact, so that a distance does not depend on what is computed beside it, or was before.

    Args:
        blocks: features of the listed architectures, [N, d_b] integers each.
    """

    def __init__(self, blocks: Sequence[NDArray[np.float32]]) -> None:
        self._blocks = [(block, _norms(block)) for block in blocks]
        self._lock = threading.Lock()
        self._reach: dict[bytes, Integers] = {}  # the largest distances to the list, in each block
        self._forget((1,) * len(blocks))

    def _forget(self, shape: tuple[int, ...]) -> None:
        self._shape = shape  # above all distances so far
        self._numbers = np.zeros(shape, dtype=np.int32).ravel()  # of combinations; 0: unseen
        self._combinations = np.zeros((1, len(shape)), dtype=np.int64)
        self._columns: dict[bytes, NDArray[np.int32]] = {}

    def _squares(
        self, blocks: Sequence[NDArray[np.float32]], rows: Sequence[int]
    ) -> list[NDArray[np.float32]]:
        """Return the squared distances [rows, N] in each block."""
        return [
            norms + _norms(values[rows])[:, np.newaxis] - 2 * values[rows] @ block.T
            for (block, norms), values in zip(self._blocks, blocks, strict=True)
        ]

    def of(
        self, blocks: Sequence[NDArray[np.float32]]
    ) -> tuple[Integers, list[NDArray[np.int32]]] | None:
        """Return squared distances [C, B], and which of them each architecture has to the list.

        Args:
            blocks: features of n architectures, [n, d_b] each.

        Returns:
            the distances, and n columns [N] of their rows; None where distances are so different
            that there may be too many.
        """
        keys = [row.tobytes() for row in np.concatenate(blocks, axis=1)]
        with self._lock:
            if len(self._reach) > KEPT:
                self._reach = {key: self._reach[key] for key in keys if key in self._reach}
                self._columns = {key: self._columns[key] for key in keys if key in self._columns}
            squares: list[NDArray[np.float32]] = []
            if new := [row for row, key in enumerate(keys) if key not in self._reach]:
                squares = self._squares(blocks, new)
                reach = np.stack([square.max(1) for square in squares], axis=1).astype(np.int64)
                self._reach |= {keys[row]: found for row, found in zip(new, reach, strict=True)}
            # Of these architectures alone, so that it does not depend on what was asked before.
            needed = tuple((np.max([self._reach[key] for key in keys], axis=0) + 1).tolist())
            if math.prod(needed) > LARGEST:
                return None
            if any(a > b for a, b in zip(needed, self._shape, strict=True)):
                together = tuple(max(a, b) for a, b in zip(needed, self._shape, strict=True))
                ample = tuple(max(2 * a, b) for a, b in zip(needed, self._shape, strict=True))
                fitting = (it for it in (ample, together, needed) if math.prod(it) <= LARGEST)
                self._forget(next(fitting))
            missing = [row for row, key in enumerate(keys) if key not in self._columns]
            if missing != new:
                squares = self._squares(blocks, missing)
            if missing:
                places = np.ravel_multi_index([it.astype(np.int64) for it in squares], self._shape)
                for row, column in zip(missing, places, strict=True):
                    self._columns[keys[row]] = self._numbered(column)
            return self._combinations, [self._columns[key] for key in keys]

    def _numbered(self, places: Integers) -> NDArray[np.int32]:
        """Return the numbers [N] of combinations; those that are new get the next ones."""
        if not (numbers := self._numbers[places]).all():
            new = np.unique(places[numbers == 0])
            self._numbers[new] = len(self._combinations) + np.arange(len(new))
            found = np.stack(np.unravel_index(new, self._shape), axis=1)
            self._combinations = np.concatenate([self._combinations, found])
            numbers = self._numbers[places]
        return numbers


def _norms(block: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float32] = np.einsum("ij,ij->i", block, block)
    return norms
