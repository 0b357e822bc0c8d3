"""Search spaces: one file each, named in ``SPACES``."""

from optiproxy_nas.registry import Registry
from optiproxy_nas.spaces.base import Candidates, Encoding, Graph, Logits, SearchSpace

SPACES = Registry("search space", {"nb201": "optiproxy_nas.spaces.nb201:NASBench201"})


def get_space(name: str) -> SearchSpace:
    """Build a registered search space (or one named ``package.module:Class``).

    Raises:
        UnknownNameError: with the list and the nearest name.
    """
    space: SearchSpace = SPACES.load(name)()
    return space


__all__ = ["SPACES", "Candidates", "Encoding", "Graph", "Logits", "SearchSpace", "get_space"]
