"""Proxies f̂: one module each, registered in ``PROXIES``."""

import torch
from torch import nn

from optiproxy_nas.core.errors import ProxyError
from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.proxies.base import EnsembleLinear, Proxy
from optiproxy_nas.spaces.base import Encoding, SearchSpace

PROXIES = Registry(
    "proxy",
    {
        "autoregressive_mlp": "optiproxy_nas.proxies.mlp:AutoregressiveMLP",
        "gat": "optiproxy_nas.proxies.gat:GAT",
        "gaussian_process": "optiproxy_nas.proxies.gaussian_process:GaussianProcessProxy",
        "gaussian_process_measuring": (
            "optiproxy_nas.proxies.measuring_process:MeasuringGaussianProcess"
        ),
        "gcn": "optiproxy_nas.proxies.gcn:GCN",
        "gcn_averaged": "optiproxy_nas.proxies.gcn:AveragedGCN",
        "gcn_one_way": "optiproxy_nas.proxies.gcn:OneWayGCN",
        "graph_mlp": "optiproxy_nas.proxies.mlp:GraphMLP",
        "lstm": "optiproxy_nas.proxies.lstm:LSTM",
        "mlp": "optiproxy_nas.proxies.mlp:MLP",
        "path_mlp": "optiproxy_nas.proxies.mlp:PathMLP",
        "transformer": "optiproxy_nas.proxies.transformer:Transformer",
        "truncated_path_mlp": "optiproxy_nas.proxies.mlp:TruncatedPathMLP",
    },
    group="optiproxy_nas.proxies",
    base=nn.Module,
)


def build_proxy(
    space: SearchSpace, settings: ProxySettings, generator: torch.Generator, heads: int = 1
) -> nn.Module:
    """Build a registered proxy (or one named ``package.module:Class``) with fresh weights.

    Raises:
        UnknownNameError: not a registered name; with the list and the nearest one.
        ProxyError: the plug-in breaks the contract of :class:`Proxy`, or does not fit into memory.
    """
    factory = PROXIES.load(settings.name)
    try:
        module = factory(space, settings, generator, heads)
    except (TypeError, ValueError, RuntimeError) as error:
        if "allocate" in str(error):  # torch has no type of its own for it on a CPU
            raise ProxyError(
                f"Proxy {settings.name!r} does not fit into memory: lower proxy.hidden (now "
                f"{settings.hidden}), proxy.layers ({settings.layers}) or proxy.members "
                f"({settings.members}).",
                proxy=settings.name,
            ) from error
        raise _not_a_proxy(
            settings, f"Class(space, settings, generator, heads) failed: {error}"
        ) from error
    if not isinstance(module, nn.Module):
        raise _not_a_proxy(settings, f"it makes a {type(module).__name__}, not a torch.nn.Module")
    return module


def check_contract(
    module: nn.Module, space: SearchSpace, settings: ProxySettings, heads: int = 1
) -> None:
    """Check a proxy on two architectures before anything is fitted.

    Raises:
        ProxyError: its output is not [members, heads, 2], or carries no gradient to the encoding.
    """
    hard = space.encode(space.random(2, torch.Generator().manual_seed(0)))
    probe = Encoding(hard.operations.requires_grad_(), hard.edges)
    try:
        predictions = module(probe)
    except Exception as error:
        raise _not_a_proxy(settings, f"its forward failed: {error}") from error
    shape = tuple(getattr(predictions, "shape", ()))
    if len(shape) != 3 or shape[1:] != (heads, 2):
        got = f"shape {list(shape)}" if isinstance(predictions, torch.Tensor) else repr(predictions)
        raise _not_a_proxy(settings, f"for 2 encodings it gave {got}, not [members, {heads}, 2]")
    if not predictions.requires_grad:
        raise _not_a_proxy(settings, "no gradient passes from its predictions to the encoding")


def _not_a_proxy(settings: ProxySettings, problem: str) -> ProxyError:
    return ProxyError(
        f"Proxy {settings.name!r} does not keep the contract: {problem}. It is a torch.nn.Module "
        "class built as Class(space, settings, generator, heads), its forward maps an Encoding of "
        "n architectures to predictions [members, heads, n]; optiproxy_nas.testing.check_proxy "
        "tells more.",
        proxy=settings.name,
    )


__all__ = ["PROXIES", "EnsembleLinear", "Proxy", "build_proxy", "check_contract"]
