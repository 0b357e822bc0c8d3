"""The conformance checks of a search space."""

from __future__ import annotations

import pickle
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.testing import graph_checks
from optiproxy_nas.testing.boundary_checks import check_corners, check_empty
from optiproxy_nas.testing.determinism import (
    COUNT,
    check_codes,
    check_one_code_each,
    generator,
    global_randomness_untouched,
)
from optiproxy_nas.testing.sampling_checks import check_extremes, check_sampling


def check_search_space(space: SearchSpace, seed: int = 0) -> None:
    """Assert that ``space`` keeps the contract of the ``SearchSpace`` protocol.

    Args:
        space: an instance of the plug-in.
        seed: of the architectures that are checked.

    Raises:
        AssertionError: which promise is broken.
    """
    with global_randomness_untouched():
        _check_attributes(space)
        codes = _check_random(space, seed)
        check_empty(space, seed)
        _check_strings(space, codes)
        _check_identities(space, codes)
        _check_isomorphic(space, codes, seed)
        _check_neighbours(space, codes)
        _check_encodings(space, codes)
        check_sampling(space, codes, seed)
        check_extremes(space, seed)
        check_corners(space, codes, seed)
        graph_checks.check_relaxation(space, codes, seed)
        graph_checks.check_gradients(space, seed)
        graph_checks.check_mask(space, codes, seed)
        copy = pickle.loads(pickle.dumps(space))
        assert copy.to_string(codes) == space.to_string(codes), "a pickled space is another space"


def _check_random(space: SearchSpace, seed: int) -> Tensor:
    codes = space.random(COUNT, generator(seed))
    check_codes("random", space, codes, COUNT)
    assert torch.equal(codes, space.random(COUNT, generator(seed))), "random: not reproducible"
    assert not torch.equal(codes, space.random(COUNT, generator(seed + 1))), (
        "random: ignores its generator"
    )
    assert ((codes >= -(2**15)) & (codes < 2**15)).all(), "random: codes do not fit int16"
    assert len(set(space.identify(codes))) > 1, "random: always the same"
    return codes


def _check_attributes(space: SearchSpace) -> None:
    assert isinstance(space, SearchSpace), "a member of the SearchSpace protocol is missing"
    assert len(set(space.operations)) == len(space.operations) > 1, "operations: not distinct"
    assert len(space.node_labels) == space.num_nodes, "node_labels: not one for each node"
    shape = (space.num_nodes, len(space.operations))
    assert space.allowed.shape == shape, f"allowed: {tuple(space.allowed.shape)}, not {shape}"
    assert space.allowed.dtype == torch.bool, "allowed: not bool"
    assert space.allowed.any(-1).all(), "allowed: a position without any option"
    labelled = [[bool(label) for label in labels] for labels in space.option_labels]
    assert labelled == space.allowed.tolist(), (
        "option_labels: not one for each option of each node, '' where it is not allowed"
    )
    assert len(space.vertex_labels) == space.num_vertices, (
        "vertex_labels: not one for each vertex of the graph"
    )
    searched = space.num_nodes if space.num_vertices else 0
    assert list(space.vertex_labels).count("") == searched, (
        "vertex_labels: not as many empty ones as there are searched operations"
    )
    assert space.size is None or space.size > 0, "size: not positive"


def _check_strings(space: SearchSpace, codes: Tensor) -> None:
    strings = space.to_string(codes)
    parsed = space.from_string(strings)
    check_codes("from_string", space, parsed, len(strings))
    assert space.to_string(parsed) == strings, "strings do not survive the round trip"
    assert space.identify(parsed) == space.identify(codes), "identities do not survive to_string"
    assert space.to_string(space.from_string(strings[0])) == strings[:1], (
        "from_string: one string alone is not taken as a list of one (spaces.base.as_list)"
    )
    plain = [space.architecture(string) for string in strings]
    assert space.to_string(space.from_string(plain)) == strings, (
        "architecture: from_string does not take what it gives for the same architecture"
    )
    for string in strings[:8]:
        drawing = space.draw(string)
        assert drawing.strip(), "draw: nothing drawn"
        assert max(map(len, drawing.splitlines())) <= 78, "draw: wider than 78 columns"
    invalid: tuple[Any, ...] = (["this is no architecture"], None, 5)
    for nonsense in invalid:
        try:
            space.from_string(nonsense)
        except InvalidArchitectureError:
            continue
        except Exception as error:
            raise AssertionError(f"from_string: {nonsense} raises {error!r}") from error
        raise AssertionError("from_string: nonsense does not raise InvalidArchitectureError")


