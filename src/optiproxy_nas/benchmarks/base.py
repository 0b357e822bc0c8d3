"""The benchmark as a search sees it: architectures go in, one metric comes out.

``optimum`` and ``table`` are the exceptions: they look at all architectures and exist for checks
before a search and reports after it. Nothing that a search reads (means, deviations, maxima of a
table) is offered here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import pandas as pd

from optiproxy_nas.core.arrays import Floats

VALIDATION_ACCURACY = "validation_accuracy"
TEST_ACCURACY = "test_accuracy"


@runtime_checkable
class Benchmark(Protocol):
    """What a new benchmark implements. A metric is a name with its unit: ``latency_ms``.

    Attributes:
        name: the benchmark family ("nb201").
        source: the registered source of its values ("embedded"), or several joined by "+".
        dataset: the dataset whose values it returns ("cifar10").
        space: the registered name of its search space.
        metrics: what it holds -> description with unit; anything else raises.
        target: the metric that is searched for.
        caution: one sentence that is told wherever its values are shown; "" where they are what
            they seem: validation figures of real trainings.
        epochs: the numbers of training epochs after which it holds the target, ascending; the last
            is full training.
        continues: full training goes on from where an earlier number of epochs ended; false where
            few epochs are a schedule of their own.
    """

    name: str
    source: str
    dataset: str
    space: str
    metrics: Mapping[str, str]
    target: str
    caution: str
    epochs: tuple[int, ...]
    continues: bool

    def query(self, architectures: Sequence[str], metric: str, epochs: int | None = None) -> Floats:
        """Return the metric of each architecture, in the order given: [n].

        Accuracies are in percent. +inf: the architecture cannot run on that device.

        Args:
            architectures: n strings in the space's notation, or what its ``architecture`` gives.
            metric: one of ``metrics``.
            epochs: after how many epochs of training; None: after full training.

        Raises:
            MetricUnavailableError: the source does not hold the metric, or not after so many
                epochs; nothing stands in for it.
            InvalidArchitectureError: a string is not a member of the search space.
            DataError: a valid architecture is missing from the source.
        """
        ...

    def table(self, metrics: Sequence[str]) -> pd.DataFrame | None:
        """Return all architectures after full training, and a column for each metric.

        For checks and reports, never for a search; None where they cannot be enumerated.

        Raises:
            MetricUnavailableError: as ``query``.
        """
        ...

    def optimum(self, metric: str) -> tuple[str, float] | None:
        """Return the architecture with the largest value, and it: for reports, never in a search.

        The smallest, of a target that is minimised.

        None where the architectures cannot be enumerated.

        Raises:
            MetricUnavailableError: as ``query``.
        """
        ...

    def measurements(self, architecture: str) -> Mapping[str, float | None]:
        """Return what else the source knows of one architecture; None where it is silent."""
        ...
