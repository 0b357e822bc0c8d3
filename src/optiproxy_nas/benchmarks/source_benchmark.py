"""The benchmarks of a source: looked up in its table, or answered by its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.sources import Predict, Source
from optiproxy_nas.benchmarks.tidy_table import metric_names
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError, MetricUnavailableError, unknown_name
from optiproxy_nas.spaces import get_space


class _SourceBenchmark:
    """What every benchmark tells of its source."""

    def __init__(self, source: Source, dataset: str) -> None:
        self.name = source.family.name
        self.source = source.name
        self.dataset = dataset
        self.space = source.family.space
        self.target = source.contents.target
        self.caution = source.contents.caution
        self.continues = source.contents.continues


class TabularBenchmark(_SourceBenchmark):
    """Looks architectures up in memory; picklable, so that workers can be handed a copy.

    Args:
        table: tidy rows of one source, all its datasets.
        dataset: which dataset's values to answer with.
        source: the source of the table.

    Raises:
        UnknownNameError: the table has no such dataset (the list, and the nearest name).
        DataError: an architecture occurs twice.
    """

    def __init__(self, table: pd.DataFrame, dataset: str, source: Source) -> None:
        datasets = table["dataset"].unique()
        if dataset not in datasets:
            raise unknown_name("dataset", dataset, datasets)
        super().__init__(source, dataset)
        contents = source.contents
        self._direction = contents.direction
        self._obtain_curves = contents.obtain_curves
        rows = table[table["dataset"] == dataset]
        names = metric_names(table)
        values = rows.set_index("architecture")[names]
        self._rows: dict[int, pd.DataFrame] = {
            int(epochs): values[rows["epochs"].to_numpy() == epochs]
            for epochs in sorted(rows["epochs"].unique())
        }
        # Metric -> after how many epochs it is held.
        self._held: dict[str, tuple[int, ...]] = {
            metric: held
            for metric in names
            if (held := tuple(e for e, r in self._rows.items() if r[metric].notna().any()))
        }
        self.metrics: Mapping[str, str] = {
            metric: contents.metrics.get(metric, metric) for metric in self._held
        }
        self.epochs: tuple[int, ...] = self._held.get(self.target, ())
        self._full = max(self.epochs or self._rows)
        for epochs, found in self._rows.items():
            if not found.index.is_unique:
                twice = found.index[found.index.duplicated()][0]
                raise DataError(
                    f"The table of source {self.source!r} holds {twice} on {dataset} after "
                    f"{epochs} epochs twice.",
                    architecture=twice,
                    dataset=dataset,
                )

    def query(self, architectures: Sequence[str], metric: str, epochs: int | None = None) -> Floats:
        """Return the metric of each architecture: [n]; errors as in ``Benchmark.query``."""
        values = self._values(metric, epochs)
        return values.to_numpy()[self._positions(values.index, architectures)]

    def table(self, metrics: Sequence[str]) -> pd.DataFrame:
        """Return all cells after full training, in code order; never for a search."""
        return pd.DataFrame({metric: self._values(metric) for metric in metrics}).reset_index(
            names="architecture"
        )

    def optimum(self, metric: str) -> tuple[str, float]:
        """Return the cell with the largest value (the first in code order of equals).

        The smallest, of a target that is minimised.
        """
        values = self._values(metric)
        array = values.to_numpy()
        minimised = metric == self.target and self._direction == "minimize"
        best = int(array.argmin() if minimised else array.argmax())
        return str(values.index[best]), float(values.iloc[best])

    def measurements(self, architecture: str) -> dict[str, float | None]:
        """Return what else the source knows of one cell, for a report; None where it does not say.

        Keys: the metrics of the table, without accuracies and target. +inf: it cannot run on that
        device.

        Raises:
            InvalidArchitectureError, DataError: as ``query``.
        """
        rows = self._rows[self._full]
        cell = rows.iloc[int(self._positions(rows.index, [architecture])[0])]
        return {
            str(name): None if pd.isna(value) else float(value)
            for name, value in cell.items()
            if name not in (VALIDATION_ACCURACY, TEST_ACCURACY, self.target)
        }

    def _values(self, metric: str, epochs: int | None = None) -> pd.Series:
        epochs = self._full if epochs is None else epochs
        held = self._held.get(metric, ())
        if epochs in held:
            return self._rows[epochs][metric]
        facts: dict[str, Any] = {
            "source": self.source,
            "dataset": self.dataset,
            "metric": str(metric),
            "available": sorted(self.metrics),
        }
        if not held:
            raise MetricUnavailableError(
                f"Source {self.source!r} holds no {metric} of {self.dataset}, only "
                f"{', '.join(sorted(self.metrics))}. Nothing stands in for it: choose a source "
                "that has it, or join one that does (source=one+other).",
                **facts,
            )
        raise MetricUnavailableError(
            f"Source {self.source!r} holds {metric} of {self.dataset} after "
            f"{', '.join(map(str, held))} epochs of training, not after {epochs}. Nothing stands "
            f"in for it.{' ' if self._obtain_curves else ''}{self._obtain_curves}",
            **facts,
            epochs=list(held),
        )

    def _positions(self, index: pd.Index, architectures: Sequence[str]) -> NDArray[np.intp]:
        if all(isinstance(architecture, str) for architecture in architectures):
            positions = index.get_indexer(pd.Index(list(architectures)))
            if (positions >= 0).all():
                return positions
        # A malformed one raises here; another spelling, or a plain object, is made canonical.
        space = get_space(self.space)
        canonical = space.to_string(space.from_string(architectures))
        positions = index.get_indexer(pd.Index(canonical))
        if (positions < 0).any():
            missing = canonical[int((positions < 0).argmax())]
            raise DataError(
                f"{missing} is valid, but source {self.source!r} has no value of it on "
                f"{self.dataset} ({len(index)} architectures).",
                architecture=missing,
                source=self.source,
                dataset=self.dataset,
            )
        return positions


class SurrogateBenchmark(_SourceBenchmark):
    """Answers queries by a model, which knows every architecture of its space.

    Nothing can be enumerated, so there is no optimum and no regret; and a search may find where the
    model errs. Its values are told with the source's caution. Picklable if ``predict`` is.

    Args:
        source: whose model it is.
        dataset: the dataset of the values.
        predict: the model, for metrics and epochs that are checked before.
        metrics: what it predicts -> description with unit.
    """

    def __init__(
        self, source: Source, dataset: str, predict: Predict, metrics: Mapping[str, str]
    ) -> None:
        super().__init__(source, dataset)
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
