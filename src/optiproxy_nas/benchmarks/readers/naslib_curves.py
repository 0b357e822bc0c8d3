"""Source ``naslib_curves``: validation accuracy by epoch from NASLib's full-training pickles.

The files are those of source ``naslib``: ``{cell: {dataset key: {"eval_acc1es": [...], ...}}}``,
one training of 200 epochs. What the entries of ``eval_acc1es`` are of differs between the
datasets, and nothing in a file says so:

* CIFAR-10 (key ``cifar10-valid``), 201 entries: the validation images after each of the 200
  epochs, then the test images after the last (a file without test accuracy has 200).
* CIFAR-100 and ImageNet16-120, 202 entries: validation *and test* images together (``ori-test`` of
  NAS-Bench-201) after each epoch; then the validation images, then the test images, after the last.

A search must not see test images, so of the latter two only the final validation accuracy is
read, and any other number of entries is refused: what they are of could not be known.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.readers import naslib
from optiproxy_nas.benchmarks.readers.curves import (
    code_of,
    curve_rows,
    numbers,
    percentages,
    spoilt,
)
from optiproxy_nas.benchmarks.sources import RawFile, Source
from optiproxy_nas.benchmarks.unpickle import NUMPY_SCALARS
from optiproxy_nas.core.errors import DataError

_EPOCHS = 200


def read(file: RawFile, content: Any) -> pd.DataFrame:
    """Tidy rows of one dataset: CIFAR-10 after each of 200 epochs, the others after 200.

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


def _validation(file: RawFile, cell: Any, entry: Any) -> NDArray[np.float64]:
    """The validation accuracies of one cell: [200] for CIFAR-10, else [1]; never a test value."""
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


SOURCE = Source(
    name="naslib_curves",
    version="NASLib's NAS-Bench-201 full-training files: validation accuracy after each of 200 "
    "epochs for CIFAR-10, after the last for CIFAR-100 and ImageNet16-120; the training seeds are "
    "not stated",
    licence=naslib.SOURCE.licence,
    homepage=naslib.SOURCE.homepage,
    obtain=naslib.SOURCE.obtain,
    files=naslib.SOURCE.files,
    read=read,
    metrics={VALIDATION_ACCURACY: "percent of the validation images"},
    epochs=tuple(range(1, _EPOCHS + 1)),
    allowed_globals={**NUMPY_SCALARS, "collections.OrderedDict": OrderedDict},
    partial=True,
    continues=True,
    obtain_curves="NASLib's files hold the accuracy on the validation images at every epoch for "
    "CIFAR-10 only. For CIFAR-100 and ImageNet16-120 their entries before the last epoch are of "
    "validation and test images together (ori-test), and a search must not see test images: there "
    "use the 12-epoch schedule (source=v1_0+schedule12).",
)
