"""Every registered objective conforms; ``check_objective`` names what is broken in one."""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from made_up import MadeUp
from pydantic import field_validator

from optiproxy_nas.core.errors import OptiProxyError
from optiproxy_nas.objectives import OBJECTIVES
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.objectives.constrained import Constrained
from optiproxy_nas.testing import check_objective

ONE = ["latency_ms <= 6"]
THREE = ["latency_ms <= 6.5", "size_mb < 1.6", "some_fail_ms >= 1.2"]


def after_epochs(space):
    """As the multi-fidelity objective asks: the value after so many epochs."""
    made = MadeUp(space)
    return lambda names, epochs: made(names) - 20 * (epochs < 100)


CASES = {
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
        lambda space: lambda names: {
            "value": MadeUp(space)(names), "nowhere_ms": [np.inf] * len(names),
        },
    ),
    "two fidelities": ("multi_fidelity", after_epochs),
    "continued training": ({"name": "multi_fidelity", "continues": True}, after_epochs),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_objectives_conform(case, space):
    objective, evaluate = CASES[case]
    check_objective(objective, space, evaluate(space))


def test_every_registered_objective_is_among_the_cases():
    names = {case if isinstance(case, str) else case["name"] for case, _ in CASES.values()}
    assert names == set(OBJECTIVES)


class Grows(Objective):
    level: float = 1.0

    @field_validator("level")
    @classmethod
    def _more(cls, value):
        return value + 1


class TakesAColumn(Objective):
    @property
    def columns(self):
        return {"score": "float64"}


class AsksTwice(Objective):
    def query(self, batch, evaluate):
        evaluate(batch["architecture"].tolist())
        return super().query(batch, evaluate)


