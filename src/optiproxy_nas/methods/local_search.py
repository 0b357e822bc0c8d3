"""Local search: hill climbing among one-change neighbours, anew from random at each optimum."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from optiproxy_nas.core.random_streams import numpy_generator
from optiproxy_nas.methods.base import Answers, MethodSettings, Proposals
from optiproxy_nas.methods.memory import MemoryMethod
from optiproxy_nas.spaces.base import SearchSpace


class LocalSearchSettings(MethodSettings):
    """Settings of :class:`LocalSearch`."""

    initial_samples: int = Field(default=10, ge=1, description="random; the best is the start")
    restart_samples: int = Field(default=10, ge=1, description="the same at each restart")
    restart_at: Literal["random", "incumbent"] = Field(
        default="random",
        description="at the best of restart_samples random architectures, or two changes away from "
        "the best that is known (iterated local search)",
    )
    query_until: Literal["improvement", "all"] = Field(
        default="improvement", description="move to the first better neighbour, or the best of all"
    )


class LocalSearch(MemoryMethod[LocalSearchSettings]):
    """Hill climbing; neighbours are queried in random order.

    Neighbours whose value is known are not queried again: their value counts as it is.

    Tuned on seeds from 1000 on (NAS-Bench-201, v1.0 tables): moving to the first better neighbour,
    and starting from the best of 10 random ones, at each restart as well.

    With ``restart_at="incumbent"`` it is iterated local search (Lourenço, Martin & Stützle 2003).
    """

    Settings = LocalSearchSettings
    reference: ClassVar[str] = (
        "White, Nolen & Savani 2021, Exploring the loss landscape in neural architecture search"
    )

    def __init__(
        self, space: SearchSpace, settings: LocalSearchSettings, budget: int, seed: int
    ) -> None:
        super().__init__(space, settings, budget, seed)
        self._random = numpy_generator(seed, 0, "local-search")
        self._samples = settings.initial_samples
        self._current: Tensor | None = None  # where the search stands
        self._next = self._memory.codes  # unqueried neighbours of it, in the order of asking

    def propose(self, pending: int) -> Proposals:
        """Return starting points, or neighbours of the architecture where the search stands."""
        if self._current is not None:
            left = self._memory.unseen(self._next)
            if len(left):
                return Proposals(left if self._settings.query_until == "all" else left[:1])
            if not pending:  # what is left has failed
                self._restart()
        is_iterated = self._settings.restart_at == "incumbent"
        if self._current is None and is_iterated and len(start := self._perturbed()):
            return Proposals(start)
        missing = self._samples - pending if self._current is None else 1
        return Proposals(self._memory.random(max(missing, 1)))

    def tell(self, answers: Answers) -> None:
        """Move uphill as far as the answers allow; restart at a local optimum."""
        super().tell(answers)
        codes, values = answers.codes, self._memory.value_of(answers.codes)
        best = int(values.argmax())
        if self._current is None or values[best] > self._memory.value_of(self._current[None])[0]:
            self._move(codes[best], float(values[best]))
        else:
            self._next = self._memory.unseen(self._next)
            if not len(self._next):
                self._restart()

    def _move(self, code: Tensor, value: float) -> None:
        while True:
            neighbours = self._space.neighbours(code.unsqueeze(0))
            values = self._memory.value_of(neighbours)
            if np.isnan(values).all() or not np.nanmax(values) > value:
                break
            best = int(np.nanargmax(values))
            code, value = neighbours[best], float(values[best])
        self._current = code
        new = self._memory.unseen(neighbours)
        self._next = new[torch.from_numpy(self._random.permutation(len(new)))]
        if not len(self._next):
            self._restart()

    def _perturbed(self) -> Tensor:
        """Return an unqueried architecture two changes away from the best: [1, L]; or none."""
        if not len(self._memory):
            return self._memory.codes
        near = self._space.neighbours(self._memory.best(1))
        there = near[self._random.permutation(len(near))[:1]]
        far = self._memory.unseen(self._space.neighbours(there))
        return far[self._random.permutation(len(far))[:1]]

    def _restart(self) -> None:
        self._current = None
        self._samples = self._settings.restart_samples
