"""Read sources ``natsbench_curves`` and ``natsbench_schedule12``: a file a cell of NATS-Bench.

One bzip2-compressed pickle a cell (``000123.pickle.pbz2``) with two sets of hyper-parameters:
``"200"``, full training, and ``"12"``, a schedule of its own annealed within 12 epochs. A set is
``{"arch_index", "arch_str", "all_results": {(dataset, seed): {"eval_acc1es": {"x-valid@0":
percent, ...}, ...}}, ...}``; epochs count from 0. Of ``eval_acc1es`` only ``x-valid`` entries are
read, the validation images: ``ori-test`` and ``x-test`` have test images in them. In set ``"200"``
they exist at every epoch for CIFAR-10 (``cifar10-valid``), at the last one only for CIFAR-100 and
ImageNet16-120, so that ``natsbench_curves`` holds learning curves of CIFAR-10 alone.
``natsbench_schedule12`` holds, for all three, 12 epochs of set ``"12"`` beside 200 of the other.

Files with network weights are read, too: stand-ins drop the weights, and torch loads nothing.
Values are means over the training seeds of a set.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.file_formats import bz2_pickle
from optiproxy_nas.benchmarks.nb201 import (
    KEYS,
    NB201,
    OBTAIN_CURVES,
    code_of,
    curve_rows,
    numbers,
    percentages,
    spoilt,
)
from optiproxy_nas.benchmarks.plain_pickle import NUMPY_SCALARS
from optiproxy_nas.benchmarks.sources import Contents, Publication, RawFile, Source
from optiproxy_nas.benchmarks.tidy_table import common_metrics
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError

TRAINING_SEEDS = "training_seeds"
# Digits first: the directory has a meta.pickle.pbz2, too.
_FILES = "NATS-tss-v1_0-3ffb9-full/[0-9]*.pickle.pbz2"
# Dataset -> set of hyper-parameters -> epochs of training, ascending over all sets.
_Plan = Mapping[str, Mapping[str, tuple[int, ...]]]
_CURVES: _Plan = {
    "cifar10": {"200": tuple(range(1, 201))},
    "cifar100": {"200": (200,)},
    "imagenet16-120": {"200": (200,)},
}
_SCHEDULE12: _Plan = {dataset: {"12": (12,), "200": (200,)} for dataset in KEYS}


def _dropped(*_: Any) -> None:
    """Stand in for whatever would rebuild a network's weights."""


ALLOWED_GLOBALS: Mapping[str, Any] = {
    **NUMPY_SCALARS,
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_parameter": _dropped,
    "torch._utils._rebuild_tensor_v2": _dropped,
    "torch.storage._load_from_bytes": _dropped,
}


class Cell(NamedTuple):
    """The values kept of one file: dataset -> an array over the epochs of a plan."""

    architecture: str
    accuracy: Mapping[str, Floats]  # validation, percent, mean over the seeds
    seeds: Mapping[str, Floats]


