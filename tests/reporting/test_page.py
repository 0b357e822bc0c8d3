"""The pages: complete, self-contained, escaped, and the same for the same run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import pytest

from optiproxy_nas.report import RunData, html_page, markdown_page
from optiproxy_nas.report.archive_figures import BEST_CELL, BEST_SO_FAR
from optiproxy_nas.report.html import environment
from optiproxy_nas.report.style import ReportFigure
from optiproxy_nas.report.summary import result_rows, settings_rows

PICTURE = b"\x89PNG not really"


class Tags(HTMLParser):
    """Checks that tags are closed in order, and collects text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Any] = []
        self.text: list[Any] = []

    def handle_starttag(self, tag: Any, attrs: Any) -> None:
        if tag not in {"meta", "img", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: Any) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: Any) -> None:
        self.text.append(data)


@pytest.fixture
def page(run: dict[str, Any]) -> Any:
    return html_page(RunData(**run), {BEST_SO_FAR: PICTURE})


def test_html_is_well_formed_and_fetches_nothing(page: Any) -> None:
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"(src|href)=\"(?!data:|#)|@import|url\(|<script", page)
    assert "data:image/png;base64,iVBORyBub3QgcmVhbGx5" in page


def test_the_best_of_a_problem_that_minimises_is_the_lowest(run: dict[str, Any]) -> None:
    summary = {**run["summary"], "problem": "m:P", "test_error": "ValueError"}
    minimised = RunData(**{**run, "summary": summary}, direction="minimize")
    text = markdown_page(minimised, [BEST_SO_FAR, BEST_CELL])
    assert "the lowest of many" in text
    assert "| Test | failed" in text
    assert BEST_CELL.title in text  # its space has a graph


def test_html_tells_the_whole_run(run: dict[str, Any], page: Any) -> None:
    parser = Tags()
    parser.feed(page)
    text = "".join(parser.text)
    summary = run["summary"]
    assert f"{summary['validation_accuracy']:.2f} % validation accuracy" in text
    assert f"kedro audit {summary['run_id']}" in text
    assert "computed after the search" in text
    assert BEST_SO_FAR.caption in text
    assert "something_new" in text
    assert '{"a": [1, 2]}' in text
    assert "Top 10 cells" in text
    assert text.count(summary["best_architecture"]) >= 2


def test_a_hostile_name_is_text_in_every_page(run: dict[str, Any]) -> None:
    evil = "<plaintext></script><script>alert(1)</script>\"'`|&lt;"
    keys = ("run_id", "dataset", "method", "preset", "caution", "run_command", "something_new")
    summary = run["summary"] | dict.fromkeys(keys, evil)
    archive = run["archive"].assign(architecture=evil)
    data = RunData(**run | {"summary": summary, "archive": archive})
    figure = ReportFigure("i", evil, evil, BEST_SO_FAR.draw)
    page = html_page(data, {figure: PICTURE})
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    assert page.count("alert(1)") > 10
    assert not re.search("<(plaintext|script)", page)
    text = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", markdown_page(data, [figure]), flags=re.DOTALL)
    assert "alert(1)" in text
    assert not re.search(r"(?<!\\)<(plaintext|script)", text)


def test_every_template_of_html_escapes() -> None:
    folder = resources.files("optiproxy_nas.report").joinpath("templates")
    unescaped = []
    for path in folder.iterdir():
        if path.name.endswith(".html.j2"):
            escapes: Any = environment().autoescape
            assert escapes(path.name)
            text = path.read_text(encoding="utf-8")
            unescaped += re.findall(r"\w+\s*\|\s*safe|autoescape", text)
    assert unescaped == []


def test_html_escapes_what_it_is_given(run: dict[str, Any]) -> None:
    summary = run["summary"] | {"run_id": "<b>&\"'", "note": "</table><script>"}
    figure = ReportFigure("i", "<i>", "<u>", BEST_SO_FAR.draw)
    page = html_page(RunData(**run | {"summary": summary}), {figure: PICTURE})
    assert "<script" not in page
    assert '<b>&"' not in page
    assert "<i>" not in page
    assert "<u>" not in page
    assert "&lt;i&gt;" in page


