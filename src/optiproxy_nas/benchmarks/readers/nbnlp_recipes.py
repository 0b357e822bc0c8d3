"""Read sources ``nbnlp`` and ``nbnlp_surrogate``: NAS-Bench-NLP (Klyuchnikov et al. 2022).

The file lists 4,322 recipes; 3,371 have a final loss on the test text of Penn Treebank, 288 on
that of WikiText-2. Recipes that differ in node names only are one: the 3,371 are 2,833 recipes, and
their trainings are pooled. A search needs values of any recipe: ``nbnlp_surrogate`` has the same
table and a surrogate fitted to it (``boosted``, on ``nbnlp.feature_table``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.benchmarks.boosted import Boosted, TreePredictor, fit_boosted
from optiproxy_nas.benchmarks.boosted_validation import Values
from optiproxy_nas.benchmarks.file_formats import csv_table
from optiproxy_nas.benchmarks.nbnlp import NBNLP, feature_table, parameters_millions
from optiproxy_nas.benchmarks.sources import (
    Contents,
    Predict,
    Publication,
    RawFile,
    Source,
    SourceModel,
)
from optiproxy_nas.benchmarks.surrogate_file import stored_facts
from optiproxy_nas.benchmarks.tidy_table import codes_of, tidy
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError
from optiproxy_nas.spaces.nbnlp import NASBenchNLP
from optiproxy_nas.spaces.nbnlp.grammar import unpack

TARGET = "negative_test_loss"
_LOSSES = {"ptb": "ptb_test_loss_mean", "wikitext2": "wt2_test_loss_last"}
_COLUMNS = ("n_runs", "ptb_test_loss_mean", "ptb_test_loss_sd", "wt2_test_loss_last", "recipe")
_METRICS = {
    TARGET: "nats, minus the loss (log perplexity) on the test text at the end of training, mean "
    "over the trainings",
    "test_loss_sd_nats": "nats, standard deviation between the trainings (0 of a single one)",
    "training_seeds": "trainings behind the loss",
    "parameters_millions": "trainable parameters of the network on Penn Treebank, millions",
}
_PREDICTED = {
    TARGET: "nats, minus the loss on the test text that the surrogate expects",
    "parameters_millions": _METRICS["parameters_millions"],
    "surrogate_sd_nats": "nats, standard deviation of the true value about the surrogate's",
    "distance_to_data": "distance to the nearest recipe that the surrogate was fitted to; 1: as "
    "far as those recipes typically are from each other",
}


def read(file: RawFile, content: pd.DataFrame) -> pd.DataFrame:
    """Return tidy rows of the recipes with a loss on the file's dataset.

    Raises:
        DataError: another layout, or a recipe that breaks the grammar.
    """
    missing = [name for name in _COLUMNS if name not in content.columns]
    if missing:
        raise DataError(f"{file.name} has no column {', '.join(missing)}.", file=file.name)
    rows = content[content[_LOSSES[file.dataset]] != ""]
    space = NASBenchNLP()
    try:
        codes = space.from_string(list(rows["recipe"]))
    except InvalidArchitectureError as error:
        raise DataError(f"{file.name}: {error.message}", file=file.name) from error
    numbers = {name: _numbers(file, rows, name) for name in _COLUMNS[:-1]}
    ptb = file.dataset == "ptb"
    runs = numbers["n_runs"] if ptb else np.ones(len(rows))
    spread = numbers["ptb_test_loss_sd"] if ptb else np.zeros(len(rows))
    pooled = _pooled(codes, numbers[_LOSSES[file.dataset]], spread, runs)
    codes = codes[torch.tensor(pooled.index.to_list())]
    nothing = np.full(len(pooled), np.nan)
    return tidy(
        NBNLP,
        codes,
        file.dataset,
        {
            TARGET: -pooled["mean"].to_numpy(),
            "test_loss_sd_nats": pooled["sd"].to_numpy() if ptb else nothing,
            "training_seeds": pooled["runs"].to_numpy() if ptb else nothing,
            "parameters_millions": parameters_millions(unpack(codes)) if ptb else nothing,
        },
    )


def _numbers(file: RawFile, rows: pd.DataFrame, name: str) -> Floats:
    try:
        found = rows[name].replace("", "nan").astype(float).to_numpy()
    except ValueError as error:
        raise DataError(
            f"{file.name}: {name} has a cell that is no number ({error}).", file=file.name
        ) from error
    return np.asarray(found, dtype=np.float64)


def _pooled(codes: Tensor, mean: Floats, sd: Floats, runs: Floats) -> pd.DataFrame:
    """Return one row a recipe, at its first listing: all its trainings as one sample."""
    _, owner = torch.unique(codes, dim=0, return_inverse=True)
    rows = pd.DataFrame({"owner": owner.numpy(), "runs": runs, "sum": runs * mean})
    rows["squares"] = (runs - 1) * sd**2 + runs * mean**2
    rows["first"] = np.arange(len(rows))
    found = rows.groupby("owner").agg(
        {"runs": "sum", "sum": "sum", "squares": "sum", "first": "first"}
    )
    found["mean"] = found["sum"] / found["runs"]
    within = (found["squares"] - found["runs"] * found["mean"] ** 2).clip(lower=0)
    found["sd"] = np.sqrt(within / (found["runs"] - 1).clip(lower=1))
    return found.set_index("first").sort_index()


def build(_: Mapping[str, Any], table: pd.DataFrame) -> bytes:
    """Fit the surrogate of the table's losses on Penn Treebank.

    Raises:
        DataError: LightGBM is not installed.
    """
    return fit_boosted(*_features(codes_of(table)), table[TARGET].to_numpy())


def facts(_: pd.DataFrame, model: bytes) -> dict[str, Any]:
    """Return what the surrogate predicts, and its errors on recipes left out."""
    return {"predicts": dict(_PREDICTED), **stored_facts(model)}


def load(model: bytes) -> Predict:
    """Return what predicts by the surrogate that ``build`` gave; picklable.

    Raises:
        DataError: it is damaged, or LightGBM is not installed.
    """
    return TreePredictor(Boosted(model), _features, {"parameters_millions": _parameters})


def _features(codes: Tensor) -> tuple[list[str], Values]:
    return feature_table(unpack(codes))


def _parameters(codes: Tensor) -> Floats:
    return parameters_millions(unpack(codes))


_SHA256 = "48e35823be51ba07aa5c576bfbcece2d95159c48753e81759294c7da6a8b9a6d"


def _file(dataset: str) -> RawFile:
    return RawFile("nbnlp_unique_recipes.csv", dataset, sha256=_SHA256, size=2_532_147)


SOURCE = Source(
    name="nbnlp",
    family=NBNLP,
    publication=Publication(
        version="NAS-Bench-NLP: loss on the test text at the end of 50 epochs, mean over the "
        "trainings of a recipe (Penn Treebank); of one training on WikiText-2",
        licence="CC-BY-4.0 (training-free-nas); Apache-2.0 (nas-bench-nlp-release)",
        homepage="https://github.com/fmsnew/nas-bench-nlp-release",
        obtain="It is published nowhere as it is: it is joined, by recipe, of the training logs of "
        "https://github.com/fmsnew/nas-bench-nlp-release and the loss tables of "
        "training-free-nas, one line a recipe: id, n_runs, ptb_test_loss_mean, ptb_test_loss_sd, "
        "params, wt2_val_loss_best, wt2_test_loss_last, recipe (JSON); docs/nas-bench-nlp.md "
        "defines the columns.",
        files=(_file("ptb"), _file("wikitext2")),
    ),
    contents=Contents(
        metrics=_METRICS,
        epochs=(NBNLP.full_epochs,),
        target=TARGET,
        partial=True,
        incomplete="it holds the trained recipes alone, of a space that has many more, so most of "
        "what a search asks for is not there. A surrogate is fitted to them.",
        caution="Loss on the TEST text: the published tables hold no final validation loss, "
        "so these figures must not be set beside validation figures.",
    ),
    read=read,
    parse=csv_table,
)
SURROGATE = replace(
    SOURCE,
    name="nbnlp_surrogate",
    publication=replace(
        SOURCE.publication,
        version="Boosted trees on graph features, fitted by this package to the losses of source "
        "nbnlp on Penn Treebank",
        files=(_file("ptb"),),
    ),
    contents=replace(
        SOURCE.contents,
        caution="A surrogate's value of the loss on the TEST text, not a trained network's: see "
        "surrogate_sd_nats for its error and distance_to_data for how far from trained recipes it "
        "was asked.",
        incomplete="",
    ),
    model=SourceModel(
        build=build, load=load, metrics=_PREDICTED, facts=facts, libraries=("lightgbm",)
    ),
)
