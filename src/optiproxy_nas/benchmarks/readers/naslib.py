"""Read the NAS-Bench-201 files of NASLib and of the paper, and ask NASLib's own graphs.

All files have the layout ``{cell: {dataset key: {"eval_acc1es": [per epoch ..., validation, test],
"train_acc1es": [...], "cost_info": {"flops", "params", "latency", "train_time"}}}}``. A cell is
an architecture string or NASLib's tuple of operation indices. NASLib itself answers a query for
test accuracy from the validation entry; here the last two entries are told apart.

* ``naslib``: NASLib's full-training pickles, the last validation and test accuracy and the costs.
* ``v1_0``: the three pickles that the paper's own code searches, cut down to ``{"eval_acc1es":
  [validation, test]}``: means over training seeds, whose numbers the files do not state.
* ``naslib_curves``: validation accuracy by epoch from the files of ``naslib``, one training of 200
  epochs. What the entries of ``eval_acc1es`` are differs between the datasets, and nothing in a
  file says so. CIFAR-10 (key ``cifar10-valid``) has 201 entries: the validation images after each
  of the 200 epochs, then the test images after the last (a file without test accuracy has 200).
  CIFAR-100 and ImageNet16-120 have 202: validation *and test* images together (``ori-test`` of
  NAS-Bench-201) after each epoch; then the validation images, then the test images, after the last.
  A search must not see test images, so of these two only the final validation accuracy is read,
  and any other number of entries is refused.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.file_formats import restricted_load
from optiproxy_nas.benchmarks.nb201 import (
    KEYS,
    NB201,
    OBTAIN_CURVES,
    code_of,
    codes_of,
    curve_rows,
    numbers,
    percentages,
    spoilt,
)
from optiproxy_nas.benchmarks.plain_pickle import NUMPY_SCALARS
from optiproxy_nas.benchmarks.sources import Contents, Publication, RawFile, Source
from optiproxy_nas.benchmarks.tidy_table import common_metrics, tidy
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.spaces.nb201 import NASBench201

_EPOCHS = NB201.full_epochs
# Metric -> the file's own name, and how many of the metric's units its unit is (seconds to ms).
COSTS = {
    "latency_ms": ("latency", 1000.0),
    "parameters_millions": ("params", 1.0),
    "flops_millions": ("flops", 1.0),
    "training_seconds": ("train_time", 1.0),
}
_parse = partial(
    restricted_load, allowed_globals={**NUMPY_SCALARS, "collections.OrderedDict": OrderedDict}
)


def read(file: RawFile, content: Any) -> pd.DataFrame:
    """Return tidy rows of one dataset, without a cost (NaN) that any of its cells lacks.

    Raises:
        DataError: the file has another layout.
        InvalidArchitectureError: a key is not a NAS-Bench-201 cell.
    """
    try:
        cells = [cell[file.key] for cell in content.values()]
        finals = np.array([cell["eval_acc1es"][-2:] for cell in cells], dtype=np.float64)
        validation, test = finals.reshape(-1, 2).T
        costs = [cell.get("cost_info", {}) for cell in cells]
        cost = {
            metric: np.array([c.get(key, np.nan) for c in costs], dtype=np.float64) * factor
            for metric, (key, factor) in COSTS.items()
        }
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{file.name} has another layout than {{cell: {{{file.key!r}: {{'eval_acc1es': "
            f"[..., validation, test]}}}}}}: {type(error).__name__}: {error}.",
            file=file.name,
        ) from error
    for values in cost.values():
        if not np.isfinite(values).all():
            values.fill(np.nan)
    return tidy(
        NB201,
        codes_of(list(content)),
        file.dataset,
        {VALIDATION_ACCURACY: validation, TEST_ACCURACY: test, **cost},
    )


def read_v1_0(file: RawFile, content: Any) -> pd.DataFrame:
    """Return tidy rows of one of the paper's files; raise errors as :func:`read`."""
    return read(file, content).drop(columns=[*COSTS])