class Remembers(Objective):
    """The archive of the search before decides."""

    count: ClassVar = itertools.count()

    def score(self, archive, parameters):
        sign = (-1.0) ** (next(self.count) // 6)  # six are asked for in a search
        return lambda predictions: sign * predictions[:, 0].mean(0)


class ChangesTheBatch(Objective):
    def query(self, batch, evaluate):
        batch["step"] = batch["step"] + 0
        batch["architecture"] = batch["architecture"].str.upper().str.lower()
        batch["note"] = 1
        return super().query(batch, evaluate)


class Undeclared(Objective):
    def query(self, batch, evaluate):
        return super().query(batch, evaluate).assign(surprise=1.0)


class BatchMean(Objective):
    def query(self, batch, evaluate):
        told = super().query(batch, evaluate)
        return told.assign(value=told["value"] - told["value"].mean())


class TakesAnything(Objective):
    def query(self, batch, evaluate):
        answer = evaluate(batch["architecture"].tolist())
        return batch.assign(value=np.zeros(len(batch)) if answer is None else answer)


class FloatCosts(Objective):
    def costs(self, batch):
        return np.ones(len(batch))


class WrongPrice(Objective):
    @property
    def price(self):
        return 2


class CheapStart(Objective):
    def initial_cost(self, count):
        return count - 1


class OneIdentity(Objective):
    def identities(self, space, table, codes):
        return [code[0] for code in codes.tolist()]


class SmallCapacity(Objective):
    def capacity(self, size):
        return size // 2


class NanFitness(Objective):
    def fitness(self, archive):
        return np.where(np.arange(len(archive)) == 2, np.nan, archive["value"])


class RelativeFitness(Objective):
    def fitness(self, archive):
        return archive["value"].to_numpy() - archive["value"].mean()


class FitnessOfAnother(Objective):
    def fitness(self, archive):
        return -archive["value"].to_numpy()


class HalfEligible(Objective):
    """The better half may not be the answer, and the fitness does not know."""

    def eligible(self, archive):
        return archive["value"].to_numpy() < 70


class FitButIneligible(HalfEligible):
    def fitness(self, archive):
        return archive["value"].to_numpy() - 1000 * ~self.eligible(archive)

    def best(self, archive):
        return np.maximum.accumulate(archive["value"].to_numpy())


class LastIncumbent(Objective):
    def incumbent(self, archive):
        return len(archive) - 1


class FlatTargets(Objective):
    def targets(self, archive, name):
        return super().targets(archive, name)[0]


class InfiniteTargets(Objective):
    def targets(self, archive, name):
        targets = super().targets(archive, name)
        targets[0, -1] = torch.inf
        return targets


class TargetsByIndex(Objective):
    def targets(self, archive, name):
        return super().targets(archive, name) + float(archive.index[0])


class RelativeScore(Objective):
    def score(self, archive, parameters):
        return lambda predictions: predictions[:, 0].mean(0) - predictions.mean()


class RoundedScore(Objective):
    def score(self, archive, parameters):
        return lambda predictions: predictions[:, 0].mean(0).detach() + 0 * predictions.sum()


class WrongSlope(Objective):
    def score(self, archive, parameters):
        return lambda p: 2 * p[:, 0].mean(0) - p[:, 0].mean(0).detach()


class Overflows(Objective):
    def score(self, archive, parameters):
        return lambda predictions: (3 * predictions[:, 0].mean(0)).exp()


class Overspends(Objective):
    def select(self, space, pool, predict, archive, parameters, allowance, *rest):
        more = 2 * allowance if archive["step"].max() == 3 else allowance
        return super().select(space, pool, predict, archive, parameters, more, *rest)


class ChoosesAgain(Objective):
    """After the search that the suite looks at; there the ledger would hide it."""

    def select(self, space, pool, predict, archive, parameters, allowance, step, generator):
        batch = super().select(
            space, pool, predict, archive, parameters, allowance, step, generator
        )
        if step < 4:
            return batch
        old = archive.iloc[: len(batch)].assign(step=step)[list(batch)]
        return pd.concat([batch.iloc[:-1], old.iloc[:1]], ignore_index=True)


class ForgetsTheStep(Objective):
    def select(self, *arguments):
        return super().select(*arguments).assign(step=1)


class ArchiveAsScratch(Objective):
    def diagnose(self, evaluations, archive):
        archive["scratch"] = 1
        return {}


class NanReport(Objective):
    def summary(self, archive):
        return {"margin": float("nan")}


class GlobalRandom(Objective):
    def targets(self, archive, name):
        torch.rand(1)
        return super().targets(archive, name)


class NeverSpends(Objective):
    def select(self, space, pool, predict, archive, parameters, allowance, *rest):
        return super().select(space, pool, predict, archive, parameters, 1, *rest)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Grows, "settings: do not survive storing"),
        (TakesAColumn, r"columns: \['score'\] are every archive's"),
        (AsksTwice, "a question was asked twice"),
        (Remembers, "two searches with the same seed differ"),
        (ChangesTheBatch, "query: changes its input"),
        (Undeclared, "query: columns .*surprise.*, not all declared"),
        (BatchMean, "depends on the rest of the batch"),
        (TakesAnything, "gives None does not raise DataError"),
        (FloatCosts, "costs: float64, not int64"),
        (WrongPrice, "whole_queries: 1 cost 1 by costs, 2 by its price"),
        (CheapStart, "initial_queries: 1 cost 1 by costs, 0 by its price"),
        (OneIdentity, "queries asked for|queried twice"),
        (SmallCapacity, "capacity"),
        (NanFitness, "fitness: NaN"),
        (RelativeFitness, "fitness: depends on the rest"),
        (FitnessOfAnother, "fitness: not in the order of the values"),
        (HalfEligible, "not eligible is as good"),
        (FitButIneligible, "best: not the best eligible value so far"),
        (LastIncumbent, "incumbent: row"),
        (InfiniteTargets, "targets: infinite"),
        (FlatTargets, r"targets: shape \(8,\), not \[H, n\]"),
        (dict, "not an Objective"),
        (TargetsByIndex, "targets: depend on more than the archive"),
        (RelativeScore, "score: of one architecture depends on the others"),
        (RoundedScore, "finite differences"),
        (WrongSlope, "finite differences"),
        (Overflows, "score: not finite far out"),
        (Overspends, "select: .* spent, .* allowed"),
        (ChoosesAgain, "select: a query that is paid for already"),
        (ForgetsTheStep, "spent too much"),
        (ArchiveAsScratch, "columns .*scratch"),
        (NanReport, "summary: cannot be stored as JSON"),
        (GlobalRandom, "global random generator"),
        (NeverSpends, "queries are left"),
    ],
)
def test_broken_promises_are_named(broken, complaint, tiny):
    path = f"{broken.__module__}:{broken.__name__}"
    with pytest.raises((AssertionError, OptiProxyError), match=complaint):
        check_objective(path, tiny, MadeUp(tiny))


class Weightless(Constrained):
    """Its violation is never charged against it."""

    def fitness(self, archive):
        return archive["value"].to_numpy()


def test_a_constrained_objective_of_a_third_party_is_checked_too(tiny):
    path = f"{__name__}:{Weightless.__name__}"
    with pytest.raises(AssertionError, match="not eligible is as good as one that is"):
        check_objective({"name": path, "constraints": ONE}, tiny, MadeUp(tiny, "latency_ms"))
