"""Sources ``nb101_tfrecord`` and ``nb101_full_tfrecord``: NAS-Bench-101 as published.

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
from optiproxy_nas.benchmarks.readers.nb101_table import EPOCHS
from optiproxy_nas.benchmarks.schema import METRICS, tidy
from optiproxy_nas.benchmarks.sources import RawFile, Source
from optiproxy_nas.benchmarks.tfrecord import Record, fields, records
from optiproxy_nas.errors import DataError, InvalidArchitectureError
from optiproxy_nas.spaces.nb101.cells import (
    CODE_LENGTH,
    OPERATIONS,
    VERTICES,
    canonicalise,
    is_valid,
)
from optiproxy_nas.spaces.nb101.notation import INPUT, OUTPUT, embed, from_nasbench

CELLS = 423_624
BEST_TEST_ACCURACY = 94.3176  # percent, mean of three trainings for 108 epochs, of all cells
_FINAL = 2  # of the evaluations of a training: before, halfway, after
_INDEX = {name: i for i, name in enumerate(OPERATIONS)}


def parse(content: bytes, path: str) -> dict[str, Any]:
    """The means of a file: ``{"codes": [n, 26], name: [n] ...}``, a row a cell and epochs.

    Raises:
        DataError: the file is truncated or damaged, or a record has another layout: which one.
    """
    numbers: dict[str, int] = {}  # hash -> cell
    cells: list[tuple[str, str, Record]] = []
    cell, epochs = array("q"), array("q")  # 64 bits everywhere, as ``_means`` shifts them
    values = array("d")
    for record in records(content, path):
        try:
            name, trained, adjacency, operations, metrics = json.loads(record.data)
            row = _final(_decoded(metrics))
            if not 0 < trained < 1 << 15:
                raise ValueError(f"it was trained for {trained} epochs")
            epochs.append(trained)
            number = numbers.setdefault(name, len(numbers))
        except (ValueError, TypeError, OverflowError) as error:
            raise _unlike(path, record, str(error)) from error
        if number == len(cells):
            # The data is not kept: only what names the record in a message.
            cells.append((adjacency, operations, record._replace(data=b"")))
        cell.append(number)
        values.extend(row)
    if not cells:
        raise DataError(f"{path} holds no record.", file=path)
    codes = _codes(cells, path)
    return _means(codes, np.array(cell), np.array(epochs), np.array(values).reshape(-1, 4))


def _decoded(metrics: Any) -> bytes:
    """Bytes of base64, in one line or in several (as Python's ``encodebytes`` writes it).

    Raises:
        ValueError, TypeError: it is not base64.
    """
    if not isinstance(metrics, str):
        raise TypeError("its metrics are not a text")
    return base64.b64decode(b"".join(metrics.encode("ascii").split()), validate=True)


def _final(message: bytes) -> tuple[float, float, float, float]:
    """Validation and test accuracy, seconds and parameters of one training's protocol buffer.

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
    seconds, validation, test = last.get(2), last.get(4), last.get(5)
    for what, share in (("validation", validation), ("test", test)):
        if not isinstance(share, float) or not 0 <= share <= 1:
            raise ValueError(f"its {what} accuracy after training is {share!r}, not a share of 1")
    if not isinstance(seconds, float) or not 0 < seconds < math.inf:
        raise ValueError(f"its training time is {seconds!r}, not a number of seconds")
    return validation, test, seconds, parameters  # type: ignore[return-value]


def _codes(cells: list[tuple[str, str, Record]], path: str) -> Tensor:
    """Canonical codes [m, 26] of the cells, by size all at once."""
    sizes = np.array([_size(*cell, path) for cell in cells])
    codes = torch.zeros(len(cells), CODE_LENGTH, dtype=torch.int64)
    known: dict[str, list[int]] = {}
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        text = "".join(cells[row][0] for row in rows).encode()
        matrices = (np.frombuffer(text, dtype=np.uint8) - ord("0")).reshape(-1, size, size)
        operations = np.zeros((len(rows), size - 2), dtype=np.int64)
        for place, row in enumerate(rows):
            names = cells[row][1]
            if names not in known:
                known[names] = [_INDEX.get(name, -1) for name in names.split(",")[1:-1]]
            operations[place] = known[names]
        codes[torch.from_numpy(rows)] = embed(matrices, operations)
        odd = (matrices > 1).any((1, 2)) | np.tril(matrices).any((1, 2)) | (operations < 0).any(1)
        if odd.any():
            raise _no_cell(*cells[int(rows[odd.argmax()])], path)
    valid = is_valid(codes).numpy()
    if not valid.all():
        raise _no_cell(*cells[int((~valid).argmax())], path)
    return canonicalise(codes)


def _size(adjacency: Any, operations: Any, record: Record, path: str) -> int:
    """The vertices of a cell, whose two texts agree on them."""
    if not isinstance(adjacency, str) or not isinstance(operations, str):
        raise _unlike(path, record, "adjacency and operations are not texts")
    size = math.isqrt(len(adjacency))
    names = operations.count(",") + 1
    fits = size * size == len(adjacency) and names == size and 2 <= size <= VERTICES
    if not fits or not operations.startswith(f"{INPUT},") or not operations.endswith(f",{OUTPUT}"):
        raise _unlike(
            path,
            record,
            f"{len(adjacency)} adjacency entries and the operations {operations!r} do not make a "
            f"cell of up to {VERTICES} vertices from input to output",
        )
    return size


def _no_cell(adjacency: str, operations: str, record: Record, path: str) -> DataError:
    """The error for a cell that breaks a rule of the space, in the space's words."""
    size = math.isqrt(len(adjacency))
    entries = [int(sign) if sign in "0123456789" else 9 for sign in adjacency]
    try:
        from_nasbench([(np.array(entries).reshape(size, size), operations.split(","))])
    except InvalidArchitectureError as error:
        return _unlike(path, record, error.message)
    raise AssertionError(f"{adjacency} {operations} is a cell")  # pragma: no cover


def _unlike(path: str, record: Record, reason: str) -> DataError:
    return DataError(
        f"{path}: record {record.number}, which starts at byte {record.offset}, is not a training "
        f"of NAS-Bench-101: {reason}. Expected [hash, epochs, adjacency, operations, metrics].",
        file=path,
        record=record.number,
        byte=record.offset,
    )


def _means(
    codes: Tensor, cell: NDArray[Any], epochs: NDArray[Any], values: NDArray[np.float64]
) -> dict[str, Any]:
    """Means over the trainings of each cell with each number of epochs."""
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
    """Tidy rows of a file.

    Raises:
        DataError: all cells are there, but their best test accuracy is not the published one.
    """
    full = parsed["epochs"] == EPOCHS[-1]
    if full.sum() == CELLS:
        best = parsed[TEST_ACCURACY][full].max()
        if abs(best - BEST_TEST_ACCURACY) > 5e-4:
            raise DataError(
                f"{file.name}: the best mean test accuracy after 108 epochs is {best:.4f}, but "
                f"{BEST_TEST_ACCURACY} is known. It is not the published file.",
                file=file.name,
            )
    metrics = {name: parsed[name] for name in _METRICS}
    return tidy(parsed["codes"], file.dataset, metrics, space="nb101", epochs=parsed["epochs"])


_METRICS = {
    name: METRICS[name]
    for name in (
        VALIDATION_ACCURACY,
        TEST_ACCURACY,
        "training_seeds",
        "parameters_millions",
        "training_seconds",
    )
}


def _source(name: str, file: str, epochs: tuple[int, ...], version: str) -> Source:
    return Source(
        name=name,
        version=version,
        licence="Apache-2.0 (NAS-Bench-101)",
        homepage="https://github.com/google-research/nasbench",
        obtain=f"Download it from https://storage.googleapis.com/nasbench/{file} (no digest of it "
        "is pinned: its records carry checksums, which are checked, and the data card records the "
        "digest that was found).",
        files=(RawFile(file, "cifar10"),),
        read=read,
        metrics=_METRICS,
        parse=parse,
        epochs=epochs,
        full_epochs=EPOCHS[-1],
        cells=CELLS,
        benchmark="nb101",
        space="nb101",
        obtain_curves="Accuracies after 4, 12 and 36 epochs are in source=nb101_full_tfrecord "
        "(all cells) and source=nb101_validation (30,001 cells).",
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
