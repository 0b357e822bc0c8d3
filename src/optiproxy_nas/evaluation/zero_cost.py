"""Scores of cells without a training: how large their networks are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.measuring.sizes import flops, parameters
from optiproxy_nas.networks import NETWORKS, CellNetwork, build_network

_SKELETON = {"channels": 16, "cells": 1}  # sizes of larger ones are in about the same order


def parameters_of(architectures: Sequence[Any], space: str) -> list[float]:
    """Return the number of parameters of each cell's network."""
    return [float(parameters(network)) for network in _networks(architectures, space)]


def flops_of(architectures: Sequence[Any], space: str) -> list[float]:
    """Return the floating-point operations of each cell's network on an image of 32 x 32."""
    with torch.device("meta"):
        image = torch.empty(1, 3, 32, 32)
    return [float(flops(network, image)) for network in _networks(architectures, space)]


def _networks(architectures: Sequence[Any], space: str) -> Iterator[CellNetwork]:
    if space not in NETWORKS:
        raise ParameterError(
            f"Space {space!r} has no networks whose size could be a score; there are those of "
            f"{', '.join(NETWORKS)}. Give a function of yours, package.module:function.",
            space=space,
        )
    for architecture in architectures:
        with torch.device("meta"):  # no weights are drawn
            yield build_network(architecture, space, **_SKELETON)
