"""Source ``naslib``: the full-training pickles that users of NASLib have on disk.

Layout: ``{cell: {dataset key: {"eval_acc1es": [per epoch ..., validation, test],
"train_acc1es": [...], "cost_info": {"flops", "params", "latency", "train_time"}}}}``. A cell is
an architecture string or NASLib's tuple of operation indices. NASLib itself answers a query for
test accuracy from the validation entry; here the last two entries are told apart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.readers.advice import CURVES
from optiproxy_nas.benchmarks.schema import METRICS, tidy
from optiproxy_nas.benchmarks.sources import RawFile, Source
from optiproxy_nas.benchmarks.unpickle import NUMPY_SCALARS
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.spaces.nb201 import NASBench201

# Metric -> the file's own name, and how many of the metric's units its unit is (seconds to ms).
COSTS = {
    "latency_ms": ("latency", 1000.0),
    "parameters_millions": ("params", 1.0),
    "flops_millions": ("flops", 1.0),
    "training_seconds": ("train_time", 1.0),
}


def read(file: RawFile, content: Any) -> pd.DataFrame:
    """Tidy rows of one dataset, without a cost (NaN) that any of its cells lacks.

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
        _codes(list(content)),
        file.dataset,
        {VALIDATION_ACCURACY: validation, TEST_ACCURACY: test, **cost},
    )


def _codes(keys: list[Any]) -> torch.Tensor:
    """Codes [n, 6] of strings and tuples, in the order of the keys."""
    space = NASBench201()
    codes = torch.empty(len(keys), 6, dtype=torch.int64)
    is_tuple = torch.tensor([isinstance(key, tuple) for key in keys], dtype=torch.bool)
    notations: tuple[tuple[torch.Tensor, Callable[[list[Any]], torch.Tensor]], ...] = (
        (is_tuple, space.from_naslib),
        (~is_tuple, space.from_string),
    )
    for chosen, parse in notations:
        codes[chosen] = parse([keys[i] for i in chosen.nonzero().flatten().tolist()])
    return codes


SOURCE = Source(
    name="naslib",
    version="NASLib's NAS-Bench-201 full-training files: last validation and test accuracy; the "
    "training seeds are not stated",
    licence="Apache-2.0 (NASLib); MIT (NAS-Bench-201 values)",
    homepage="https://github.com/automl/NASLib",
    obtain="NASLib's README (https://github.com/automl/NASLib) links a download by hand; one "
    "dataset's file is enough.",
    files=(
        RawFile("nb201_cifar10_full_training.pickle", "cifar10", key="cifar10-valid"),
        RawFile("nb201_cifar100_full_training.pickle", "cifar100", key="cifar100"),
        RawFile("nb201_ImageNet16_full_training.pickle", "imagenet16-120", key="ImageNet16-120"),
    ),
    read=read,
    metrics={name: METRICS[name] for name in (VALIDATION_ACCURACY, TEST_ACCURACY, *COSTS)},
    obtain_curves=CURVES,
    allowed_globals={**NUMPY_SCALARS, "collections.OrderedDict": OrderedDict},
    partial=True,
)
