"""The goal of a search: the order of trials, their price, and the proxy's task.

An objective stands between the evaluation and the algorithm. It holds settings and no state: all
its methods are pure functions of the archive D, so a search that goes on is the search that never
stopped. It imports no benchmark: :mod:`optiproxy_nas.evaluation.benchmark_problem` queries them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
from pydantic import Field
from torch import Tensor

from optiproxy_nas.core.arrays import Floats, Integers, Mask
from optiproxy_nas.core.parameters import Direction, SelectionSettings, StrictModel
from optiproxy_nas.objectives.constraints import Constraint
from optiproxy_nas.objectives.pricing import Pricing
from optiproxy_nas.objectives.trial_order import TrialOrder
from optiproxy_nas.proxies.targets import acquisition_score, make_targets, value_columns

# Columns of every archive, beside its objective's and the integer code, code_0 .. code_{L-1}.
COLUMNS = {
    "order": "int64",  # 0-based query number
    "step": "int64",  # 0: initial sample; 1..S: search step
    "architecture": "str",  # the benchmark's notation
    "value": "float64",  # f(𝒜), in its unit and as it is searched for
    "predicted": "float64",  # f̂(𝒜) before the query, likewise; NaN in the initial sample
    "predicted_sd": "float64",  # spread of the ensemble, likewise; NaN in the initial sample
    "score": "float64",  # what the selection maximised, in target units
    "group": "int64",  # the (α, β) group it was drawn from; -1: not from a group
    "best": "float64",  # best eligible value so far; NaN while there is none
}
Score = Callable[[Tensor], Tensor]  # predictions [E, H, n] -> [n], differentiable, to be maximised
PredictRows = Callable[[Integers], Tensor]  # rows of the archive [n] -> predictions [E, H, n]


class Training(NamedTuple):
    """What an objective's defaults follow of the source of a benchmark, or of a problem."""

    full_epochs: int | None  # of full training; None: the problem does not say
    continues: bool  # full training goes on from its earlier epochs
    direction: Direction = "maximize"  # of its target


class Fidelity(NamedTuple):
    """A rung: one number of epochs, or of another unit, that trials are made with."""

    setting: str  # name of the objective's setting that gives it
    epochs: int
    continues: bool  # training to it goes on from the fidelity before, which is charged once


@dataclass(frozen=True)
class ProxyTask:
    """What the proxy learns, and what is maximised on it: the value, by its acquisition.

    Targets and scores are higher where the value is better, also where it is minimised.
    """

    order: TrialOrder = field(default_factory=TrialOrder, kw_only=True)

    @property
    def heads(self) -> int:
        """Return H, the number of the proxy's outputs; head 0 stands for the value."""
        return 1

    def targets(self, archive: pd.DataFrame, name: str) -> Tensor:
        """Return targets [H, n] of the archive's rows, from the archive alone; NaN: not observed.

        Args:
            archive: D.
            name: the target transformation (``FitSettings.targets``).
        """
        return make_targets(self.order.goodness(archive), name).unsqueeze(0)

    def heads_of(self, table: pd.DataFrame) -> Mask:
        """Return which heads the answer to each row of a batch will have a target of: [H, n]."""
        return np.ones((self.heads, len(table)), dtype=bool)

    def score(self, archive: pd.DataFrame, selection: SelectionSettings) -> Score:
        """Return what is maximised, given D: by gradient on relaxed cells, by choice on others."""
        return lambda predictions: acquisition_score(predictions[:, 0], selection)

    def predicted(self, predictions: Tensor, archive: pd.DataFrame, name: str) -> dict[str, Floats]:
        """Return ``predicted`` and ``predicted_sd`` (percent), and the objective's columns.

        Args:
            predictions: [E, H, n] in target units.
            archive: D, that they were fitted on.
            name: the target transformation.
        """
        goodness, sign = self.order.goodness(archive), self.order.sign
        return value_columns(predictions[:, 0], goodness, name, sign=sign)

    def revealed(self, predictions: Tensor, archive: pd.DataFrame, name: str) -> dict[str, Floats]:
        """Return the same columns of what the cheapest trial of an architecture will reveal."""
        return self.predicted(predictions, archive, name)

    def raised(
        self, predictions: Tensor, rows: Integers, archive: pd.DataFrame, name: str
    ) -> dict[str, Floats]:
        """Return the same columns of what raising ``rows`` [n] of D will reveal."""
        return self.predicted(predictions, archive, name)

    def promotions(
        self,
        archive: pd.DataFrame,
        predict: PredictRows,
        name: str,
        allowance: int,
        excluded: Collection[str] = (),
    ) -> Integers:
        """Return the rows of D to raise to the next fidelity, the most promising first.

        Args:
            archive: D.
            predict: of the fitted proxy.
            name: the target transformation.
            allowance: what they, and new architectures, may cost.
            excluded: architectures that are not raised, since a trial of theirs is open or failed.
        """
        return np.empty(0, dtype=np.int64)


