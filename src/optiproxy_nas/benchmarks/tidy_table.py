"""The tidy table, the one form in which every source reaches the rest of the project.

One row per architecture x dataset x epochs of training, sorted by dataset, epochs and code:
``architecture``, ``code_0`` .. ``code_{L-1}``, ``dataset``, ``epochs``, then the metrics of the
source. ``columns`` documents them, and the data card repeats it. :func:`check_table` refuses, at
ingest and before any query, a table that is not what its source claims.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.sources import BenchmarkFamily, Source
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.spaces import get_space

KEY = ("architecture", "dataset", "epochs")
# The epochs of a row that stands for no training: a device's measurements.
UNTRAINED = 0
# Descriptions of metrics that several sources hold.
METRICS: Mapping[str, str] = {
    VALIDATION_ACCURACY: "percent of the validation images, mean over the training seeds",
    TEST_ACCURACY: "percent of the test images, mean over the training seeds",
    "training_seeds": "trainings behind the accuracy",
    "latency_ms": "milliseconds of a forward pass, as the source timed it",
    "parameters_millions": "trainable parameters, millions",
    "flops_millions": "floating-point operations of a forward pass of one image, millions",
    "training_seconds": "seconds of one training",
}
# Half a unit of the third decimal, to which the optima are published.
_OPTIMUM_TOLERANCE = 5e-4


def common_metrics(*names: str) -> dict[str, str]:
    """Return some of ``METRICS``: name -> description with unit."""
    return {name: METRICS[name] for name in names}


def columns(source: Source) -> dict[str, str]:
    """Return column -> type, meaning and unit, in the order of the source's table."""
    length = get_space(source.family.space).code_length
    return {
        "architecture": "str: the search space's own notation",
        **{
            f"code_{i}": f"int8: position {i} of the architecture's code (order of the space)"
            for i in range(length)
        },
        "dataset": "str: the images that the accuracies are of",
        "epochs": f"int16: epochs of training behind the row; {UNTRAINED}: none",
        **{name: f"float64: {meaning}" for name, meaning in source.contents.metrics.items()},
    }


