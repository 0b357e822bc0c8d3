"""A third party's benchmark in one file: 72 architectures of ``tiny_space``, named by one entry."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch

from optiproxy_nas.benchmarks.file_formats import json_object
from optiproxy_nas.benchmarks.sources import (
    BenchmarkFamily,
    Contents,
    Publication,
    RawFile,
    Source,
)
from optiproxy_nas.benchmarks.tidy_table import tidy

ENTRY = "toy_table = toy_benchmark:SOURCE"
TOY = BenchmarkFamily(
    name="toy",
    space="tiny_space:TinySpace",
    source="toy_table",
    full_epochs=3,
    cells=72,
    budget=20,
)


def read(file: RawFile, worth: Any) -> Any:
    codes = torch.tensor(list(product(range(3), range(3), range(2), range(2), range(2))))
    values = (codes * torch.tensor(worth)).sum(1).numpy()
    return tidy(TOY, codes, file.dataset, {"validation_accuracy": values})


SOURCE = Source(
    name="toy_table",
    family=TOY,
    publication=Publication(
        version="made up",
        licence="none",
        homepage="nowhere",
        obtain="The test writes it.",
        files=(RawFile("worth.json", "blocks"),),
    ),
    contents=Contents(metrics={"validation_accuracy": "percent"}, epochs=(3,)),
    read=read,
    parse=json_object,
)
