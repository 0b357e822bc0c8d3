"""Pipelines of this package: what kind they are, and the parameters that they start from."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from kedro.framework.project import pipelines
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.runs.datasets import AtomicDataset, ModelDataset, PartitionedArtifacts

STORED = (AtomicDataset, ModelDataset, PartitionedArtifacts)  # what a run keeps

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


def node_in(
    namespace: str,
    name: str,
    function: Callable[..., Any],
    inputs: list[str],
    outputs: Names,
) -> Node:
    """Return a node of a namespace; a dataset whose name begins with a dot is of the namespace."""

    def full(dataset: str) -> str:
        return f"{namespace}{dataset}" if dataset.startswith(".") else dataset

    if isinstance(outputs, str):
        outputs = full(outputs)
    elif isinstance(outputs, list):
        outputs = list(map(full, outputs))
    return Node(function, list(map(full, inputs)), outputs, name=name, namespace=namespace or None)


@contextmanager
def dots_in_names() -> Iterator[None]:
    """Silence Kedro's warning of dots in names of datasets.

    It takes ``step_00.archive`` for an input of a node in namespace ``step_01`` by mistake; a step
    that reads the one before is what is meant.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One or more dataset names contain")
        yield


def ignore_renamed_resolver() -> None:
    """Silence Kedro 1.7, which calls a name that OmegaConf has renamed: no user can mend that."""
    warnings.filterwarnings("ignore", message="register_new_resolver")


def are_of_user(names: Iterable[str]) -> bool:
    """Return whether pipelines, or the default where none is named, are not of this package."""
    found = [pipelines.get(name) for name in names or ["__default__"]]
    return all(isinstance(p, Pipeline) and not isinstance(p, ProjectPipeline) for p in found)


def check_hooks(hooks: Iterable[Any]) -> None:
    """Refuse to run without those of our hooks that keep a run.

    Raises:
        ParameterError: they are not registered.
    """
    if not list(hooks):
        raise ParameterError(
            "The hooks that keep a run are not registered, since settings.py sets HOOKS of its "
            "own. Below 'from optiproxy_nas.settings import *': HOOKS = (*HOOKS, YourHooks())."
        )


def refuse_sums(names: Iterable[str]) -> None:
    """Refuse a pipeline of the user's that nodes of this package were added to.

    Raises:
        ParameterError: it would lack the parameters and datasets that a run of ours gets.
    """
    for name in names or ["__default__"]:
        nodes = found.nodes if isinstance(found := pipelines.get(name), Pipeline) else []
        if any(str(node.func.__module__).startswith("optiproxy_nas.") for node in nodes):
            raise ParameterError(
                f"Pipeline {name!r} adds a search to other nodes, but a search is run by itself. "
                "Register search_pipeline(...) under a name of its own, and run the other nodes, "
                "which make its datasets, before it.",
                pipeline=name,
            )


def registered() -> dict[str, ProjectPipeline]:
    """Return name -> pipeline of those of this package that the Kedro project registers."""
    return {
        name: found
        for name, found in pipelines.items()
        if isinstance(found, ProjectPipeline) and name != "__default__"
    }


def check_inputs(pipeline: Pipeline, catalog: DataCatalog, known: Collection[str] = ()) -> None:
    """Refuse some nodes of a search that need what other nodes of it would make.

    Args:
        pipeline: to be run.
        catalog: of the run.
        known: inputs that will be there.

    Raises:
        ParameterError: what is missing, and how a part of a search is run.
    """
    missing = [
        name
        for name in sorted(pipeline.inputs() - {*known})
        if name not in catalog
        or (type(dataset := catalog.get(name)) is AtomicDataset and dataset.stored() is None)
    ]
    if missing:
        raise ParameterError(
            f"The nodes asked for need {', '.join(missing)}, which other nodes of the search make. "
            "A search begins at its first node: leave out --from-nodes, --from-inputs, --nodes, "
            "--namespaces and --tags. It ends early by --to-nodes and --to-outputs, and goes on "
            "from what is stored by kedro run --resume RUN_ID.",
            names=missing,
        )


def check_outputs(pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Refuse a catalog whose user has an entry of the name of a dataset that the run makes.

    Raises:
        ParameterError: the run would write over it.
    """
    for name in sorted(pipeline.all_outputs()):
        dataset = catalog.get(name)
        if dataset is not None and not isinstance(dataset, (*STORED, MemoryDataset)):
            raise ParameterError(
                f"The catalog has an entry {name!r}, which is a dataset that this pipeline makes: "
                "it would be written over. Give the entry another name.",
                name=name,
            )
