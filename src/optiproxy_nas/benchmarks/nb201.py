"""NAS-Bench-201: its constants, and what the readers of its files share.

Rows by epoch of training, and checks whose messages name file and cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.benchmarks.sources import BenchmarkFamily
from optiproxy_nas.benchmarks.tidy_table import tidy
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError
from optiproxy_nas.spaces.nb201 import NASBench201

NB201 = BenchmarkFamily(
    name="nb201", space="nb201", source="embedded", full_epochs=200, cells=15_625
)
# Dataset -> its name in the files of NASLib and NATS-Bench.
KEYS = {"cifar10": "cifar10-valid", "cifar100": "cifar100", "imagenet16-120": "ImageNet16-120"}
# What to fetch where a source lacks accuracies after fewer epochs: text for messages.
OBTAIN_CURVES = (
    "Accuracies after fewer epochs come from other files: join the 12-epoch schedule (source="
    "v1_0+schedule12 or embedded+schedule12), or use per-epoch curves (source=naslib_curves or "
    "natsbench_curves); docs/low-fidelity-data.md says where to get and put them."
)
_SPACE = NASBench201()


def curve_rows(
    codes: Tensor, dataset: str, epochs: Sequence[int], metrics: Mapping[str, Floats]
) -> pd.DataFrame:
    """Return tidy rows of n cells after each of k numbers of epochs.

    Args:
        codes: [n, 6].
        dataset: the tidy name of the dataset.
        epochs: the k numbers.
        metrics: name -> [n, k].
    """
    cells = tidy(NB201, codes, dataset, {})
    return pd.concat(
        [
            cells.assign(epochs=np.int16(number), **{m: v[:, i] for m, v in metrics.items()})
            for i, number in enumerate(epochs)
        ],
        ignore_index=True,
    )


def percentages(values: Floats, cells: Sequence[str], file: str, what: str) -> Floats:
    """Return the values unchanged if all are finite and within 0 to 100.

    Args:
        values: [n] or [n, k], a row per cell.
        cells: the n cells, for the message.
        file: the file's name, for the message.
        what: what the values are, a plural.

    Raises:
        DataError: the first value that is none.
    """
    wrong = ~((values >= 0) & (values <= 100))  # NaN is in no range
    if wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        entry = f", entry {first[1]}," if len(first) == 2 else ""
        raise spoilt(
            file, cells[first[0]], f"of the {what}{entry} {values[first]} is not a percentage"
        )
    return values


def numbers(values: Any, file: str, cell: str, what: str) -> Floats:
    """Return a list of k numbers as an array [k].

    Raises:
        DataError: it is not a flat list of numbers.
    """
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise spoilt(file, cell, f"the {what} are not numbers ({error})") from error
    if found.ndim != 1:
        raise spoilt(file, cell, f"the {what} are not a list of numbers")
    return found


def codes_of(keys: list[Any]) -> Tensor:
    """Return codes [n, 6] of architecture strings and NASLib's tuples, in their order.

    Raises:
        InvalidArchitectureError: a key is no cell.
    """
    codes = torch.empty(len(keys), 6, dtype=torch.int64)
    is_tuple = torch.tensor([isinstance(key, tuple) for key in keys], dtype=torch.bool)
    notations: tuple[tuple[Tensor, Callable[[list[Any]], Tensor]], ...] = (
        (is_tuple, _SPACE.from_naslib),
        (~is_tuple, _SPACE.from_string),
    )
    for chosen, parse in notations:
        codes[chosen] = parse([keys[i] for i in chosen.nonzero().flatten().tolist()])
    return codes


def code_of(cell: Any, file: str) -> Tensor:
    """Return the code [1, 6] of a NAS-Bench-201 cell: its string, or NASLib's tuple of six indices.

    Raises:
        DataError: it is no such cell.
    """
    try:
        return _SPACE.from_naslib([cell]) if isinstance(cell, tuple) else _SPACE.from_string([cell])
    except InvalidArchitectureError as error:
        raise DataError(f"{file}: {error.message}", file=file, **error.data) from error


def spoilt(file: str, cell: Any, what: str) -> DataError:
    """Return the error for a cell that is not what the file's layout promises."""
    return DataError(
        f"{file}, cell {cell}: {what}. Replace the file with a fresh copy; "
        "docs/low-fidelity-data.md tells its layout.",
        file=file,
        cell=cell,
    )
