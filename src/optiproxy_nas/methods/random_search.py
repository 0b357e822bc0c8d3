"""Random search: the baseline that every method has to beat."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from optiproxy_nas.methods.base import Answers, Method, MethodSettings, Proposals
from optiproxy_nas.methods.memory import Memory
from optiproxy_nas.spaces.base import SearchSpace


class RandomSearchSettings(MethodSettings):
    """Settings of :class:`RandomSearch`; they decide no result, only its pace."""

    batch: int = Field(default=10, ge=1, description="architectures proposed at a time")


class RandomSearch(Method):
    """Uniform random architectures without replacement."""

    Settings = RandomSearchSettings
    reference: ClassVar[str] = (
        "Li & Talwalkar 2019, Random search and reproducibility for neural architecture search"
    )

    def __init__(
        self, space: SearchSpace, settings: RandomSearchSettings, budget: int, seed: int
    ) -> None:
        self._memory = Memory(space, seed)
        self._batch = settings.batch

    def ask(self) -> Proposals:
        """Return the next random architectures."""
        return Proposals(self._memory.random(self._batch))

    def tell(self, answers: Answers) -> None:
        """Remember the answers, so that none is proposed twice."""
        self._memory.add(answers.codes, answers.values)
