"""The ledger, and how the budget is spread over the steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.algorithm.archive import make_batch
from optiproxy_nas.algorithm.budget import (
    QueryLedger,
    allowance,
    charges,
    check_budget,
    check_confirm,
    number_of_steps,
    refuse_confirm,
)
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.errors import BudgetError, ParameterError
from optiproxy_nas.core.run_settings import ConfirmSettings
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.pricing import Pricing
from tiny_space import TinySpace

EPOCHS = {"name": "multi_fidelity", "low_epochs": 12, "full_epochs": 200, "continues": False}


def spent_on(queries: int) -> pd.DataFrame:
    """An archive, of which only the length counts."""
    return pd.DataFrame(index=range(queries))


def test_the_ledger_charges_each_query_once() -> None:
    ledger = QueryLedger(12, charged={"a": 2})
    assert ledger.charge({"a": 2, "b": 3, "c": 4}) == 7
    assert (ledger.spent, ledger.remaining) == (9, 3)
    assert ledger.charge({"a": 2, "b": 3, "c": 4}) == 0
    assert ledger.charge({"a": 99}) == 0  # paid for, whatever it would cost now
    assert "c" in ledger
    assert "d" not in ledger


def test_the_ledger_charges_all_or_nothing() -> None:
    ledger = QueryLedger(9, charged={"a": 3})
    message = "3 queries asked for at a price of 7, 6 of 9 left; none"
    with pytest.raises(BudgetError, match=message) as caught:
        ledger.charge({"b": 2, "c": 2, "d": 3, "a": 3})
    assert caught.value.data == {"asked": 7, "remaining": 6, "budget": 9}
    assert ledger.spent == 3
    assert "b" not in ledger
    assert ledger.charge({"b": 2, "c": 4}) == 6
    assert ledger.charge({}) == 0


def test_the_ledger_does_not_change_what_it_was_given() -> None:
    paid: dict[Any, int] = {"a": 1}
    QueryLedger(5, paid).charge({"b": 1})
    assert paid == {"a": 1}


@given(
    st.lists(st.dictionaries(st.integers(0, 9), st.integers(1, 4), max_size=6), max_size=12),
    st.integers(0, 16),
)
def test_the_ledger_never_exceeds_its_budget(orders: Any, budget: Any) -> None:
    ledger = QueryLedger(budget)
    paid: dict[Any, Any] = {}
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
def test_steps_fill_the_budget(
    make_parameters: Callable[..., SearchParameters], budget: int, batch: int, batches: Any
) -> None:
    parameters = make_parameters(budget=budget, selection={"batch": batch})
    steps = number_of_steps(parameters)
    assert steps == len(batches)
    spent, granted = 8, []
    for step in range(1, steps + 1):
        granted.append(allowance(parameters, pd.DataFrame(index=range(spent)), step))
        spent += granted[-1]
    assert granted == batches


def test_what_a_step_left_over_is_the_next_ones(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    parameters = make_parameters(budget=23, selection={"batch": 5})
    archive = pd.DataFrame(index=range(8 + 3))  # step 1 queried three of its five
    assert allowance(parameters, archive, 2) == 7
    assert allowance(parameters, archive, 3) == 12


def test_failed_and_pending_trials_are_spent_and_free_ones_are_not(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    parameters = make_parameters(budget=23, selection={"batch": 5})
    assert allowance(parameters, spent_on(8), 1, spent_on(3)) == 2
    assert allowance(parameters, spent_on(8), 1, spent_on(0)) == 5
    assert allowance(parameters, spent_on(12), 1, free=4) == 5


def test_a_free_worker_may_have_the_share_of_a_later_step(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    parameters = make_parameters(budget=23, selection={"batch": 5})
    assert allowance(parameters, spent_on(13), 1) == 0
    assert allowance(parameters, spent_on(13), 1, wanted=2) == 2
    assert allowance(parameters, spent_on(11), 1, wanted=1) == 2  # the step's share is more
    assert allowance(parameters, spent_on(22), 1, wanted=3) == 1
    short = make_parameters(budget=2000, objective=EPOCHS, selection={"batch": 5})
    price = short.objective.price
    due = price.initial_cost(short.initial_samples) + price.step_cost(5)
    assert allowance(short, pd.DataFrame({"cost": [due]}), 1, wanted=3) == 3 * 12


def test_a_rest_that_pays_no_query_is_no_step(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    price = resolve_objective(EPOCHS).price
    for rest, steps in ((0, 6), (11, 6), (12, 7), (price.step_cost(5), 7)):
        budget = price.initial_cost(8) + 6 * price.step_cost(5) + rest
        parameters = make_parameters(budget=budget, objective=EPOCHS, initial_samples=8)
        assert number_of_steps(parameters) == steps


def test_each_query_of_a_batch_is_charged_by_its_identity(tiny: TinySpace) -> None:
    codes = torch.tensor([[0, 0, 0, 0, 0], [1, 2, 1, 1, 1], [2, 2, 1, 1, 1]])
    plain, short = Pricing(), resolve_objective(EPOCHS).price
    identities = tiny.identify(codes)
    assert charges(tiny, make_batch(tiny, codes, 0), plain) == dict.fromkeys(identities, 1)
    batch = make_batch(tiny, codes, 0, epochs=[12, 200, 200], cost=[12, 200, 188])
    keys = zip(identities, [12, 200, 200], strict=True)
    assert charges(tiny, batch, short) == dict(zip(keys, [12, 200, 188], strict=True))


def test_a_budget_must_pay_for_an_answer_and_may_pay_for_the_whole_space() -> None:
    price = Pricing()
    check_budget(price, 0, size=None)
    check_budget(price, 8, size=None, least=8)
    check_budget(price, 8, size=8, least=8, kept_back=3)
    with pytest.raises(BudgetError, match=r"cost 8 queries\. ") as caught:
        check_budget(price, 7, size=None, least=8)
    assert caught.value.data == {"budget": 7, "least": 8}
    with pytest.raises(BudgetError, match="budget of 10 queries, 3 are kept back") as caught:
        check_budget(price, 7, size=None, least=8, kept_back=3)
    assert caught.value.data == {"budget": 7, "least": 8, "kept_back": 3}
    with pytest.raises(BudgetError, match=r"low_epochs = 12, full_epochs = 200.*\)\. Raise"):
        check_budget(resolve_objective(EPOCHS).price, 7, size=None, least=8)


def test_a_budget_above_the_cost_of_all_is_refused_with_the_most() -> None:
    with pytest.raises(BudgetError, match=r"9 queries is larger .* at most 8") as caught:
        check_budget(Pricing(), 9, size=8)
    assert caught.value.data == {"budget": 9, "size": 8}
    message = "budget of 13 queries, of which 4 are kept back .* at most 12"
    with pytest.raises(BudgetError, match=message):
        check_budget(Pricing(), 9, size=8, kept_back=4)


def test_no_more_are_confirmed_than_the_search_trains_in_full(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    def confirming(parameters: Any, best: Any) -> Any:
        return parameters.model_copy(update={"confirm": ConfirmSettings(best=best, seeds=1)})

    plain = make_parameters()
    short = make_parameters(budget=3100, objective=EPOCHS)
    check_confirm(plain, 2)
    for parameters, best, size in ((plain, 11, None), (plain, 6, 6), (short, 7, None)):
        check_confirm(confirming(parameters, best), size)
    refused = (
        (plain, 12, None, 11), (plain, 12, 100, 11), (plain, 6, 5, 17), (short, 8, None, 7),
    )  # fmt: skip
    for parameters, best, size, most in refused:
        with pytest.raises(ParameterError) as caught:
            check_confirm(confirming(parameters, best), size)
        assert caught.value.data == {"name": "confirm.best", "most": most}


def test_the_answer_of_a_benchmark_is_not_confirmed(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    refuse_confirm(make_parameters())
    with pytest.raises(ParameterError, match="'nb201'") as caught:
        refuse_confirm(make_parameters(confirm={"best": 2, "seeds": 1}))
    assert caught.value.data == {"name": "confirm"}
