"""Kedro pipelines, with configuration and hooks: a module or package for each kind of pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

Names = str | list[str] | dict[str, str]


def pipeline_of_nodes(*nodes: tuple[Callable[..., Any], Names, Names]) -> Pipeline:
    """Return the pipeline of (function, inputs, outputs); a node has its function's name."""
    return Pipeline([Node(f, inputs, outputs, name=f.__name__) for f, inputs, outputs in nodes])
