"""OptiProxy-NAS: neural architecture search by gradient through an optimization proxy.

from optiproxy_nas import search
result = search("cifar10", budget=100, seed=0)
"""

from typing import Any

__all__ = ["search"]


def __getattr__(name: str) -> Any:
    # Imported on demand: torch takes seconds, and Kedro's own commands need none of it.
    if name in __all__:
        from optiproxy_nas import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
