"""The tidy table, the one form in which every source reaches the rest of the project.

One row per architecture x dataset x split, sorted by dataset, split and code. ``COLUMNS`` is
the documentation of the columns, and the data card repeats it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from optiproxy_nas.benchmarks.base import Metric
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.errors import DataError
from optiproxy_nas.spaces import get_space

COLUMNS: Mapping[str, str] = {
    "architecture": "str: the search space's own notation",
    **{f"op_{i}": f"int8: operation at code position {i} (order of the space)" for i in range(6)},
    "dataset": "str: cifar10, cifar100 or imagenet16-120",
    "split": "str: validation or test, the images that the accuracy is of",
    "accuracy": "float64: percent, mean over the training seeds",
    "training_seeds": "Int16: trainings behind the accuracy; <NA> where the source does not say",
    "latency_seconds": "float64: forward pass as the source timed it; NaN where unknown",
    "parameters_millions": "float64: trainable parameters; NaN where unknown",
    "training_seconds": "float64: one full training; NaN where unknown",
}
_KEY = ["architecture", "dataset", "split"]
_ORDER = ["dataset", "split", *(f"op_{i}" for i in range(6))]
# Half a unit of the third decimal, to which the optima are published.
_OPTIMUM_TOLERANCE = 5e-4


def tidy(
    codes: torch.Tensor,
    dataset: str,
    accuracy: Mapping[Metric, ArrayLike],
    *,
    space: str = "nb201",
    training_seeds: ArrayLike | None = None,
    latency_seconds: ArrayLike | None = None,
    parameters_millions: ArrayLike | None = None,
    training_seconds: ArrayLike | None = None,
) -> pd.DataFrame:
    """Rows of n cells on one dataset, for each split in ``accuracy``.

    Args:
        codes: [n, 6] operations in code order.
        dataset: the tidy name of the dataset.
        accuracy: metric -> [n] percent.
        space: the registered search space of the codes.
        training_seeds: [n] counts, or None where unknown; likewise the three costs, [n].
    """
    cells = pd.DataFrame(
        codes.numpy().astype(np.int8), columns=[f"op_{i}" for i in range(codes.shape[1])]
    )
    cells.insert(0, "architecture", get_space(space).to_string(codes))
    cells["dataset"] = dataset
    known = {
        "training_seeds": training_seeds,
        "latency_seconds": latency_seconds,
        "parameters_millions": parameters_millions,
        "training_seconds": training_seconds,
    }
    for column, values in known.items():
        cells[column] = np.asarray(np.nan if values is None else values, dtype=np.float64)
    cells = cells.astype({"training_seeds": "Int16"})
    splits = [
        cells.assign(split=metric.split_name, accuracy=np.asarray(values, dtype=np.float64))
        for metric, values in accuracy.items()
    ]
    return pd.concat(splits, ignore_index=True)[list(COLUMNS)]


def assemble(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Join the rows of several files into one table in the canonical order."""
    return pd.concat(parts, ignore_index=True).sort_values(_ORDER, ignore_index=True)


def check_table(table: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the table unchanged if it is what its source claims to be.

    Raises:
        DataError: a cell twice, an impossible accuracy, cells missing, or another optimum.
    """
    twice = table.duplicated(_KEY)
    if twice.any():
        raise _wrong(source, f"{table.loc[twice, _KEY].iloc[0].tolist()} occurs twice")
    accuracy = table["accuracy"]
    impossible = ~accuracy.between(0, 100)  # NaN is not between
    if impossible.any():
        row = table.loc[impossible].iloc[0]
        raise _wrong(
            source,
            f"{row['split']} accuracy {row['accuracy']} of {row['architecture']} on "
            f"{row['dataset']} is not a percentage",
        )
    if not source.partial:
        counts = table.groupby(["dataset", "split"]).size().to_dict()
        expected = {
            (file.dataset, metric.split_name): source.cells
            for file in source.files
            for metric in source.metrics
        }
        if counts != expected:
            raise _wrong(source, f"it has {counts} cells, expected {expected}")
    validation = table[table["split"] == Metric.VALIDATION_ACCURACY.split_name]
    best = validation.groupby("dataset")["accuracy"].max()
    for dataset, found in best.items():
        known = source.optimum.get(str(dataset), found)
        if abs(found - known) > _OPTIMUM_TOLERANCE:
            raise _wrong(
                source,
                f"the best validation accuracy on {dataset} is {found:.4f}, but {known} is known",
            )
    return table


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


def _wrong(source: Source, what: str) -> DataError:
    return DataError(
        f"The table of source {source.name!r} ({source.version}) is not what it should be: {what}.",
        source=source.name,
    )
