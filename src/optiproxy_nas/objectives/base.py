"""What a search is after: which values a query reveals, what it costs, and what makes a cell good.

An objective stands between the evaluation and everything else. It decides the columns that a query
adds to the archive, the targets that the proxy's heads are fitted on, the score that the gradient
search and the selection maximise, and which architecture of an archive is the answer. All its
methods are pure functions of the archive: an objective holds settings and no state, so a search
that goes on is the search that never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from optiproxy_nas.algorithm.acquisition import acquisition_score
from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.algorithm.selection import Predict, select_best
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.core.parameters import StrictModel
from optiproxy_nas.objectives.values import Values, finite, value_columns
from optiproxy_nas.proxies.targets import make_targets
from optiproxy_nas.spaces.base import SearchSpace

if TYPE_CHECKING:
    from optiproxy_nas.algorithm.search_parameters import SearchParameters

# Architecture strings [n] -> what they are worth: values [n], or a table of n rows by metric.
Evaluate = Callable[..., Any]
Score = Callable[[Tensor], Tensor]  # predictions [E, H, n] -> [n], differentiable, to be maximised


class Training(NamedTuple):
    """What an objective's defaults follow of the source of a benchmark."""

    full_epochs: int  # of full training
    continues: bool  # full training goes on from its earlier epochs