def _check_identities(space: SearchSpace, codes: Tensor) -> None:
    codes = torch.cat([codes, space.neighbours(codes)])
    strings, identities = space.to_string(codes), space.identify(codes)
    functions = space.canonical(codes)
    assert len(identities) == len(functions) == len(codes), "identify, canonical: not one a code"
    pairs = set(zip(identities, strings, strict=True))
    assert len(pairs) == len(set(identities)) == len(set(strings)), (
        "identify and to_string do not tell the same architectures apart"
    )
    check_one_code_each(space, codes, "random and neighbours")
    owners = set(zip(identities, functions, strict=True))
    assert len(owners) == len(set(identities)), "canonical: one architecture, two functions"
    backwards = space.canonical(codes.flip(0))[::-1]
    assert backwards == functions, "canonical: depends on the rest of the batch"


def _check_neighbours(space: SearchSpace, codes: Tensor) -> None:
    for code in codes[:8]:
        near = space.neighbours(code.unsqueeze(0))
        assert near.shape[1:] == code.shape, "neighbours: not codes"
        assert len(set(map(tuple, near.tolist()))) == len(near), "neighbours: one listed twice"
        assert not (near == code).all(-1).any(), "neighbours: the architecture itself"
        again = space.from_string(space.to_string(near))
        assert space.identify(again) == space.identify(near), "neighbours: one is invalid"
    assert len(space.neighbours(codes)) > 0, "neighbours: none"
    both = torch.cat([space.neighbours(code.unsqueeze(0)) for code in codes[:2]])
    assert torch.equal(space.neighbours(codes[:2]), both), "neighbours: not concatenated in order"


def _check_encodings(space: SearchSpace, codes: Tensor) -> None:
    hard = space.encode(codes)
    graph_checks.check_encoding(space, hard, len(codes), "encode")
    assert (hard.operations.sort(-1).values[..., :-1] == 0).all(), "encode: operations not one-hot"
    assert (hard.operations.sum(-1) == 1).all(), "encode: operations not one-hot"
    assert ((hard.edges == 0) | (hard.edges == 1)).all(), "encode: edges not 0 or 1"
    graph_checks.check_features(space, hard, len(codes), "hard")
    _check_distinct("features", space.identify(codes), space.features(hard))
    if not space.num_vertices:
        return
    graph = space.graph(hard)
    graph_checks.check_graph(space, graph, len(codes), "hard")
    graph_checks.check_discrete(graph, "hard encodings")
    graph_checks.check_rows_alone(space, hard, 0, "hard")
    _check_distinct("graph", space.identify(codes), *graph)


def _check_distinct(name: str, identities: list[Hashable], *views: Tensor) -> None:
    """Assert that architectures of different identity differ in at least one of ``views``."""
    identity_of: dict[tuple[bytes, ...], Hashable] = {}
    for identity, *fields in zip(identities, *views, strict=True):
        key = tuple(field.numpy().tobytes() for field in fields)
        assert identity_of.setdefault(key, identity) == identity, (
            f"{name}: two architectures look the same"
        )


def _check_isomorphic(space: SearchSpace, codes: Tensor, seed: int) -> None:
    """Assert that an architecture in another order is the same network to all methods."""
    reordered = space.isomorphic(codes, generator(seed))
    check_codes("isomorphic", space, reordered, len(codes))
    assert torch.equal(reordered, space.isomorphic(codes, generator(seed))), (
        "isomorphic: not reproducible"
    )
    several = torch.cat([space.isomorphic(codes, generator(seed + k)) for k in range(4)])
    originals = codes.repeat(4, 1)
    assert space.canonical(several) == space.canonical(originals), (
        "isomorphic: another network, or canonical distinguishes its orders"
    )
    parsed = space.from_string(space.to_string(several))
    assert space.identify(parsed) == space.identify(several), "isomorphic: an invalid architecture"
    pairs = zip(space.identify(several), space.identify(originals), strict=True)
    equal = torch.tensor([first == second for first, second in pairs])
    check_one_code_each(space, torch.cat([parsed[equal], originals[equal]]), "from_string")
    if not bool(equal.any()):
        return
    # Graphs of equal identity differ in the order of their vertices only.
    views = (
        graph_checks.invariants(space, space.encode(rows[equal])) for rows in (several, originals)
    )
    for one, two in zip(*views, strict=True):
        assert torch.allclose(one, two), "graph: isomorphic architectures are not the same graph"