def read_curves(file: RawFile, content: Any) -> pd.DataFrame:
    """Return tidy rows of one dataset: CIFAR-10 after each of 200 epochs, the others after 200.

    Raises:
        DataError: the file has another layout, a key is no cell, or a value no percentage.
    """
    if not isinstance(content, dict) or not content:
        raise DataError(
            f"{file.name} has another layout than {{cell: {{{file.key!r}: {{'eval_acc1es': "
            "[...]}}}: it holds no cells.",
            file=file.name,
        )
    codes = torch.cat([code_of(cell, file.name) for cell in content])
    curves = np.stack([_validation(file, cell, entry) for cell, entry in content.items()])
    percentages(curves, [str(cell) for cell in content], file.name, "eval_acc1es")
    epochs = range(_EPOCHS - curves.shape[1] + 1, _EPOCHS + 1)
    return curve_rows(codes, file.dataset, epochs, {VALIDATION_ACCURACY: curves})


def _validation(file: RawFile, cell: Any, entry: Any) -> Floats:
    """Return the validation accuracies of one cell: [200] for CIFAR-10, else [1]."""
    per_epoch = file.dataset == "cifar10"
    lengths = (_EPOCHS, _EPOCHS + 1) if per_epoch else (_EPOCHS + 2,)
    try:
        values = entry[file.key]["eval_acc1es"]
    except (LookupError, TypeError) as error:
        raise spoilt(
            file.name, cell, f"it has no {file.key!r} with 'eval_acc1es' ({error!r})"
        ) from error
    found = numbers(values, file.name, cell, "eval_acc1es")
    if len(found) not in lengths:
        raise spoilt(
            file.name,
            cell,
            f"eval_acc1es has {len(found)} entries, not {' or '.join(map(str, lengths))}, so it "
            "cannot be known which of them are of validation images",
        )
    return found[:_EPOCHS] if per_epoch else found[_EPOCHS : _EPOCHS + 1]


class NASLibObjective:
    """Validation accuracy by NASLib's NAS-Bench-201 graph; pass it as ``search(evaluate=...)``.

    NASLib (Python < 3.10) is imported when the first architecture is evaluated, never before. Only
    the contract of its search-space graphs is used: ``graph.set_spec(op_indices)`` and
    ``graph.query(metric, dataset, dataset_api=...)``. There is no test accuracy: for NAS-Bench-201,
    NASLib reads its "test accuracy" from the validation key.

    Args:
        dataset: NASLib's own name, e.g. "cifar10".
        dataset_api: what NASLib's ``get_dataset_api("nasbench201", dataset)`` returns.
        graph: makes a fresh search-space graph; default NASLib's ``NasBench201SearchSpace``.
        metric: default NASLib's ``Metric.VAL_ACCURACY``.
    """

    def __init__(
        self,
        dataset: str,
        dataset_api: Any,
        graph: Callable[[], Any] | None = None,
        metric: Any = None,
    ) -> None:
        self._dataset = dataset
        self._api = dataset_api
        self._graph = graph
        self._metric = metric
        self._space = NASBench201()

    def __call__(self, architecture: str) -> float:
        """Return the validation accuracy in percent of an architecture string.

        Raises:
            DataError: NASLib is not installed.
            InvalidArchitectureError: not a NAS-Bench-201 cell.
        """
        make_graph = self._graph or _naslib("search_spaces", "NasBench201SearchSpace")
        metric = self._metric or _naslib("search_spaces.core.query_metrics", "Metric").VAL_ACCURACY
        (indices,) = self._space.to_naslib(self._space.from_string([architecture]))
        graph = make_graph()
        graph.set_spec(list(indices))
        return float(graph.query(metric, self._dataset, dataset_api=self._api))


def _naslib(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(f"naslib.{module}"), name)
    except ImportError as error:
        raise DataError(
            f"NASLib is not installed here ({error}). It is not on the package registry and needs "
            "Python 3.9 or older: install it from its repository into such an environment, or use "
            "source=naslib, which reads NASLib's data files without it.",
            module=module,
        ) from error


