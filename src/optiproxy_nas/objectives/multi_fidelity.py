"""The highest fully trained value for a number of training epochs (section 3.3).

A query is an architecture and a number of epochs: few (low fidelity, cheap), or all (full training,
what counts). The proxy has two heads with one trunk: the value after few epochs, of which the
archive holds many, and the correction from there to full training, of which it holds few. Their
sum is the predicted final value (an autoregressive model of two fidelities, Kennedy & O'Hagan
2000). In each step the cell that is predicted best after full training is promoted to it; what is
left of the step's epochs goes to new cells. What a promotion tells is fed back into the correction.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.stats import spearmanr
from torch import Tensor

from optiproxy_nas.algorithm.acquisition import acquisition_score
from optiproxy_nas.algorithm.archive import codes_of, make_batch
from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.algorithm.selection import Predict, select_best
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.objectives.base import Evaluate, Objective, Score, Training
from optiproxy_nas.objectives.fidelities import check_fidelities
from optiproxy_nas.objectives.promotion import fidelity_targets, pairs_of, promotions
from optiproxy_nas.objectives.values import Values, finite, value_columns
from optiproxy_nas.spaces.base import SearchSpace

if TYPE_CHECKING:
    from optiproxy_nas.algorithm.search_parameters import SearchParameters

_SPARE = 24  # epochs that a step may spend beside one full training, by default
_BELOW_ALL = -1e6  # the fitness of a cell that is not fully trained


class MultiFidelity(Objective):
    """Maximise the value after full training, with cheap looks at cells before it."""

    name: str = "multi_fidelity"
    low_epochs: int = Field(default=12, ge=1, description="training epochs of the cheap signal")
    full_epochs: int = Field(default=200, ge=2, description="training epochs that count")
    continues: bool = Field(
        default=False,
        description="the low fidelity is a point of the full training's own curve, so that a "
        "promotion costs only the epochs that are missing",
    )
    step_epochs: int = Field(default=224, ge=1, description="epochs that a step may spend")
    low_first: int = Field(
        default=80, ge=1, description="cells at low fidelity before the first promotion"
    )
    measured: float = Field(
        default=0.5, ge=0, le=1, description="weight of a cell's own low value beside the proxy's"
    )
    unit: ClassVar[str] = "epochs"

    @model_validator(mode="after")
    def _fidelities_rise(self) -> MultiFidelity:
        if self.low_epochs >= self.full_epochs:
            raise ValueError(
                f"objective.low_epochs ({self.low_epochs}) is not below objective.full_epochs "
                f"({self.full_epochs})"
            )
        if self.step_epochs < self.full_epochs:
            raise ValueError(
                f"objective.step_epochs ({self.step_epochs}) is below objective.full_epochs "
                f"({self.full_epochs}), so no step could train a cell fully"
            )
        return self

    @classmethod
    def defaults(cls, training: Training | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the source's full training, and whether that goes on from a shorter one.

        A step pays for one full training, and more.
        """
        found = {} if training is None else training._asdict()
        full = given.get("full_epochs", found.get("full_epochs"))
        if isinstance(full, int):
            found["step_epochs"] = full + _SPARE
        return found

    @property
    def label(self) -> str:
        """The two fidelities."""
        return f"{self.low_epochs} then {self.full_epochs} epochs"

    @property
    def heads(self) -> int:
        """The low-fidelity value, and the correction to full training."""
        return 2

    @property
    def columns(self) -> Mapping[str, str]:
        """The fidelity of a query, and what it was charged."""
        return {"epochs": "int64", "cost": "int64"}

    @property
    def cheapest(self) -> int:
        """A cell at low fidelity."""
        return int(self.low_epochs)

    @property
    def price(self) -> int:
        """A baseline trains every cell fully."""
        return int(self.full_epochs)

    @property
    def promotion(self) -> int:
        """What it costs to train a cell fully that was trained for few epochs."""
        settings = self
        return int(settings.full_epochs - settings.continues * settings.low_epochs)

    def check(self, benchmark: Benchmark) -> None:
        """Refuse fidelities that the benchmark does not hold.

        Raises:
            MetricUnavailableError: which epochs there are, and what to fetch.
            ObjectiveError: full training is another number of epochs; or the source's low fidelity
                is a schedule of its own, from which training cannot go on.
        """
        check_fidelities(self, benchmark)

    def evaluator(self, benchmark: Benchmark) -> Evaluate:
        """Validation accuracy of architectures after a number of epochs."""
        return partial(_ask, benchmark)

    def query(self, batch: pd.DataFrame, evaluate: Evaluate) -> pd.DataFrame:
        """``batch`` with the value of each row after its ``epochs``."""
        values = np.empty(len(batch))
        for epochs, rows in batch.groupby("epochs", sort=True).indices.items():
            architectures = batch["architecture"].iloc[rows].tolist()
            answer = evaluate(architectures, int(str(epochs)))
            values[rows] = finite(answer, architectures)
        return batch.assign(value=values)

    def identities(self, space: SearchSpace, table: pd.DataFrame, codes: Tensor) -> list[Hashable]:
        """An architecture may be charged once at each fidelity."""
        return list(zip(space.identify(codes), table["epochs"].tolist(), strict=True))

    def costs(self, batch: pd.DataFrame) -> NDArray[np.int64]:
        """Epochs: [n]."""
        return batch["cost"].to_numpy(dtype=np.int64)

    def initial_queries(self, count: int) -> dict[str, Any]:
        """The initial sample is of low fidelity."""
        return self._queries(count, self.low_epochs, self.low_epochs)

    def whole_queries(self, count: int) -> dict[str, Any]:
        """Full trainings."""
        return self._queries(count, self.full_epochs, self.full_epochs)

    def initial_cost(self, count: int) -> int:
        """Epochs of the initial sample."""
        return count * int(self.low_epochs)

    def least_budget(self, initial_samples: int) -> int:
        """The initial sample, the steps until promotions begin, and one more."""
        settings = self
        missing = max(0, settings.low_first - initial_samples)
        steps = -(-missing // (settings.step_epochs // settings.low_epochs)) + 1
        return self.initial_cost(initial_samples) + int(steps * settings.step_epochs)

    @property
    def terms(self) -> str:
        """The epochs of both fidelities and of a step."""
        names = ("low_epochs", "full_epochs", "step_epochs")
        return ", ".join(f"objective.{name} = {getattr(self, name)}" for name in names)

    def step_cost(self, batch: int) -> int:
        """Epochs of a step."""
        return int(self.step_epochs)

    def fewest(self, allowance: int) -> int:
        """One: what cannot be spent for lack of new cells is left to the next step."""
        return 1

    def capacity(self, size: int) -> int:
        """Every architecture at both fidelities."""
        return size * (self.promotion + int(self.low_epochs))

    def eligible(self, archive: pd.DataFrame) -> NDArray[np.bool_]:
        """Only what is fully trained counts."""
        trained: NDArray[np.bool_] = archive["epochs"].to_numpy() == self.full_epochs
        return trained

    def judged(self, archive: pd.DataFrame) -> NDArray[np.bool_]:
        """The low fidelity, of which there are many."""
        return ~self.eligible(archive)

    def fitness(self, archive: pd.DataFrame) -> Values:
        """The value where fully trained, below all of these elsewhere."""
        return archive["value"].to_numpy(dtype=np.float64) + np.where(
            self.eligible(archive), 0.0, _BELOW_ALL
        )

    def whole(self, benchmark: Benchmark) -> pd.DataFrame | None:
        """All architectures, fully trained."""
        table = super().whole(benchmark)
        return None if table is None else table.assign(epochs=self.full_epochs)

    def targets(self, archive: pd.DataFrame, name: str) -> Tensor:
        """Targets [2, n]: the low value, and the correction (``promotion.fidelity_targets``)."""
        return fidelity_targets(archive, self.eligible(archive), name)

    def score(self, archive: pd.DataFrame, parameters: SearchParameters) -> Score:
        """The acquisition of the predicted final value."""
        return lambda predictions: acquisition_score(predictions.sum(1), parameters.selection)

    def predicted(
        self, predictions: Tensor, archive: pd.DataFrame, name: str
    ) -> dict[str, NDArray[np.float64]]:
        """The final value in percent: on the line through the cells that have both values."""
        final = predictions.sum(1).double().numpy()
        targets = self.targets(archive, name)
        pairs = pairs_of(archive, self.eligible(archive))
        full = archive["value"].to_numpy()[pairs[:, 1]]
        at = (targets[0, pairs[:, 0]] + targets[1, pairs[:, 1]]).double().numpy()
        if len(pairs) < 3 or np.ptp(at) == 0:
            missing = np.full(final.shape[1], np.nan)
            return {"predicted": missing, "predicted_sd": missing}
        slope, intercept = np.polyfit(at, full, 1)
        return {
            "predicted": intercept + slope * final.mean(0),
            "predicted_sd": abs(slope) * final.std(0, ddof=min(1, len(final) - 1)),
        }

    def select(
        self,
        space: SearchSpace,
        pool: Pool,
        predict: Predict,
        archive: pd.DataFrame,
        parameters: SearchParameters,
        allowance: int,
        step: int,
        generator: torch.Generator,
    ) -> pd.DataFrame:
        """Promotions, then new cells for what is left."""
        name, settings = parameters.fit.targets, self
        affordable = allowance // self.promotion
        full = self.eligible(archive)
        promoted = promotions(space, predict, archive, full, name, settings, affordable)
        left = allowance - self.promotion * len(promoted)
        parts = []
        if len(promoted):
            codes = codes_of(space, archive.iloc[promoted])
            told: dict[str, Any] = self.predicted(predict(codes), archive, name)
            queries = self._queries(len(promoted), settings.full_epochs, self.promotion)
            parts.append(make_batch(space, codes, step, **queries, **told))
        count = min(left // settings.low_epochs, len(pool.codes))
        if count:
            predictions = predict(pool.codes)
            score = self.score(archive, parameters)(predictions)
            best = select_best(score, count, parameters.selection, generator)
            low = archive["value"].to_numpy()[~self.eligible(archive)]
            told = value_columns(predictions[:, 0, best], low, name)  # what the query reveals
            queries = self._queries(len(best), settings.low_epochs, settings.low_epochs)
            values = score[best].double().numpy()
            parts.append(pool.batch(space, best, step, score=values, **queries, **told))
        return pd.concat(parts, ignore_index=True)

    def diagnose(self, evaluations: pd.DataFrame, archive: pd.DataFrame) -> dict[str, Any]:
        """Promotions and epochs, and how well the fidelities agree where both are known."""
        pairs = pairs_of(archive, self.eligible(archive))
        values = archive["value"].to_numpy()
        low, full = values[pairs[:, 0]], values[pairs[:, 1]]
        told = len(pairs) > 2 and np.ptp(low) > 0 and np.ptp(full) > 0
        return {
            "promoted": int(self.eligible(evaluations).sum()),
            "spent_epochs": int(archive["cost"].sum()),
            "fidelity_spearman": float(spearmanr(low, full).statistic) if told else None,
        }

    def summary(self, archive: pd.DataFrame) -> dict[str, Any]:
        """Epochs spent, and on what."""
        full = int(self.eligible(archive).sum())
        return {
            "spent_epochs": int(archive["cost"].sum()),
            "low_queries": len(archive) - full,
            "full_queries": full,
        }

    @staticmethod
    def _queries(count: int, epochs: int, cost: int) -> dict[str, Any]:
        return {"epochs": np.full(count, epochs), "cost": np.full(count, cost)}


def _ask(benchmark: Benchmark, architectures: Sequence[str], epochs: int) -> Values:
    return benchmark.query(architectures, benchmark.target, epochs)
