"""Whether a tidy table is what its source claims to be: asked at ingest, before any query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.schema import KEY, UNTRAINED, columns, wrong
from optiproxy_nas.benchmarks.sources import Source

# Half a unit of the third decimal, to which the optima are published.
_OPTIMUM_TOLERANCE = 5e-4
_GROUP = ["dataset", "epochs"]


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
    for name in source.metrics:
        _check_metric(table, name, source)
    _check_optimum(table, source)
    return table


def _check_cells(table: pd.DataFrame, source: Source) -> None:
    twice = table.duplicated([*KEY])
    if twice.any():
        raise wrong(source, f"{_where(table, twice)} occurs twice")
    counts = Counter(zip(table["dataset"], table["epochs"].tolist(), strict=True))
    epochs = source.epochs or (UNTRAINED,)
    complete = {(name, number): source.cells for name in source.datasets for number in epochs}
    if not source.partial and counts != complete:
        raise wrong(source, f"it has {_counted(counts)}, expected {_counted(complete)}")


def _check_metric(table: pd.DataFrame, name: str, source: Source) -> None:
    """No number is made up for NaN later on, so a metric is there for all cells or for none."""
    values = table[name]
    unknown = values.isna()
    if name == source.target:
        partly = unknown
    else:
        share = unknown.groupby([table[key] for key in _GROUP]).transform("mean")
        partly = unknown & (share < 1)
    if partly.any():
        raise wrong(
            source,
            f"{name} is not a number (NaN) for {int(partly.sum())} rows, the first of them "
            f"{_where(table, partly)}, while other cells have one. A metric is there for all "
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
            source, f"{name} {values[impossible].iloc[0]} of {_where(table, impossible)} {what}"
        )


def _check_optimum(table: pd.DataFrame, source: Source) -> None:
    if source.target not in source.metrics:
        return
    trained = table[table["epochs"] == source.epochs[-1]]
    for dataset, found in trained.groupby("dataset")[source.target].max().items():
        known = source.optimum.get(str(dataset), found)
        if abs(found - known) > _OPTIMUM_TOLERANCE:
            raise wrong(
                source,
                f"the best {source.target.replace('_', ' ')} on {dataset} is {found:.4f}, but "
                f"{known} is known",
            )


def _where(table: pd.DataFrame, rows: pd.Series) -> str:
    """The first of the rows that are marked, in words."""
    row = table.loc[rows].iloc[0]
    trained = "" if row["epochs"] == UNTRAINED else f" after {row['epochs']} epochs"
    return f"{row['architecture']} on {row['dataset']}{trained}"


def _counted(counts: Mapping[tuple[str, int], int]) -> str:
    return ", ".join(
        f"{count} cells of {dataset}" + ("" if epochs == UNTRAINED else f" at {epochs} epochs")
        for (dataset, epochs), count in sorted(counts.items())
    )
