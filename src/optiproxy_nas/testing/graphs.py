"""What the graph of every architecture must be, discrete or relaxed."""

from __future__ import annotations

import torch

from optiproxy_nas.spaces.base import Graph, SearchSpace


def check_graph(space: SearchSpace, graph: Graph, count: int, name: str) -> None:
    """Assert that ``graph`` is ``count`` DAGs of the right shape, from inputs to outputs."""
    vertices, features = space.num_vertices, space.num_features
    shapes = ((count, vertices, features), (count, vertices, vertices), (count, vertices))
    for field, value, shape in zip(Graph._fields, graph, shapes, strict=True):
        assert value.shape == shape, (
            f"graph of {name} encodings: {field} {tuple(value.shape)}, {shape}"
        )
        assert ((value >= 0) & (value <= 1)).all(), f"graph of {name} encodings: {field} beyond 0-1"
    paths = torch.linalg.matrix_power((graph.adjacency > 0).double(), vertices)
    assert (paths == 0).all(), f"graph of {name} encodings: has a cycle"
    inputs, outputs = (graph.features[..., column] == 1 for column in (0, -1))
    # Where a graph has several parts, the output of one may feed the inputs of the next.
    within = graph.adjacency * ~(outputs.unsqueeze(-1) & inputs.unsqueeze(-2))
    for what, found in (
        ("enters an input", within.transpose(-1, -2)[inputs]),
        ("leaves an output", within[outputs]),
    ):
        assert (found == 0).all(), (
            f"graph of {name} encodings: an edge {what}; a row of the adjacency is the vertex from "
            "which edges go (of a vertex's features, the first is input, the last output)"
        )


def check_discrete(graph: Graph, name: str) -> None:
    """Assert that ``graph``, of discrete architectures, is labelled, and nothing but its padding.

    Args:
        graph: n architectures.
        name: which they are, for the message.
    """
    assert ((graph.mask == 0) | (graph.mask == 1)).all(), f"graph of {name}: mask not 0 or 1"
    padding = (graph.mask == 0).unsqueeze(-1)
    assert (graph.features * padding == 0).all(), (
        f"graph of {name}: a padding vertex has features; they must be times the mask"
    )
    touched = graph.adjacency * (padding | padding.transpose(-1, -2))
    assert (touched == 0).all(), (
        f"graph of {name}: an edge touches a padding vertex; it must be times the mask at its ends"
    )
    unlabelled = (graph.features == 0).all(-1) & (graph.mask != 0)
    assert not unlabelled.any(), (
        f"graph of {name}: a vertex without any label is not masked as padding"
    )
    for column, label in ((0, "input"), (-1, "output")):
        there = (graph.features[..., column] == 1).any(-1)
        assert there.all(), (
            f"graph of {name}: no vertex is labelled {label} (1 as the "
            f"{'last' if column else 'first'} of its features)"
        )
