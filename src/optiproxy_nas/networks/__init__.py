"""Cells as torch networks: one module a space, registered in ``NETWORKS`` by the space's name."""

from typing import Any

from optiproxy_nas.core.registry import Registry
from optiproxy_nas.core.validation import validate
from optiproxy_nas.networks.base import CellNetwork, Skeleton, code_of

NETWORKS = Registry(
    "network",
    {
        "nb101": "optiproxy_nas.networks.nb101:NB101Network",
        "nb201": "optiproxy_nas.networks.nb201:NB201Network",
        "nb301": "optiproxy_nas.networks.nb301:NB301Network",
    },
    group="optiproxy_nas.networks",
    base=CellNetwork,
)


def build_network(architecture: Any, space: str = "nb201", **skeleton: Any) -> CellNetwork:
    """Return the torch network of an architecture, with fresh weights.

    They are drawn from torch's global generator, as those of any module of torch.

    Example:
        >>> cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
        >>> network = build_network(cell, channels=8, cells=1, input_channels=1)

    Args:
        architecture: in the notation of the space.
        space: the cell space, a name of ``NETWORKS``.
        skeleton: settings of the network around the cell: channels, cells, stages, stem, classes,
            input_channels, and what the space's own skeleton has besides. Those left out are those
            of the benchmark's paper.

    Raises:
        InvalidArchitectureError: the architecture is no member of the space.
        UnknownNameError: there are no networks of such a space.
        ParameterError: a setting has an unknown name or an impossible value.
    """
    kind: type[CellNetwork] = NETWORKS.load(space)
    settings = validate(kind.settings, skeleton)
    return kind(settings, code_of(kind.space, architecture))


def relaxed_network(space: str = "nb201", **skeleton: Any) -> CellNetwork:
    """Return a network whose forward also takes weights of operations [N, M] and edges [E].

    They are those of the space's encoding. At its corners the network equals the discrete one with
    the same weights, which ``discrete(architecture)`` gives.

    Args:
        space: the cell space, a name of ``NETWORKS``.
        skeleton: as of :func:`build_network`.

    Raises:
        UnknownNameError: there are no networks of such a space.
        ParameterError: a setting has an unknown name or an impossible value.
    """
    kind: type[CellNetwork] = NETWORKS.load(space)
    return kind(validate(kind.settings, skeleton))


__all__ = ["NETWORKS", "CellNetwork", "Skeleton", "build_network", "relaxed_network"]
