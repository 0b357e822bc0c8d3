"""Spaces with a graph: what they share, and what is asked for a graph that a space lacks."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.spaces.base import Encoding, SearchSpace


class GraphSpace:
    """Members of spaces that have a graph, and the same M operations at all N positions."""

    operations: tuple[str, ...]
    num_nodes: int

    @cached_property
    def allowed(self) -> Tensor:
        """Return that every operation is allowed everywhere: [N, M]."""
        return torch.ones(self.num_nodes, len(self.operations), dtype=torch.bool)

    @property
    def option_labels(self) -> tuple[tuple[str, ...], ...]:
        """Return the operations, N times."""
        return (self.operations,) * self.num_nodes

    def features(self, encoding: Encoding) -> Tensor:
        """Return [s_o, s_t], flattened: [n, N·M + E]."""
        return torch.cat([encoding.operations.flatten(1), encoding.edges], dim=1)

    def architecture(self, text: str) -> Any:
        """Return the string itself."""
        return text


def missing_graph(name: str) -> ParameterError:
    """Return the error of asking a space without a graph for it."""
    return ParameterError(
        f"Search space {name!r} has no graph. Choose a proxy that needs none: mlp, or graph_mlp, "
        "which sees the graph only where there is one.",
        space=name,
    )


def require_graph(space: SearchSpace) -> None:
    """Refuse a space without a graph.

    Raises:
        ParameterError: which proxies need none.
    """
    if not space.num_vertices:
        raise missing_graph(space.name)
