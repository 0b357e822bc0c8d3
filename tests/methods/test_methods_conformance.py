"""``check_method`` names what is broken in a method."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest
import torch

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.methods import Proposals
from optiproxy_nas.methods.random_search import RandomSearch
from optiproxy_nas.testing import check_method
from tiny_space import TinySpace


class SilentReference(RandomSearch):
    reference = " "


class ForeignSettings(RandomSearch):
    Settings: ClassVar[Any] = dict


class GlobalRandom(RandomSearch):
    def ask(self, unavailable: Any) -> Any:
        torch.rand(1)
        return super().ask(unavailable)


class IgnoresSeed(RandomSearch):
    def __init__(self, space: Any, settings: Any, budget: int, seed: int) -> None:
        super().__init__(space, settings, budget, seed=0)


class Unrepeatable(RandomSearch):
    count = itertools.count()

    def __init__(self, space: Any, settings: Any, budget: int, seed: int) -> None:
        super().__init__(space, settings, budget, next(self.count))


class PlansWithBudget(RandomSearch):
    def __init__(self, space: Any, settings: Any, budget: int, seed: int) -> None:
        super().__init__(space, settings, budget, seed + budget)


class FloatCodes(RandomSearch):
    def ask(self, unavailable: Any) -> Any:
        return Proposals(super().ask(unavailable).codes.double())


class OutsideTheSpace(RandomSearch):
    def ask(self, unavailable: Any) -> Any:
        return Proposals(super().ask(unavailable).codes + 7)


class OneCode(RandomSearch):
    def ask(self, unavailable: Any) -> Any:
        return Proposals(super().ask(unavailable).codes[0])


class BareCodes(RandomSearch):
    def ask(self, unavailable: Any) -> Any:
        return super().ask(unavailable).codes


class ChangesCodes(RandomSearch):
    def tell(self, answers: Any) -> None:
        super().tell(answers._replace(codes=answers.codes.clone()))
        answers.codes.zero_()


class ChangesRows(RandomSearch):
    def tell(self, answers: Any) -> None:
        super().tell(answers)
        answers.rows["value"] = 0.0


class ProposesPending(RandomSearch):
    def ask(self, unavailable: Any) -> Any:
        codes = super().ask(unavailable).codes
        return Proposals(torch.cat([unavailable.codes[: unavailable.pending], codes]))


class ProposesFailed(RandomSearch):
    def ask(self, unavailable: Any) -> Any:
        codes = super().ask(unavailable).codes
        return Proposals(torch.cat([unavailable.codes[unavailable.pending :], codes]))


class UnrepeatableWhilePending(RandomSearch):
    count = itertools.count()

    def __init__(self, space: Any, settings: Any, budget: int, seed: int) -> None:
        super().__init__(space, settings, budget, seed)
        self.odd = next(self.count) % 2

    def ask(self, unavailable: Any) -> Any:
        codes = super().ask(unavailable).codes
        return Proposals(codes.flip(0) if self.odd and unavailable.pending else codes)


class StopsAtAFailure(RandomSearch):
    def ask(self, unavailable: Any) -> Any:
        codes = super().ask(unavailable).codes
        failed = len(unavailable.codes) > unavailable.pending
        return Proposals(codes[:0] if failed else codes)


class NotAMethod:
    reference = "2026"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (SilentReference, "reference: says nothing"),
        (ForeignSettings, "Settings: not a MethodSettings"),
        (GlobalRandom, "global random generator"),
        (IgnoresSeed, "the seed does not matter"),
        (Unrepeatable, "two runs with the same seed differ"),
        (PlansWithBudget, "prefix=False"),
        (FloatCodes, "ask: codes are torch.float64"),
        (OutsideTheSpace, "ask: not codes of the space"),
        (OneCode, r"ask: codes of shape \(5,\)"),
        (BareCodes, "not Proposals"),
        (ChangesCodes, "tell: changes the codes"),
        (ChangesRows, "tell: changes the rows"),
        (ProposesPending, "ask: proposes what is pending or has failed"),
        (ProposesFailed, "ask: proposes what is pending or has failed"),
        (UnrepeatableWhilePending, "asked and told in the same order"),
        (StopsAtAFailure, "charged of 24"),
    ],
)
def test_broken_promises_are_named(broken: Any, message: str, tiny: TinySpace) -> None:
    with pytest.raises(AssertionError, match=message):
        check_method(f"{__name__}:{broken.__name__}", tiny)


def test_what_is_no_method_is_refused(tiny: TinySpace) -> None:
    with pytest.raises(ParameterError):
        check_method(f"{__name__}:{NotAMethod.__name__}", tiny)


def test_a_method_that_plans_with_its_budget_passes_where_that_is_said(tiny: TinySpace) -> None:
    check_method(f"{__name__}:PlansWithBudget", tiny, prefix=False)
