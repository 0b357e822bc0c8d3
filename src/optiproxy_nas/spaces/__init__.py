"""Search spaces: one module or package each, registered in ``SPACES``."""

from optiproxy_nas.core.registry import Registry
from optiproxy_nas.spaces.base import Candidates, Encoding, Graph, Logits, SearchSpace

SPACES = Registry(
    "search space",
    {
        "nb101": "optiproxy_nas.spaces.nb101:NASBench101",
        "nb201": "optiproxy_nas.spaces.nb201:NASBench201",
        "nb301": "optiproxy_nas.spaces.nb301:NASBench301",
        "nbnlp": "optiproxy_nas.spaces.nbnlp:NASBenchNLP",
    },
    group="optiproxy_nas.spaces",
)


def get_space(name: str) -> SearchSpace:
    """Build a registered search space (or one named ``package.module:Class``).

    Raises:
        UnknownNameError: not a registered name; with the list and the nearest one.
    """
    space: SearchSpace = SPACES.load(name)()
    return space


__all__ = ["SPACES", "Candidates", "Encoding", "Graph", "Logits", "SearchSpace", "get_space"]
