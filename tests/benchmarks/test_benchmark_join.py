"""Joined sources: nothing of the main one changes, nothing is filled in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from changed_source import changed
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks import Source, TabularBenchmark, get_source
from optiproxy_nas.benchmarks.joining import join_rows, join_sources
from optiproxy_nas.benchmarks.nb201 import NB201
from optiproxy_nas.benchmarks.source_registry import check_source
from optiproxy_nas.benchmarks.sources import Contents, Publication, RawFile
from optiproxy_nas.benchmarks.tidy_table import UNTRAINED, assemble, check_table, tidy
from optiproxy_nas.core.errors import DataError, ParameterError, UnknownNameError

ACCURACY, LATENCY = "validation_accuracy", "board_latency_ms"


def made_up(
    name: str, metrics: Any, epochs: Any = (200,), datasets: Any = ("cifar10",), **changes: Any
) -> Source:
    """A partial source; its rows are made by the tests."""
    return Source(
        name=name,
        family=NB201,
        publication=Publication(
            version="made up",
            licence="none",
            homepage="nowhere",
            obtain="Not at all.",
            files=tuple(RawFile(f"{name}_{dataset}", dataset) for dataset in datasets),
        ),
        contents=Contents(
            metrics=dict.fromkeys(metrics, "made up"), epochs=epochs, partial=True, **changes
        ),
        read=lambda *_: pd.DataFrame(),
    )


FULL = made_up("full", [ACCURACY, "test_accuracy"])
EARLY = made_up("early", [ACCURACY], epochs=(12,))
BOARD = made_up("board", [LATENCY], epochs=())

cells = st.lists(st.tuples(*[st.integers(0, 4)] * 6), min_size=1, max_size=8, unique=True)
percent = st.floats(0, 100)


def rows(codes: Any, metrics: Any, epochs: int = 200, dataset: str = "cifar10") -> Any:
    return tidy(NB201, torch.tensor(codes).reshape(-1, 6), dataset, metrics, epochs=epochs)


@pytest.mark.heavy
@given(st.data(), cells, cells)
def test_a_join_keeps_the_main_source_and_adds_what_the_others_say(
    data: Any, codes: Any, others: Any
) -> None:
    def draw(n: Any, elements: Any = percent) -> Any:
        return data.draw(st.lists(elements, min_size=n, max_size=n))

    every = list(dict.fromkeys(codes + others))  # the others may know more cells
    full = assemble([rows(codes, {ACCURACY: draw(len(codes)), "test_accuracy": draw(len(codes))})])
    early = assemble([rows(every, {ACCURACY: draw(len(every))}, epochs=12)])
    latency = draw(len(every), st.floats(0.1, 100) | st.just(np.inf))
    board = assemble([rows(every, {LATENCY: latency}, epochs=UNTRAINED)])
    source = join_sources([FULL, EARLY, BOARD])
    joined = check_table(join_rows([full, early, board], source), source)

    trained = joined[joined["epochs"] == 200].reset_index(drop=True)
    pd.testing.assert_frame_equal(trained[list(full)], full)
    benchmark = TabularBenchmark(joined, "cifar10", source)
    assert benchmark.epochs == (12, 200)
    names = full["architecture"].tolist()
    by_name = {
        name: table.set_index("architecture").loc[names]
        for name, table in (("early", early), ("board", board))
    }
    np.testing.assert_array_equal(benchmark.query(names, ACCURACY, 12), by_name["early"][ACCURACY])
    np.testing.assert_array_equal(benchmark.query(names, LATENCY), by_name["board"][LATENCY])
    first = joined[joined["epochs"] == 12]
    assert first[["test_accuracy", LATENCY]].isna().all(axis=None)
    assert len(joined) == 2 * len(codes)


def test_facts_of_a_joined_source() -> None:
    source = join_sources([FULL, EARLY, BOARD])
    assert source.name == "full+early+board"
    assert [part.name for part in source.parts] == ["full", "early", "board"]
    assert list(source.contents.metrics) == [ACCURACY, "test_accuracy", LATENCY]
    assert source.contents.epochs == (12, 200)
    known = changed(FULL, optimum={"cifar10": 90.0})
    assert join_sources([changed(EARLY, optimum={"cifar10": 1.0}), known]).contents.optimum == {
        "cifar10": 90.0
    }


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([FULL, FULL], "'full\\+full': it names one source twice"),
        ([BOARD, FULL], "board holds no accuracies; begin with"),
        ([FULL, made_up("other", [ACCURACY])], "full and other both hold validation_accuracy"),
        (
            [FULL, BOARD, made_up("board2", [LATENCY], epochs=())],
            "full\\+board and board2 both hold board_latency_ms",
        ),
        ([FULL, changed(BOARD, space="nb101")], "full is of search space nb201.* board of nb101"),
        ([FULL, changed(BOARD, full_epochs=108)], "board of nb201, 108"),
        (
            [FULL, made_up("far", [LATENCY], epochs=(), datasets=["cifar100"])],
            "no dataset in common \\(full: cifar10; far: cifar100\\)",
        ),
    ],
)
def test_sources_that_do_not_fit_are_refused(parts: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        join_sources(parts)


def test_an_unknown_part_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"'hw_nas_benh'.*Did you mean 'hw_nas_bench'"):
        get_source("v1_0+hw_nas_benh")


def test_cells_that_a_joined_source_lacks_are_named() -> None:
    full = rows([[0] * 6, [1] * 6], {ACCURACY: [1.0, 2.0], "test_accuracy": 3.0})
    board = rows([[1] * 6], {LATENCY: 1.0}, epochs=UNTRAINED)
    source = join_sources([FULL, BOARD])
    with pytest.raises(
        DataError, match=r"board lacks 1 of .* 2 cells .* of full.*none~0"
    ) as caught:
        join_rows([full, board], source)
    assert caught.value.data["lacking"] == 1


def test_files_without_a_dataset_in_common_are_refused() -> None:
    both = ("cifar10", "cifar100")
    source = join_sources([FULL.with_files(made_up("", [], (), both).publication.files), BOARD])
    full = rows([[0] * 6], {ACCURACY: 1.0, "test_accuracy": 3.0}, dataset="cifar100")
    board = rows([[0] * 6], {LATENCY: 1.0}, epochs=UNTRAINED)
    with pytest.raises(DataError, match=r"in common \(full: cifar100; board: cifar10\)"):
        join_rows([full, board], source)


def test_a_dataset_that_only_one_has_is_left_out() -> None:
    both = ("cifar10", "cifar100")
    source = join_sources([FULL.with_files(made_up("", [], (), both).publication.files), BOARD])
    full = assemble(
        rows([[0] * 6], {ACCURACY: 1.0, "test_accuracy": 3.0}, dataset=dataset) for dataset in both
    )
    board = rows([[0] * 6], {LATENCY: 1.0}, epochs=UNTRAINED)
    joined = check_table(join_rows([full, board], source), source)
    assert joined["dataset"].tolist() == ["cifar10"]
    assert source.datasets == ("cifar10",)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hw_nas_bench", "costs?, and no accuracies.*source=v1_0\\+hw_nas_bench"),
        ("schedule12", "after 12 of 200 epochs.*join it"),
    ],
)
def test_a_source_that_cannot_be_searched_alone_names_the_join(
    make_parameters: Callable[..., SearchParameters], source: str, message: str
) -> None:
    parameters: SearchParameters = make_parameters(source=source)
    with pytest.raises(ParameterError, match=message):
        check_source(parameters)
    check_source(make_parameters(source=f"v1_0+{source}"))


def test_the_real_join_keeps_the_values_of_v1_0(v1_0: pd.DataFrame, hardware: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(hardware[list(v1_0)], v1_0)
    assert np.isposinf(hardware["edgetpu_latency_ms"]).sum() == 3 * 4_699
    assert not hardware.isna().any(axis=None)
