"""Pipelines of this package: what kind they are, and the parameters that they start from."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from kedro.framework.project import pipelines
from kedro.pipeline import Node, Pipeline

Names = str | list[str] | dict[str, str]


class ProjectPipeline(Pipeline):
    """A pipeline whose parameters and catalog this package configures.

    Other pipelines of a project are Kedro's alone.

    Args:
        nodes: of the pipeline.
        kind: ``search``, ``methods``, ``ingest``, ``compare`` or ``diagnose``.
        section: its parameters, as far as no file has others.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        kind: str,
        section: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(nodes)
        self.kind = kind
        self.section = section

    def with_section(self, section: Mapping[str, Any]) -> ProjectPipeline:
        """Return the same pipeline with other parameters to start from."""
        other = copy.copy(self)
        other.section = section
        return other


def pipeline_of_nodes(
    kind: str, *nodes: tuple[Callable[..., Any], Names, Names]
) -> ProjectPipeline:
    """Return the pipeline of (function, inputs, outputs); a node has its function's name."""
    with dots_in_names():
        listed = [Node(f, inputs, outputs, name=f.__name__) for f, inputs, outputs in nodes]
        return ProjectPipeline(listed, kind)


@contextmanager
def dots_in_names() -> Iterator[None]:
    """Silence Kedro's warning of dots in names of datasets.

    It takes ``step_00.archive`` for an input of a node in namespace ``step_01`` by mistake; a step
    that reads the one before is what is meant.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One or more dataset names contain")
        yield


def are_of_user(names: Iterable[str]) -> bool:
    """Return whether pipelines, or the default where none is named, are not of this package."""
    found = [pipelines.get(name) for name in names or ["__default__"]]
    return all(isinstance(p, Pipeline) and not isinstance(p, ProjectPipeline) for p in found)


def registered() -> dict[str, ProjectPipeline]:
    """Return name -> pipeline of those of this package that the Kedro project registers."""
    return {
        name: found
        for name, found in pipelines.items()
        if isinstance(found, ProjectPipeline) and name != "__default__"
    }
