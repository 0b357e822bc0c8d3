"""Random search: the baseline that every method has to beat."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from optiproxy_nas.methods.base import MethodSettings, Proposals
from optiproxy_nas.methods.memory import MemoryMethod


class RandomSearchSettings(MethodSettings):
    """Settings of :class:`RandomSearch`; they decide no result, only its pace."""

    batch: int = Field(default=10, ge=1, description="architectures proposed at a time")


class RandomSearch(MemoryMethod[RandomSearchSettings]):
    """Uniform random architectures without replacement."""

    Settings = RandomSearchSettings
    reference: ClassVar[str] = (
        "Li & Talwalkar 2019, Random search and reproducibility for neural architecture search"
    )

    def propose(self, pending: int) -> Proposals:
        """Return the next random architectures."""
        return Proposals(self._memory.random(self._settings.batch))
