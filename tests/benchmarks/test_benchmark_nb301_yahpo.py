"""YAHPO Gym's ONNX surrogate of NAS-Bench-301: small networks of its form, and the real one."""

from __future__ import annotations

import json
import os
import pickle
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optiproxy_nas.benchmarks import nb301 as nb301_official
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.loading import build_model, load_files, open_benchmark, read_rows
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.benchmarks.readers.nb301_yahpo import (
    METRICS,
    SOURCE,
    Network,
    build,
    facts,
    pack,
    parse,
)
from optiproxy_nas.benchmarks.tidy_table import check_table
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError, MetricUnavailableError
from optiproxy_nas.spaces.nb301 import OPERATIONS, NASBench301  # type: ignore[attr-defined]

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
SPACE = NASBench301()
PREFIX = "NetworkSelectorDatasetInfo_COLON_darts_COLON_"
PAIRS = {
    3: ["0_1", "0_2", "1_2"],
    4: ["0_1", "0_2", "0_3", "1_2", "1_3", "2_3"],
    5: ["0_1", "0_2", "0_3", "0_4", "1_2", "1_3", "1_4", "2_3", "2_4", "3_4"],
}
# The network's inputs in order, as its publishers describe them.
NAMES = [f"{PREFIX}edge_{cell}_{i}" for cell in ("normal", "reduce") for i in range(14)]
NAMES += [f"{PREFIX}inputs_node_{c}_{n}" for c in ("normal", "reduce") for n in (3, 4, 5)]
# With whatever network there is: only the published one is run.
NO_TABLE: Any = None
MODEL: Any = SOURCE.model
ANY = replace(SOURCE, model=replace(MODEL, load=partial(Network, sha256=None)))
WEIGHTS = np.random.default_rng(0).normal(size=(35, 2)).astype(np.float32)


def choices(name: str) -> Any:
    return list(OPERATIONS) if "edge" in name else PAIRS[int(name[-1])]


def encoding() -> Any:
    """Categories are numbered in alphabetical order, "#na#" first."""
    return {
        name: {category: i for i, category in enumerate(["#na#", *sorted(choices(name))])}
        for name in NAMES
    }


def config_space(upper: int = 98) -> Any:
    parameters = [{"name": name, "type": "categorical", "choices": choices(name)} for name in NAMES]
    epoch = {"name": "epoch", "type": "uniform_int", "lower": 1, "upper": upper}
    return {"hyperparameters": [*parameters, epoch], "conditions": []}


