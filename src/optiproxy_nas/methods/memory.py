"""Memory of a method: evaluated architectures, each once, and random ones that are not.

:class:`MemoryMethod` is the base of the methods that have one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from optiproxy_nas.algorithm.candidates import BLOCK
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import SamplingError
from optiproxy_nas.core.random_streams import torch_generator
from optiproxy_nas.methods.base import Answers, Method, MethodSettings, Proposals, Unavailable
from optiproxy_nas.objectives.trial_order import fitness_of
from optiproxy_nas.spaces.base import SearchSpace

Settings = TypeVar("Settings", bound=MethodSettings)

# Blocks twice as large after each fruitless one; so many in a row (262,080 draws) before giving up.
_FRUITLESS = 12


class Memory:
    """The evaluated architectures of one search.

    Its random architectures are drawn from the stream that gives OptiProxy-NAS its initial sample,
    so that every method begins with the same architectures in a seed, and a difference between
    two methods is not one of luck in the first sample.

    Args:
        space: the search space.
        seed: of the run.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self.space = space
        self._generator = torch_generator(seed, 0, "initial-sample")
        self._drawn: list[Tensor] = []  # random architectures not handed out yet
        self._rows: dict[Hashable, int] = {}
        self._codes: list[Tensor] = []
        self._keys: list[list[float]] = []
        self._values: Floats | None = None
        self._unavailable: set[Hashable] = set()

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def codes(self) -> Tensor:
        """Architectures in the order told: [n, L]."""
        if not self._codes:
            return torch.empty(0, self.space.code_length, dtype=torch.int64)
        return torch.stack(self._codes)

    @property
    def values(self) -> Floats:
        """Their values as of ``Answers``, in view of all of them: [n]. Do not change them."""
        if self._values is None:
            self._values = fitness_of(np.array(self._keys).T)
        return self._values

    def add(self, codes: Tensor, keys: Floats) -> None:
        """Add the new ones among codes [m, L] with their keys [k, m]."""
        for identity, code, key in zip(
            self.space.identify(codes), codes, keys.T.tolist(), strict=True
        ):
            if identity not in self._rows:
                self._rows[identity] = len(self._codes)
                self._codes.append(code)
                self._keys.append(key)
                self._values = None

    def rows_of(self, codes: Tensor) -> list[int]:
        """Return the places of evaluated codes [m, L] in the order told."""
        return [self._rows[identity] for identity in self.space.identify(codes)]

    def leave_out(self, codes: Tensor) -> None:
        """Let nothing return these codes [u, L] as new, pending or failed as they are, until
        others are left out."""
        self._unavailable = set(self.space.identify(codes)) if len(codes) else set()

    def value_of(self, codes: Tensor) -> Floats:
        """Return the values of codes [m, L], NaN where not evaluated: [m]."""
        rows = (self._rows.get(identity) for identity in self.space.identify(codes))
        return np.array([np.nan if row is None else self.values[row] for row in rows])

    def unseen(self, codes: Tensor) -> Tensor:
        """Return the rows of codes [m, L] never proposed yet, each architecture once, in order."""
        new: dict[Hashable, int] = {}
        for row, identity in enumerate(self.space.identify(codes)):
            if identity not in self._rows and identity not in self._unavailable:
                new.setdefault(identity, row)
        return codes[list(new.values())]

    def best(self, count: int) -> Tensor:
        """Return the best architectures (the first, of equals), best first: [<= count, L]."""
        order = np.argsort(-self.values, kind="stable")[:count]
        return self.codes[torch.from_numpy(order)]

    def random(self, count: int) -> Tensor:
        """Return distinct random architectures that were never proposed: [count, L].

        Fewer than ``count`` where the space (``SearchSpace.size``) holds no more.

        Raises:
            SamplingError: the space does not yield that many in a bounded number of draws.
        """
        if self.space.size is not None:
            left = self.space.size - len(self) - len(self._unavailable - self._rows.keys())
            if not left and self._unavailable:
                return torch.empty(0, self.space.code_length, dtype=torch.int64)
            count = max(1, min(count, left))
        found: list[Tensor] = []
        taken: set[Hashable] = set()
        size, fruitless = BLOCK, 0
        while len(found) < count:
            if not self._drawn:
                if fruitless == _FRUITLESS:
                    raise SamplingError(
                        f"Hardly an architecture of space {self.space.name!r} is left: none new in "
                        f"the last {size - BLOCK} random draws. Lower the budget.",
                        known=len(self),
                    )
                self._drawn = list(self.space.random(size, self._generator).flip(0))
                size, fruitless = 2 * size, fruitless + 1
            code = self._drawn.pop()
            (identity,) = self.space.identify(code.unsqueeze(0))
            if not any(identity in group for group in (self._rows, self._unavailable, taken)):
                taken.add(identity)
                found.append(code)
                size, fruitless = BLOCK, 0
        return torch.stack(found)


class MemoryMethod(Method, Generic[Settings]):
    """Base of methods that propose by what they remember of all answers."""

    def __init__(self, space: SearchSpace, settings: Settings, budget: int, seed: int) -> None:
        self._space = space
        self._settings = settings
        self._memory = Memory(space, seed)

    def ask(self, unavailable: Unavailable) -> Proposals:
        """Propose what the memory holds neither as answered nor as unavailable."""
        self._memory.leave_out(unavailable.codes)
        return self.propose(unavailable.pending)

    @abstractmethod
    def propose(self, pending: int) -> Proposals:
        """Return the next proposals, while ``pending`` trials are open."""

    def tell(self, answers: Answers) -> None:
        """Remember the answers."""
        self._memory.add(answers.codes, answers.keys)
