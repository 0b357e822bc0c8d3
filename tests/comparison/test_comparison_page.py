"""The page: whole, offline, escaped, the same for the same runs; its figures are valid."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from made_runs import found, make_run, settings

from optiproxy_nas.evaluation.finished_run import FoundRuns
from optiproxy_nas.report import curve_values
from optiproxy_nas.report.compare import (
    best_so_far,
    compare,
    comparison_html,
    comparison_page,
    run_lengths,
)
from optiproxy_nas.report.curves import BEST, value_range
from optiproxy_nas.report.style import line_style
from optiproxy_nas.spaces.nb201 import NASBench201

TAGS = {
    *("html", "meta", "style", "script", "table", "th", "td", "tr", "div", "img", "svg", "path"),
    *("figure", "code", "p", "h1", "h2", "a", "main", "span", "input"),
}


class Tags(HTMLParser):
    """Checks that tags are closed in order, and collects text and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Any] = []
        self.text: list[Any] = []
        self.attributes: list[Any] = []

    def handle_starttag(self, tag: Any, attrs: Any) -> None:
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in {"meta", "img", "wbr", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: Any) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: Any) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text.append(data)


@pytest.fixture(scope="module")
def page(two_methods: FoundRuns, nb201: NASBench201) -> Any:
    return comparison_page(compare(two_methods, name="made-up"), nb201)


@pytest.fixture
def unpictured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pictures show is of other tests: they take most of a page's time."""
    for module in (comparison_html, curve_values):
        monkeypatch.setattr(module, "png", lambda figure: b"a picture")


def read(page: Any) -> Any:
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    return parser


@pytest.mark.heavy
def test_page_is_well_formed_and_fetches_nothing(page: Any) -> None:
    parser = read(page)
    places = [v for _, name, v in parser.attributes if name in {"src", "href", "action"}]
    assert places
    assert all(place.startswith(("data:image/png;base64,", "#")) for place in places)
    assert not re.search(r"@import|url\(|https?://", page)
    assert len(page) < 2_000_000


@pytest.mark.heavy
def test_page_can_be_read_without_eyes_and_mouse(page: Any) -> None:
    found = read(page).attributes
    assert [value for tag, name, value in found if tag == "html" and name == "lang"] == ["en"]
    assert page.count("<main") == page.count("<header>") == page.count("<h1>") == 1
    assert len(re.findall("<img ", page)) == len(re.findall(r'<img alt="[^"]+"', page)) > 0
    assert set(re.findall(r"<th(?: [^>]*)?>", page)) == {
        found for found in re.findall(r"<th(?: [^>]*)?>", page) if "scope=" in found
    }
    for slider in re.findall(r"<label>[^<]*<input type=\"range\"", page):
        assert re.match(r"<label>\w+ \(upright line\) <", slider)


def test_page_tells_all(page: Any, two_methods: FoundRuns) -> None:
    text = "".join(read(page).text)
    for expected in (
        "Comparison of 32 runs",
        "OptiProxy-NAS, made up",
        "cifar100",
        "Settings that differ",
        "regret".capitalize(),
        "8 (0–7)",
        "+1.00",
        "8 / 0 / 0",
        "optiproxy has 33.50 % on average over 8 seeds, the highest mean of 2 groups",
        "set it apart (p < 0.05) from 1 of the other 1",
    ):
        assert expected in text
    for run in two_methods.runs:
        assert run.run_id in text


@pytest.mark.heavy
def test_page_is_the_same_again_with_its_pictures(
    page: Any, two_methods: FoundRuns, nb201: NASBench201
) -> None:
    assert comparison_page(compare(two_methods, name="made-up"), nb201) == page