class Objective(StrictModel):
    """The best value for a number of queries; the base of all others.

    A plug-in is a subclass whose fields are its settings, registered in ``objectives.OBJECTIVES``
    or named ``package.module:Class``. ``optiproxy_nas.testing.check_objective`` checks it.

    Attributes:
        name: its registered name or its path.
        direction: whether the value is maximised or minimised.
        task_settings: names of the settings that define a different task. Searches that differ in
            them are not compared.
    """

    name: str = Field(description="registered objective, or package.module:Class")
    direction: Direction = Field(default="maximize", description="of the value: or minimize")
    task_settings: ClassVar[tuple[str, ...]] = ("direction",)

    @classmethod
    def defaults(cls, training: Training | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that follow the benchmark's source where they are not given.

        Args:
            training: of the source; None: there is no source.
            given: the settings that are given.
        """
        return {} if training is None else {"direction": training.direction}

    def within(self, size: int, given: Collection[str] = ()) -> Self:
        """Return the objective for a space of so many architectures.

        Args:
            size: of the space.
            given: names of the settings that the user gave, which stay.

        Raises:
            ParameterError: one of them makes no search of such a space possible.
        """
        return self

    @property
    def label(self) -> str:
        """Return a word or two that distinguish it from the plain objective, which has ""."""
        return "" if self.direction == "maximize" else "lowest value"

    @cached_property
    def order(self) -> TrialOrder:
        """Return the order of trials."""
        return TrialOrder(direction=self.direction)

    @cached_property
    def price(self) -> Pricing:
        """Return what trials are charged."""
        return Pricing()

    @cached_property
    def task(self) -> ProxyTask:
        """Return what the proxy learns and what is maximised."""
        return ProxyTask(order=self.order)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the metrics that a trial reveals beside the value, each once."""
        return ()

    @property
    def bounds(self) -> tuple[Constraint, ...]:
        """Return the constraints on metrics."""
        return ()

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """Return the rungs that trials are made with, ascending, full training last.

        Where there are any, the archive has a column ``epochs``, and an evaluation takes them.
        """
        return ()

    @property
    def full_fidelity(self) -> int | None:
        """Return the epochs of full training; None where trials have no fidelity."""
        return max((it.epochs for it in self.fidelities), default=None)

    def promotable(self, archive: pd.DataFrame) -> Mask:
        """Return the rows of D that may still be raised to the next fidelity: [n].

        A row that is False stays so, whatever is added to D: no promotion needs what its training
        left. Open and failed trials of its architecture are not considered.
        """
        return np.zeros(len(archive), dtype=bool)

    @property
    def columns(self) -> Mapping[str, str]:
        """Return the archive's columns of this objective: name -> dtype."""
        return {}

    def derived_columns(self, evaluations: pd.DataFrame) -> dict[str, Any]:
        """Return the columns that follow from evaluated rows alone, each row by itself: [n] each.

        Args:
            evaluations: a batch with ``value`` and the ``metrics``.
        """
        return {}

    def diagnose(self, evaluations: pd.DataFrame, archive: pd.DataFrame) -> dict[str, Any]:
        """Return numbers of one step, beside the common ones."""
        return {}

    def summary(self, archive: pd.DataFrame) -> dict[str, Any]:
        """Return facts about the answer and the search, beside the common ones."""
        return {}
