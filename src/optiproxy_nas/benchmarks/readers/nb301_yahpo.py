"""Source ``nb301_yahpo``: NAS-Bench-301 by YAHPO Gym's neural surrogate (Pfisterer et al. 2022).

It was fitted to the training logs of NAS-Bench-301 and predicts the validation accuracy after any
of 98 epochs. It is not the ensemble that the NAS-Bench-301 paper offers and others report figures
of: on 1,218 architectures with a value of that ensemble (v1.0) the ranks agree with Spearman 0.904,
and its values are 1.3 percentage points higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY, Benchmark
from optiproxy_nas.benchmarks.readers import nb301_official as official
from optiproxy_nas.benchmarks.readers.nb301_network import (
    EPOCHS,
    METRICS,
    Network,
    check_encoding,
    check_space,
    pack,
)
from optiproxy_nas.benchmarks.sources import RawFile, Source
from optiproxy_nas.benchmarks.surrogate import SurrogateBenchmark

_URL = "https://raw.githubusercontent.com/slds-lmu/yahpo_data/main/nb301/"
_NETWORK = RawFile(
    "nb301_new_model.onnx",
    "cifar10",
    sha256="3c6a6fb3a70998bf6c55883bdc5cc71cff190e1859468d72cc6960b88f06d280",
    size=2_578_406,
    url=_URL + "new_model.onnx",
)
_ENCODING = RawFile(
    "yahpo_encoding.json",
    "cifar10",
    sha256="b16bb8db9aa5a9b688cd97e782643abe96bd166baa445675f57cbcf5e6128a98",
    size=6_706,
    url=_URL + "encoding.json",
)
_SPACE = RawFile(
    "yahpo_config_space.json",
    "cifar10",
    sha256="3135c6f8347f491fd31e8fa7a5e9607ea926c9a8558a6a21a1419d55a01884f2",
    size=18_982,
    url=_URL + "config_space.json",
)


def parse(content: bytes, path: str) -> Any:
    """The network's bytes as they are, else JSON.

    Raises:
        DataError: it is not JSON.
    """
    return content if path.endswith(".onnx") else official.parse_json(content, path)


def read(file: RawFile, content: Any) -> pd.DataFrame:
    """The official values; the other files have no rows.

    Raises:
        DataError: they have another layout.
    """
    if file.name != official.FILE.name:
        return official.no_rows(file)
    return official.read_official(file, content)


def build(files: Mapping[str, Any], _: pd.DataFrame) -> bytes:
    """Network and encoding in one archive, if they are what they should be.

    Raises:
        DataError: they are not, or onnxruntime is not installed.
    """
    check_encoding(files[_ENCODING.name], _ENCODING.name)
    check_space(files[_SPACE.name], _SPACE.name)
    packed = pack(files[_NETWORK.name], files[_ENCODING.name])
    Network(packed)
    return packed


def facts(table: pd.DataFrame, model: bytes) -> dict[str, Any]:
    """What the network predicts, and how that agrees with the official values."""
    codes = official.codes_of(table)
    predicted = Network(model)(codes, VALIDATION_ACCURACY, EPOCHS[-1])
    return {
        "predicts": dict(METRICS),
        "epochs": [EPOCHS[0], EPOCHS[-1]],
        "agreement": official.agreement(predicted, table),
    }


def open_benchmark(_: pd.DataFrame, model: bytes, dataset: str, source: Source) -> Benchmark:
    """The benchmark that asks the network.

    Raises:
        DataError: the model is damaged, or onnxruntime is not installed.
    """
    return SurrogateBenchmark(source, dataset, Network(model), EPOCHS, METRICS)


SOURCE = Source(
    name="nb301_yahpo",
    version="YAHPO Gym's neural surrogate of NAS-Bench-301 (nb301/new_model.onnx of yahpo_data), "
    "fitted to the training logs of NAS-Bench-301: validation accuracy and runtime after 1 to 98 "
    "epochs; beside it 1,218 values of the official xgb v1.0 surrogate",
    licence="Apache-2.0 (yahpo_data; NASLib)",
    homepage="https://github.com/slds-lmu/yahpo_data",
    obtain="The folder nb301 of https://github.com/slds-lmu/yahpo_data has it: new_model.onnx, "
    "encoding.json and config_space.json, here nb301_new_model.onnx, yahpo_encoding.json and "
    "yahpo_config_space.json.",
    files=(_NETWORK, _ENCODING, _SPACE, official.FILE),
    read=read,
    parse=parse,
    metrics=official.METRICS,
    caution="A surrogate's value: what YAHPO Gym's network predicts, not the accuracy of a trained "
    "network, and not the NAS-Bench-301 ensemble that published figures are of.",
    build=build,
    open=open_benchmark,
    facts=facts,
    epochs=EPOCHS,
    full_epochs=EPOCHS[-1],
    continues=True,
    partial=True,
    benchmark="nb301",
    space="nb301",
)
