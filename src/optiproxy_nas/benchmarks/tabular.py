"""A benchmark whose every answer is a row of a tidy table (``schema``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optiproxy_nas.benchmarks.base import Metric
from optiproxy_nas.errors import DataError, MetricUnavailableError, unknown_name
from optiproxy_nas.spaces import get_space

MEASUREMENTS = ("training_seeds", "latency_seconds", "parameters_millions", "training_seconds")


class TabularBenchmark:
    """Looks architectures up in memory; picklable, so that workers can be handed a copy.

    Args:
        table: tidy rows of one source, all its datasets.
        dataset: which dataset's accuracies to answer with.
        source: the registered source of the table, for messages and reports.
        name: the benchmark family.
        space: the registered name of the search space.

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
    ) -> None:
        datasets = table["dataset"].unique()
        if dataset not in datasets:
            raise unknown_name("dataset", dataset, datasets)
        self.name = name
        self.source = source
        self.dataset = dataset
        self.space = space
        rows = table[table["dataset"] == dataset].set_index("architecture")
        by_split = {metric: rows[rows["split"] == metric.split_name] for metric in Metric}
        self._rows = {metric: found for metric, found in by_split.items() if len(found)}
        self.metrics = frozenset(self._rows)
        for metric, found in self._rows.items():
            if not found.index.is_unique:
                twice = found.index[found.index.duplicated()][0]
                raise DataError(
                    f"The table of source {source!r} holds {metric} of {twice} on {dataset} twice.",
                    architecture=twice,
                    dataset=dataset,
                )

    def query(self, architectures: Sequence[str], metric: Metric) -> NDArray[np.float64]:
        """Accuracy in percent of each architecture: [n]; errors as in ``Benchmark.query``."""
        rows = self._split(metric)
        positions = self._positions(rows.index, architectures)
        return rows["accuracy"].to_numpy(dtype=np.float64)[positions]

    def optimum(self, metric: Metric) -> tuple[str, float]:
        """The best cell of the table (the first in code order of equals); never for a search."""
        accuracy = self._split(metric)["accuracy"]
        best = int(accuracy.to_numpy().argmax())
        return str(accuracy.index[best]), float(accuracy.iloc[best])

    def measurements(self, architecture: str) -> dict[str, float | None]:
        """What else the source knows of one cell, for a report; None where it does not say.

        Keys: training_seeds (count), latency_seconds, parameters_millions, training_seconds.

        Raises:
            InvalidArchitectureError, DataError: as ``query``.
        """
        rows = next(iter(self._rows.values()))
        cell = rows.iloc[int(self._positions(rows.index, [architecture])[0])]
        return {key: None if pd.isna(cell[key]) else float(cell[key]) for key in MEASUREMENTS}

    def _split(self, metric: Metric) -> pd.DataFrame:
        if metric not in self._rows:
            held = sorted(self.metrics)
            raise MetricUnavailableError(
                f"Source {self.source!r} holds no {metric} of {self.dataset}, only "
                f"{', '.join(held)}. Nothing stands in for it: choose a source that has it.",
                source=self.source,
                dataset=self.dataset,
                metric=str(metric),
                available=held,
            )
        return self._rows[metric]

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
