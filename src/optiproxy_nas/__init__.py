"""OptiProxy-NAS: neural architecture search by gradient through an optimization proxy.

from optiproxy_nas import search
result = search("cifar10", budget=100, seed=0)
"""

from typing import TYPE_CHECKING, Any

from optiproxy_nas.core.errors import (
    ArtifactError,
    BudgetError,
    DataError,
    EvaluationError,
    InvalidArchitectureError,
    MethodError,
    MetricUnavailableError,
    ObjectiveError,
    OptiProxyError,
    ParameterError,
    ProxyError,
    ResumeError,
    RunLockedError,
    SamplingError,
    TrackingError,
    UnknownNameError,
    UnsafePickleError,
)

if TYPE_CHECKING:
    from optiproxy_nas.api import search
    from optiproxy_nas.methods.result import SearchResult

    __version__: str

__all__ = [
    "ArtifactError",
    "BudgetError",
    "DataError",
    "EvaluationError",
    "InvalidArchitectureError",
    "MethodError",
    "MetricUnavailableError",
    "ObjectiveError",
    "OptiProxyError",
    "ParameterError",
    "ProxyError",
    "ResumeError",
    "RunLockedError",
    "SamplingError",
    "SearchResult",
    "TrackingError",
    "UnknownNameError",
    "UnsafePickleError",
    "__version__",
    "search",
]


def __getattr__(name: str) -> Any:
    # Imported on demand: torch takes seconds, and Kedro's own commands need none of it.
    # The same names stand under TYPE_CHECKING above, for editors and type checkers.
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("optiproxy-nas")
    modules = {"search": "api", "SearchResult": "methods.result"}
    if name in modules:
        return getattr(import_module(f"{__name__}.{modules[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
