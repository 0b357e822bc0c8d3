"""Source ``v1_0``: the three pickles that the paper's own code searches.

NASLib's layout cut down to ``{"eval_acc1es": [validation, test]}``, so NASLib's reader reads it.
The values are means over training seeds; the files do not say how many each cell had.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.readers.advice import CURVES
from optiproxy_nas.benchmarks.readers.naslib import COSTS
from optiproxy_nas.benchmarks.readers.naslib import read as read_with_costs
from optiproxy_nas.benchmarks.schema import METRICS
from optiproxy_nas.benchmarks.sources import RawFile, Source
from optiproxy_nas.benchmarks.unpickle import NUMPY_SCALARS

_URL = "https://raw.githubusercontent.com/blyucs/OptiProxy-NAS/main/naslib/data/"


def read(file: RawFile, content: Any) -> pd.DataFrame:
    """Tidy rows of one dataset; errors as those of NASLib's reader."""
    return read_with_costs(file, content).drop(columns=[*COSTS])


def _file(key: str, dataset: str, size: int, sha256: str) -> RawFile:
    name = f"nb201_{key}_val_test_v1_0.pickle"
    return RawFile(name, dataset, key=key, sha256=sha256, size=size, url=_URL + name)


SOURCE = Source(
    name="v1_0",
    version="NAS-Bench-201 v1.0, final validation and test accuracy (200 epochs), mean over "
    "training seeds whose number per cell is not stated",
    licence="MIT (NAS-Bench-201 values)",
    homepage="https://github.com/blyucs/OptiProxy-NAS",
    obtain="It is downloaded where the network allows; elsewhere copy it by hand.",
    files=(
        _file(
            "cifar10-valid",
            "cifar10",
            2_194_204,
            "ef417539808724f56097fca1bdbf9a82f17bf5508fd327d00685321fd25d0dc0",
        ),
        _file(
            "cifar100",
            "cifar100",
            2_194_199,
            "703a497a048375c50d5e66818e203e6ceca8f4e24083f80085dd74d838840925",
        ),
        _file(
            "ImageNet16-120",
            "imagenet16-120",
            2_194_205,
            "ec47895186f252f41015c914e7b511c47a834280a1c49b5b04d3d94ce548c29f",
        ),
    ),
    read=read,
    metrics={name: METRICS[name] for name in (VALIDATION_ACCURACY, TEST_ACCURACY)},
    obtain_curves=CURVES,
    allowed_globals=NUMPY_SCALARS,
    optimum={"cifar10": 91.6067, "cifar100": 73.4933, "imagenet16-120": 46.7667},
)
