"""Search spaces: one module or package each, registered in ``SPACES``."""

from optiproxy_nas.core.errors import OptiProxyError, ParameterError
from optiproxy_nas.core.random_streams import isolated
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


@isolated()  # a space holds tensors
def get_space(name: str) -> SearchSpace:
    """Build a registered search space (or one named ``package.module:Class``).

    Raises:
        UnknownNameError: not a registered name; with the list and the nearest one.
        ParameterError: what it names cannot be built without arguments, or is no search space.
    """
    kind = SPACES.load(name)
    try:
        space = kind()
    except OptiProxyError:
        raise
    except Exception as error:  # a third party's class can raise anything
        raise ParameterError(
            f"The search space {name!r} cannot be built: {error}. Its class takes no arguments.",
            name=name,
        ) from error
    if not isinstance(space, SearchSpace):
        raise ParameterError(
            f"The search space {name!r} is a {type(space).__name__}, which does not implement "
            "optiproxy_nas.spaces.SearchSpace; testing.check_search_space says what it lacks.",
            name=name,
        )
    return space


__all__ = ["SPACES", "Candidates", "Encoding", "Graph", "Logits", "SearchSpace", "get_space"]
