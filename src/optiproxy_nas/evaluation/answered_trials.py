"""The trials of a finished run on a problem, as the benchmark that a diagnosis asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.problems import Problem


class AnsweredTrials:
    """A :class:`~optiproxy_nas.benchmarks.base.Benchmark` of what a run has trained, and no more.

    Args:
        problem: of the run.
        parameters: of the run.
        archive: of the run.
    """

    caution, continues = "", False

    def __init__(self, problem: Problem, parameters: RunParameters, archive: pd.DataFrame) -> None:
        self.name = self.source = parameters.source
        self.dataset, self.space = parameters.dataset, parameters.space_name
        self.target = problem.target.label
        self.metrics: Mapping[str, str] = {self.target: problem.target.unit}
        self.metrics |= dict.fromkeys(parameters.objective.metrics, "")
        self.epochs = tuple(fidelity.epochs for fidelity in parameters.objective.fidelities)
        columns = {self.target: archive["value"].to_numpy(np.float64)}
        columns |= {name: archive[name].to_numpy() for name in parameters.objective.metrics}
        self._table = pd.DataFrame(columns, index=archive["architecture"])

    def query(self, architectures: Sequence[str], metric: str, epochs: int | None = None) -> Floats:
        """Return the metric of trials: [n].

        Raises:
            DataError: one was not trained by the run.
        """
        try:
            found: Floats = self._table.loc[list(architectures), metric].to_numpy(np.float64)
        except KeyError as error:
            raise DataError(f"The run has no trial of {error}.") from None
        return found

    def table(self, metrics: Sequence[str]) -> None:
        """Return None: nobody has trained all."""

    def optimum(self, metric: str) -> None:
        """Return None: nobody knows it."""

    def measurements(self, architecture: str) -> dict[str, float | None]:
        """Return nothing more."""
        return {}
