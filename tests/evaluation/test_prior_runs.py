"""Earlier runs that guide a search: every source, what is shared, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from optiproxy_nas import Choice, Search, Space, search
from optiproxy_nas.core.errors import DataError, JournalError, ParameterError
from optiproxy_nas.evaluation import prior_sources
from optiproxy_nas.evaluation.prior_sources import read_sources
from optiproxy_nas.evaluation.prior_table import MOST, prior_facts, prior_table
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.proxies.prior_mean import UNKNOWN
from optiproxy_nas.spaces import get_space

SPACE = Space({"width": [1, 2, 3, 4], "depth": [1, 2, 3, 4], "skip": [True, False]})
FOUR = [1, 2, 3, 4]
QUICK: dict[str, Any] = {"initial_samples": 5, "budget": 11, "gradient": {"groups": 2, "epochs": 2}}


def worth(network: Any) -> Any:
    return network["width"] * network["depth"] - 3 * network["skip"]


def few(network: Any) -> Any:
    return network["a"] + network["b"] <= 3


def earlier(space: Any = SPACE, evaluate: Any = worth, **arguments: Any) -> Any:
    return search(space=space, evaluate=evaluate, **{**QUICK, **arguments})


@pytest.fixture(scope="module")
def result() -> Any:
    return earlier()


def table_of(prior: Any, space: Any = SPACE, objective: Any = None, target: str = "value") -> Any:
    return prior_table(
        read_sources(prior, space, 0), space, resolve_objective(objective or {}), target
    )


@pytest.mark.heavy
def test_a_search_learns_from_a_result_and_says_so(result: Any) -> None:
    found = earlier(seed=1, prior=result)
    assert found.parameters.prior[0].startswith("custom, optiproxy, seed 0 (11 trials, SHA-256 ")
    trust = found.diagnostics["prior_trust"]
    assert trust.between(0, 1).all()
    assert found.archive["best"].iloc[1] == result.best_value  # the earlier answer, or as good
    assert found.archive.equals(earlier(seed=1, prior=[result]).archive)


def test_without_earlier_runs_nothing_changes(result: Any) -> None:
    assert earlier(prior=None).archive.equals(result.archive)
    assert "prior" not in result.parameters.model_dump()
    assert "prior_trust" not in result.diagnostics


@pytest.mark.heavy
def test_every_source_gives_the_same_trials(result: Any, tmp_path: Path) -> None:
    result.save(tmp_path / "earlier.search")
    result.archive.to_csv(tmp_path / "earlier.csv")
    earlier(journal=tmp_path / "earlier.jsonl")
    sources = [result, result.archive, result.trials, *map(str, tmp_path.glob("earlier.*"))]
    first, *others = [table_of([source]).drop(columns="name") for source in sources]
    assert len(others) == 5
    for other in others:
        pd.testing.assert_frame_equal(other, first)


def test_asked_and_told_with_a_journal_that_refuses_another_prior(
    result: Any, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"space": SPACE, "journal": tmp_path / "told.jsonl", **QUICK}
    with Search(prior=result, **arguments) as opened:
        first = opened.ask(2)
        opened.tell(first[0], 1.0)
    with Search(prior=result, **arguments) as opened:
        assert first[1].architecture in [trial.architecture for trial in opened.pending]
        assert len(opened.archive()) == 1
    with pytest.raises(JournalError) as caught:
        Search(**arguments)
    assert caught.value.data["names"] == ["prior"]


def test_a_journal_follows_a_prior_whose_file_was_renamed(result: Any, tmp_path: Path) -> None:
    result.save(tmp_path / "before.search")
    other = earlier(seed=9)
    other.save(tmp_path / "other.search")
    arguments: dict[str, Any] = {"space": SPACE, "journal": tmp_path / "told.jsonl", **QUICK}
    with Search(prior=str(tmp_path / "before.search"), **arguments) as opened:
        opened.tell(opened.ask(1)[0], 1.0)
    (tmp_path / "before.search").rename(tmp_path / "after.search")
    with Search(prior=str(tmp_path / "after.search"), **arguments) as opened:
        assert len(opened.archive()) == 1
    with pytest.raises(JournalError, match="prior"):
        Search(prior=str(tmp_path / "other.search"), **arguments)


def test_a_reversed_direction_is_turned(result: Any) -> None:
    lost = earlier(evaluate=lambda network: -worth(network), direction="minimize")
    turned = table_of(lost)
    pd.testing.assert_frame_equal(
        turned.drop(columns="name"), table_of(result).drop(columns="name")
    )


def test_choices_are_shared_by_name_and_value(result: Any) -> None:
    other = Space({"depth": [2, 3, 5], "kernel": [3, 5], "width": [1, 2, 3, 4]})
    table = table_of(result, other)
    assert set(table["code_1"]) == {UNKNOWN}  # kernel is new
    assert set(table["code_0"]) <= {UNKNOWN, 1, 2}
    found = earlier(other, lambda it: it["width"] * it["depth"] * it["kernel"], prior=result)
    assert len(found.archive) == QUICK["budget"]


@pytest.mark.parametrize(
    "narrower",
    [
        Space({"a": FOUR, "b": FOUR, "c": FOUR}, constraint=few),
        Space({"a": FOUR, "b": Choice(FOUR, when={"a": 1}), "c": FOUR}),
    ],
)
def test_what_the_space_rejects_informs_and_is_never_proposed(narrower: Any) -> None:
    wider = Space({"a": FOUR, "b": FOUR, "c": FOUR})
    before = earlier(wider, lambda network: sum(network.values()))
    settings = {"initial_samples": 6, "selection": {"listed": 0}}  # climbs from earlier answers
    found = earlier(narrower, lambda it: sum(it.values()), prior=before, seed=1, **settings)
    assert len(narrower.from_string(found.archive["architecture"])) == QUICK["budget"]


def test_a_choice_that_exists_here_alone_is_unknown() -> None:
    before = Space({"a": [1, 2], "b": Choice([1, 2], when={"a": 1})})
    trials = pd.DataFrame({"architecture": [{"a": 1, "b": 2}, {"a": 2}], "value": [1.0, 2.0]})
    assert table_of(trials, before)["code_1"].tolist() == [2, 0]
    always = Space({"a": [1, 2], "b": [1, 2]})
    assert table_of(trials, always)["code_1"].tolist() == [2, UNKNOWN]
    turned = Space({"a": [1, 2], "b": Choice([1, 2], when={"a": 2})})
    assert table_of(trials, turned)["code_1"].tolist() == [0, UNKNOWN]


def test_runs_of_one_name_are_told_apart(result: Any, tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        archive = result.archive.assign(value=result.archive["value"] + len(place) * (place < "t"))
        archive.to_csv(tmp_path / place / "earlier.csv")
    facts = prior_facts(table_of(sorted(map(str, tmp_path.glob("*/*.csv")))))
    assert [fact["name"] for fact in facts] == ["earlier.csv", "earlier.csv (2)"]


def test_failed_trials_are_counted_and_give_no_value(result: Any) -> None:
    def failing(network: Any) -> Any:
        if network["width"] == 4:
            raise RuntimeError("out of memory")
        return worth(network)

    facts = prior_facts(table_of(earlier(evaluate=failing)))
    assert facts[0]["failed"] > 0
    assert facts[0]["trials"] + facts[0]["failed"] == QUICK["budget"]


def test_an_unfinished_search_gives_what_is_complete(caplog: pytest.LogCaptureFixture) -> None:
    opened = Search(space=SPACE, **QUICK)
    for trial in opened.ask(5)[:3]:
        opened.tell(trial, worth(trial.architecture))
    with caplog.at_level(logging.WARNING):
        assert prior_facts(table_of(opened.result()))[0]["trials"] == 3
    assert "not finished; its 3 trials count" in caplog.text


def test_a_run_twice_counts_once_and_of_many_the_last_are_used(
    result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(prior_facts(table_of([result, result.archive]))) == 1
        tables = [result.archive.assign(value=result.archive["value"] + i) for i in range(15)]
        kept = prior_facts(table_of(tables))
    assert [fact["name"] for fact in kept] == [f"table {i}" for i in range(5, 15)]
    assert "count once" in caplog.text
    assert f"of 15 runs the last {MOST}" in caplog.text


def test_scores_are_computed_once_without_a_training(result: Any) -> None:
    calls = []

    def size(networks: Any) -> Any:
        calls.append(len(networks))
        return [network["width"] * network["depth"] for network in networks]

    found = earlier(seed=1, prior=[size])
    assert calls == [32]  # the whole space
    assert "32 scores" in found.parameters.prior[0]
    assert found.diagnostics["prior_trust_1"].iloc[-1] > 0.5


@pytest.mark.heavy
def test_a_run_of_the_dataset_itself_is_named_as_such() -> None:
    settings: dict[str, Any] = {"initial_samples": 5, "budget": 11}
    before = search("cifar10", seed=7, **settings)
    guided: list[Any] = [
        search(dataset, prior=before, **settings) for dataset in ("cifar10", "cifar100")
    ]
    itself, other = (found.parameters.prior[0] for found in guided)
    assert ", of this dataset, SHA-256 " in itself
    assert "dataset" not in other
    assert itself.partition("SHA-256")[2] == other.partition("SHA-256")[2]


@pytest.mark.heavy
def test_sizes_of_cells_are_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    space = get_space("nb201")
    lengths = table_of([lambda cells: [len(cell) for cell in cells]], space)
    assert prior_facts(lengths)[0]["trials"] == 100
    monkeypatch.setattr(prior_sources, "LARGEST", 5)  # each network is built
    sizes = prior_facts(table_of(["parameters", "flops"], space))
    assert [facts["trials"] for facts in sizes] == [5, 5]


@pytest.mark.parametrize(
    ("prior", "error", "text"),
    [
        (iter([]), ParameterError, "names no earlier run"),
        ([], ParameterError, "names no earlier run"),
        ((), ParameterError, "names no earlier run"),
        ("", ParameterError, "has an empty name"),
        ([3], ParameterError, "it takes results of searches"),
        (["missing.csv"], DataError, "prior = missing.csv: there is no such file"),
        ([pd.DataFrame({"architecture": [], "value": []})], ParameterError, "0 complete trials"),
        ([pd.DataFrame({"architecture": [{"a": 1}] * 3, "value": 1.0})], ParameterError, r"\(a\)"),
        ([pd.DataFrame({"width": [7, 8], "value": 1.0})], ParameterError, "none of the options"),
        ([pd.DataFrame({"width": [1, 2]})], DataError, "no column 'value'"),
        ([lambda networks: [1.0]], ParameterError, "one number each"),
        ([lambda networks: 1 / 0], ParameterError, "failed on 32 architectures"),
        (["parameters"], ParameterError, "no networks"),
    ],
)
def test_what_is_no_earlier_run_is_refused_before_the_search(
    prior: Any, error: Any, text: str
) -> None:
    with pytest.raises(error, match=text):
        earlier(prior=prior)


@pytest.mark.heavy
def test_runs_of_another_space_and_other_methods_are_refused(result: Any) -> None:
    with pytest.raises(ParameterError, match=r"on space 'choices'; .* on space 'nb201'") as caught:
        search("cifar10", prior=result)
    assert len(caught.value.message) < 160
    with pytest.raises(ParameterError, match="no architecture of the space") as caught:
        search("cifar10", prior=result.archive)
    assert len(caught.value.message) < 240
    with pytest.raises(ParameterError, match="is of method 'optiproxy'"):
        search(space=SPACE, evaluate=worth, budget=11, method="random_search", prior=result)
