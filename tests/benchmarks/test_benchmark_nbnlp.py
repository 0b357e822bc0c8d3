"""Sources nbnlp and nbnlp_surrogate: reading, pooling, features, the boosted surrogate."""

import builtins
import hashlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from optiproxy_nas.benchmarks import boosted
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.benchmark_cache import kept_model
from optiproxy_nas.benchmarks.boosted import Boosted, fit_boosted
from optiproxy_nas.benchmarks.file_formats import csv_table
from optiproxy_nas.benchmarks.loading import open_benchmark
from optiproxy_nas.benchmarks.nbnlp import feature_table, parameters_millions
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.benchmarks.readers import nbnlp_recipes as nbnlp
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.benchmarks.surrogate_file import stored_facts
from optiproxy_nas.benchmarks.tidy_table import assemble, check_table, codes_of
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError, MetricUnavailableError
from optiproxy_nas.spaces.nbnlp import NASBenchNLP
from optiproxy_nas.spaces.nbnlp.grammar import unpack

SPACE = NASBenchNLP()
PTB, WIKITEXT = nbnlp.SOURCE.publication.files
TANH = '{"h_new_0": {"op": "activation_tanh", "input": ["%s"]}, "%s": %s}'
LINEAR = '{"op": "linear", "input": ["x", "h_prev_0"]}'


def table_file(*lines: tuple[Any, ...]) -> pd.DataFrame:
    names = ["id", "n_runs", "ptb_test_loss_mean", "ptb_test_loss_sd", "params"]
    names += ["wt2_val_loss_best", "wt2_test_loss_last", "recipe"]
    text = io.StringIO()
    pd.DataFrame(lines, columns=names).to_csv(text, index=False)
    return csv_table(text.getvalue().encode(), "made.csv")


