"""The matrices of one group of (α, β)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas import Choice, Space
from optiproxy_nas.report.encoding_figures import encoding_figure, matrices, of_best_group
from optiproxy_nas.report.logit_figures import with_logits
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace

pytestmark = pytest.mark.usefixtures("global_state")


def drawn(space: Any, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    alpha = torch.randn(space.num_nodes, len(space.operations), generator=generator)
    return alpha, torch.randn(space.num_edges, generator=generator)


@pytest.mark.parametrize("name", ["nb201", "nb101", "nb301", "nbnlp"])
def test_every_space_has_its_matrices(name: str) -> None:
    space = get_space(name)
    alpha, beta = drawn(space)
    likely, relaxed, discrete = matrices(space, alpha, beta, tau=0.7).values()
    for found in (likely, relaxed, discrete):
        assert found.operations.shape == (space.num_nodes, len(space.operations))
        assert found.adjacency is not None
        assert found.adjacency.shape == (space.num_vertices, space.num_vertices)
        assert found.adjacency.min() >= 0
        assert found.adjacency.max() <= 1 + 1e-6
    np.testing.assert_allclose(likely.operations.sum(-1), 1, rtol=1e-5)
    assert set(np.unique(discrete.operations)) <= {0.0, 1.0}
    assert discrete.adjacency is not None
    assert (discrete.adjacency > 0).sum() >= 1


def test_sure_logits_give_the_same_matrices_thrice(nb201: NASBench201) -> None:
    code = torch.tensor([3, 0, 2, 1, 4, 3])
    alpha = 60 * nb201.encode(code.unsqueeze(0)).operations[0]
    first, *others = matrices(nb201, alpha, torch.zeros(0), tau=0.1).values()
    for other in others:
        np.testing.assert_allclose(other.operations, first.operations, atol=1e-6)
        assert first.adjacency is not None
        assert other.adjacency is not None
        np.testing.assert_allclose(other.adjacency, first.adjacency, atol=1e-6)
    assert first.operations.argmax(-1).tolist() == code.tolist()


def test_vertices_that_are_not_in_the_cell_have_no_operation() -> None:
    space = get_space("nb101")
    alpha = torch.zeros(space.num_nodes, len(space.operations))
    beta = torch.full((space.num_edges,), -60.0)
    beta[5] = 60.0  # input -> output alone
    discrete = [*matrices(space, alpha, beta, tau=0.5).values()][-1]
    assert discrete.operations.sum() == 0
    assert discrete.adjacency is not None
    assert discrete.adjacency.sum() == 1


def test_the_best_group_is_the_one_that_scores_highest(tiny: TinySpace) -> None:
    many = [drawn(tiny, seed) for seed in range(3)]
    logits = {"alpha": torch.stack([a for a, _ in many]), "beta": torch.stack([b for _, b in many])}
    trace = {
        "score": torch.tensor([[9.0, 0.0, 0.0], [0.0, 2.0, 1.0]]),
        "temperature": torch.tensor([0.7, 0.3]),
    }
    found = with_logits(tiny, trace, logits)
    assert found["group"] == 1
    assert found["tau"] == pytest.approx(0.3)
    assert torch.equal(found["alpha"], logits["alpha"][1])
    assert found["edges"].shape == (tiny.num_edges,)
    assert of_best_group(trace, logits).keys() == {"group", "tau", "alpha", "beta"}


def test_a_step_by_evolution_has_edges_and_no_group(tiny: TinySpace) -> None:
    trace = {"score": torch.zeros(2, 1), "edges": torch.full((tiny.num_edges,), 0.25)}
    assert with_logits(tiny, trace, {}) == trace


DECLARED = Space({"depth": [1, 2, 3], "width": Choice([16, 32], ordered=True)})


@pytest.mark.parametrize("space", ["nb201", DECLARED], ids=["graph", "no graph"])
def test_the_last_step_is_drawn(space: Any) -> None:
    space = get_space(space) if isinstance(space, str) else space
    alpha, beta = drawn(space)
    traces = {s: {"group": 0, "tau": 0.2, "alpha": alpha, "beta": beta} for s in (1, 7)}
    figure = encoding_figure(RunData({}, pd.DataFrame(), space, traces=traces))
    assert "step 7, group 1" in figure.get_suptitle()
    images = [axes for axes in figure.axes if axes.images]
    assert len(images) == (6 if space.num_vertices else 3)


def test_without_logits_the_figure_says_so(nb201: NASBench201) -> None:
    figure = encoding_figure(RunData({}, pd.DataFrame(), nb201, traces={1: {}}))
    assert not any(axes.images for axes in figure.axes)
