"""Source ``hw_nas_bench_pickle``: HW-NAS-Bench v1.0 in its own file, ``HW-NAS-Bench-v1_0.pickle``.

Layout: ``{"nasbench201": {dataset: {"edgegpu_latency": [a number per cell], ..., "config":
[{"arch_str": architecture string, ...}, ...]}}, ...}``; the i-th number is of the i-th config.
Units and marks as in ``hw_nas_bench``; other search spaces in the file are left alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from optiproxy_nas.benchmarks.readers.hw_nas_bench import (
    COLUMNS,
    check_names,
    hardware_rows,
    measurements,
)
from optiproxy_nas.benchmarks.readers.hw_nas_bench import SOURCE as CSV_SOURCE
from optiproxy_nas.benchmarks.sources import RawFile
from optiproxy_nas.benchmarks.unpickle import NUMPY_SCALARS
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError
from optiproxy_nas.spaces.nb201 import NASBench201

_NAME = "HW-NAS-Bench-v1_0.pickle"
_CONFIG = "config"


def read(file: RawFile, content: Any) -> pd.DataFrame:
    """Tidy rows of one dataset.

    Raises:
        DataError: another layout, column, cell or number; which, and at which index.
    """
    try:
        table = content["nasbench201"][file.key]
        names = list(table)
        check_names(file.name, names, [*COLUMNS, _CONFIG])
        configs = list(table[_CONFIG])
        architectures = [config["arch_str"] for config in configs]
    except (AttributeError, LookupError, TypeError) as error:
        raise DataError(
            f"{file.name} has another layout than {{'nasbench201': {{{file.key!r}: "
            "{'edgegpu_latency': [...], ..., 'config': [{'arch_str': ...}, ...]}}}: "
            f"{type(error).__name__}: {error}.",
            file=file.name,
        ) from error
    places = [f"index {i} of {file.key}" for i in range(len(configs))]
    codes = _codes(file.name, architectures, places)
    measured = {
        name: measurements(file.name, name, _floats(file.name, name, table[name], places), places)
        for name in COLUMNS
    }
    return hardware_rows(file, codes, measured, places)


def _codes(path: str, architectures: list[Any], places: list[str]) -> torch.Tensor:
    space = NASBench201()
    try:
        return space.from_string(architectures)
    except InvalidArchitectureError as error:
        at = architectures.index(error.data["architecture"])
        raise DataError(f"{path}, {places[at]}: {error.message}", file=path) from error


def _floats(path: str, name: str, values: Any, places: list[str]) -> NDArray[np.float64]:
    """One column as numbers [n]."""
    if not isinstance(values, list) or len(values) != len(places):
        found = f"{len(values)} values" if isinstance(values, list) else type(values).__name__
        raise DataError(
            f"{path}: {name} is {found}, not a list of {len(places)} numbers, one a config.",
            file=path,
            column=name,
        )
    for place, value in zip(places, values, strict=True):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(
                f"{path}, {place}: {name} is {value!r}, which is no number.",
                file=path,
                column=name,
            )
    return np.array(values, dtype=np.float64)


SOURCE = replace(
    CSV_SOURCE,
    name="hw_nas_bench_pickle",
    licence="MIT (HW-NAS-Bench)",
    homepage="https://github.com/GATECH-EIC/HW-NAS-Bench",
    obtain=f"The repository's README links the download of {_NAME}; other files of the same values "
    "are read by source=hw_nas_bench.",
    files=tuple(
        RawFile(_NAME, dataset, key=key)
        for dataset, key in (
            ("cifar10", "cifar10"),
            ("cifar100", "cifar100"),
            ("imagenet16-120", "ImageNet16-120"),
        )
    ),
    read=read,
    parse=None,
    allowed_globals=NUMPY_SCALARS,
)
