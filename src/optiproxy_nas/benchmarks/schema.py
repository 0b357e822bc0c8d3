"""The tidy table, the one form in which every source reaches the rest of the project.

One row per architecture x dataset x epochs of training, sorted by dataset, epochs and code:
``architecture``, ``code_0`` .. ``code_{L-1}``, ``dataset``, ``epochs``, then the metrics of the
source. ``columns`` documents them, and the data card repeats it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.spaces import get_space

KEY = ("architecture", "dataset", "epochs")
# The epochs of a row that stands for no training: a device's measurements.
UNTRAINED = 0
# Metrics that several sources hold.
METRICS: Mapping[str, str] = {
    "validation_accuracy": "percent of the validation images, mean over the training seeds",
    "test_accuracy": "percent of the test images, mean over the training seeds",
    "training_seeds": "trainings behind the accuracy",
    "latency_ms": "milliseconds of a forward pass, as the source timed it",
    "parameters_millions": "trainable parameters, millions",
    "flops_millions": "floating-point operations of a forward pass of one image, millions",
    "training_seconds": "seconds of one training",
}


def columns(source: Source) -> dict[str, str]:
    """Column -> type, meaning and unit, in the order of the source's table."""
    length = get_space(source.space).code_length
    return {
        "architecture": "str: the search space's own notation",
        **{
            f"code_{i}": f"int8: position {i} of the architecture's code (order of the space)"
            for i in range(length)
        },
        "dataset": "str: the images that the accuracies are of",
        "epochs": f"int16: epochs of training behind the row; {UNTRAINED}: none",
        **{name: f"float64: {meaning}" for name, meaning in source.metrics.items()},
    }


def tidy(
    codes: torch.Tensor,
    dataset: str,
    metrics: Mapping[str, ArrayLike],
    *,
    space: str = "nb201",
    epochs: ArrayLike = 200,
) -> pd.DataFrame:
    """Rows of n architectures on one dataset.

    Args:
        codes: [n, L] in the code order of the space.
        dataset: the tidy name of the dataset.
        metrics: name -> [n] or one value for all. Percent, or the unit in the name. NaN: the
            source does not say. +inf: the architecture cannot run on that device.
        space: the registered search space of the codes.
        epochs: of training behind the values: one number, or [n]. ``UNTRAINED`` where the values
            are of the architecture, not of a training.
    """
    rows = pd.DataFrame(
        codes.numpy().astype(np.int8), columns=[f"code_{i}" for i in range(codes.shape[1])]
    )
    rows.insert(0, "architecture", get_space(space).to_string(codes))
    rows["dataset"] = dataset
    rows["epochs"] = np.asarray(epochs, dtype=np.int16)
    for name, values in metrics.items():
        rows[name] = np.asarray(values, dtype=np.float64)
    return rows


def assemble(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several files or sources as one table in the canonical order."""
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values(["dataset", "epochs", *code_names(table)], ignore_index=True)


def code_names(table: pd.DataFrame) -> list[str]:
    """The columns ``code_0`` .. ``code_{L-1}`` of a tidy table."""
    names = (str(name) for name in table.columns if str(name).startswith("code_"))
    return sorted(names, key=lambda name: int(name.removeprefix("code_")))


def metric_names(table: pd.DataFrame) -> list[str]:
    """The columns of a tidy table that hold measurements."""
    others = {*KEY, *code_names(table)}
    return [str(name) for name in table.columns if name not in others]


def table_digest(table: pd.DataFrame) -> str:
    """SHA-256 over columns and values: the same for a table read back from any file format."""
    digest = hashlib.sha256()
    for column in table.columns:
        values = table[column]
        digest.update(f"{column}\0".encode())
        if pd.api.types.is_numeric_dtype(values.dtype):
            digest.update(values.to_numpy(dtype="<f8", na_value=np.nan).tobytes())
        else:
            digest.update("\n".join(values).encode())
    return digest.hexdigest()


def wrong(source: Source, what: str) -> DataError:
    """The error for a table that is not what its source claims."""
    return DataError(
        f"The table of source {source.name!r} ({source.version}) is not what it should be: {what}.",
        source=source.name,
    )
