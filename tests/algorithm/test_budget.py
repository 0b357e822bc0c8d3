"""The ledger, and how the budget is spread over the steps."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.algorithm.budget import QueryLedger, allowance, number_of_steps
from optiproxy_nas.core.errors import BudgetError


def test_the_ledger_charges_each_query_once():
    ledger = QueryLedger(12, charged={"a": 2})
    assert ledger.charge({"a": 2, "b": 3, "c": 4}) == 7
    assert (ledger.spent, ledger.remaining) == (9, 3)
    assert ledger.charge({"a": 2, "b": 3, "c": 4}) == 0
    assert ledger.charge({"a": 99}) == 0  # paid for, whatever it would cost now
    assert "c" in ledger
    assert "d" not in ledger


def test_the_ledger_charges_all_or_nothing():
    ledger = QueryLedger(9, charged={"a": 3})
    message = "3 queries asked for at a price of 7, 6 of 9 left; none"
    with pytest.raises(BudgetError, match=message) as caught:
        ledger.charge({"b": 2, "c": 2, "d": 3, "a": 3})
    assert caught.value.data == {"asked": 7, "remaining": 6, "budget": 9}
    assert ledger.spent == 3
    assert "b" not in ledger
    assert ledger.charge({"b": 2, "c": 4}) == 6
    assert ledger.charge({}) == 0


def test_the_ledger_does_not_change_what_it_was_given():
    paid = {"a": 1}
    QueryLedger(5, paid).charge({"b": 1})
    assert paid == {"a": 1}


@given(
    st.lists(st.dictionaries(st.integers(0, 9), st.integers(1, 4), max_size=6), max_size=12),
    st.integers(0, 16),
)
def test_the_ledger_never_exceeds_its_budget(orders, budget):
    ledger, paid = QueryLedger(budget), {}
    for order in orders:
        new = {identity: cost for identity, cost in order.items() if identity not in paid}
        if sum(paid.values()) + sum(new.values()) <= budget:
            assert ledger.charge(order) == sum(new.values())
            paid |= new
        else:
            with pytest.raises(BudgetError):
                ledger.charge(order)
        assert ledger.spent == sum(paid.values()) <= budget
        assert ledger.remaining == budget - sum(paid.values())


@pytest.mark.parametrize(
    ("budget", "batch", "batches"),
    [
        (30, 11, [11, 11]),
        (31, 11, [11, 11, 1]),
        (9, 5, [1]),
        (8, 5, []),
        (11, 1, [1, 1, 1]),
    ],
)
def test_steps_fill_the_budget(make_parameters, budget, batch, batches):
    parameters = make_parameters(budget=budget, selection={"batch": batch})
    steps = number_of_steps(parameters)
    assert steps == len(batches)
    spent, granted = 8, []
    for step in range(1, steps + 1):
        granted.append(allowance(parameters, pd.DataFrame(index=range(spent)), step))
        spent += granted[-1]
    assert granted == batches


def test_what_a_step_left_over_is_the_next_ones(make_parameters):
    parameters = make_parameters(budget=23, selection={"batch": 5})
    archive = pd.DataFrame(index=range(8 + 3))  # step 1 queried three of its five
    assert allowance(parameters, archive, 2) == 7
    assert allowance(parameters, archive, 3) == 12
