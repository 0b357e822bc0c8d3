"""Proxies f̂: one file each, named in ``PROXIES``."""

import torch
from torch import nn

from optiproxy_nas.parameters import ProxySettings
from optiproxy_nas.proxies.base import EnsembleLinear, Proxy
from optiproxy_nas.registry import Registry
from optiproxy_nas.spaces.base import SearchSpace

PROXIES = Registry(
    "proxy",
    {
        "gcn": "optiproxy_nas.proxies.gcn:GCN",
        "graph_mlp": "optiproxy_nas.proxies.graph_mlp:GraphMLP",
        "mlp": "optiproxy_nas.proxies.mlp:MLP",
    },
)


def build_proxy(
    space: SearchSpace, settings: ProxySettings, generator: torch.Generator
) -> nn.Module:
    """Build a registered proxy (or one named ``package.module:Class``) with fresh weights.

    Raises:
        UnknownNameError: with the list and the nearest name.
    """
    module: nn.Module = PROXIES.load(settings.name)(space, settings, generator)
    return module


__all__ = ["PROXIES", "EnsembleLinear", "Proxy", "build_proxy"]
