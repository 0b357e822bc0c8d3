"""Read sources ``nb101_table`` and ``nb101_validation``: NAS-Bench-101 in one NumPy archive.

Arrays of ``nb101_table.npz``, one entry a cell (423,624, sorted by the benchmark's hash):
``num_vertices``; ``edge_bits``, whose k-th bit is the k-th pair i < j, row by row, of a cell with
so many vertices; ``ops`` [n, 5] of 0 conv3x3, 1 conv1x1, 2 maxpool3x3, 255 unused; ``params``;
``mean_test_count_of_29952``, right answers on the 9,984 test images summed over three trainings
for 108 epochs. For 30,001 of the cells (``val_index``) one training each for 4, 12, 36 and 108
epochs: ``val_count_of_9984_epochs_4_12_36_108`` right answers on the validation images, and
``val_training_time``, seconds for 108 epochs.

So the values of all cells are of the TEST images, and a search on them is none that could be run in
earnest; validation accuracies are a source of their own. Both are of real trainings, each number of
epochs with its own cosine schedule: none is an earlier moment of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.file_formats import npz_arrays
from optiproxy_nas.benchmarks.nb101 import BEST_TEST_ACCURACY, EPOCHS, NB101
from optiproxy_nas.benchmarks.sources import Contents, Publication, RawFile, Source
from optiproxy_nas.benchmarks.tidy_table import common_metrics, tidy
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.spaces.nb101.isomorphism import CODE_LENGTH, canonicalise
from optiproxy_nas.spaces.nb101.notation import embed, to_strings

Arrays = Mapping[str, NDArray[Any]]

_IMAGES = 9_984  # in the validation set, and in the test set
_TEST_RUNS = 3


def codes_of(arrays: Arrays) -> Tensor:
    """Return canonical codes [n, 26] of the cells of the archive, in its order."""
    sizes = arrays["num_vertices"]
    codes = torch.zeros(len(sizes), CODE_LENGTH, dtype=torch.int64)
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        matrices = np.zeros((len(rows), size, size), dtype=np.int64)
        for bit, (i, j) in enumerate(combinations(range(size), 2)):
            matrices[:, i, j] = (arrays["edge_bits"][rows] >> bit) & 1
        operations = arrays["ops"][rows, : size - 2]
        codes[torch.from_numpy(rows)] = embed(matrices, operations)
    return canonicalise(codes)


def read(file: RawFile, arrays: Arrays) -> pd.DataFrame:
    """Return tidy rows of all cells: mean test accuracy of three trainings for 108 epochs."""
    codes = codes_of(arrays)
    metrics = {
        TEST_ACCURACY: _percent_of_test(arrays, slice(None)),
        "parameters_millions": arrays["params"] / 1e6,
    }
    return tidy(NB101, codes, file.dataset, metrics, architectures=to_strings(codes))


def read_validation(file: RawFile, arrays: Arrays) -> pd.DataFrame:
    """Return tidy rows of the cells with a validation accuracy, four numbers of epochs each."""
    rows = arrays["val_index"]
    chosen = {name: arrays[name][rows] for name in ("num_vertices", "edge_bits", "ops")}
    codes = codes_of(chosen)
    texts = to_strings(codes)
    counts = arrays["val_count_of_9984_epochs_4_12_36_108"]
    tables = []
    for column, epochs in enumerate(EPOCHS):
        full = epochs == EPOCHS[-1]
        tables.append(
            tidy(
                NB101,
                codes,
                file.dataset,
                {
                    VALIDATION_ACCURACY: counts[:, column] / _IMAGES * 100,
                    TEST_ACCURACY: _percent_of_test(arrays, rows) if full else np.nan,
                    "parameters_millions": arrays["params"][rows] / 1e6,
                    "training_seconds": arrays["val_training_time"] if full else np.nan,
                },
                epochs=epochs,
                architectures=texts,
            )
        )
    return pd.concat(tables, ignore_index=True)


def _percent_of_test(arrays: Arrays, rows: slice | NDArray[Any]) -> Floats:
    right = arrays["mean_test_count_of_29952"][rows]
    return np.asarray(right / (_IMAGES * _TEST_RUNS) * 100)


_MEAN_TEST = "percent of the test images, mean over three trainings for 108 epochs"
_PUBLICATION = Publication(
    version="NAS-Bench-101, all 423,624 cells: mean accuracy of three trainings for 108 epochs on "
    "the test images",
    licence="Apache-2.0 (NAS-Bench-101 values); MIT (FreeREA, which the test accuracies are read "
    "from); none stated for nasbench-vis, which the validation accuracies are read from",
    homepage="https://github.com/google-research/nasbench",
    obtain="It is no published file but one made of published values; docs/nas-bench-101.md says "
    "of which, and what its arrays are. The benchmark's own file serves as well: "
    "source=nb101_tfrecord.",
    files=(
        RawFile(
            "nb101_table.npz",
            "cifar10",
            sha256="399f9094d82183c1e1b6c2085a6ab2016cf3a259d4e780e8b82b66b959d34e49",
            size=3_329_388,
        ),
    ),
)

SOURCE = Source(
    name="nb101_table",
    family=NB101,
    publication=_PUBLICATION,
    contents=Contents(
        metrics={TEST_ACCURACY: _MEAN_TEST, **common_metrics("parameters_millions")},
        epochs=(EPOCHS[-1],),
        target=TEST_ACCURACY,
        optimum={"cifar10": BEST_TEST_ACCURACY},
        caution="These are accuracies on the TEST images, searched because no validation "
        "accuracies of all NAS-Bench-101 cells are in this source: never to be set beside "
        "validation figures.",
        obtain_curves="Accuracies after fewer epochs are in source=nb101_validation (30,001 cells) "
        "and source=nb101_full_tfrecord (all cells).",
    ),
    read=read,
    parse=npz_arrays,
)

VALIDATION = Source(
    name="nb101_validation",
    family=NB101,
    publication=replace(
        _PUBLICATION,
        version="NAS-Bench-101, 30,001 of 423,624 cells: validation accuracy of one training after "
        "4, 12, 36 and 108 epochs, each a schedule of its own",
    ),
    contents=Contents(
        metrics={
            VALIDATION_ACCURACY: "percent of the validation images, one training",
            TEST_ACCURACY: _MEAN_TEST,
            **common_metrics("parameters_millions", "training_seconds"),
        },
        epochs=EPOCHS,
        partial=True,
        incomplete="it holds 30,001 of the 423,624 cells of NAS-Bench-101, so most of what a "
        "search asks for is not there. Take source=nb101_full_tfrecord for such values of all "
        "cells.",
    ),
    read=read_validation,
    parse=npz_arrays,
)
