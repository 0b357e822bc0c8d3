"""Read sources ``hwgpt`` and ``hwgpt_surrogate``: HW-GPT-Bench, scale S (Sukthanker et al. 2024).

Layout: a compressed CSV of 10,000 sub-networks of one trained language model, a row each:
embed_dim, n_layer, n_head_0 .. 11 and mlp_ratio_0 .. 11 (-1: the layer does not exist), bias,
perplexity and next-token accuracy on OpenWebText, parameters, and the median of ten measured
latencies in ms on three GPUs and a server CPU.

A search may query any of 2 · 10^12, so ``hwgpt_surrogate`` has models fitted to the table. For each
embedding size, a linear model of biases, heads and widths, layer by layer; for perplexity, boosted
trees (``boosted``) predict what the linear model leaves. Latencies have none: what is left there is
the noise of the measurement. Parameters follow from the architecture, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.benchmarks.boosted import Boosted, TreePredictor, fit_boosted
from optiproxy_nas.benchmarks.file_formats import gzip_csv_table
from optiproxy_nas.benchmarks.sources import (
    BenchmarkFamily,
    Contents,
    Predict,
    Publication,
    RawFile,
    Source,
    SourceModel,
)
from optiproxy_nas.benchmarks.surrogate_file import pack, stored_facts, unpack
from optiproxy_nas.benchmarks.tidy_table import METRICS, codes_of, tidy
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.spaces.published import GPT_LAYERS, hwgpt

HWGPT = BenchmarkFamily("hwgpt", space="hwgpt", source="hwgpt_surrogate", full_epochs=1)
TARGET = "perplexity"
LATENCIES = {
    "a100_latency_ms": "a100_latency_ms",
    "h100_latency_ms": "h100_latency_ms",
    "rtx2080_latency_ms": "rtx2080_latency_ms",
    "cpu_latency_ms": "cpu_meta_latency_ms",  # in the file
}
_DEVICES = {name: "milliseconds, median of ten measurements" for name in LATENCIES}
_METRICS = {
    TARGET: "perplexity on OpenWebText of the sub-network with the weights of the whole one",
    "next_token_accuracy": "percent of the tokens",
    "parameters_millions": METRICS["parameters_millions"],
    **_DEVICES,
}
_PREDICTED = {
    TARGET: "perplexity that the surrogate expects",
    "parameters_millions": METRICS["parameters_millions"],
    **{name: "milliseconds that a linear model expects" for name in LATENCIES},
    "surrogate_sd": "perplexity, standard deviation of the true value about the surrogate's",
    "distance_to_data": "distance to the nearest sub-network that the surrogate was fitted to; 1: "
    "as far as those typically are from each other",
}
_SIZES = 3  # of embeddings


def read(file: RawFile, content: pd.DataFrame) -> pd.DataFrame:
    """Return tidy rows of all sub-networks.

    Raises:
        DataError: another layout, or a sub-network outside the space.
    """
    choices = hwgpt().choices
    sizes = ["next_token_accuracy", "parameters", *LATENCIES.values()]
    missing = {*choices, TARGET, *sizes} - {*content.columns}
    if missing:
        raise DataError(f"{file.name} has no column {', '.join(sorted(missing))}.", file=file.name)
    columns = {
        name: content[name].map({"-1": 0} | {str(o): n for n, o in enumerate(choice.options, 1)})
        for name, choice in choices.items()
    }
    codes = pd.DataFrame(columns)
    try:
        numbers = content[[TARGET, *sizes]].astype(float)
    except ValueError as error:
        raise DataError(f"{file.name}: a cell is no number ({error}).", file=file.name) from error
    wrong = (codes.isna().any(axis=1) | ~_exist(codes.to_numpy(np.float64))).to_numpy()
    if wrong.any():
        raise DataError(
            f"{file.name}: row {int(wrong.argmax()) + 1} is no sub-network of the space.",
            file=file.name,
        )
    values = {
        TARGET: numbers[TARGET],
        "next_token_accuracy": 100 * numbers["next_token_accuracy"],
        "parameters_millions": numbers["parameters"] / 1e6,
        **{name: numbers[column] for name, column in LATENCIES.items()},
    }
    return tidy(HWGPT, torch.from_numpy(codes.to_numpy(np.int64, copy=True)), file.dataset, values)


def _exist(codes: Floats) -> pd.Series:
    """Return whether heads and widths of each code [n, 27] are those of its layers: [n]."""
    layers = np.arange(GPT_LAYERS) < 9 + codes[:, 1:2]
    heads, widths = codes[:, 2 : 2 + GPT_LAYERS], codes[:, 2 + GPT_LAYERS : -1]
    return pd.Series((((heads > 0) == layers) & ((widths > 0) == layers)).all(axis=1))


def parameters_millions(codes: Tensor) -> Floats:
    """Return the trainable parameters of codes [n, 27], millions: [n].

    Exact for all 10,000 published counts: the embedding and its output, heads of 64 numbers, and
    a gated layer of the width; biases where there are any.
    """
    size = torch.tensor([192, 384, 768])[codes[:, 0] - 1]
    layers, bias = codes[:, 1] + 9, codes[:, -1] - 1
    heads = 4 * codes[:, 2 : 2 + GPT_LAYERS].sum(1)
    widths = codes[:, 2 + GPT_LAYERS : -1]
    width = (widths + (widths > 0)).sum(1)
    weights = size * (100_510 + 256 * heads + 3 * size * width + 4 * layers)
    biases = bias * (2 * size * (layers + width) + 192 * heads)
    return np.asarray((weights + biases).numpy() / 1e6)


def _linear_features(codes: Tensor) -> Floats:
    """Return 1, whether the last two layers exist, and heads, widths and bias: [n, 28]."""
    ones = torch.ones(len(codes), 1)
    deep = codes[:, 2 + GPT_LAYERS - 2 : 2 + GPT_LAYERS] > 0
    return np.asarray(torch.cat([ones, deep, codes[:, 2:]], 1).double().numpy())


def _tree_features(codes: Tensor) -> tuple[list[str], Floats]:
    """Return names and features of codes [n, 27]: the choices, and sums over the layers."""
    heads, widths = codes[:, 2 : 2 + GPT_LAYERS], codes[:, 2 + GPT_LAYERS : -1]
    sums = torch.stack([heads.sum(1), widths.sum(1)], 1)
    names = [*hwgpt().choices, "heads", "widths"]
    return names, np.asarray(torch.cat([codes, sums], 1).double().numpy())


def _fit_linear(codes: Tensor, values: Floats) -> Floats:
    """Return least-squares coefficients for each embedding size: [3, 28]."""
    size, features = codes[:, 0].numpy() - 1, _linear_features(codes)
    fits = [
        np.linalg.lstsq(features[size == i], values[size == i], rcond=None)[0]
        for i in range(_SIZES)
    ]
    return np.stack(fits)


def _linear(codes: Tensor, coefficients: Floats) -> Floats:
    """Return the predictions [n] of coefficients [3, 28]."""
    chosen = coefficients[codes[:, 0].numpy() - 1]
    return np.asarray((_linear_features(codes) * chosen).sum(1))


def build(_: Mapping[str, Any], table: pd.DataFrame) -> bytes:
    """Fit the surrogate of the table's perplexities and latencies.

    Raises:
        DataError: LightGBM is not installed.
    """
    codes = codes_of(table)
    values = {name: table[name].to_numpy() for name in (TARGET, *LATENCIES)}
    fits = {name: _fit_linear(codes, column) for name, column in values.items()}
    explained = _linear(codes, fits[TARGET])
    trees = fit_boosted(*_tree_features(codes), values[TARGET] - explained, base=explained)
    errors = {name: _held_out_error(codes, values[name]) for name in LATENCIES}
    head = {"facts": {**stored_facts(trees), "latency_errors": errors}}
    return pack(head, {**fits, "trees": np.frombuffer(trees, dtype=np.uint8)}, {})


def _held_out_error(codes: Tensor, values: Floats, folds: int = 10) -> dict[str, float]:
    """Return the errors of the linear model on values left out, ten-fold, in their unit."""
    fold = np.random.default_rng(0).permutation(len(values)) % folds
    errors = np.empty(len(values))
    for k in range(folds):
        inside = fold != k
        coefficients = _fit_linear(codes[torch.from_numpy(inside)], values[inside])
        errors[~inside] = _linear(codes[torch.from_numpy(~inside)], coefficients) - values[~inside]
    return {
        "root_mean_squared_error": round(float(np.sqrt(np.mean(errors**2))), 4),
        "median_absolute_error": round(float(np.median(np.abs(errors))), 4),
    }


def facts(_: pd.DataFrame, model: bytes) -> dict[str, Any]:
    """Return what the surrogate predicts, and its errors on sub-networks left out."""
    return {"predicts": dict(_PREDICTED), **stored_facts(model)}


def load(model: bytes) -> Predict:
    """Return what predicts by the surrogate that ``build`` gave; picklable.

    Raises:
        DataError: it is damaged, or LightGBM is not installed.
    """
    arrays = unpack(model)[1]
    trees = Boosted(arrays.pop("trees").tobytes())
    linear = {name: partial(_linear, coefficients=fit) for name, fit in arrays.items()}
    base = {TARGET: linear.pop(TARGET)}
    return TreePredictor(
        trees, _tree_features, {"parameters_millions": parameters_millions, **linear}, base
    )


SOURCE = Source(
    name="hwgpt",
    family=HWGPT,
    publication=Publication(
        version="HW-GPT-Bench, scale S: 10,000 sub-networks of one trained language model",
        licence="Apache-2.0 (HW-GPT-Bench)",
        homepage="https://github.com/automl/HW-GPT-Bench",
        obtain="It is published nowhere as it is: it is joined, by architecture, of the "
        "observations in https://github.com/automl/HW-GPT-Bench (commit 795cba81), with the median "
        "of each latency's measurements; docs/tables.md defines the columns.",
        files=(
            RawFile(
                "hwgpt_s.csv.gz",
                "openwebtext",
                sha256="56a21252c17e0fdb125e0c01df358a3d86a75374dba10cda79aeb88296d9953f",
                size=355_512,
            ),
        ),
    ),
    contents=Contents(
        metrics=_METRICS,
        epochs=(HWGPT.full_epochs,),
        target=TARGET,
        direction="minimize",
        optimum={"openwebtext": 22.159},
        partial=True,
        incomplete="it holds 10,000 of 2 · 10^12 sub-networks. A surrogate is fitted to them.",
        caution="Perplexity of sub-networks with the weights of the whole one: none was trained by "
        "itself.",
    ),
    read=read,
    parse=gzip_csv_table,
)
SURROGATE = replace(
    SOURCE,
    name="hwgpt_surrogate",
    publication=replace(
        SOURCE.publication,
        version="Linear models and boosted trees, fitted by this package to source hwgpt",
    ),
    contents=replace(
        SOURCE.contents,
        incomplete="",
        caution="A surrogate's values of perplexity and latency, not measured ones: see "
        "surrogate_sd for its error and distance_to_data for how far from the 10,000 sub-networks "
        "it was asked.",
    ),
    model=SourceModel(
        build=build, load=load, metrics=_PREDICTED, facts=facts, libraries=("lightgbm",)
    ),
)
