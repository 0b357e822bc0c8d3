"""Sources of declared spaces: fcnet, hpobench, hwgpt and its surrogate, on files made here."""

from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas import Search, search
from optiproxy_nas.benchmarks import VALIDATION_ACCURACY, Source, TabularBenchmark, get_source
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.benchmarks.file_formats import gzip_csv_table
from optiproxy_nas.benchmarks.loading import open_benchmark
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.benchmarks.readers import hwgpt
from optiproxy_nas.benchmarks.tidy_table import assemble
from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.spaces import get_space

LOSS = "validation_loss_thousandths"
SPACE: Any = get_space("hwgpt")
(HWGPT_FILE,) = hwgpt.SOURCE.publication.files


def keys_of(name: str, count: int) -> list[str]:
    """Keys of the package for random architectures of a space, and its first one."""
    codes = get_space(name).random(count - 1, torch.Generator().manual_seed(0))
    codes = torch.cat([torch.ones_like(codes[:1]), codes]).unique(dim=0)  # type: ignore[no-untyped-call]
    return ["".join(map(str, code)) for code in (codes - 1).tolist()]


def read(source: Source, content: object) -> pd.DataFrame:
    return source.read(source.publication.files[0], content)


def test_fcnet_has_the_mean_loss_of_the_seeds() -> None:
    source, keys = get_source("fcnet"), keys_of("fcnet", 20)
    row = {"val_loss": [0.002, 0.004], "model_size": [545.0, 545.0], "train_time": [10.0, 20.0]}
    better = {**row, "val_loss": [0.001, 0.001]}
    table = assemble([read(source, {key: better if key == keys[7] else row for key in keys})])
    assert set(table["epochs"]) == {100}
    benchmark = TabularBenchmark(table, "naval_propulsion", source)
    first = get_space("fcnet").to_string(torch.ones(1, 9, dtype=torch.int64))
    assert benchmark.query(first, LOSS) == pytest.approx([3.0])
    assert benchmark.query(first, "parameters_millions") == pytest.approx([545e-6])
    assert benchmark.query(first, "training_seconds") == [15.0]
    assert benchmark.measurements(first[0])["training_seeds"] == 2
    assert benchmark.optimum(benchmark.target)[1] == pytest.approx(1.0)  # the smallest


def test_hpobench_has_accuracies_in_percent() -> None:
    source, keys = get_source("hpobench"), keys_of("hpobench", 20)
    row = {name: [0.4, 0.6] for name in ("val_acc", "val_precision", "val_f1", "train_time")}
    table = assemble([read(source, {key: row for key in keys})])
    assert table[VALIDATION_ACCURACY].tolist() == pytest.approx([50.0] * len(keys))
    assert set(table["epochs"]) == {243}


def test_plain_objects_are_looked_up_as_their_strings_are() -> None:
    source, keys = get_source("fcnet"), keys_of("fcnet", 20)
    names = ("val_loss", "model_size", "train_time")
    content = {key: {name: [float(i)] for name in names} for i, key in enumerate(keys)}
    benchmark = TabularBenchmark(assemble([read(source, content)]), "naval_propulsion", source)
    texts = benchmark.table([LOSS])["architecture"].tolist()[3:6]
    plain = [get_space("fcnet").architecture(text) for text in texts]
    assert np.array_equal(benchmark.query(plain, LOSS), benchmark.query(texts, LOSS))


@pytest.mark.heavy
def test_the_package_has_the_values_of_its_own_look_up() -> None:
    benchmark = load_benchmark("hpobench", "vehicle", complete=True)
    space: Any = get_space("hpobench")
    ends = [{name: c.options[end] for name, c in space.choices.items()} for end in (0, -1)]
    # The mean of the training seeds in rows 00000 and 99299 of the file.
    asked: Any = ends
    found = benchmark.query(asked, VALIDATION_ACCURACY)
    assert found == pytest.approx([56.65855425, 28.65536723])
    optimum: Any = benchmark.optimum(VALIDATION_ACCURACY)
    assert optimum[1] == pytest.approx(95.157, abs=1e-3)


def test_a_search_of_a_table_by_the_name_of_its_space() -> None:
    result = search("vehicle", space="hpobench", budget=12, method="regularized_evolution")
    assert result.best_value == result.archive["value"].max()
    best: Any = result.optimum
    assert result.best_value <= best == pytest.approx(95.157, abs=1e-3)


def test_a_proxy_that_needs_a_graph_is_refused_by_name_too() -> None:
    with pytest.raises(ParameterError, match="no graph"):
        Search(space="fcnet", budget=20, proxy={"name": "gcn"})


# --- HW-GPT-Bench


@pytest.fixture(scope="module")
def observations() -> pd.DataFrame:
    """A file of 400 random sub-networks; perplexity falls with their size."""
    codes = SPACE.random(400, torch.Generator().manual_seed(0))
    rows = []
    for text in SPACE.to_string(codes):
        values = SPACE.architecture(text)
        rows.append({name: values.get(name, -1) for name in SPACE.choices})
    table = pd.DataFrame(rows)
    size = hwgpt.parameters_millions(codes)
    table["perplexity"], table["next_token_accuracy"] = 60 / np.log(size), 0.4
    table["parameters"] = (1e6 * size).round().astype(int)
    heads = table.filter(like="n_head").clip(lower=0).sum(axis=1)
    for factor, name in enumerate(hwgpt.LATENCIES.values(), start=1):
        table[name] = factor * (table["embed_dim"] * 0.01 + heads * 0.1)
    return table


