"""Search methods other than OptiProxy-NAS, as ask/tell plug-ins: one file each, in ``METHODS``."""

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.core.registry import Registry
from optiproxy_nas.methods.base import Method, MethodSettings
from optiproxy_nas.spaces.base import SearchSpace

_HERE = "optiproxy_nas.methods"
METHODS = Registry(
    "method",
    {
        "bananas": f"{_HERE}.bananas:Bananas",
        "gaussian_process": f"{_HERE}.gaussian_process:GaussianProcess",
        "local_search": f"{_HERE}.local_search:LocalSearch",
        "random_search": f"{_HERE}.random_search:RandomSearch",
        "regularized_evolution": f"{_HERE}.regularized_evolution:RegularizedEvolution",
        "tpe": f"{_HERE}.tpe:TPE",
    },
    group="optiproxy_nas.methods",
)


def build_method(
    name: str, space: SearchSpace, settings: Mapping[str, Any], budget: int, seed: int
) -> Method:
    """A registered method (or one named ``package.module:Class``), ready to be asked.

    Args:
        name: of the method.
        space: what it searches.
        settings: what differs from the defaults of the method's ``Settings``.
        budget: queries in all.
        seed: of the run.

    Raises:
        UnknownNameError: with the list and the nearest name.
        ParameterError: a setting has an unknown name or an impossible value; or the method needs
            a package that is not installed (which).
    """
    from optiproxy_nas.core.validation import validate

    factory = METHODS.load(name)
    method: Method = factory(space, validate(factory.Settings, settings), budget, seed)
    return method


__all__ = ["METHODS", "Method", "MethodSettings", "build_method"]