SOURCE = Source(
    name="naslib",
    family=NB201,
    publication=Publication(
        version="NASLib's NAS-Bench-201 full-training files: last validation and test accuracy; "
        "the training seeds are not stated",
        licence="Apache-2.0 (NASLib); MIT (NAS-Bench-201 values)",
        homepage="https://github.com/automl/NASLib",
        obtain="NASLib's README (https://github.com/automl/NASLib) links a download by hand; one "
        "dataset's file is enough.",
        files=(
            RawFile("nb201_cifar10_full_training.pickle", "cifar10", key=KEYS["cifar10"]),
            RawFile("nb201_cifar100_full_training.pickle", "cifar100", key=KEYS["cifar100"]),
            RawFile(
                "nb201_ImageNet16_full_training.pickle",
                "imagenet16-120",
                key=KEYS["imagenet16-120"],
            ),
        ),
    ),
    contents=Contents(
        metrics=common_metrics(VALIDATION_ACCURACY, TEST_ACCURACY, *COSTS),
        epochs=(_EPOCHS,),
        partial=True,
        obtain_curves=OBTAIN_CURVES,
    ),
    read=read,
    parse=_parse,
)

CURVES_SOURCE = Source(
    name="naslib_curves",
    family=NB201,
    publication=replace(
        SOURCE.publication,
        version="NASLib's NAS-Bench-201 full-training files: validation accuracy after each of 200 "
        "epochs for CIFAR-10, after the last for CIFAR-100 and ImageNet16-120; the training seeds "
        "are not stated",
    ),
    contents=Contents(
        metrics={VALIDATION_ACCURACY: "percent of the validation images"},
        epochs=tuple(range(1, _EPOCHS + 1)),
        partial=True,
        continues=True,
        obtain_curves="NASLib's files hold the accuracy on the validation images at every epoch "
        "for CIFAR-10 only. For CIFAR-100 and ImageNet16-120 their entries before the last epoch "
        "are of validation and test images together (ori-test), and a search must not see test "
        "images: there use the 12-epoch schedule (source=v1_0+schedule12).",
    ),
    read=read_curves,
    parse=_parse,
)

_URL = "https://raw.githubusercontent.com/blyucs/OptiProxy-NAS/main/naslib/data/"


def _v1_0_file(dataset: str, size: int, sha256: str) -> RawFile:
    key = KEYS[dataset]
    name = f"nb201_{key}_val_test_v1_0.pickle"
    return RawFile(name, dataset, key=key, sha256=sha256, size=size, url=_URL + name)


V1_0 = Source(
    name="v1_0",
    family=NB201,
    publication=Publication(
        version="NAS-Bench-201 v1.0, final validation and test accuracy (200 epochs), mean over "
        "training seeds whose number per cell is not stated",
        licence="MIT (NAS-Bench-201 values)",
        homepage="https://github.com/blyucs/OptiProxy-NAS",
        obtain="It is downloaded where the network allows; elsewhere copy it by hand.",
        files=(
            _v1_0_file(
                "cifar10",
                2_194_204,
                "ef417539808724f56097fca1bdbf9a82f17bf5508fd327d00685321fd25d0dc0",
            ),
            _v1_0_file(
                "cifar100",
                2_194_199,
                "703a497a048375c50d5e66818e203e6ceca8f4e24083f80085dd74d838840925",
            ),
            _v1_0_file(
                "imagenet16-120",
                2_194_205,
                "ec47895186f252f41015c914e7b511c47a834280a1c49b5b04d3d94ce548c29f",
            ),
        ),
    ),
    contents=Contents(
        metrics=common_metrics(VALIDATION_ACCURACY, TEST_ACCURACY),
        epochs=(_EPOCHS,),
        optimum={"cifar10": 91.6067, "cifar100": 73.4933, "imagenet16-120": 46.7667},
        obtain_curves=OBTAIN_CURVES,
    ),
    read=read_v1_0,
    parse=partial(restricted_load, allowed_globals=NUMPY_SCALARS),
)
