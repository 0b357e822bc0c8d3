"""A third party's method, ``moody_method:Moody``, which fails while a file says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optiproxy_nas.methods.random_search import RandomSearch


class Moody(RandomSearch):
    """Random search that fails at the seed in the file ``mood`` of the working directory."""

    def __init__(self, space: Any, settings: Any, budget: int, seed: int) -> None:
        mood = Path("mood")
        if mood.exists() and int(mood.read_text()) == seed:
            raise RuntimeError("not today")
        super().__init__(space, settings, budget, seed)