def test_markdown_tables_have_equal_columns(run: dict[str, Any]) -> None:
    page = markdown_page(RunData(**run), [BEST_CELL])
    for block in re.findall(r"(?:^\|.*\n)+", page.split("```")[-1] + "\n", flags=re.M):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(bars) == 1, block
    assert "![Best architecture](best_cell.png)" in page
    assert "| something\\_new |" in page
    assert run["summary"]["best_drawing"] in page
    assert BEST_CELL.caption in page


def test_top_cells_are_sorted_and_say_what_was_predicted(run: dict[str, Any]) -> None:
    page = markdown_page(RunData(**run), [])
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| (.*?) \| (\d+) \|", page, flags=re.M)
    assert [int(row[0]) for row in rows] == list(range(1, 11))
    values = [float(row[1]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert any("±" in row[2] for row in rows)


def test_what_is_unknown_is_said_so_and_nothing_is_invented(run: dict[str, Any]) -> None:
    summary = run["summary"] | dict.fromkeys(["test_accuracy", "optimum", "regret", "latency_ms"])
    data = RunData(**run | {"summary": summary})
    for page in (markdown_page(data, []), html_page(data, {})):
        assert page.count("not available") == 2  # test accuracy, latency
        assert page.count("no optimum is known") == 1
        assert "a regret of" not in page


@pytest.mark.parametrize("summary", [{}, {"validation_accuracy": float("nan")}])
def test_pages_of_an_empty_run(run: dict[str, Any], summary: Any) -> None:
    empty = RunData(**run | {"summary": summary, "archive": run["archive"].head(0)})
    assert "Run report" in markdown_page(empty, [])
    assert "Run report" in html_page(empty, {})


def test_the_same_run_gives_the_same_page(run: dict[str, Any], page: Any) -> None:
    assert page == html_page(RunData(**run), {BEST_SO_FAR: PICTURE})


def test_values_go_by_the_target_with_its_caution(run: dict[str, Any]) -> None:
    target_facts = {
        "target": "negative_test_loss",
        "negative_test_loss": -4.5,
        "caution": "A model's.",
    }
    other_facts = {
        k: v for k, v in run["summary"].items() if k not in ("validation_accuracy", "latency_ms")
    }
    summary = {
        **other_facts,
        **target_facts,
        "optimum": None,
        "regret": None,
        "test_accuracy": None,
    }
    page = markdown_page(RunData(**run | {"summary": summary}), [])
    assert "**Best cell: -4.50 nats negative test loss, found at" in page
    assert page.count("A model's.") == 1
    assert "| Negative test loss | -4.50 nats |" in page
    assert "| Optimum | no optimum is known |" in page
    assert "not available" not in page
    assert "Value (nats)" in page
    assert "alidation accuracy" not in page


def test_values_of_the_top_cells_have_the_digits_that_tell_them_apart(run: dict[str, Any]) -> None:
    archive = run["archive"].nlargest(3, "value")
    for values, shown in (
        ([3.0, 2.0, 2.0], ["3.00", "2.00", "2.00"]),
        ([3.0, 2.001, 2.0], ["3.000", "2.001", "2.000"]),
        ([3.0, 2.0000001, 2.0], ["3.00", "2.00", "2.00"]),
    ):
        page = markdown_page(RunData(**run | {"archive": archive.assign(value=values)}), [])
        assert re.findall(r"^\| \d+ \| ([\d.]+) \|", page, flags=re.M) == shown


def test_what_a_surrogate_says_of_itself_is_a_result() -> None:
    measurements = {"surrogate_sd_nats": 0.05, "distance_to_data": 1.25}
    rows = dict(result_rows(measurements))
    assert list(rows.values()) == ["0.05 nats", "1.25"]
    assert settings_rows(measurements) == []


def test_a_small_score_has_its_digits_and_so_has_the_regret(run: dict[str, Any]) -> None:
    """0.5753 was printed as 0.58, with a regret of 0.00 to an optimum that is another value."""
    other_facts = {k: v for k, v in run["summary"].items() if k != "validation_accuracy"}
    summary = {
        **other_facts,
        "target": "score",
        "score": 0.5753,
        "optimum": 0.5761,
        "regret": 0.0008,
    }
    assert dict(result_rows(summary))["Score"] == "0.5753"
    page = html_page(RunData(**run | {"summary": summary}), {})
    assert "The best cell of the table has 0.5761: a regret of 0.0008." in page
