"""The budget: the ledger that charges queries to it, and how it is spread over the steps."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import pandas as pd

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.core.errors import BudgetError, ParameterError
from optiproxy_nas.objectives.pricing import Pricing
from optiproxy_nas.spaces.base import SearchSpace


class QueryLedger:
    """Charges each distinct query once and never more than the budget.

    Args:
        budget: C, in the objective's unit.
        charged: identity -> cost of the queries that were paid before (of a resumed archive).
    """

    def __init__(self, budget: int, charged: Mapping[Hashable, int] | None = None) -> None:
        self.budget = budget
        self._charged = dict(charged or {})

    def __contains__(self, identity: object) -> bool:
        return identity in self._charged

    @property
    def spent(self) -> int:
        """Return what was charged so far."""
        return sum(self._charged.values())

    @property
    def remaining(self) -> int:
        """Return what is left of the budget."""
        return self.budget - self.spent

    def charge(self, queries: Mapping[Hashable, int]) -> int:
        """Charge the new ones among ``queries`` (identity -> cost); all of them or none.

        Returns:
            The sum that was charged.

        Raises:
            BudgetError: the budget would be exceeded; nothing is charged.
        """
        new = {identity: cost for identity, cost in queries.items() if identity not in self}
        price = sum(new.values())
        if price > self.remaining:
            raise BudgetError(
                f"{len(new)} queries asked for at a price of {price}, {self.remaining} of "
                f"{self.budget} left; none of them was made.",
                asked=price,
                remaining=self.remaining,
                budget=self.budget,
            )
        self._charged |= new
        return price


def check_budget(
    price: Pricing, budget: int, size: int | None, least: int = 0, kept_back: int = 0
) -> None:
    """Refuse a budget that cannot pay for an answer, or that cannot be spent.

    Args:
        price: of trials.
        budget: C, without what is kept back.
        size: architectures of the space; None where they cannot be counted.
        least: the least budget of a search that can end with an answer.
        kept_back: what of it is kept back to confirm the best.

    Raises:
        BudgetError: below ``least``, or above what the whole space costs.
    """
    unit, terms = price.unit, f" ({price.terms})" if price.terms else ""
    if kept_back and budget < least:
        raise BudgetError(
            f"Of the budget of {budget + kept_back} {unit}, {kept_back} are kept back to confirm "
            f"the best (confirm), which leaves {max(budget, 0)}; with these settings the initial "
            f"sample, and what a search needs to give an answer, cost {least} {unit}{terms}. Raise "
            "budget, or lower confirm.best, confirm.seeds or initial_samples.",
            budget=budget,
            least=least,
            kept_back=kept_back,
        )
    if budget < least:
        raise BudgetError(
            f"The budget of {budget} {unit} is too small: with these settings the initial sample, "
            f"which counts, and what a search needs to give an answer cost {least} {unit}{terms}. "
            "Raise budget, or lower initial_samples.",
            budget=budget,
            least=least,
        )
    if size is not None and budget > price.capacity(size):
        of_it = f", of which {kept_back} are kept back to confirm the best," if kept_back else ""
        most = price.capacity(size) + kept_back
        raise BudgetError(
            f"The budget of {budget + kept_back} {unit}{of_it} is larger than the space, which has "
            f"{size} architectures; each is charged once. Lower budget to at most {most}.",
            budget=budget,
            size=size,
        )


def check_confirm(parameters: RunParameters, size: int | None) -> None:
    """Refuse to confirm more architectures than a search can train.

    Raises:
        ParameterError: it cannot.
    """
    if parameters.confirm is None:
        return
    best, most = parameters.confirm.best, parameters.search_budget
    most //= parameters.objective.price.full_cost
    if best > (most if size is None else min(most, size)):
        raise ParameterError(
            f"confirm.best = {best}: the search trains at most {most} architectures in full with "
            f"the {parameters.search_budget} {parameters.objective.price.unit} of the budget that "
            f"are not kept back{'' if size is None else f', of {size} in the space'}. Lower "
            "confirm.best, or raise budget.",
            name="confirm.best",
            most=most,
        )


def refuse_confirm(parameters: RunParameters) -> None:
    """Refuse to confirm the answer of a benchmark.

    Raises:
        ParameterError: it is to be confirmed.
    """
    if parameters.confirm is not None:
        raise ParameterError(
            f"confirm would change nothing: benchmark {parameters.benchmark!r} holds one value an "
            "architecture, and nothing is trained. Leave it out; it is for problem=... and "
            "evaluate=...",
            name="confirm",
        )


def number_of_steps(parameters: SearchParameters) -> int:
    """Return the number of steps after the initial sample: ceil((C - its cost) / cost of a step).

    A rest of the budget that pays no query is not a step.
    """
    price = parameters.objective.price
    rest = parameters.search_budget - price.initial_cost(parameters.initial_samples)
    rest -= price.cheapest - 1
    return max(0, -(-rest // price.step_cost(parameters.selection.batch)))


def allowance(
    parameters: SearchParameters,
    archive: pd.DataFrame,
    step: int,
    unavailable: pd.DataFrame | None = None,
    free: int = 0,
    wanted: int = 0,
) -> int:
    """Return what step 1..S may spend: its share, and what earlier steps left over.

    Where workers are free it may spend the shares of later steps, too.

    Args:
        parameters: of the search.
        archive: D.
        step: its number.
        unavailable: failed and pending trials, which are charged too.
        free: cost of the rows of D that the search does not pay for.
        wanted: how many proposals are wanted at least, one for each worker that is free.
    """
    price = parameters.objective.price
    due = price.initial_cost(parameters.initial_samples)
    due += step * price.step_cost(parameters.selection.batch)
    spent = int(price.costs(archive).sum()) - free
    if unavailable is not None and len(unavailable):
        spent += int(price.costs(unavailable).sum())
    return min(max(due, spent + wanted * price.cheapest), parameters.search_budget) - spent


def charges(space: SearchSpace, table: pd.DataFrame, price: Pricing) -> dict[Hashable, int]:
    """Return identity -> cost of each query of a batch or an archive."""
    identities = price.identities(space, table, codes_of(space, table))
    return dict(zip(identities, price.costs(table).tolist(), strict=True))