class Objective(StrictModel):
    """The highest value for a number of queries; the base of all others.

    A plug-in is a subclass whose fields are its settings, registered in ``objectives.OBJECTIVES``
    or named ``package.module:Class``. ``optiproxy_nas.testing.check_objective`` checks it.

    Attributes:
        name: its registered name or its path.
        heads: H, outputs of the proxy; head 0 stands for the value.
        columns: what the archive holds beyond the common columns: name -> dtype.
        unit: what the budget is counted in.
        task_settings: names of the settings that define a different task. Searches that differ in
            them are not compared.
    """

    name: str
    unit: ClassVar[str] = "queries"
    task_settings: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def defaults(cls, training: Training | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that follow the benchmark's source where they are not given.

        Args:
            training: of the source; None where it is not known.
            given: the settings that are given.
        """
        return {}

    @property
    def label(self) -> str:
        """What tells it from the plain objective, in a word or two; "" for that one."""
        return ""

    @property
    def heads(self) -> int:
        """H, the proxy's outputs."""
        return 1

    @property
    def columns(self) -> Mapping[str, str]:
        """The archive's own columns of this objective: name -> dtype."""
        return {}

    # What a query is, reveals and costs.

    def check(self, benchmark: Benchmark) -> None:
        """Refuse what the benchmark cannot answer, before any query.

        Raises:
            ObjectiveError: what is asked for, and what there is.
        """

    def evaluator(self, benchmark: Benchmark) -> Evaluate:
        """What a search gets of a benchmark: a function that a user could have written."""
        return partial(benchmark.query, metric=benchmark.target)

    def query(self, batch: pd.DataFrame, evaluate: Evaluate) -> pd.DataFrame:
        """``batch`` with ``value`` and the objective's own columns.

        Raises:
            DataError: the evaluation gave something else than one finite number an architecture.
        """
        architectures = batch["architecture"].tolist()
        return batch.assign(value=finite(evaluate(architectures), architectures))

    def identities(self, space: SearchSpace, table: pd.DataFrame, codes: Tensor) -> list[Hashable]:
        """What is charged once: one per row of ``table``, whose codes [n, L] are given."""
        return space.identify(codes)

    def costs(self, batch: pd.DataFrame) -> NDArray[np.int64]:
        """What each query of a batch, or of an archive, is charged: [n]."""
        return np.ones(len(batch), dtype=np.int64)

    @property
    def cheapest(self) -> int:
        """What the cheapest query costs."""
        return 1

    @property
    def price(self) -> int:
        """What one whole query costs, as the baselines make it."""
        return 1

    def whole_queries(self, count: int) -> dict[str, Any]:
        """The columns that make ``count`` architectures of a batch such queries."""
        return {}

    def initial_queries(self, count: int) -> dict[str, Any]:
        """The columns that make ``count`` architectures of a batch the initial sample."""
        return {}

    def initial_cost(self, count: int) -> int:
        """What ``count`` initial architectures cost."""
        return count

    def least_budget(self, initial_samples: int) -> int:
        """The least budget of a search that can end with an answer."""
        return self.initial_cost(initial_samples)

    @property
    def terms(self) -> str:
        """The settings that prices follow from, for messages about the budget."""
        return ""

    def step_cost(self, batch: int) -> int:
        """What a step may spend; B is ``batch``."""
        return batch

    def fewest(self, allowance: int) -> int:
        """Candidates that a step needs at least, to spend its ``allowance``."""
        return allowance

    def capacity(self, size: int) -> int:
        """What it costs to query all of a space of ``size`` architectures."""
        return size

    # What is good.

    def fitness(self, archive: pd.DataFrame) -> Values:
        """One number a row, higher is better: how rows compare, and what baselines are told."""
        return archive["value"].to_numpy(dtype=np.float64)

    def eligible(self, archive: pd.DataFrame) -> NDArray[np.bool_]:
        """Whether a row may be the answer: [n]."""
        return np.ones(len(archive), dtype=bool)

    def judged(self, archive: pd.DataFrame) -> NDArray[np.bool_]:
        """The rows whose values are of one kind, so that predictions of them can be ranked: [n]."""
        return np.ones(len(archive), dtype=bool)

    def best(self, archive: pd.DataFrame) -> Values:
        """The best eligible value after each query, NaN while there is none: [n]."""
        values = np.where(self.eligible(archive), archive["value"], np.nan)
        return np.fmax.accumulate(values) if len(values) else values

    def incumbent(self, archive: pd.DataFrame) -> int:
        """The row that is the answer (the first, of equals); the nearest to one, if none is."""
        return int(np.argmax(self.fitness(archive)))

    def optimum(self, benchmark: Benchmark) -> float | None:
        """The best eligible value of all; for reports after a search, never in one."""
        table = self.whole(benchmark)
        if table is None:
            return None
        return float(np.nanmax(np.where(self.eligible(table), table["value"], np.nan)))

    def whole(self, benchmark: Benchmark) -> pd.DataFrame | None:
        """All architectures with ``value`` and the objective's columns, where they can be listed.

        For checks before a search and reports after it.
        """
        table = benchmark.table([benchmark.target])
        return None if table is None else table.rename(columns={benchmark.target: "value"})

    # What the proxy learns, and what is maximised on it.

    def targets(self, archive: pd.DataFrame, name: str) -> Tensor:
        """Targets [H, n] of the archive's rows, from the archive alone; NaN: not observed.

        Args:
            archive: D.
            name: the target transformation (``FitSettings.targets``).
        """
        return make_targets(archive["value"].to_numpy(), name).unsqueeze(0)

    def score(self, archive: pd.DataFrame, parameters: SearchParameters) -> Score:
        """What is maximised, given D: by gradient on relaxed cells, by choice on discrete ones."""
        return lambda predictions: acquisition_score(predictions[:, 0], parameters.selection)

    def predicted(
        self, predictions: Tensor, archive: pd.DataFrame, name: str
    ) -> dict[str, NDArray[np.float64]]:
        """Columns ``predicted`` and ``predicted_sd`` (percent), and the objective's own ones.

        Args:
            predictions: [E, H, n] in target units.
            archive: D, that they were fitted on.
            name: the target transformation.
        """
        return value_columns(predictions[:, 0], archive["value"].to_numpy(), name)

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
        """The queries of a step: here the ``allowance`` candidates of highest score.

        Args:
            space: the search space.
            pool: candidates outside the archive.
            predict: codes [n, L] -> predictions [E, H, n] of the fitted proxy.
            archive: D.
            parameters: of the search.
            allowance: what the step may spend.
            step: its number.
            generator: draws where the proxy is not to choose.
        """
        predictions = predict(pool.codes)
        score = self.score(archive, parameters)(predictions)
        best = select_best(score, allowance, parameters.selection, generator)
        return pool.batch(
            space,
            best,
            step,
            score=score[best].double().numpy(),
            **self.predicted(predictions[..., best], archive, parameters.fit.targets),
        )

    # What is told of it.

    def diagnose(self, evaluations: pd.DataFrame, archive: pd.DataFrame) -> dict[str, Any]:
        """Numbers of one step, beside the common ones."""
        return {}

    def summary(self, archive: pd.DataFrame) -> dict[str, Any]:
        """Facts about the answer and the search, beside the common ones."""
        return {}
