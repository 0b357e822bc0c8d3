"""Read sources ``nb101_tfrecord`` and ``nb101_full_tfrecord``: NAS-Bench-101 as published.

``nasbench_only108.tfrecord`` (about 500 MB) and ``nasbench_full.tfrecord`` (about 2 GB), read
without TensorFlow. A record is a JSON row ``[hash, epochs, adjacency, operations, metrics]``: one
training. ``adjacency`` is the flattened matrix as a text of 0 and 1, ``operations`` are names
joined by commas, ``metrics`` is a protocol buffer in base64 (nasbench/lib/model_metrics.proto)::

    ModelMetrics:    1 evaluation_data (repeated), 2 trainable_parameters, 3 total_time
    EvaluationData:  1 current_epoch, 2 training_time, 3 train_accuracy, 4 validation_accuracy,
                     5 test_accuracy, 6 checkpoint_path

The evaluations are before, halfway through and after the training; the last one counts. Accuracies
are shares; values are means over the three trainings of a cell with as many epochs. Each number of
epochs has its own cosine schedule, so none is an earlier moment of another.

Records are grouped by hash; that all records of a hash are of one cell, and that it is this cell's
hash, is checked (``nb101.cells_of``).
"""

from __future__ import annotations

import base64
import json
import math
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.nb101 import (
    BEST_TEST_ACCURACY,
    EPOCHS,
    NB101,
    Spelling,
    cells_of,
    unlike,
)
from optiproxy_nas.benchmarks.sources import Contents, Publication, RawFile, Source
from optiproxy_nas.benchmarks.tfrecord import fields, records
from optiproxy_nas.benchmarks.tidy_table import common_metrics, tidy
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError

_FINAL = 2  # of the evaluations of a training: before, halfway, after


def parse(content: bytes, path: str) -> dict[str, Any]:
    """Return the means of a file: ``{"codes": [n, 26], name: [n] ...}``, a row a cell and epochs.

    Raises:
        DataError: the file is truncated or damaged, a record has another layout, or its hash is
            that of another cell: which one.
    """
    rows: dict[tuple[str, str, str], int] = {}  # hash, adjacency, operations -> spelling
    spellings: list[Spelling] = []
    spelling, epochs = array("q"), array("q")  # 64 bits everywhere, as ``_means`` shifts them
    values = array("d")
    for record in records(content, path):
        try:
            name, trained, adjacency, operations, metrics = json.loads(record.data)
            if not isinstance(name, str):
                raise TypeError("its hash is not a text")
            final = _final(_decoded(metrics))
            if not 0 < trained < 1 << 15:
                raise ValueError(f"it was trained for {trained} epochs")
            epochs.append(trained)
            row = rows.setdefault((name, adjacency, operations), len(rows))
        except (ValueError, TypeError, OverflowError) as error:
            raise unlike(path, record, str(error)) from error
        if row == len(spellings):
            # The data is not kept: only what names the record in a message.
            spellings.append(Spelling(name, adjacency, operations, record._replace(data=b"")))
        spelling.append(row)
        values.extend(final)
    if not spellings:
        raise DataError(f"{path} holds no record.", file=path)
    codes, cells = cells_of(spellings, path)
    cell = cells[np.array(spelling)]
    return _means(codes, cell, np.array(epochs), np.array(values).reshape(-1, 4))


def _decoded(metrics: Any) -> bytes:
    """Decode base64 in one line or in several (as Python's ``encodebytes`` writes it).

    Raises:
        ValueError, TypeError: it is not base64.
    """
    if not isinstance(metrics, str):
        raise TypeError("its metrics are not a text")
    return base64.b64decode(b"".join(metrics.encode("ascii").split()), validate=True)