def test_what_users_wrote_is_escaped(nb201: NASBench201, unpictured: None) -> None:
    evil = "<plaintext></script><script>alert(1)</script>\"'`|&lt;"
    tags = {"git.commit": evil, "code.sha256": evil}
    of_user: dict[str, Any] = {"method": evil, "dataset": evil, "preset": evil, "source": evil}
    runs = [make_run(0, tags=tags, caution=evil, target=evil, **of_user), make_run(0)]
    runs = [replace(run, reference=evil, run_id=f"{evil}{i}") for i, run in enumerate(runs)]
    comparison = compare(found(*runs, incomplete=(evil,)), name=evil)
    page = comparison_page(comparison, nb201)
    parser = read(page)  # all tags are ours, and closed
    assert {tag for tag, *_ in parser.attributes} <= TAGS
    assert page.count("alert(1)") > 10
    assert not re.search(r"<(plaintext|script>alert)", page)


def test_one_run_makes_a_page(nb201: NASBench201) -> None:
    text = "".join(read(comparison_page(compare(found(make_run(0))), nb201)).text)
    assert "no setting but the seed differs" in text
    assert "Paired" not in text
    assert "No run found" not in text


def test_targets_that_no_run_found_make_no_empty_figure(page: Any) -> None:
    text = "".join(read(page).text)
    assert text.count("No run found the optimum of the table") == 2


def test_few_seeds_are_marked(nb201: NASBench201, unpictured: None) -> None:
    runs = [make_run(0), make_run(0, (10.0, 30.0, 20.0, 39.0), method="tpe")]
    page = comparison_page(compare(found(*runs)), nb201)
    assert "too few seeds" in page
    assert "too few common seeds for a test" in page


def test_no_group_is_called_best_where_means_are_equal(
    nb201: NASBench201, unpictured: None
) -> None:
    runs = [make_run(0), make_run(0, method="tpe")]
    page = comparison_page(compare(found(*runs)), nb201)
    assert "2 of 2 groups have the same best mean, 40.00 %" in page


def test_values_that_are_read_out_are_the_means(two_methods: FoundRuns) -> None:
    panel = compare(two_methods).panels[0]
    lines = curve_values.plot("p", panel.curves, BEST).values["lines"]
    for line, group in zip(lines, panel.groups, strict=True):
        assert line["y"] == pytest.approx(group.curves(4).mean(axis=0), abs=1e-4)


def test_picture_shows_curves_and_target(two_methods: FoundRuns) -> None:
    comparison = compare(two_methods)
    axes = best_so_far(comparison.curves).axes
    assert [a.get_title(loc="left") for a in axes] == ["cifar10", "cifar100"]
    steps = {line.get_label(): line.get_ydata() for line in axes[0].lines}
    mean = comparison.panels[0].groups[0].curves(4).mean(axis=0)
    np.testing.assert_allclose(np.asarray(steps["optiproxy (8)"]), mean)
    assert np.asarray(steps["optimum"]).tolist() == [40.0, 40.0]
    low, high = value_range(comparison.curves[0])
    assert low < mean[-1] < high


def test_run_length_ends_at_the_share_of_successes() -> None:
    runs = [make_run(0, [10, 40, 40]), make_run(1, [10, 20, 20])]
    (line,) = run_lengths(compare(found(*runs)).curves).axes[0].lines
    assert np.asarray(line.get_ydata()).tolist() == [0, 0, 50, 50]


@pytest.mark.parametrize(
    ("names", "summary"), [(("a",), "1 setting of some"), (("a", "b"), "2 settings of some")]
)
def test_what_is_folded_is_counted(
    nb201: NASBench201, unpictured: None, names: Any, summary: str
) -> None:
    """Settings that one group alone has."""
    runs = [
        make_run(0, method="tpe", **settings(dict.fromkeys(names, 1))),
        make_run(0, method="random"),
    ]
    page = comparison_page(compare(found(*runs)), nb201)
    assert f"<summary>{summary} groups only</summary>" in page


def test_tables_show_each_group_with_its_line(page: Any) -> None:
    swatches = re.findall(r'<svg class="swatch".*?stroke="(.*?)" .*?stroke-dasharray="(.*?)"', page)
    first, second = (line_style(index) for index in (0, 1))
    assert set(swatches) == {
        (first.colour, "none"),
        (second.colour, " ".join(f"{second.width * part:g}" for part in second.dashes)),
    }