@contextmanager
def few_trees() -> Iterator[None]:
    """Fit with a quarter of the published trees; never what ``kept_model`` keeps."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(boosted, "_TREES", 100)
        yield


@pytest.fixture(scope="module")
def made() -> tuple[pd.DataFrame, bytes]:
    """300 random recipes, their value told by depth and size; the surrogate of them."""
    codes = SPACE.random(400, torch.Generator().manual_seed(0)).unique(dim=0)[:300]  # type: ignore[no-untyped-call]
    cells = unpack(codes)
    loss = 5 + 0.1 * (cells.operations > 0).sum(1) - 0.2 * (cells.operations == 6).sum(1)
    lines = [
        (i, 3, float(value), 0.01, 0, "", "", recipe)
        for i, (value, recipe) in enumerate(zip(loss, SPACE.to_string(codes), strict=True))
    ]
    table = assemble([nbnlp.read(PTB, table_file(*lines))])
    with few_trees():
        return table, nbnlp.build({}, table)


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    own = os.environ.get(DATA_DIRECTORY_VARIABLE)
    path = Path(own or "nowhere") / "nbnlp" / PTB.name
    if not path.is_file():
        pytest.skip(f"{DATA_DIRECTORY_VARIABLE} has no nbnlp/: no published recipes here")
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == PTB.sha256
    assert len(content) == PTB.size
    return csv_table(content, str(path))


def test_one_recipe_listed_twice_is_one_row_of_all_its_trainings() -> None:
    runs = np.array([4.0, 4.2, 5.0])
    pair = runs[:2]
    content = table_file(
        (1, 2, pair.mean(), pair.std(ddof=1), 1, "", "", TANH % ("a", "a", LINEAR)),
        (2, 1, runs[2], 0.0, 1, "", 5.5, TANH % ("b", "b", LINEAR)),
        (3, 0, "", "", 1, 5.2, 5.1, '{"h_new_0": ' + LINEAR + "}"),
    )
    (row,) = nbnlp.read(PTB, content).to_dict("records")
    assert row["negative_test_loss"] == pytest.approx(-runs.mean())
    assert row["test_loss_sd_nats"] == pytest.approx(runs.std(ddof=1))
    assert row["training_seeds"] == 3
    assert row["parameters_millions"] == pytest.approx(5.7316)  # published for this recipe
    assert (row["dataset"], row["epochs"]) == ("ptb", 50)
    other = nbnlp.read(WIKITEXT, content)
    assert sorted(other["negative_test_loss"]) == [-5.5, -5.1]
    assert other["parameters_millions"].isna().all()
    assert len(check_table(assemble([nbnlp.read(PTB, content), other]), nbnlp.SOURCE)) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ((1, 1, "four", 0, 1, "", "", TANH % ("a", "a", LINEAR)), "no number"),
        ((1, 1, 4.0, 0, 1, "", "", '{"h_new_0": 1}'), "Not a NAS-Bench-NLP recipe"),
    ],
)
def test_a_damaged_line_is_named(line: tuple[Any, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        nbnlp.read(PTB, table_file(line))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="no column recipe"):
        nbnlp.read(
            PTB,
            csv_table(
                b"id,n_runs,ptb_test_loss_mean,ptb_test_loss_sd,wt2_test_loss_last\n", "made.csv"
            ),
        )


def test_features_do_not_depend_on_the_numbering() -> None:
    codes = SPACE.random(200, torch.Generator().manual_seed(1))
    names, features = feature_table(unpack(codes))
    assert features.shape == (200, len(names))
    assert len(set(names)) == len(names)
    other = SPACE.isomorphic(codes, torch.Generator().manual_seed(2))
    assert (other != codes).any()
    np.testing.assert_array_equal(feature_table(unpack(other))[1], features)
    np.testing.assert_array_equal(feature_table(unpack(codes[7:8]))[1], features[7:8])


def test_features_of_a_known_recipe() -> None:
    recipe = {
        "h_new_0": {"op": "blend", "input": ["gate", "h_prev_0", "new"]},
        "gate": {"op": "activation_sigm", "input": ["a"]},
        "new": {"op": "activation_tanh", "input": ["b"]},
        "a": {"op": "linear", "input": ["x", "h_prev_0"]},
        "b": {"op": "linear", "input": ["x", "h_prev_0", "gate"]},
    }
    names, features = feature_table(unpack(SPACE.from_string([json.dumps(recipe)])))
    found = dict(zip(names, features[0].tolist(), strict=True))
    assert found["nodes"] == 5
    assert found["levels"] == 5
    assert found["linear of three"] == 1
    assert found["blend gate reads activation_sigm"] == found["h_new_0 is blend"] == 1
    assert found["blend kept reads h_prev_0"] == found["blend other reads activation_tanh"] == 1
    assert found["linear  reads x"] == 2
    assert found["shared"] == 1
    assert found["least steps from h_prev_0 to h_new_0"] == 1
    assert found["most steps from h_prev_0 to h_new_0"] == 5
    assert found["least linear from x to h_new_0"] == 1
    assert found["most squashes from x to h_new_0"] == 2
    assert found["least steps from h_prev_1 to h_new_0"] == -1  # no way
    assert found["parameters"] == pytest.approx(4.01 + 2 * 0.0016 + 2 * 0.84 + 3 * 0.88)


@pytest.mark.heavy
def test_the_surrogate_is_a_benchmark(made: tuple[pd.DataFrame, bytes]) -> None:
    table, model = made
    benchmark = open_benchmark(table, model, "ptb", nbnlp.SURROGATE)
    assert isinstance(benchmark, Benchmark)
    assert benchmark.target == "negative_test_loss"
    assert "surrogate" in benchmark.caution
    recipes = SPACE.to_string(SPACE.random(200, torch.Generator().manual_seed(3)))
    values = benchmark.query(recipes, benchmark.target)
    known = table["negative_test_loss"]
    assert known.min() <= values.min()
    assert values.max() <= known.max()
    np.testing.assert_array_equal(benchmark.query(recipes, benchmark.target, 50), values)
    again = pickle.loads(pickle.dumps(benchmark)).query(recipes, benchmark.target)
    np.testing.assert_array_equal(again, values)
    told = benchmark.measurements(recipes[0])
    assert set(told) == {"parameters_millions", "surrogate_sd_nats", "distance_to_data"}
    spread: Any = told["surrogate_sd_nats"]
    assert spread > 0
    assert benchmark.optimum(benchmark.target) is None
    assert benchmark.table(["x"]) is None
    with pytest.raises(MetricUnavailableError):
        benchmark.query(recipes, "validation_accuracy")
    with pytest.raises(MetricUnavailableError):
        benchmark.query(recipes, benchmark.target, 3)
    wrong = '{"h_new_0": {"op": "blend", "input": ["x", "h_prev_0", "y"]}}'
    with pytest.raises(InvalidArchitectureError, match="x, which only linear nodes can"):
        benchmark.query([wrong], benchmark.target)


def test_it_knows_how_far_from_its_data_it_is(made: tuple[pd.DataFrame, bytes]) -> None:
    table, model = made
    benchmark = open_benchmark(table, model, "ptb", nbnlp.SURROGATE)
    own = benchmark.query(list(table["architecture"]), "distance_to_data")
    np.testing.assert_array_equal(own, 0)
    far = {"a0": {"op": "linear", "input": ["x", "h_prev_0"]}}
    for i in range(1, 15):
        far[f"a{i}"] = {"op": "linear", "input": [f"a{i - 1}", "x"]}
    far["h_new_0"] = {"op": "linear", "input": ["a14", "x"]}
    assert benchmark.query([json.dumps(far)], "distance_to_data")[0] > 3


def test_its_facts_are_those_of_recipes_left_out(made: tuple[pd.DataFrame, bytes]) -> None:
    table, model = made
    facts = nbnlp.facts(table, model)
    assert facts["architectures"] == len(table)
    checked = facts["cross_validation"]
    assert 0.8 < checked["spearman"] < 0.999
    assert checked["folds"] == 10
    for level, share in (("68 %", 0.68), ("90 %", 0.9), ("95 %", 0.95)):
        assert checked["coverage"][level]["covered"] == pytest.approx(share, abs=0.05)
    json.dumps(facts)
    names, features = feature_table(unpack(codes_of(table)))
    surrogate = Boosted(model)
    inside = surrogate.predict(surrogate.select(names, features))
    # Fitted to these recipes, so it agrees better than it does with recipes left out.
    assert spearmanr(inside, table["negative_test_loss"]).statistic > checked["spearman"]


@pytest.mark.heavy
def test_the_same_data_give_the_same_bytes_and_no_pickle(made: tuple[pd.DataFrame, bytes]) -> None:
    few = made[0].head(60)
    with few_trees():
        model, again = (nbnlp.build({}, rows) for rows in (few, few.copy()))
    assert again == model
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} == {"json", "npy", "txt"}
    assert stored_facts(model) == Boosted(model).facts


@pytest.mark.heavy
def test_noise_is_told_as_noise() -> None:
    random = np.random.default_rng(0)
    features, values = random.normal(size=(200, 5)), random.normal(size=200)
    with few_trees():
        model = fit_boosted([str(i) for i in range(5)], features, values)
    checked = stored_facts(model)["cross_validation"]
    assert abs(checked["spearman"]) < 0.25
    surrogate = Boosted(model)
    fresh = random.normal(size=(500, 5)).astype(np.float32)
    misses = np.abs(random.normal(size=500) - surrogate.predict(fresh))
    covered = np.mean(misses <= surrogate.deviation(fresh))
    assert 0.6 < covered < 0.9  # 68 % at least: the members' disagreement comes on top


def test_a_damaged_model_and_too_few_recipes_are_refused(made: tuple[pd.DataFrame, bytes]) -> None:
    with pytest.raises(DataError, match="damaged"):
        Boosted(made[1][:1000])
    with pytest.raises(DataError, match="at least 50"):
        fit_boosted(["a"], np.zeros((3, 1)), np.zeros(3))


def test_without_lightgbm_it_says_what_to_install(
    made: tuple[pd.DataFrame, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "lightgbm":
            raise ImportError("no module named lightgbm")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"optiproxy-nas\[surrogates\]"):
        open_benchmark(*made, "ptb", nbnlp.SURROGATE)


@pytest.mark.heavy
def test_the_published_table(published: pd.DataFrame) -> None:
    for name, others in (("nbnlp", 265), ("nbnlp_surrogate", 0)):
        source = get_source(name)
        table = check_table(
            assemble(source.read(file, published) for file in source.publication.files), source
        )
        ptb = table[table["dataset"] == "ptb"]
        assert len(ptb) == 2833
        assert len(table) == 2833 + others
        assert ptb["negative_test_loss"].max() == pytest.approx(-4.435683, abs=1e-6)
    assert (
        ptb["training_seeds"].sum()
        == published[published["ptb_test_loss_mean"] != ""]["n_runs"].astype(int).sum()
    )
    counted = published[published["params"] != ""]
    cells = unpack(SPACE.from_string(list(counted["recipe"])))
    np.testing.assert_array_equal(
        np.round(parameters_millions(cells) * 1e6), counted["params"].astype(float)
    )


@pytest.mark.heavy
def test_the_documentation_tells_the_figures_of_the_data_card(published: pd.DataFrame) -> None:
    source = get_source("nbnlp_surrogate")
    table = assemble(source.read(file, published) for file in source.publication.files)
    # The plain-Python API keeps fitted surrogates, so this fits one only where none was fitted yet.
    model = kept_model(source.name, table, lambda: nbnlp.build({}, table))
    told = stored_facts(model)["cross_validation"]
    covered = [f"{100 * told['coverage'][f'{share} %']['covered']:.1f}" for share in (68, 90, 95)]
    widths = [
        f"{told['coverage'][f'{share} %']['half_width_in_deviations']:.1f}" for share in (90, 95)
    ]
    names = ("root_mean_squared_error", "mean_absolute_error", "median_absolute_error")
    page = (Path(__file__).parents[2] / "docs" / "nas-bench-nlp.md").read_text(encoding="utf-8")
    for row in (
        f"| Spearman, Kendall | {told['spearman']:.3f}, {told['kendall']:.3f} |",
        f"| Spearman in the better half | {told['best_half_spearman']:.2f} |",
        f"median error (nats) | {', '.join(f'{told[name]:.3f}' for name in names)} |",
        f"| {' / '.join(covered)} % |",
        f"in deviations | {' / '.join(widths)} |",
    ):
        assert row in page
