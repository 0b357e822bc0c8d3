"""A benchmark whose every answer is a model's: it knows every architecture of its space.

Nothing can be enumerated, so there is no optimum and no regret; and a search may find where the
model errs. Its values are told with the source's caution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from optiproxy_nas.benchmarks.sources import Predict, Source
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError, MetricUnavailableError
from optiproxy_nas.spaces import get_space


class SurrogateBenchmark:
    """Answers queries by a model; picklable if ``predict`` is.

    Args:
        source: whose model it is.
        dataset: the dataset of the values.
        predict: the model, for metrics and epochs that are checked before.
        metrics: what it predicts -> description with unit.
    """

    def __init__(
        self, source: Source, dataset: str, predict: Predict, metrics: Mapping[str, str]
    ) -> None:
        self.name = source.family.name
        self.source = source.name
        self.dataset = dataset
        self.space = source.family.space
        self.target = source.contents.target
        self.caution = source.contents.caution
        self.continues = source.contents.continues
        self.epochs = source.contents.epochs
        self.metrics: Mapping[str, str] = dict(metrics)
        self._predict = predict

    def query(self, architectures: Sequence[str], metric: str, epochs: int | None = None) -> Floats:
        """Return the metric of each architecture: [n]; errors as in ``Benchmark.query``.

        Raises:
            DataError: the model gives something else than one finite number an architecture.
        """
        facts = {"source": self.source, "dataset": self.dataset, "metric": str(metric)}
        if metric not in self.metrics:
            raise MetricUnavailableError(
                f"Source {self.source!r} tells no {metric} of {self.dataset}, only "
                f"{', '.join(sorted(self.metrics))}. Nothing stands in for it.",
                **facts,
                available=sorted(self.metrics),
            )
        after = self.epochs[-1] if epochs is None else epochs
        if after not in self.epochs:
            raise MetricUnavailableError(
                f"Source {self.source!r} tells {metric} of {self.dataset} after "
                f"{_ranges(self.epochs)} epochs of training, not after {after}. Nothing stands in "
                "for it.",
                **facts,
                epochs=list(self.epochs),
            )
        codes = get_space(self.space).from_string(architectures)
        if not len(codes):
            return np.empty(0)
        values = np.asarray(self._predict(codes, metric, after), dtype=np.float64)
        if values.shape != (len(codes),) or not np.isfinite(values).all():
            raise DataError(
                f"The model of source {self.source!r} gave {metric} of shape {values.shape} for "
                f"{len(codes)} architectures, or one that is not finite. The model is not the one "
                "that the source expects.",
                source=self.source,
            )
        return values

    def table(self, metrics: Sequence[str]) -> pd.DataFrame | None:
        """Return None: there are too many architectures to list."""
        return None

    def optimum(self, metric: str) -> tuple[str, float] | None:
        """Return None: nobody knows it."""
        return None

    def measurements(self, architecture: str) -> dict[str, float | None]:
        """Return what else the model says of one architecture, after full training."""
        return {
            name: float(self.query([architecture], name)[0])
            for name in self.metrics
            if name != self.target
        }


def _ranges(epochs: tuple[int, ...]) -> str:
    if len(epochs) > 2 and epochs == tuple(range(epochs[0], epochs[-1] + 1)):
        return f"{epochs[0]} to {epochs[-1]}"
    return ", ".join(map(str, epochs))
