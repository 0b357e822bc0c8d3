"""MLPs on the path encoding."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import build_proxy
from optiproxy_nas.proxies.mlp import PathMLP, TruncatedPathMLP
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.encodings import path_indicators, path_lengths
from optiproxy_nas.spaces.nb201 import NASBench201
from optiproxy_nas.testing import check_proxy

pytestmark = pytest.mark.usefixtures("global_state")


def settings(**values: Any) -> Any:
    small = {"hidden": 8, "layers": 2, "members": 3}
    return ProxySettings(**{**load_preset("default")["proxy"], **small, **values})


@pytest.mark.parametrize("proxy", [PathMLP, TruncatedPathMLP])
def test_it_keeps_the_contract(space: SearchSpace, proxy: Any) -> None:
    check_proxy(proxy, space)


@pytest.mark.parametrize(
    ("name", "longest", "inputs"), [("path_mlp", None, 155), ("truncated_path_mlp", 2, 30)]
)
def test_it_sees_the_path_encoding_and_nothing_else(
    nb201: NASBench201, generator: torch.Generator, name: str, longest: int | None, inputs: int
) -> None:
    proxy: Any = build_proxy(nb201, settings(name=name), generator)
    encoding = nb201.encode(nb201.random(6, generator))
    assert proxy.hidden[0].weight.shape[1] == inputs
    paths = path_indicators(nb201.graph(encoding), path_lengths(nb201, longest))
    assert torch.equal(proxy.features(encoding), paths)


def test_the_truncated_one_is_blind_to_the_middle_edge(
    nb201: NASBench201, generator: torch.Generator
) -> None:
    """Edge 1->2 lies on the path of three operations only."""
    code = torch.zeros(5, 6, dtype=torch.int64)
    code[:, 2] = torch.arange(5)
    cells = nb201.encode(code)
    short = TruncatedPathMLP(nb201, settings(), generator)(cells)
    assert torch.equal(short, short[..., :1].expand(3, 1, 5))
    assert (PathMLP(nb201, settings(), generator)(cells).std(-1) > 1e-3).all()


def test_a_space_with_too_many_paths_is_refused_before_any_work(
    nb201: NASBench201, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optiproxy_nas.spaces.encodings.MAX_PATHS", 100)
    with pytest.raises(ParameterError, match="truncated_path_mlp"):
        build_proxy(nb201, settings(name="path_mlp"), generator)
    build_proxy(nb201, settings(name="truncated_path_mlp"), generator)
