"""The benchmark as a search sees it: architectures go in, one metric comes out.

``optimum`` is the one exception: it looks at the whole table and exists for reports after a
search. Nothing that a search reads (means, deviations, maxima of a table) is offered here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class Metric(StrEnum):
    """What can be asked about an architecture. Accuracies are in percent."""

    VALIDATION_ACCURACY = "validation_accuracy"
    TEST_ACCURACY = "test_accuracy"

    @property
    def split_name(self) -> str:
        """The ``split`` value of the metric's rows in a tidy table."""
        return self.value.removesuffix("_accuracy")


@runtime_checkable
class Benchmark(Protocol):
    """What a new benchmark implements.

    Attributes:
        name: the benchmark family ("nb201").
        source: the registered source of its values ("embedded").
        dataset: the dataset whose accuracies it returns ("cifar10").
        space: the registered name of its search space.
        metrics: what it holds; anything else raises.
    """

    name: str
    source: str
    dataset: str
    space: str
    metrics: frozenset[Metric]

    def query(self, architectures: Sequence[str], metric: Metric) -> NDArray[np.float64]:
        """The metric of each architecture, in the order asked: [n].

        Raises:
            MetricUnavailableError: the source does not hold the metric; nothing stands in for it.
            InvalidArchitectureError: a string is not a member of the search space.
            DataError: a valid architecture is missing from the source.
        """
        ...

    def optimum(self, metric: Metric) -> tuple[str, float]:
        """The best architecture of all and its value: for reports after a search, never in one.

        Raises:
            MetricUnavailableError: as ``query``.
        """
        ...

    def measurements(self, architecture: str) -> Mapping[str, float | None]:
        """What else the source knows of one architecture, for reports; None where it is silent."""
        ...
