"""How much a brief training tells of full training: read from the table, after all searches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.loading import load_benchmark

TOP = 100  # architectures that are "the best"


class Signal(NamedTuple):
    """Validation accuracy after few epochs, set against that after full training."""

    place: int  # of the architecture that is best after full training, from 1
    size: int  # architectures
    spearman: float  # rank correlation over all
    spearman_top: float  # over the ``TOP`` that are best after full training


def signal_of(brief: NDArray[np.float64], full: NDArray[np.float64]) -> Signal:
    """The signal of accuracies [n] after few epochs and [n] after all."""
    best = int(np.argmax(full))
    top = np.argsort(-full, kind="stable")[:TOP]
    return Signal(
        place=1 + int((brief > brief[best]).sum()),
        size=len(full),
        spearman=float(spearmanr(brief, full).statistic),
        spearman_top=float(spearmanr(brief[top], full[top]).statistic),
    )


def table_signal(source: str, dataset: str, epochs: int) -> Signal | None:
    """The signal of ``epochs`` of training in a benchmark; None where it cannot be listed."""
    benchmark = load_benchmark(source, dataset)
    table = benchmark.table([VALIDATION_ACCURACY])
    if table is None or epochs not in benchmark.epochs:
        return None
    brief = benchmark.query(table["architecture"].tolist(), VALIDATION_ACCURACY, epochs)
    return signal_of(np.asarray(brief), table[VALIDATION_ACCURACY].to_numpy(dtype=np.float64))
