"""Regularized evolution: tournaments in a population from which the oldest member is removed."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from pydantic import Field, model_validator

from optiproxy_nas.core.random_streams import numpy_generator
from optiproxy_nas.methods.base import Answers, MethodSettings, Proposals
from optiproxy_nas.methods.memory import MemoryMethod
from optiproxy_nas.spaces.base import SearchSpace


class RegularizedEvolutionSettings(MethodSettings):
    """Settings of :class:`RegularizedEvolution`."""

    population: int = Field(default=20, ge=2, description="P; also the random initial sample")
    tournament: int = Field(default=10, ge=1, description="S, members drawn; the best is parent")
    skip_known: bool = Field(default=True, description="children that were queried are not taken")

    @model_validator(mode="after")
    def _tournament_fits(self) -> RegularizedEvolutionSettings:
        if self.tournament > self.population:
            raise ValueError(
                f"tournament ({self.tournament}) is larger than population ({self.population}); "
                "its members are drawn without replacement"
            )
        return self


class RegularizedEvolution(MemoryMethod[RegularizedEvolutionSettings]):
    """Aging evolution; a mutation is a one-change neighbour (``SearchSpace.neighbours``).

    Tuned on seeds from 1000 on (NAS-Bench-201, v1.0 tables) for 100 to 280 queries: populations of
    10, 20, 30 and 50 with tournaments of 3 to 40 members. A population of 100 would spend such a
    budget on its initial sample.
    """

    Settings = RegularizedEvolutionSettings
    reference: ClassVar[str] = (
        "Real et al. 2019, Regularized evolution for image classifier architecture search"
    )

    def __init__(
        self, space: SearchSpace, settings: RegularizedEvolutionSettings, budget: int, seed: int
    ) -> None:
        super().__init__(space, settings, budget, seed)
        self._random = numpy_generator(seed, 0, "regularized-evolution")
        # Places in the memory.
        self._population: deque[int] = deque(maxlen=settings.population)

    def propose(self, pending: int) -> Proposals:
        """Return the initial population, then one child at a time."""
        population = len(self._population)
        if (missing := self._settings.population - population - pending) > 0:
            return Proposals(self._memory.random(missing))
        if not population:
            return Proposals(self._memory.random(1))
        size = min(self._settings.tournament, population)
        rows = self._random.choice(population, size, replace=False, shuffle=False)
        values = self._memory.values
        parent = max((self._population[row] for row in rows), key=lambda member: values[member])
        children = self._space.neighbours(self._memory.codes[parent : parent + 1])
        if self._settings.skip_known:
            children = self._memory.unseen(children)
        if not len(children):
            return Proposals(self._memory.random(1))
        row = int(self._random.integers(len(children)))
        return Proposals(children[row : row + 1])

    def tell(self, answers: Answers) -> None:
        """Let the newcomers join; the oldest members leave."""
        super().tell(answers)
        self._population.extend(self._memory.rows_of(answers.codes))