def parse(content: bytes, path: str, plan: _Plan) -> Cell:
    """Return the validation accuracies of one file that the plan reads.

    A dataset that the file has no training on is left out.

    Raises:
        UnsafePickleError: the pickle asks for more than values and weights.
        DataError: it is truncated, has another layout, or a value is no percentage.
    """
    loaded = bz2_pickle(content, path, ALLOWED_GLOBALS)
    sets = sorted({name for epochs in plan.values() for name in epochs})
    try:
        architectures = [loaded[name]["arch_str"] for name in sets]
        runs = {name: dict(loaded[name]["all_results"]) for name in sets}
        trained = {dataset for results in runs.values() for dataset, _ in results}
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} has another layout than {{'12': ..., '200': {{'arch_str': ..., "
            f"'all_results': {{(dataset, seed): ...}}}}}} ({error!r}).",
            file=path,
        ) from error
    cell = architectures[0]
    code_of(cell, path)
    if any(other != cell for other in architectures):
        raise spoilt(path, cell, f"its sets are of different cells, {architectures}")
    accuracy, seeds = {}, {}
    for dataset, epochs in plan.items():
        if KEYS[dataset] in trained:
            found = [
                _trainings(path, cell, runs[name], KEYS[dataset], name, after)
                for name, after in epochs.items()
            ]
            accuracy[dataset] = np.concatenate([values.mean(axis=0) for values in found])
            seeds[dataset] = np.concatenate([np.full(v.shape[1], float(len(v))) for v in found])
    return Cell(cell, accuracy, seeds)


def _trainings(
    path: str, cell: str, runs: Mapping[Any, Any], key: str, name: str, epochs: tuple[int, ...]
) -> Floats:
    """Return the validation accuracy of every training of a set on one dataset: [seeds, epochs]."""
    found = []
    for (dataset, seed), run in runs.items():
        if dataset != key:
            continue
        what = f"x-valid entries of {key}, seed {seed}, set {name!r},"
        try:
            values = [run["eval_acc1es"][f"x-valid@{number - 1}"] for number in epochs]
        except (LookupError, TypeError) as error:
            raise spoilt(path, cell, f"of the {what} one is missing ({error!r})") from error
        row = numbers(values, path, cell, what)[np.newaxis]
        found.append(percentages(row, [cell], path, what))
    if not found:
        raise spoilt(path, cell, f"set {name!r} has no training on {key}")
    return np.concatenate(found)


def _epochs(plan: _Plan) -> tuple[int, ...]:
    """Return the numbers of epochs that a plan reads, of all datasets, ascending."""
    return tuple(sorted({n for sets in plan.values() for epochs in sets.values() for n in epochs}))


def read(file: RawFile, content: Mapping[str, Cell], plan: _Plan) -> pd.DataFrame:
    """Return tidy rows of one dataset.

    Raises:
        DataError: a file has no training on the dataset.
    """
    for path, cell in content.items():
        if file.dataset not in cell.accuracy:
            raise spoilt(path, cell.architecture, f"it has no training on {file.key}")
    cells = content.values()
    return curve_rows(
        torch.cat([code_of(cell.architecture, file.name) for cell in cells]),
        file.dataset,
        [number for epochs in plan[file.dataset].values() for number in epochs],
        {
            VALIDATION_ACCURACY: np.stack([cell.accuracy[file.dataset] for cell in cells]),
            TRAINING_SEEDS: np.stack([cell.seeds[file.dataset] for cell in cells]),
        },
    )


_PUBLICATION = Publication(
    version="NATS-Bench topology space v1.0, full training (200 epochs): validation accuracy after "
    "each epoch for CIFAR-10, after the last for CIFAR-100 and ImageNet16-120, mean over the "
    "training seeds",
    licence="MIT (NATS-Bench)",
    homepage="https://github.com/D-X-Y/NATS-Bench",
    obtain="NATS-Bench's README (https://github.com/D-X-Y/NATS-Bench) links the archive "
    "NATS-tss-v1_0-3ffb9-full.tar; unpack it to a directory of that name without '.tar'. Some of "
    "its files are enough.",
    files=tuple(RawFile(_FILES, dataset, key=key) for dataset, key in KEYS.items()),
)

SOURCE = Source(
    name="natsbench_curves",
    family=NB201,
    publication=_PUBLICATION,
    contents=Contents(
        metrics=common_metrics(VALIDATION_ACCURACY, TRAINING_SEEDS),
        epochs=_epochs(_CURVES),
        partial=True,
        continues=True,
        obtain_curves="NATS-Bench holds the accuracy on the validation images at every epoch for "
        "CIFAR-10 only. For CIFAR-100 and ImageNet16-120 its entries before the last epoch are of "
        "validation and test images together (ori-test), and a search must not see test images: "
        "there use the 12-epoch schedule (source=natsbench_schedule12 or v1_0+schedule12).",
    ),
    read=partial(read, plan=_CURVES),
    parse=partial(parse, plan=_CURVES),
)

SCHEDULE12 = Source(
    name="natsbench_schedule12",
    family=NB201,
    publication=replace(
        _PUBLICATION,
        version="NATS-Bench topology space v1.0: validation accuracy after full training (200 "
        "epochs) and of the separate 12-epoch schedule, from which full training cannot go on; "
        "mean over the training seeds",
    ),
    contents=Contents(
        metrics=common_metrics(VALIDATION_ACCURACY, TRAINING_SEEDS),
        epochs=_epochs(_SCHEDULE12),
        partial=True,
        obtain_curves=OBTAIN_CURVES,
    ),
    read=partial(read, plan=_SCHEDULE12),
    parse=partial(parse, plan=_SCHEDULE12),
)