def _final(message: bytes) -> tuple[float, float, float, float]:
    """Return validation and test accuracy, seconds and parameters of one training.

    Raises:
        ValueError: a field is missing, of another type or impossible.
    """
    evaluations: list[bytes] = []
    parameters: Any = None
    for number, value in fields(message):
        if number == 1 and isinstance(value, bytes):
            evaluations.append(value)
        elif number == 2:
            parameters = value
    if len(evaluations) <= _FINAL:
        raise ValueError(f"its metrics have {len(evaluations)} evaluations, not 3")
    if not isinstance(parameters, int) or parameters <= 0:
        raise ValueError("its metrics have no number of parameters")
    last = dict(fields(evaluations[_FINAL]))
    validation, test = _share("validation", last.get(4)), _share("test", last.get(5))
    seconds = last.get(2)
    if not isinstance(seconds, float) or not 0 < seconds < math.inf:
        raise ValueError(f"its training time is {seconds!r}, not a number of seconds")
    return validation, test, seconds, parameters


def _share(what: str, value: Any) -> float:
    if not isinstance(value, float) or not 0 <= value <= 1:
        raise ValueError(f"its {what} accuracy after training is {value!r}, not a share of 1")
    return value


def _means(
    codes: Tensor, cell: NDArray[Any], epochs: NDArray[Any], values: Floats
) -> dict[str, Any]:
    """Return means over the trainings of each cell with each number of epochs."""
    group, inverse, counts = np.unique(
        cell * (1 << 20) + epochs, return_inverse=True, return_counts=True
    )
    means = [np.bincount(inverse, weights=column) / counts for column in values.T]
    return {
        "codes": codes[torch.from_numpy(group >> 20)],
        "epochs": group & ((1 << 20) - 1),
        VALIDATION_ACCURACY: means[0] * 100,
        TEST_ACCURACY: means[1] * 100,
        "training_seeds": counts,
        "parameters_millions": means[3] / 1e6,
        "training_seconds": means[2],
    }


def read(file: RawFile, parsed: Mapping[str, Any]) -> pd.DataFrame:
    """Return tidy rows of a file.

    Raises:
        DataError: all cells are there, but their best test accuracy is not the published one.
    """
    full = parsed["epochs"] == EPOCHS[-1]
    if full.sum() == NB101.cells:
        best = parsed[TEST_ACCURACY][full].max()
        if abs(best - BEST_TEST_ACCURACY) > 5e-4:
            raise DataError(
                f"{file.name}: the best mean test accuracy after 108 epochs is {best:.4f}, but "
                f"{BEST_TEST_ACCURACY} is known. It is not the published file.",
                file=file.name,
            )
    metrics = {name: parsed[name] for name in _METRICS}
    return tidy(NB101, parsed["codes"], file.dataset, metrics, parsed["epochs"])


_METRICS = common_metrics(
    VALIDATION_ACCURACY, TEST_ACCURACY, "training_seeds", "parameters_millions", "training_seconds"
)


def _source(name: str, file: str, epochs: tuple[int, ...], version: str) -> Source:
    return Source(
        name=name,
        family=NB101,
        publication=Publication(
            version=version,
            licence="Apache-2.0 (NAS-Bench-101)",
            homepage="https://github.com/google-research/nasbench",
            obtain=f"Download it from https://storage.googleapis.com/nasbench/{file} (no digest of "
            "it is pinned: its records carry checksums, which are checked, and the data card "
            "records the digest that was found).",
            files=(RawFile(file, "cifar10"),),
        ),
        contents=Contents(
            metrics=_METRICS,
            epochs=epochs,
            obtain_curves="Accuracies after 4, 12 and 36 epochs are in source=nb101_full_tfrecord "
            "(all cells) and source=nb101_validation (30,001 cells).",
        ),
        read=read,
        parse=parse,
    )


SOURCE = _source(
    "nb101_tfrecord",
    "nasbench_only108.tfrecord",
    (EPOCHS[-1],),
    "NAS-Bench-101 as published, nasbench_only108: means of three trainings for 108 epochs",
)
FULL = _source(
    "nb101_full_tfrecord",
    "nasbench_full.tfrecord",
    EPOCHS,
    "NAS-Bench-101 as published, nasbench_full: means of three trainings for 4, 12, 36 and 108 "
    "epochs each",
)
