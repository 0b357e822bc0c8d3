from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.algorithm.collapse import CollapseSettings, group_numbers, stagnation
from optiproxy_nas.report.diagnose.collapse import collapse_alarms

SURE = 1e3  # a logit that leaves no doubt


def logits(alpha: Any, beta: Any = None) -> Any:
    return {"alpha": alpha, "beta": torch.zeros(len(alpha), 0) if beta is None else beta}


def numbers_of(found: Any, allowed: Any = None) -> Any:
    alpha = found["alpha"]
    everything = torch.ones(alpha.shape[1:], dtype=torch.bool)
    return group_numbers(found, everything if allowed is None else allowed)


def decided(*codes: Any, operations: int = 5) -> Any:
    """Groups that are sure of one architecture each."""
    return logits(SURE * torch.nn.functional.one_hot(torch.tensor(codes), operations).float())


def test_groups_without_preference_are_spread_and_equal() -> None:
    found = numbers_of(logits(torch.zeros(4, 6, 5)))
    assert found["spread"] == pytest.approx(1)
    assert found["within"] == pytest.approx(1)
    assert found["between"] == pytest.approx(0)
    assert found["distance"] == 0
    assert found["collapse"] == pytest.approx(0)


def test_groups_that_are_sure_of_the_same_have_collapsed() -> None:
    found = numbers_of(decided((1, 2, 3), (1, 2, 3), (1, 2, 3)))
    assert found["spread"] == pytest.approx(0)
    assert found["collapse"] == pytest.approx(1)
    assert found["distance"] == 0
    assert (found["modes"], found["agreement"]) == (1, 1.0)


def test_groups_that_are_sure_of_all_different_ones_are_spread_between_and_not_within() -> None:
    found = numbers_of(decided(*[(i, i) for i in range(5)]))
    assert found["within"] == pytest.approx(0)
    assert found["between"] == pytest.approx(1)
    assert found["distance"] == pytest.approx(1)
    assert (found["modes"], found["agreement"]) == (5, pytest.approx(1 / 5))


def test_one_different_choice_among_three_in_one_of_four_groups() -> None:
    found = numbers_of(decided((1, 2, 3), (1, 2, 3), (1, 2, 3), (1, 2, 0)))
    mixture = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(5)
    assert found["spread"] == pytest.approx(mixture / 3)
    assert found["distance"] == pytest.approx(3 / 6 / 3)  # 3 of 6 pairs differ, in 1 of 3 nodes
    assert (found["modes"], found["agreement"]) == (2, 0.75)


def test_edges_count_as_choices_of_two() -> None:
    alpha = torch.zeros(2, 1, 4)  # undecided: 1
    beta = torch.tensor([[SURE, 0.0], [-SURE, 0.0]])  # opposite: 1 in the pool; undecided: 1
    found = numbers_of(logits(alpha, beta))
    assert found["spread"] == pytest.approx(1)
    assert found["within"] == pytest.approx(2 / 3)
    assert found["distance"] == pytest.approx(1 / 3)
    assert found["modes"] == 2


def test_options_that_do_not_exist_count_for_nothing() -> None:
    alpha = torch.zeros(2, 3, 4)
    alpha[:, :, 0] = SURE  # not allowed anywhere
    allowed = torch.tensor(
        [[False, True, True, False], [False, True, True, True], [False] * 3 + [True]]
    )
    found = numbers_of(logits(alpha), allowed)
    assert found["spread"] == pytest.approx(1)
    assert found["within"] == pytest.approx(1)
    assert (found["distance"], found["modes"]) == (0, 1)


def test_one_group_has_no_distance() -> None:
    assert math.isnan(numbers_of(logits(torch.randn(1, 6, 5)))["distance"])


@given(st.integers(1, 6), st.integers(1, 4), st.integers(2, 5), st.integers(0, 2**31))
def test_bounds_and_order_of_groups(groups: Any, nodes: Any, operations: Any, seed: Any) -> None:
    generator = torch.Generator().manual_seed(seed)
    alpha = 5 * torch.randn(groups, nodes, operations, generator=generator)
    beta = 5 * torch.randn(groups, 3, generator=generator)
    found = numbers_of(logits(alpha, beta))
    assert -1e-9 <= found["within"] <= found["spread"] + 1e-9 <= 1 + 2e-9
    assert 1 <= found["modes"] <= groups
    assert 1 / groups <= found["agreement"] <= 1
    if groups > 1:
        assert 0 <= found["distance"] <= 1
    turned = numbers_of(logits(alpha.flip(0), beta.flip(0)))
    assert turned == pytest.approx(found, nan_ok=True)


@pytest.mark.parametrize(
    ("best", "expected"),
    [([5.0], 0), ([1, 2, 3], 0), ([3, 3, 3], 2), ([1, 2, 2, 2], 2), ([1, 1, 4], 0)],
)
def test_stagnation(best: Any, expected: int) -> None:
    assert stagnation(best) == expected


def table(**columns: Any) -> pd.DataFrame:
    base = {"step": range(1, 6), "queries": [12, 14, 16, 18, 20], "stagnation": [30] * 5}
    calm = {"spread": 0.8, "distance": 0.5, "agreement": 0.2}
    return pd.DataFrame({**base, **calm, **columns})


SETTINGS = CollapseSettings(patience=20, spread=0.1, distance=0.05)


def test_no_alarm_while_the_groups_are_diverse_or_the_search_improves() -> None:
    assert collapse_alarms(table(), 5, SETTINGS) == ([], [""] * 5)
    improving = table(spread=0.0, distance=0.0, agreement=1.0, stagnation=19)
    assert collapse_alarms(improving, 5, SETTINGS) == ([], [""] * 5)


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("spread", 0.09, "the spread is below 0.1"),
        ("distance", 0.04, "the groups are closer than 0.05"),
        ("agreement", 1.0, "all 5 groups hold the same architecture"),
    ],
)
def test_each_rule_fires_where_it_holds_and_says_why(column: str, value: float, why: str) -> None:
    quiet = table()[column].iloc[0]
    alarms, reasons = collapse_alarms(
        table(**{column: [quiet, value, value, quiet, value]}), 5, SETTINGS
    )
    assert reasons == ["", why, why, "", why]
    assert [(a.first_step, a.last_step, a.first_query) for a in alarms] == [(2, 3, 14), (5, 5, 20)]
    assert all(why in alarm.text() for alarm in alarms)


def test_a_stretch_tells_all_its_reasons_once() -> None:
    alarms, _ = collapse_alarms(table(spread=0.0, distance=[0.5, 0.5, 0, 0, 0]), 5, SETTINGS)
    assert len(alarms) == 1
    assert alarms[0].why.count("spread") == 1
    assert alarms[0].why.count("closer") == 1
    assert "no new best for 30 queries" in alarms[0].why


def test_one_group_alone_is_judged_by_its_spread_only() -> None:
    alone = table(agreement=1.0, distance=math.nan)
    assert collapse_alarms(alone, 1, SETTINGS)[0] == []
    assert collapse_alarms(alone.assign(spread=0.0), 1, SETTINGS)[0] != []


def test_without_an_answer_every_query_brought_nothing() -> None:
    assert stagnation([math.nan, math.nan, math.nan]) == 3
    assert stagnation([math.nan, 1.0, 1.0]) == 1