def linear_network(weights: Any = WEIGHTS, columns: int = 34, kind: Any = None) -> Any:
    """[x_cat, x_cont] W, by onnx."""
    helper, types = onnx.helper, onnx.TensorProto
    kind = kind or types.INT32
    nodes = [
        helper.make_node("Cast", ["x_cat"], ["c"], to=types.FLOAT),
        helper.make_node("Concat", ["c", "x_cont"], ["x"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x_cat", kind, [1, columns]),
            helper.make_tensor_value_info("x_cont", types.FLOAT, [1, 1]),
        ],
        [helper.make_tensor_value_info("y", types.FLOAT, [1, weights.shape[1]])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    opset = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def by_hand(genotype: Any, epoch: Any) -> Any:
    """``x`` of one architecture, from the description of the columns."""
    said = dict.fromkeys(NAMES, "#na#")
    for cell in ("normal", "reduce"):
        pairs = getattr(genotype, cell)
        for node in range(4):
            two = pairs[2 * node : 2 * node + 2]
            for operation, source in two:
                said[f"{PREFIX}edge_{cell}_{(0, 2, 5, 9)[node] + source}"] = operation
            if node:
                inputs = "_".join(str(source) for _, source in two)
                said[f"{PREFIX}inputs_node_{cell}_{node + 2}"] = inputs
    return [encoding()[name][said[name]] for name in NAMES] + [epoch]


def codes(count: int = 20, seed: int = 0) -> Any:
    return SPACE.random(count, torch.Generator().manual_seed(seed))


@pytest.fixture
def benchmark() -> Any:
    return open_benchmark(NO_TABLE, pack(linear_network(), encoding()), "cifar10", ANY)


def test_columns_categories_and_epochs(benchmark: Any) -> None:
    expected = np.array([by_hand(g, 40) for g in SPACE.to_genotype(codes())]) @ WEIGHTS
    names = SPACE.to_string(codes())
    found = np.stack([benchmark.query(names, metric, 40) for metric in METRICS], axis=1)
    np.testing.assert_allclose(found[:, 0], expected[:, 0].clip(0, 100), rtol=1e-5)
    np.testing.assert_allclose(found[:, 1], expected[:, 1].clip(0), rtol=1e-5)
    assert (expected < 0).any() and (expected > 0).any()  # noqa: PT018
    last = np.array([by_hand(g, 98) for g in SPACE.to_genotype(codes())]) @ WEIGHTS
    np.testing.assert_allclose(
        benchmark.query(names, "validation_accuracy"), last[:, 0].clip(0, 100), rtol=1e-5
    )


def test_values_do_not_depend_on_the_batch_or_the_process(benchmark: Any) -> None:
    names = SPACE.to_string(codes())
    whole = benchmark.query(names, "training_seconds", 7)
    alone = [benchmark.query([name], "training_seconds", 7)[0] for name in names]
    copy = pickle.loads(pickle.dumps(benchmark))
    assert whole.tolist() == alone == copy.query(names, "training_seconds", 7).tolist()
    assert benchmark.query([], "validation_accuracy").shape == (0,)


def test_what_the_benchmark_says_of_itself(benchmark: Any) -> None:
    assert isinstance(benchmark, Benchmark)
    assert (benchmark.name, benchmark.space, benchmark.target) == (
        "nb301",
        "nb301",
        "validation_accuracy",
    )
    assert benchmark.epochs == tuple(range(1, 99))
    assert benchmark.continues
    assert "surrogate" in benchmark.caution
    assert benchmark.optimum("validation_accuracy") is None
    assert list(benchmark.measurements(SPACE.to_string(codes(1))[0])) == ["training_seconds"]


@pytest.mark.parametrize("epochs", [0, 99, 200])
def test_other_epochs_metrics_and_spaces_are_refused(benchmark: Any, epochs: int) -> None:
    name = SPACE.to_string(codes(1))
    with pytest.raises(MetricUnavailableError, match="1 to 98 epochs"):
        benchmark.query(name, "validation_accuracy", epochs)
    with pytest.raises(MetricUnavailableError, match="no test_accuracy"):
        benchmark.query(name, "test_accuracy")
    with pytest.raises(InvalidArchitectureError, match="NAS-Bench-301"):
        benchmark.query(["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"], "validation_accuracy")


def files(network: Any = None, **other: Any) -> Any:
    return {
        "nb301_new_model.onnx": linear_network() if network is None else network,
        "yahpo_encoding.json": encoding(),
        "yahpo_config_space.json": config_space(),
        **{name.replace("_json", ".json"): value for name, value in other.items()},
    }


def test_the_stored_model_is_the_same_every_time() -> None:
    assert build(files(), NO_TABLE) == build(files(), NO_TABLE)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (b"no network", "cannot be read"),
        (b"", "cannot be read"),
        (linear_network()[:-100], "cannot be read"),
        (linear_network(WEIGHTS[1:], columns=33), r"\(1, 33\)"),
        (linear_network(WEIGHTS[:, :1]), r"\(1, 1\)"),
        (linear_network(kind=onnx.TensorProto.INT64), "int64"),
        (linear_network(WEIGHTS * np.nan), "nan"),
    ],
)
def test_another_network_is_refused(network: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        build(files(network), NO_TABLE)
    assert "slds-lmu/yahpo_data" in caught.value.message


def test_categories_beyond_the_network_are_refused() -> None:
    """A network with an embedding of four categories, asked for the eighth."""
    helper, types = onnx.helper, onnx.TensorProto
    table = np.ones((4, 2), dtype=np.float32)
    nodes = [
        helper.make_node("ReduceMax", ["x_cat"], ["i"], axes=[1], keepdims=0),
        helper.make_node("Gather", ["t", "i"], ["y"], axis=0),
    ]
    shapes = {"x_cat": (types.INT32, [1, 34]), "x_cont": (types.FLOAT, [1, 1])}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info("y", types.FLOAT, [1, 2])],
        [onnx.numpy_helper.from_array(table, "t")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    network = Network(pack(model.SerializeToString(), encoding()), sha256=None)
    with pytest.raises(DataError, match="cannot be run"):
        network(codes(), "validation_accuracy", 98)


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        ("yahpo_encoding.json", lambda e: e.pop(NAMES[3]), "edge_normal_3"),
        ("yahpo_encoding.json", lambda e: e[NAMES[0]].pop("skip_connect"), "edge_normal_0"),
        ("yahpo_encoding.json", lambda e: e[NAMES[0]].update(skip_connect=1), "number them"),
        ("yahpo_encoding.json", lambda e: e[NAMES[0]].update(skip_connect="x"), "number them"),
        ("yahpo_encoding.json", lambda e: e.update({NAMES[-1]: 5}), "inputs_node_reduce_5"),
        ("yahpo_config_space.json", lambda s: s.clear(), "another layout"),
        ("yahpo_config_space.json", lambda s: s["hyperparameters"].pop(0), "not the 34"),
        ("yahpo_config_space.json", lambda s: s.update(config_space(50)), "1 to 50"),
    ],
)
def test_spoilt_descriptions_are_refused(name: str, spoil: Any, reason: str) -> None:
    found = files()
    spoil(found[name])
    with pytest.raises(DataError, match=reason) as caught:
        build(found, NO_TABLE)
    assert name in caught.value.message


def test_a_spoilt_stored_model_is_refused() -> None:
    with pytest.raises(DataError, match="damaged"):
        Network(pack(linear_network(), encoding())[:-50])


