"""Every registered objective conforms; ``check_objective`` names what is broken in one."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from made_up import MadeUp
from pydantic import field_validator
from scipy.stats import rankdata

from optiproxy_nas.core.errors import OptiProxyError
from optiproxy_nas.evaluation.function_evaluator import batched
from optiproxy_nas.objectives import OBJECTIVES
from optiproxy_nas.objectives.base import Objective, ProxyTask
from optiproxy_nas.objectives.constrained import Constrained, FeasibleFirst
from optiproxy_nas.objectives.pricing import Pricing
from optiproxy_nas.objectives.trial_order import TrialOrder
from optiproxy_nas.testing import check_objective
from tiny_space import TinySpace

pytestmark = pytest.mark.heavy

ONE = ["latency_ms <= 6"]
THREE = ["latency_ms <= 6.5", "size_mb < 1.6", "some_fail_ms >= 1.2"]


def after_epochs(space: Any) -> Any:
    """As the multi-fidelity objective asks: the value after so many epochs."""
    made = MadeUp(space)
    return batched(lambda names, epochs: made(names) - 20 * (epochs < 100))


CASES: dict[str, tuple[Any, Any]] = {
    "accuracy": ("accuracy", MadeUp),
    "one bound": (
        {"name": "constrained", "constraints": ONE},
        lambda space: MadeUp(space, "latency_ms"),
    ),
    "three bounds": (
        {"name": "constrained", "constraints": THREE},
        lambda space: MadeUp(space, "latency_ms", "size_mb", "some_fail_ms"),
    ),
    "paper_weights": (
        {"name": "constrained", "constraints": THREE, "mode": "paper_weights"},
        lambda space: MadeUp(space, "latency_ms", "size_mb", "some_fail_ms"),
    ),
    "nothing feasible": (
        {"name": "constrained", "constraints": ["latency_ms <= 0.1"]},
        lambda space: MadeUp(space, "latency_ms"),
    ),
    "nothing runs": (
        {"name": "constrained", "constraints": ["nowhere_ms <= 9"]},
        lambda space: lambda name: {
            "value": float(MadeUp(space)([name])[0]), "nowhere_ms": np.inf,
        },
    ),
    "minimised": ({"name": "accuracy", "direction": "minimize"}, MadeUp),
    "one bound, minimised": (
        {"name": "constrained", "constraints": ONE, "direction": "minimize"},
        lambda space: MadeUp(space, "latency_ms"),
    ),
    "two fidelities": ("multi_fidelity", after_epochs),
    "continued training": ({"name": "multi_fidelity", "continues": True}, after_epochs),
    "three rungs": (
        {"name": "multi_fidelity", "rungs": [40, 80, 160], "continues": True, "share": 0.5,
         "low_first": 8, "step_epochs": 240, "unit": "pixels"},
        after_epochs,
    ),
}  # fmt: skip


# Each objective in both spaces, and its other cases in turn in one of them.
BOTH = {"accuracy", "one bound", "two fidelities"}
SPACES = {
    case: ("nb201", "tiny") if case in BOTH else (("nb201", "tiny")[index % 2],)
    for index, case in enumerate(CASES)
}


@pytest.mark.parametrize(
    ("case", "space"),
    [(case, space) for case in CASES for space in SPACES[case]],
    indirect=["space"],
)
def test_objectives_conform(case: Any, space: Any) -> None:
    objective, evaluate = CASES[case]
    check_objective(objective, space, evaluate(space))


def test_every_registered_objective_is_among_the_cases() -> None:
    names = {case if isinstance(case, str) else case["name"] for case, _ in CASES.values()}
    assert names == set(OBJECTIVES)


class Grows(Objective):
    level: float = 1.0

    @field_validator("level")
    @classmethod
    def _more(cls, value: Any) -> Any:
        return value + 1


class TakesAColumn(Objective):
    @property
    def columns(self) -> Any:
        return {"score": "float64"}


class HidesAMetric(Objective):
    @property
    def metrics(self) -> Any:
        return ("latency_ms",)


class ChangesTheBatch(Objective):
    def derived_columns(self, evaluations: Any) -> Any:
        evaluations["note"] = 1
        return {}


class Undeclared(Objective):
    def derived_columns(self, evaluations: Any) -> Any:
        return {"surprise": np.ones(len(evaluations))}


class BatchMean(Objective):
    @property
    def columns(self) -> Any:
        return {"above_mean": "float64"}

    def derived_columns(self, evaluations: Any) -> Any:
        return {"above_mean": evaluations["value"] - evaluations["value"].mean()}


class ArchiveAsScratch(Objective):
    def diagnose(self, evaluations: Any, archive: Any) -> Any:
        archive["scratch"] = 1
        return {}


class NanReport(Objective):
    def summary(self, archive: Any) -> Any:
        return {"margin": float("nan")}


class NanKeys(TrialOrder):
    def keys(self, archive: Any) -> Any:
        values = np.where(np.arange(len(archive)) == 2, np.nan, archive["value"])
        return np.stack([np.ones(len(archive)), values])


class RelativeKeys(TrialOrder):
    def keys(self, archive: Any) -> Any:
        return np.concatenate([super().keys(archive), rankdata(archive["value"])[None]])


class KeysOfAnother(TrialOrder):
    def keys(self, archive: Any) -> Any:
        return np.stack([np.ones(len(archive)), -archive["value"].to_numpy()])


class OtherRanks(TrialOrder):
    def ranks(self, archive: Any) -> Any:
        return super().ranks(archive)[::-1].copy()


class HalfEligible(TrialOrder):
    """The better half may not be the answer."""

    def may_answer(self, archive: Any) -> Any:
        return archive["value"].to_numpy() < 70


class BestIneligible(HalfEligible):
    def best(self, archive: Any) -> Any:
        return np.maximum.accumulate(archive["value"].to_numpy())


class ValueAlone(HalfEligible):
    """The keys forget what is eligible."""

    def keys(self, archive: Any) -> Any:
        return np.stack([archive["value"], archive["value"]])


class LastIncumbent(TrialOrder):
    def incumbent(self, archive: Any) -> Any:
        return len(archive) - 1


class FloatCosts(Pricing):
    def costs(self, table: Any) -> Any:
        return np.ones(len(table))


class WrongPrice(Pricing):
    @property
    def full_cost(self) -> int:
        return 2


class CheapStart(Pricing):
    def initial_cost(self, count: int) -> Any:
        return count - 1


class OneIdentity(Pricing):
    def identities(self, space: Any, table: Any, codes: Any) -> Any:
        return [code[0] for code in codes.tolist()]


class SmallCapacity(Pricing):
    def capacity(self, size: Any) -> Any:
        return size // 2


class FlatTargets(ProxyTask):
    def targets(self, archive: Any, name: str) -> Any:
        return super().targets(archive, name)[0]


class InfiniteTargets(ProxyTask):
    def targets(self, archive: Any, name: str) -> Any:
        targets = super().targets(archive, name)
        targets[0, -1] = torch.inf
        return targets


class TargetsByIndex(ProxyTask):
    def targets(self, archive: Any, name: str) -> Any:
        return super().targets(archive, name) + float(archive.index[0])


class GlobalRandom(ProxyTask):
    def targets(self, archive: Any, name: str) -> Any:
        torch.rand(1)
        return super().targets(archive, name)


class Remembers(ProxyTask):
    """The archive of the search before decides."""

    count: ClassVar = itertools.count()

    def score(self, archive: Any, selection: Any) -> Any:
        sign = (-1.0) ** (next(self.count) // 9)  # nine are asked for in a search
        return lambda predictions: sign * predictions[:, 0].mean(0)


class HidesItsHead(ProxyTask):
    def heads_of(self, table: Any) -> Any:
        return np.zeros((1, len(table)), dtype=bool)


class RelativeScore(ProxyTask):
    def score(self, archive: Any, selection: Any) -> Any:
        return lambda predictions: predictions[:, 0].mean(0) - predictions.mean()


class RoundedScore(ProxyTask):
    def score(self, archive: Any, selection: Any) -> Any:
        return lambda predictions: predictions[:, 0].mean(0).detach() + 0 * predictions.sum()


class WrongSlope(ProxyTask):
    def score(self, archive: Any, selection: Any) -> Any:
        return lambda p: 2 * p[:, 0].mean(0) - p[:, 0].mean(0).detach()


class Overflows(ProxyTask):
    def score(self, archive: Any, selection: Any) -> Any:
        return lambda predictions: (3 * predictions[:, 0].mean(0)).exp()


class Overspends(ProxyTask):
    def promotions(
        self, archive: Any, predict: Any, name: str, allowance: Any, excluded: Any = ()
    ) -> Any:
        return np.arange(allowance + 1 if archive["step"].max() == 3 else 0)


class ChoosesAgain(ProxyTask):
    """After the search that the suite looks at; there the ledger would hide it."""

    def promotions(
        self, archive: Any, predict: Any, name: str, allowance: Any, excluded: Any = ()
    ) -> Any:
        return np.arange(min(allowance, 1) if archive["step"].max() == 3 else 0)


class UndeclaredPrediction(ProxyTask):
    def revealed(self, predictions: Any, archive: Any, name: str) -> Any:
        columns = super().revealed(predictions, archive, name)
        return columns | ({"hunch": columns["predicted"]} if archive["step"].max() == 3 else {})


def path_of(broken: Any) -> str:
    """The path of the class, or of an objective that it is a part of."""
    part = next(
        (name for name, kind in (("order", TrialOrder), ("price", Pricing), ("task", ProxyTask))
         if issubclass(broken, kind)),
        None,
    )  # fmt: skip
    name = broken.__name__
    if part:
        name = f"With{broken.__name__}"
        members = {part: property(lambda self: broken()), "__module__": __name__}
        globals()[name] = type(name, (Objective,), members)
    return f"{broken.__module__}:{name}"


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (dict, r"must be a subclass of .*Objective"),
        (Grows, "settings: do not survive storing"),
        (TakesAColumn, r"columns: \['score'\] are every archive's"),
        (HidesAMetric, r"columns: \['latency_ms'\] are not all declared"),
        (ChangesTheBatch, "derived_columns: changes its input"),
        (Undeclared, "derived_columns: .*surprise.*, not declared"),
        (BatchMean, "depend on the rest of the batch"),
        (ArchiveAsScratch, "columns .*scratch|diagnose: changes its input"),
        (NanReport, "summary: cannot be stored as JSON"),
        (NanKeys, "keys: NaN"),
        (RelativeKeys, "keys: depend on the rest"),
        (KeysOfAnother, "keys: the second is not the value"),
        (OtherRanks, "ranks: not in the keys' order"),
        (BestIneligible, "best: not the best eligible value so far"),
        (ValueAlone, "keys: the first is not whether a row is eligible"),
        (LastIncumbent, "incumbent: row"),
        (FloatCosts, "costs: float64, not int64"),
        (WrongPrice, "full_columns: 1 cost 1 by costs, 2 by price"),
        (CheapStart, "initial_columns: 1 cost 1 by costs, 0 by price"),
        (OneIdentity, "queries asked for|queried twice"),
        (SmallCapacity, "capacity"),
        (FlatTargets, r"targets: shape \(8,\), not \[H, n\]"),
        (InfiniteTargets, "targets: infinite"),
        (HidesItsHead, "heads_of: a row has a target"),
        (TargetsByIndex, "targets: depend on more than the archive"),
        (GlobalRandom, "global random generator"),
        (Remembers, "two searches with the same seed differ"),
        (RelativeScore, "score: of one architecture depends on the others"),
        (RoundedScore, "finite differences"),
        (WrongSlope, "finite differences"),
        (Overflows, "score: not finite far out"),
        (Overspends, "promotions: .* spent, .* allowed"),
        (ChoosesAgain, "promotions: a query that is paid for already"),
        (UndeclaredPrediction, "predicted: a column not declared"),
    ],
)
def test_broken_promises_are_named(broken: Any, complaint: str, tiny: TinySpace) -> None:
    with pytest.raises((AssertionError, OptiProxyError), match=complaint):
        check_objective(path_of(broken), tiny, MadeUp(tiny))


class Weightless(Constrained):
    """Its violation is never charged against it."""

    @property
    def order(self) -> WeightlessOrder:
        return WeightlessOrder(self.bounds)


class WeightlessOrder(FeasibleFirst):
    def keys(self, archive: Any) -> Any:
        return np.stack([np.ones(len(archive)), archive["value"]])


def test_a_constrained_objective_of_a_third_party_is_checked_too(tiny: TinySpace) -> None:
    path = f"{__name__}:{Weightless.__name__}"
    with pytest.raises(AssertionError, match="the first is not whether a row is eligible"):
        check_objective({"name": path, "constraints": ONE}, tiny, MadeUp(tiny, "latency_ms"))
