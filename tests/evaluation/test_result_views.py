"""What a user sees of a search: figures, the page of a notebook, and lines of text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from evaluations import OBJECTIVES, QUICK, failing, share, worth
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from optiproxy_nas import DataError, Search, SearchResult, Space, Trial, search
from optiproxy_nas.api.notebook_view import HEIGHT, WIDTH, curve_points

SHORT: dict[str, Any] = {"budget": 12, "seed": 4, **QUICK}


@pytest.fixture(scope="module")
def table() -> SearchResult:
    return search("cifar100", **SHORT)


def shown_limits(figure: Figure) -> tuple[float, float]:
    low, high = figure.axes[0].get_ylim()
    return low, high


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_is_drawn_with_its_answer(name: Any) -> None:
    """Minimised, and with failed trials."""
    asked = SHORT | {"budget": 36 if name == "multi_fidelity" else 12}
    result = search(evaluate=failing, objective=OBJECTIVES[name], direction="minimize", **asked)
    assert result.failed
    asked_and_failed = (
        f"{len(result.archive) + len(result.failed)} queries, {len(result.failed)} failed"
    )
    assert asked_and_failed in str(result)
    figure = result.plot.best_so_far()
    low, high = shown_limits(figure)
    assert low < result.best_value < high
    assert figure.axes[0].get_ylabel() == "value"
    assert isinstance(result.plot.predictions(), Figure)
    assert isinstance(result.plot.logits(), Figure)


def test_the_better_part_of_minimised_values_is_shown() -> None:
    def loss(architecture: str) -> Any:
        return 1000.0 if share(architecture) < 0.1 else share(architecture)

    result = search(evaluate=loss, direction="minimize", method="random_search", budget=40)
    low, high = shown_limits(result.plot.best_so_far())
    assert low < result.best_value < high < 1000
    assert result.archive["value"].max() == 1000


def test_the_optimum_is_drawn_in_the_unit_of_the_table(table: SearchResult) -> None:
    figure = table.plot.best_so_far()
    assert "(%)" in figure.axes[0].get_ylabel()
    assert any("73.49" in text.get_text() for text in figure.legends[0].get_texts())
    assert table.plot.predictions().axes[0].get_xlabel().endswith("(%)")


def test_notebooks_show_a_figure_without_pyplot(table: SearchResult) -> None:
    assert table.plot.best_so_far()._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_a_baseline_has_no_predictions_and_logits_and_says_so() -> None:
    result = search(evaluate=worth, method="random_search", budget=5)
    for draw in (result.plot.predictions, result.plot.logits):
        with pytest.raises(DataError) as caught:
            draw()
        assert caught.value.data["method"] == "random_search"


def test_nothing_yet_and_part_of_a_search_are_shown() -> None:
    opened = Search(budget=10)
    empty = opened.result()
    opened.tell(opened.ask(2)[1], 5.0)
    part = opened.result()
    for result in (empty, part):
        assert isinstance(result.plot.best_so_far(), Figure)
        assert isinstance(result.plot.predictions(), Figure)
        assert isinstance(result.plot.logits(), Figure)
        assert len(repr(result).splitlines()) == 3
    assert "<img" not in empty._repr_html_()
    assert part._repr_html_().count("<img") == 2


@pytest.mark.heavy
def test_the_page_of_a_notebook_is_small_and_whole() -> None:
    """Of the space with the largest drawings."""
    result = search(space="nb301", evaluate=share, method="random_search", budget=12)
    page = result._repr_html_()
    assert "sep_conv_3x3" in page
    assert len(page) < 100_000
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_a_hostile_name_is_text_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "<plaintext></script><script>alert(1)</script>\"'`|&lt;"

    def fail(architecture: Any) -> float:
        if architecture["a"] == "x":
            raise MemoryError(evil)
        return 1.0

    space = Space({"a": ["x", evil], evil: [1, 2]})
    made = search(evil, space=space, evaluate=fail, method="random_search", budget=4)
    assert made.failed
    page = replace(made, caution=evil, target=evil)._repr_html_()
    assert page.count("alert(1)") >= 5
    assert not re.search("<(plaintext|script)", page)


def test_an_unregistered_space_is_drawn_as_text() -> None:
    result = search(space="tiny_space:TinySpace", evaluate=share, method="random_search", budget=4)
    page = result._repr_html_()
    assert page.count("<img") == 1
    assert "<pre" in page


def test_text_of_a_result_has_value_unit_and_regret(table: SearchResult) -> None:
    what, found, trials = repr(table).splitlines()
    assert "nb201 cifar100 by optiproxy" in what
    assert f"{table.best_value:.2f} %" in found
    assert f"regret {table.regret:.2f} points" in found
    assert table.best_architecture in found
    assert "12 complete, 0 failed, 0 open" in trials


def test_the_optimum_is_the_best_of_what_keeps_the_bounds() -> None:
    bounds = {"name": "constrained", "constraints": ["latency_ms <= 14"]}
    plain = search("cifar100", method="random_search", budget=30)
    bound = search("cifar100", method="random_search", budget=30, objective=bounds)
    assert plain.optimum is not None
    assert bound.optimum is not None
    assert bound.optimum < plain.optimum == pytest.approx(73.4933, abs=1e-4)
    assert bound.regret == pytest.approx(bound.optimum - bound.best_value)
    lowest = search("cifar100", method="random_search", budget=30, direction="minimize")
    assert lowest.optimum == pytest.approx(1.0, abs=0.1)
    assert lowest.regret == pytest.approx(lowest.best_value - cast(float, lowest.optimum), abs=1e-5)


def test_a_search_that_is_not_over_knows_no_optimum() -> None:
    seen = []
    result = search(
        method="random_search",
        budget=3,
        callbacks=[lambda opened, _: seen.append(opened.result().optimum)],
    )
    assert seen == [None] * 3
    assert result.optimum is not None


def test_of_own_values_no_optimum_is_known() -> None:
    result = search(evaluate=worth, method="random_search", budget=5)
    assert (result.optimum, result.regret, result.unit) == (None, None, "")


def test_a_saved_result_is_shown_without_its_table(
    table: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = SearchResult.load(table.save(tmp_path / "search.result"))
    monkeypatch.setattr("optiproxy_nas.benchmarks.benchmark_cache._loaded", None)
    assert repr(loaded) == repr(table)
    assert loaded.regret == table.regret


def test_searches_and_trials_read_well() -> None:
    opened = Search(budget=10, method="random_search")
    first, second = opened.ask(2)
    opened.tell(first, failed="out of memory")
    told = opened.tell(second, {"value": 5, "size": 2.5}, seconds=3)
    assert repr(opened.trials[0]) == f"<Trial 0 failed, out of memory: {first.architecture}>"
    assert repr(told) == f"<Trial 1 complete, value 5, size 2.5, 3 s: {second.architecture}>"
    assert isinstance(told, Trial)
    assert "8 trials open, 1 failed; best value 5" in repr(opened)


def test_an_open_search_shows_how_far_it_is() -> None:
    opened = Search(budget=10, method="random_search")
    empty = opened._repr_html_()
    assert "0 of 10 queries: 0 complete, 0 failed, 0 open" in empty
    assert "<polyline" not in empty
    trials = opened.ask(4)
    for trial, value in zip(trials, (1.0, 3.0), strict=False):
        opened.tell(trial, value)
    opened.tell(trials[2], failed="out of <b>memory")
    page = opened._repr_html_()
    assert "3 of 10 queries: 2 complete, 1 failed" in page
    assert trials[1].architecture.split("|")[1] in page
    assert "out of &lt;b&gt;memory" in page
    assert page.count("<polyline") == 1


@pytest.mark.heavy
def test_a_notebook_has_one_display_that_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    class Handle:
        def update(self, html: Any) -> None:
            shown.append(html.data)

    def display(html: Any, display_id: Any) -> Any:
        shown.append(html.data)
        return Handle()

    monkeypatch.setattr("optiproxy_nas.api.progress.in_notebook", lambda: True)
    monkeypatch.setattr("optiproxy_nas.api.notebook_view.EVERY", 0.0)
    monkeypatch.setattr("IPython.display.display", display)
    search(evaluate=worth, method="random_search", budget=5, progress=True)
    assert len(shown) == 7  # at the start, after each trial, at the end
    assert ["<progress" in html for html in shown] == [True] * 7
    assert "about" in shown[3]
    assert "5 of 5 queries" in shown[-1]
    assert "took" in shown[-1]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_the_line_of_a_display_lies_within_it(values: Any) -> None:
    points = curve_points(np.maximum.accumulate(np.array([np.nan, *values])))
    pairs = [tuple(map(float, point.split(","))) for point in points.split()]
    assert not pairs or len(pairs) == len(values)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in pairs)
