"""A third party's source, ``model_source:SOURCE``: a model answers; nobody knows the optimum."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from optiproxy_nas.benchmarks.file_formats import json_object
from optiproxy_nas.benchmarks.nb201 import NB201
from optiproxy_nas.benchmarks.sources import Contents, Publication, RawFile, Source, SourceModel
from optiproxy_nas.benchmarks.tidy_table import tidy

FILE = "worth.json"  # what each operation is worth, nats
TARGET = "negative_test_loss"
CAUTION = "A made-up model's value, not a trained network's."
KNOWN = 5  # cells of the table


def read(file: RawFile, worth: Any) -> Any:
    codes = torch.arange(KNOWN).unsqueeze(1).expand(-1, 6)
    return tidy(NB201, codes, file.dataset, {TARGET: predict(worth)(codes, TARGET, 200)})


def predict(worth: Any) -> Any:
    def values(codes: Any, metric: str, epochs: int) -> Any:
        places = np.arange(1, codes.shape[1] + 1)
        return -6 + (np.array(worth)[codes.numpy()] * places).sum(1) / places.sum()

    return values


SOURCE = Source(
    name="model_source:SOURCE",
    family=NB201,
    publication=Publication(
        version="made up",
        licence="none",
        homepage="nowhere",
        obtain="The test writes it.",
        files=(RawFile(FILE, "cifar10"),),
    ),
    contents=Contents(
        metrics={TARGET: "nats, minus the loss"},
        epochs=(200,),
        target=TARGET,
        caution=CAUTION,
        partial=True,
    ),
    read=read,
    parse=json_object,
    model=SourceModel(
        build=lambda files, table: json.dumps(files[FILE]).encode(),
        load=lambda model: predict(json.loads(model)),
        metrics={TARGET: "nats"},
        facts=lambda table, model: {"operations": len(json.loads(model))},
    ),
)