def as_file(observations: pd.DataFrame) -> pd.DataFrame:
    content = gzip.compress(observations.to_csv(index=False).encode())
    return gzip_csv_table(content, "made.csv.gz")


@pytest.fixture(scope="module")
def sub_networks(observations: pd.DataFrame) -> pd.DataFrame:
    return assemble([hwgpt.read(HWGPT_FILE, as_file(observations))])


def test_rows_are_the_sub_networks_of_the_file(
    observations: pd.DataFrame, sub_networks: pd.DataFrame
) -> None:
    assert len(sub_networks) == len(observations)
    row = sub_networks.iloc[17]
    values = SPACE.architecture(row["architecture"])
    same = (observations[list(values)] == pd.Series(values)).all(axis=1)
    assert row["cpu_latency_ms"] in set(observations["cpu_meta_latency_ms"][same].astype(float))
    assert sub_networks["next_token_accuracy"].unique().tolist() == pytest.approx([40.0])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("n_head_3", 5, "row 1 is no sub-network"),
        ("n_head_0", -1, "row 1 is no sub-network"),
        ("perplexity", "low", "no number"),
    ],
)
def test_a_spoilt_file_is_refused(
    observations: pd.DataFrame, column: str, value: Any, message: str
) -> None:
    spoilt = observations.head(3).astype(object)
    spoilt.loc[0, column] = value
    with pytest.raises(DataError, match=message):
        hwgpt.read(HWGPT_FILE, as_file(spoilt))
    with pytest.raises(DataError, match="has no column"):
        hwgpt.read(HWGPT_FILE, as_file(observations.drop(columns=column)))
    with pytest.raises(DataError, match="gzip"):
        gzip_csv_table(b"no,table", "made.csv.gz")


@pytest.mark.heavy
def test_the_surrogate_answers_for_any_sub_network(sub_networks: pd.DataFrame) -> None:
    pytest.importorskip("lightgbm")
    model = hwgpt.build({}, sub_networks)
    benchmark = open_benchmark(sub_networks, model, "openwebtext", hwgpt.SURROGATE)
    texts = sub_networks["architecture"].tolist()
    for metric in hwgpt.LATENCIES:  # linear as the latencies made here are
        assert benchmark.query(texts, metric) == pytest.approx(sub_networks[metric].to_numpy())
    assert np.abs(benchmark.query(texts, "perplexity") - sub_networks["perplexity"]).max() < 0.5
    others = SPACE.to_string(SPACE.random(50, torch.Generator().manual_seed(1)))
    codes = SPACE.from_string(others)
    truth = 60 / np.log(hwgpt.parameters_millions(codes))
    assert np.abs(benchmark.query(others, "perplexity") - truth).max() < 1
    assert (benchmark.query(others, "distance_to_data") > 0).all()
    assert (benchmark.query(others, "surrogate_sd") > 0).all()
    facts = hwgpt.facts(sub_networks, model)
    assert facts["cross_validation"]["spearman"] > 0.99
    assert set(facts["latency_errors"]) == set(hwgpt.LATENCIES)
    assert pickle.loads(pickle.dumps(benchmark)).query(texts[:1], "perplexity") == pytest.approx(
        benchmark.query(texts[:1], "perplexity")
    )


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    """The real file, if it is there."""
    folder = Path(os.environ.get(DATA_DIRECTORY_VARIABLE, "")) / "hwgpt"
    if not (folder / HWGPT_FILE.name).is_file():
        pytest.skip(f"{DATA_DIRECTORY_VARIABLE} has no hwgpt/{HWGPT_FILE.name}")
    found = load_benchmark("hwgpt", "openwebtext").table(list(hwgpt.SOURCE.contents.metrics))
    assert found is not None
    return found


@pytest.mark.heavy
def test_the_published_file_has_the_figures_known_of_it(published: pd.DataFrame) -> None:
    assert len(published) == 10_000
    assert published["perplexity"].agg(["min", "max"]).round(3).tolist() == [22.159, 41.919]
    for metric, bound, best, count in (
        ("a100_latency_ms", 12, 40.52, 1209),
        ("a100_latency_ms", 16, 31.05, 5326),
        ("h100_latency_ms", 8, 30.80, 6422),
        ("rtx2080_latency_ms", 40, 31.02, 4131),
        ("cpu_latency_ms", 1500, 31.29, 4458),
    ):
        feasible = published["perplexity"][published[metric] < bound]
        assert (len(feasible), round(feasible.min(), 2)) == (count, best)
    ranks = published[["perplexity", "a100_latency_ms"]].rank()
    correlation: Any = ranks.corr().iloc[0, 1]
    assert round(correlation, 2) == -0.99
    codes = SPACE.from_string(published["architecture"].tolist())
    assert np.array_equal(hwgpt.parameters_millions(codes), published["parameters_millions"])