def test_another_network_is_not_run() -> None:
    with pytest.raises(DataError, match="SHA-256"):
        Network(pack(linear_network(), encoding()))


def test_files_that_are_not_json_are_refused() -> None:
    for content in (b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(DataError, match=r"/x/yahpo_encoding\.json is damaged"):
            parse(content, "/x/yahpo_encoding.json")


def test_without_onnxruntime_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DataError, match=r'pip install "optiproxy-nas\[surrogates\]"'):
        build(files(), NO_TABLE)


OFFICIAL = [[SPACE.to_naslib(codes(1, seed))[0], 90.0 + seed] for seed in range(5)]


def written(directory: Path, **content: Any) -> Any:
    """A data directory with these files, and the source without its digests."""
    folder = directory / "nb301"
    folder.mkdir()
    for name, value in {**files(), **content}.items():
        plain = value if isinstance(value, bytes) else json.dumps(value).encode()
        (folder / name).write_bytes(plain)
    own = [replace(file, sha256=None, size=None, url=None) for file in SOURCE.publication.files]
    return ANY.with_files(own)


@pytest.mark.parametrize("official", [True, False])
def test_from_files_to_the_benchmark(tmp_path: Path, official: bool) -> None:
    extra = {nb301_official.FILE.name: OFFICIAL} if official else {}
    source = written(tmp_path, **extra)
    raw = load_files(source, str(tmp_path), tmp_path / "raw")
    table = check_table(read_rows(raw, source), source)
    model = build_model(raw, table, source)
    told = facts(table, model)["agreement"]
    assert len(table) == 5 * official
    assert told["checked"] is official
    if official:
        assert told["architectures"] == 5
        assert -1 <= told["spearman"] <= 1
        assert sorted(table["official_validation_accuracy"]) == [90.0, 91.0, 92.0, 93.0, 94.0]
    else:
        assert nb301_official.FILE.name in told["reason"]
    asked = open_benchmark(table, model, "cifar10", source)
    assert asked.query(SPACE.to_string(codes()), "validation_accuracy").shape == (20,)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"a": 1}, "is not a list of"),
        ([[1]], "is not a list of"),
        ([[OFFICIAL[0][0], "x"]], "is not a list of"),
        ([[OFFICIAL[0][0], 101.0]], "not a percentage"),
        ([[OFFICIAL[0][0], None]], "not a percentage|is not a list of"),
        ([[[[[0, 9]] * 8] * 2, 90.0]], "NAS-Bench-301"),
    ],
)
def test_spoilt_official_values_are_refused(content: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        nb301_official.read_official(nb301_official.FILE, content)
    assert nb301_official.FILE.name in caught.value.message


def test_missing_files_say_where_to_get_them(tmp_path: Path) -> None:
    source = SOURCE.with_files([replace(file, url=None) for file in SOURCE.publication.files])
    with pytest.raises(DataError, match="slds-lmu/yahpo_data") as caught:
        load_files(source, str(tmp_path), tmp_path / "raw")
    assert "nb301_new_model.onnx" in caught.value.message


@pytest.fixture(scope="module")
def real() -> Any:
    own = os.environ.get(DATA_DIRECTORY_VARIABLE)
    if not own or not (Path(own) / "nb301" / "nb301_new_model.onnx").is_file():
        pytest.skip(f"{DATA_DIRECTORY_VARIABLE} has no nb301/: no NAS-Bench-301 surrogate here")
    raw = load_files(SOURCE, own, Path("nowhere"))
    table = check_table(read_rows(raw, SOURCE), SOURCE)
    return table, build_model(raw, table, SOURCE)


@pytest.mark.heavy
def test_the_real_network_agrees_with_the_official_values(real: Any) -> None:
    table, model = real
    if table.empty:
        pytest.skip("no official values here")
    assert len(table) == 1218
    told = facts(table, model)["agreement"]
    assert told["spearman"] == pytest.approx(0.904, abs=5e-4)
    assert told["kendall"] == pytest.approx(0.735, abs=5e-4)
    assert told["mean_difference"] == pytest.approx(1.304, abs=5e-3)


@pytest.mark.heavy
def test_the_real_networks_known_figures(real: Any) -> None:
    table, model = real
    asked = open_benchmark(table, model, "cifar10", SOURCE)
    drawn = codes(1000, 1)
    names = SPACE.to_string(drawn)
    values = asked.query(names, "validation_accuracy")
    assert values.mean() == pytest.approx(94.4, abs=0.1)
    assert values.std() == pytest.approx(0.55, abs=0.05)
    assert 95 < values.max() < 96
    # Other spellings of the same cells have other values: why ``identify`` tells them apart.
    spelt = SPACE.to_string(SPACE.isomorphic(drawn, torch.Generator().manual_seed(0)))
    difference = asked.query(spelt, "validation_accuracy") - values
    assert 0.08 < difference.std() / 2**0.5 < 0.18
    curve = [asked.query(names[:20], "validation_accuracy", e).mean() for e in (1, 10, 50, 98)]
    assert curve == sorted(curve)
    assert curve[0] < 50
