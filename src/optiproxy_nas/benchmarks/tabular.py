"""A benchmark whose every answer is a row of a tidy table (``schema``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.benchmarks.tidy_table import METRICS, metric_names
from optiproxy_nas.core.errors import DataError, MetricUnavailableError, unknown_name
from optiproxy_nas.spaces import get_space


class TabularBenchmark:
    """Looks architectures up in memory; picklable, so that workers can be handed a copy.

    Args:
        table: tidy rows of one source, all its datasets.
        dataset: which dataset's values to answer with.
        source: the registered source of the table, for messages and reports.
        name: the benchmark family.
        space: the registered name of the search space.
        descriptions: metric -> description with unit; default those of ``schema.METRICS``.
        advice: where to get what it lacks, for messages.
        continues: full training goes on from its earlier epochs (``Source.continues``).
        target: the metric that a search maximises.
        caution: what is told wherever its values are shown.

    Raises:
        UnknownNameError: the table has no such dataset (the list, and the nearest name).
        DataError: an architecture occurs twice.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        dataset: str,
        source: str,
        name: str = "nb201",
        space: str = "nb201",
        descriptions: Mapping[str, str] = METRICS,
        advice: str = "",
        continues: bool = False,
        target: str = VALIDATION_ACCURACY,
        caution: str = "",
    ) -> None:
        datasets = table["dataset"].unique()
        if dataset not in datasets:
            raise unknown_name("dataset", dataset, datasets)
        self.name = name
        self.source = source
        self.dataset = dataset
        self.space = space
        self.continues = continues
        self.target = target
        self.caution = caution
        self._advice = advice
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
            metric: descriptions.get(metric, metric) for metric in self._held
        }
        self.epochs: tuple[int, ...] = self._held.get(target, ())
        self._full = max(self.epochs or self._rows)
        for epochs, found in self._rows.items():
            if not found.index.is_unique:
                twice = found.index[found.index.duplicated()][0]
                raise DataError(
                    f"The table of source {source!r} holds {twice} on {dataset} after {epochs} "
                    "epochs twice.",
                    architecture=twice,
                    dataset=dataset,
                )

    @classmethod
    def of(cls, table: pd.DataFrame, dataset: str, source: Source) -> TabularBenchmark:
        """The benchmark of a source's table, with what the source says of itself."""
        return cls(
            table,
            dataset,
            source.name,
            source.benchmark,
            source.space,
            source.metrics,
            source.obtain_curves,
            source.continues,
            source.target,
            source.caution,
        )

    def query(
        self, architectures: Sequence[str], metric: str, epochs: int | None = None
    ) -> NDArray[np.float64]:
        """The metric of each architecture: [n]; errors as in ``Benchmark.query``."""
        values = self._values(metric, epochs)
        return values.to_numpy()[self._positions(values.index, architectures)]

    def table(self, metrics: Sequence[str]) -> pd.DataFrame:
        """All cells after full training, in code order; never for a search."""
        return pd.DataFrame({metric: self._values(metric) for metric in metrics}).reset_index(
            names="architecture"
        )

    def optimum(self, metric: str) -> tuple[str, float]:
        """The cell with the largest value (the first in code order of equals)."""
        values = self._values(metric)
        best = int(values.to_numpy().argmax())
        return str(values.index[best]), float(values.iloc[best])

    def measurements(self, architecture: str) -> dict[str, float | None]:
        """What else the source knows of one cell, for a report; None where it does not say.

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
        facts = {
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
            f"in for it.{' ' if self._advice else ''}{self._advice}",
            **facts,
            epochs=list(held),
        )

    def _positions(self, index: pd.Index, architectures: Sequence[str]) -> NDArray[np.intp]:
        positions = index.get_indexer(pd.Index(list(architectures)))
        if (positions >= 0).all():
            return positions
        # Off the fast path: a malformed string raises here, another spelling is made canonical.
        space = get_space(self.space)
        canonical = space.to_string(space.from_string(architectures))
        positions = index.get_indexer(pd.Index(canonical))
        if (positions < 0).any():
            missing = canonical[int((positions < 0).argmax())]
            raise DataError(
                f"{missing} is a valid cell, but source {self.source!r} has no value of it on "
                f"{self.dataset} ({len(index)} cells).",
                architecture=missing,
                source=self.source,
                dataset=self.dataset,
            )
        return positions
