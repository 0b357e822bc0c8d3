"""OptiProxy-NAS: neural architecture search by gradient through an optimization proxy.

from optiproxy_nas import search
result = search("cifar10", budget=100, seed=0)
"""

from typing import TYPE_CHECKING, Any

from optiproxy_nas.core.errors import (
    ArtifactError,
    BudgetError,
    ConversionError,
    DataError,
    EvaluationError,
    FailedTrialsError,
    InvalidArchitectureError,
    JournalError,
    MeasurementError,
    MethodError,
    MetricUnavailableError,
    ObjectiveError,
    OptiProxyError,
    ParameterError,
    ProxyError,
    ResumeError,
    RunLockedError,
    SamplingError,
    SearchInterrupted,
    TrackingError,
    TrialError,
    UnknownNameError,
    UnsafePickleError,
    UntrustedNameError,
)

if TYPE_CHECKING:
    from optiproxy_nas.api import Search, SearchResult, search
    from optiproxy_nas.evaluation.function_evaluator import batched
    from optiproxy_nas.evaluation.journal_table import read_journal
    from optiproxy_nas.evaluation.trials import Trial
    from optiproxy_nas.export.loading import load_model
    from optiproxy_nas.measuring.latency import Latency, measure_latency
    from optiproxy_nas.measuring.latency_settings import LatencySettings
    from optiproxy_nas.networks import build_network
    from optiproxy_nas.problems import Problem, RunningTrial, Target
    from optiproxy_nas.spaces.choices import Choice, Space

    __version__: str

__all__ = [
    "ArtifactError",
    "BudgetError",
    "Choice",
    "ConversionError",
    "DataError",
    "EvaluationError",
    "FailedTrialsError",
    "InvalidArchitectureError",
    "JournalError",
    "Latency",
    "LatencySettings",
    "MeasurementError",
    "MethodError",
    "MetricUnavailableError",
    "ObjectiveError",
    "OptiProxyError",
    "ParameterError",
    "Problem",
    "ProxyError",
    "ResumeError",
    "RunLockedError",
    "RunningTrial",
    "SamplingError",
    "Search",
    "SearchInterrupted",
    "SearchResult",
    "Space",
    "Target",
    "TrackingError",
    "Trial",
    "TrialError",
    "UnknownNameError",
    "UnsafePickleError",
    "UntrustedNameError",
    "__version__",
    "batched",
    "build_network",
    "load_model",
    "measure_latency",
    "read_journal",
    "search",
]


def __getattr__(name: str) -> Any:
    # Imported on demand: torch takes seconds, and Kedro's own commands need none of it.
    # The same names stand under TYPE_CHECKING above, for editors and type checkers.
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("optiproxy-nas")
    modules = {
        "Choice": "spaces.choices",
        "Latency": "measuring.latency",
        "LatencySettings": "measuring.latency_settings",
        "Problem": "problems",
        "RunningTrial": "problems",
        "Target": "problems",
        "Search": "api",
        "SearchResult": "api",
        "Space": "spaces.choices",
        "Trial": "evaluation.trials",
        "batched": "evaluation.function_evaluator",
        "build_network": "networks",
        "load_model": "export.loading",
        "measure_latency": "measuring.latency",
        "read_journal": "evaluation.journal_table",
        "search": "api",
    }
    if name in modules:
        return getattr(import_module(f"{__name__}.{modules[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