def tidy(
    family: BenchmarkFamily,
    codes: torch.Tensor,
    dataset: str,
    metrics: Mapping[str, ArrayLike],
    epochs: ArrayLike | None = None,
    architectures: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the rows of n architectures of a benchmark on one dataset.

    Args:
        family: the benchmark, whose search space the codes are of.
        codes: [n, L] in the code order of the space.
        dataset: the tidy name of the dataset.
        metrics: name -> [n] or one value for all. Percent, or the unit in the name. NaN: the
            source does not say. +inf: the architecture cannot run on that device.
        epochs: of training behind the values: one number, or [n]. None: of full training;
            ``UNTRAINED`` where the values are of the architecture, not of a training.
        architectures: the texts of the codes, from a caller that has them already.
    """
    rows = pd.DataFrame(
        codes.numpy().astype(np.int8), columns=[f"code_{i}" for i in range(codes.shape[1])]
    )
    texts = get_space(family.space).to_string(codes) if architectures is None else architectures
    rows.insert(0, "architecture", texts)
    rows["dataset"] = dataset
    rows["epochs"] = np.asarray(family.full_epochs if epochs is None else epochs, dtype=np.int16)
    for name, values in metrics.items():
        rows[name] = np.asarray(values, dtype=np.float64)
    return rows


def assemble(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several files or sources as one table in the canonical order."""
    table = pd.concat(tables, ignore_index=True)
    return table.sort_values(["dataset", "epochs", *code_names(table)], ignore_index=True)


def code_names(table: pd.DataFrame) -> list[str]:
    """Return the columns ``code_0`` .. ``code_{L-1}`` of a tidy table."""
    names = (str(name) for name in table.columns if str(name).startswith("code_"))
    return sorted(names, key=lambda name: int(name.removeprefix("code_")))


def codes_of(table: pd.DataFrame) -> torch.Tensor:
    """Return the codes of a tidy table: int64 [n, L]."""
    return torch.from_numpy(table[code_names(table)].to_numpy().astype(np.int64))


def metric_names(table: pd.DataFrame) -> list[str]:
    """Return the columns of a tidy table that hold measurements."""
    others = {*KEY, *code_names(table)}
    return [str(name) for name in table.columns if name not in others]


def table_digest(table: pd.DataFrame) -> str:
    """Return a SHA-256 over columns and values, the same for a table read back from any file."""
    digest = hashlib.sha256()
    for column in table.columns:
        values = table[column]
        digest.update(f"{column}\0".encode())
        if pd.api.types.is_numeric_dtype(values.dtype):
            digest.update(values.to_numpy(dtype="<f8", na_value=np.nan).tobytes())
        else:
            digest.update("\n".join(values.to_numpy(dtype=object)).encode())
    return digest.hexdigest()


def wrong(source: Source, what: str) -> DataError:
    """Return the error for a table that is not what its source claims."""
    return DataError(
        f"The table of source {source.name!r} ({source.publication.version}) is not what it should "
        f"be: {what}.",
        source=source.name,
    )


def check_table(table: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the table unchanged if it is what its source claims to be.

    Raises:
        DataError: other columns, a cell twice, an impossible accuracy, a metric that some cells
            of a dataset have and others lack, cells missing, or another optimum.
    """
    expected, found = list(columns(source)), [str(name) for name in table.columns]
    if found != expected:
        raise wrong(source, f"it has the columns {', '.join(found)}, not {', '.join(expected)}")
    _check_cells(table, source)
    for name in source.contents.metrics:
        _check_metric(table, name, source)
    _check_optimum(table, source)
    return table


def _check_cells(table: pd.DataFrame, source: Source) -> None:
    twice = table.duplicated([*KEY])
    if twice.any():
        raise wrong(source, f"{_first_row(table, twice)} occurs twice")
    if source.contents.partial or source.family.cells is None:
        return
    counts = Counter(zip(table["dataset"], table["epochs"].tolist(), strict=True))
    epochs = source.contents.epochs or (UNTRAINED,)
    cells = source.family.cells
    complete = {(name, number): cells for name in source.datasets for number in epochs}
    if counts != complete:
        raise wrong(source, f"it has {_counted(counts)}, expected {_counted(complete)}")


def _check_metric(table: pd.DataFrame, name: str, source: Source) -> None:
    """Refuse a metric with gaps: no number is made up for NaN later on."""
    values = table[name]
    unknown = values.isna()
    if name == source.contents.target:
        partly = unknown
    else:
        share = unknown.groupby([table["dataset"], table["epochs"]]).transform("mean")
        partly = unknown & (share < 1)
    if partly.any():
        raise wrong(
            source,
            f"{name} is not a number (NaN) for {int(partly.sum())} rows, the first of them "
            f"{_first_row(table, partly)}, while other cells have one. A metric is there for all "
            "cells of a dataset or for none",
        )
    if name in (VALIDATION_ACCURACY, TEST_ACCURACY):
        impossible = ~values.between(0, 100) & ~unknown
        what = "is not a percentage"
    else:
        impossible = values == -np.inf
        what = "is no measurement"
    if impossible.any():
        raise wrong(
            source, f"{name} {values[impossible].iloc[0]} of {_first_row(table, impossible)} {what}"
        )


def _check_optimum(table: pd.DataFrame, source: Source) -> None:
    contents = source.contents
    if contents.target not in contents.metrics:
        return
    trained = table[table["epochs"] == contents.epochs[-1]]
    best = "max" if contents.direction == "maximize" else "min"
    for dataset, found in trained.groupby("dataset")[contents.target].agg(best).items():
        published = contents.optimum.get(str(dataset), found)
        if abs(found - published) > _OPTIMUM_TOLERANCE:
            raise wrong(
                source,
                f"the best {contents.target.replace('_', ' ')} on {dataset} is {found:.4f}, but "
                f"{published} is known",
            )


def _first_row(table: pd.DataFrame, rows: pd.Series) -> str:
    """Return the first of the marked rows in words."""
    row = table.loc[rows].iloc[0]
    trained = "" if row["epochs"] == UNTRAINED else f" after {row['epochs']} epochs"
    return f"{row['architecture']} on {row['dataset']}{trained}"


def _counted(counts: Mapping[tuple[str, int], int]) -> str:
    return ", ".join(
        f"{count} cells of {dataset}" + ("" if epochs == UNTRAINED else f" at {epochs} epochs")
        for (dataset, epochs), count in sorted(counts.items())
    )
