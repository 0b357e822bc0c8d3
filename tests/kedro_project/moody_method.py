"""A third party's method, ``moody_method:Moody``, which fails while a file says so."""

from pathlib import Path

from optiproxy_nas.methods.random_search import RandomSearch


class Moody(RandomSearch):
    """Random search that fails at the seed in the file ``mood`` of the working directory."""

    def __init__(self, space, settings, budget, seed):
        mood = Path("mood")
        if mood.exists() and int(mood.read_text()) == seed:
            raise RuntimeError("not today")
        super().__init__(space, settings, budget, seed)
