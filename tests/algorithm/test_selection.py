"""Selecting B of the candidates by the proxy's score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from optiproxy_nas.algorithm.archive import make_batch
from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.algorithm.pending import followed_members
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.selection import select_best, select_queries
from optiproxy_nas.core.errors import ProxyError
from optiproxy_nas.proxies.fit import predict
from optiproxy_nas.proxies.targets import acquisition_score
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.nb201 import NASBench201

VALUES = np.array([50.0, 60.0, 70.0, 80.0])


class Fixed(nn.Module):
    def __init__(self, predictions: Any) -> None:
        super().__init__()
        self.predictions = torch.tensor(predictions).unsqueeze(1)  # [E, 1, n]

    def forward(self, encoding: Any) -> Any:
        return self.predictions


def select(
    space: Any,
    predictions: Any,
    batch: Any,
    make_parameters: Callable[..., SearchParameters],
    seed: int = 0,
    **settings: Any,
) -> Any:
    count = len(predictions[0])
    codes = space.random(count, torch.Generator().manual_seed(3))
    parameters = make_parameters(
        selection={"acquisition": "mean", **settings}, fit={"targets": "standardised"}
    )
    proxy = Fixed(predictions)
    archived = space.random(len(VALUES), torch.Generator().manual_seed(4))
    archive = make_batch(space, archived, 0).assign(value=VALUES)
    table = select_queries(
        space,
        Pool(codes, torch.arange(count) % 3 - 1, 0, 0, 1),
        lambda asked: predict(proxy, space.encode(asked)),
        archive,
        parameters,
        batch,
        4,
        torch.Generator().manual_seed(seed),
    )
    return codes, table


def test_the_best_scores_are_taken_best_first(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    codes, table = select(space, [[0.1, 0.9, -0.5, 0.4]], 2, make_parameters)
    assert table["architecture"].tolist() == space.to_string(codes[[1, 3]])
    assert table["score"].tolist() == pytest.approx([0.9, 0.4])
    assert table["group"].tolist() == [0, -1]
    assert table["step"].tolist() == [4, 4]
    assert "value" not in table
    for i in range(space.code_length):
        assert table[f"code_{i}"].tolist() == codes[[1, 3], i].tolist()


@pytest.mark.parametrize(("allowance", "chosen"), [(0, 0), (1, 1), (4, 4), (9, 4)])
def test_as_many_are_taken_as_the_step_may_pay_and_the_pool_has(
    nb201: NASBench201,
    make_parameters: Callable[..., SearchParameters],
    allowance: int,
    chosen: int,
) -> None:
    _, table = select(nb201, [[0.1, 0.9, -0.5, 0.4]], allowance, make_parameters)
    assert len(table) == chosen


@pytest.mark.heavy
def test_without_the_proxy_every_candidate_is_as_likely(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    scores, chosen = [0.0, 1.0, 2.0, 3.0], []
    for seed in range(200):
        _, table = select(nb201, [scores], 1, make_parameters, seed=seed, use_proxy=False)
        chosen += [scores.index(score) for score in table["score"]]
    counts = np.bincount(chosen, minlength=4)
    assert counts.min() > 25, counts  # 50 expected, sd 6


def test_without_the_proxy_the_generator_alone_decides(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    settings = make_parameters(selection={"use_proxy": False}).selection
    drawn = torch.rand(6, generator=torch.Generator().manual_seed(5))
    stream = torch.Generator().manual_seed(5)
    best = select_best(torch.arange(6.0), 4, settings, stream)
    assert best.tolist() == drawn.argsort(descending=True)[:4].tolist()


def test_promotions_follow_one_member_while_trials_are_pending(
    nb201: NASBench201,
    make_parameters: Callable[..., SearchParameters],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parameters = make_parameters(selection={"pending": "thompson"}, proxy={"members": 3})
    predicted: list[torch.Tensor] = []

    def promotions(task: Any, archive: Any, predict: Any, *_: Any) -> Any:
        predicted.append(predict(np.array([0, 2])))
        return np.empty(0, dtype=np.int64)

    monkeypatch.setattr(type(parameters.objective.task), "promotions", promotions)
    codes = nb201.random(6, torch.Generator().manual_seed(4))
    archive = make_batch(nb201, codes[:4], 0).assign(value=VALUES)
    rows = make_batch(nb201, codes[4:], 1)
    members = torch.arange(3.0).reshape(3, 1, 1)
    for step in range(1, 9):
        select_queries(
            nb201,
            Pool(codes[:0], torch.empty(0, dtype=torch.int64), 0, 0, 1),
            lambda asked: members.expand(3, 1, len(asked)),
            archive,
            parameters,
            2,
            step,
            torch.Generator(),
            rows,
            pending=rows,
        )
    assert {tuple(found.shape) for found in predicted} == {(1, 1, 2)}
    followed = [followed_members(rows, parameters, step, 3) for step in range(1, 9)]
    assert [set(found.flatten().tolist()) for found in predicted] == [
        {it[0]} for it in followed if it
    ]
    assert len({it[0] for it in followed if it}) > 1


def test_ties_go_to_the_first_drawn(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    scores = [0.5] * 40
    scores[30] = 1.0
    codes, table = select(nb201, [scores], 6, make_parameters)
    assert table["architecture"].tolist() == nb201.to_string(codes[[30, 0, 1, 2, 3, 4]])


def test_optimism_prefers_what_the_members_disagree_about(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    predictions = [[0.5, 0.9, 0.0], [0.5, -0.1, 0.2]]  # means 0.5, 0.4, 0.1
    codes, mean = select(nb201, predictions, 3, make_parameters)
    assert mean["architecture"].tolist() == nb201.to_string(codes)
    codes, hopeful = select(
        nb201, predictions, 3, make_parameters, acquisition="optimistic", optimism=1.0
    )
    assert hopeful["architecture"].tolist() == nb201.to_string(codes[[1, 0, 2]])
    sd = np.std([0.9, -0.1], ddof=1)
    assert hopeful["score"].tolist()[0] == pytest.approx(0.4 + sd)


def test_an_ensemble_of_one_has_no_spread_to_be_optimistic_about(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    predictions = torch.tensor([[0.3, 0.1]])
    settings = make_parameters(selection={"acquisition": "optimistic", "optimism": 9.0}).selection
    assert torch.equal(acquisition_score(predictions, settings), predictions[0])


def test_predictions_are_written_in_percent(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    _, table = select(nb201, [[1.0, 0.0], [-1.0, 0.0]], 2, make_parameters)
    # Of the members -1 and +1 sd around the mean, with the n - 1 of the acquisition.
    sd = np.sqrt(2) * VALUES.std()
    assert table["predicted"].tolist() == pytest.approx([65.0, 65.0])
    assert table["predicted_sd"].tolist() == pytest.approx([sd, 0.0], abs=1e-5)


def test_a_prediction_that_is_not_finite_selects_nothing(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    with pytest.raises(ProxyError, match="1 predictions that are not finite"):
        select(nb201, [[0.1, float("nan")]], 1, make_parameters)


@given(scores=st.lists(st.integers(-3, 3), min_size=1, max_size=20), count=st.integers(0, 22))
def test_select_best_is_a_stable_sort(
    make_parameters: Callable[..., SearchParameters], scores: Any, count: Any
) -> None:
    rows = sorted(range(len(scores)), key=lambda row: -scores[row])[:count]
    best = select_best(
        torch.tensor(scores).float(), count, make_parameters().selection, torch.Generator()
    )
    assert best.tolist() == rows
