"""From curves that are known to the numbers that are printed."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic import OPTIMA, measured_of, run_id_of, synthetic

from evidence import comparison, table, variants
from evidence.collect import Evidence, settings_digest
from evidence.comparison import render
from evidence.measures import compare
from evidence.sections import Quoted, Row, Section
from optiproxy_nas.core.errors import UnknownNameError
from optiproxy_nas.report.statistics import Interval, PairedDifference

BEST = OPTIMA["cifar10"]


def section_of(render: str = "comparison", **facts: Any) -> Any:
    rows = (
        Row(label="ours", seeds="0-9", blocks=({"method": "ours"},)),
        Row(label="theirs", seeds="0-9", blocks=({"method": "theirs"},)),
    )
    common = {"source": "v1_0", "dataset": "cifar10", "budget": 6}
    base = {"title": "T", "order": 1, "page": "docs/page.md", "common": common, "rows": rows}
    base["budgets"] = (3, 6)
    return Section(name="made", render=render, **{**base, **facts})


def curve(point: Any) -> Any:
    """Ours finds the optimum at query 4 in all seeds, at 2 in seeds 0-4; theirs never."""
    if point["method"] == "theirs":
        return [80.0, 85.0, 90.0, 90.0, 90.0, 91.0]
    early = point["seed"] < 5
    return [80.0, BEST if early else 86.0, 90.0, BEST, 50.0, 50.0]


def cells(line: str) -> Any:
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows_of(text: str) -> Any:
    """Body rows of all Markdown tables in a text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    body = [line for line in lines if not set(line) <= set("|- ")]
    heads = [
        lines[i - 1] for i, line in enumerate(lines) if set(line) <= set("|- ") and "---" in line
    ]
    return [cells(line) for line in body if line not in heads]


@pytest.fixture(scope="module")
def made() -> Any:
    section = section_of()
    return section, synthetic([section], curve)


def test_a_curve_is_read_at_the_number_of_queries_asked_for(made: Any) -> None:
    section, evidence = made
    at_3 = measured_of(evidence, section, section.rows[0], "cifar10", 3)
    at_6 = measured_of(evidence, section, section.rows[0], "cifar10", 6)
    assert at_3.best.tolist() == [BEST] * 5 + [90.0] * 5
    assert at_3.regret == pytest.approx((BEST - 90.0) / 2)
    assert at_3.to_optimum.tolist() == [2] * 5 + [math.inf] * 5
    assert at_6.regret == 0
    assert at_6.to_optimum.tolist() == [2] * 5 + [4] * 5
    assert measured_of(evidence, section, section.rows[0], "cifar10", 7) is None
    assert measured_of(evidence, section, section.rows[0], "cifar100", 3) is None


def test_settled_searches_and_extended_ones_read_as_if_all_had_gone_on() -> None:
    """Short where the optimum was reached by then, long where not: the same cells as all long."""
    section = section_of()
    whole = Row(label="whole", seeds="0-9", blocks=({"method": "ours"},))
    spared = Row(
        label="spared",
        seeds="0-9",
        extend=6,
        blocks=(
            {"method": "ours", "budget": 3, "seed": list(range(5))},
            {"method": "ours", "budget": 6, "seed": list(range(5, 10))},
        ),
    )
    section = section.model_copy(update={"rows": (whole,)})
    evidence = synthetic([section], curve)
    blocks = [{**section.common, "pipeline": section.pipeline, **b} for b in spared.blocks]
    mixed = synthetic([section.model_copy(update={"rows": (whole,)})], curve)
    ids = {run_id_of({**b, "seed": seed}) for b in blocks for seed in b["seed"]}
    short = {
        run_id: run_id.replace('"budget": 6', '"budget": 3') if index in range(5) else run_id
        for index, run_id in enumerate(sorted(mixed.members["made", "", "whole"], key=seed_of))
    }
    results, runs = mixed.results, mixed.runs
    settled = {run_id for run_id, new in short.items() if new != run_id}
    results = results[~(results["run_id"].isin(settled) & (results["query"] > 3))]
    runs = runs.assign(budget=[3 if r in settled else 6 for r in runs["run_id"]])
    mixed = Evidence(
        results.assign(run_id=results["run_id"].map(short)).reset_index(drop=True),
        runs.assign(run_id=runs["run_id"].map(short)),
        {("made", "", "spared"): frozenset(short.values())},
        told=mixed.told,
    )
    assert set(short.values()) == ids
    for budget in (3, 4, 6):
        one = measured_of(evidence, section, whole, "cifar10", budget, told=["test_accuracy"])
        two = measured_of(mixed, section, spared, "cifar10", budget, told=["test_accuracy"])
        assert one.cells(["test_accuracy"]) == two.cells(["test_accuracy"])
        assert one.curves.tolist() == two.curves.tolist()
    assert measured_of(mixed, section, spared, "cifar10", 7) is None


def seed_of(run_id: str) -> Any:
    return json.loads(run_id)["seed"]


def test_metrics_are_told_of_the_architecture_chosen_by_then(made: Any) -> None:
    section, _ = made
    asked = []

    def table_of(source: Any, dataset: Any, metrics: Any, architectures: Any) -> Any:
        asked.append((source, dataset, metrics, architectures))
        return {metric: [float(a.split()[1]) for a in architectures] for metric in metrics}

    evidence = synthetic([section], curve, told=table_of)
    names = ["test_accuracy", "validation_accuracy"]  # the latter was searched for
    measured = measured_of(evidence, section, section.rows[0], "cifar10", 3, told=names)
    assert asked == [("v1_0", "cifar10", names[:1], ["cell 2"] * 5 + ["cell 3"] * 5)]
    assert {name: values.tolist() for name, values in measured.told.items()} == {
        "test_accuracy": [2.0] * 5 + [3.0] * 5
    }


def test_an_unknown_figure_is_named_with_the_nearest() -> None:
    section = section_of(options={"figures": ["run_length"]})
    with pytest.raises(UnknownNameError, match=r"figure of section 'made'.*'run_lengths'"):
        render(section, synthetic([section], curve))


def test_a_column_that_says_nothing_is_left_out() -> None:
    section = section_of()
    full = render(section, synthetic([section], curve)).texts["made"]
    assert "| test accuracy (%) |" in full
    assert "| at the optimum |" in full
    nothing = render(section, synthetic([section], curve, told=lambda *_: {})).texts["made"]
    assert "test accuracy" not in nothing
    assert "| at the optimum |" in nothing
    assert [len(row) for row in rows_of(nothing)] == [len(row) - 1 for row in rows_of(full)]


def test_the_comparison_prints_what_was_measured(made: Any) -> None:
    section, evidence = made
    texts = comparison.render(section, evidence).texts
    assert set(texts) == {"made", "made-differences"}
    first, *_ = rows_of(texts["made"])
    assert first[:3] == ["3", "ours", f"{(BEST + 90) / 2:.3f}"]
    assert first[5] == "50% (24% to 76%)"
    assert first[6] == "> 3"  # half never got there
    at_6 = rows_of(texts["made"])[2]
    assert at_6[:3] == ["6", "ours", "91.607"]
    assert at_6[6:8] == ["3", "0.000"]  # median of five 2s and five 4s
    difference = rows_of(texts["made-differences"])[0]
    assert difference[2] == "theirs"
    assert difference[5:] == ["5 / 5 / 0", "10", "not ahead: no difference shown"]  # p = 1/16
    assert rows_of(texts["made-differences"])[1][-1] == "ahead"


def test_seeds_are_paired_and_only_common_ones(made: Any) -> None:
    section = section_of(
        rows=(
            Row(label="ours", seeds="2-7", blocks=({"method": "ours"},)),
            Row(label="theirs", seeds="0-4", blocks=({"method": "theirs"},)),
        )
    )
    evidence = synthetic([section], curve)
    one, other = (measured_of(evidence, section, row, "cifar10", 3) for row in section.rows)
    value, seeds = compare(one, other)
    assert seeds == 3  # 2, 3 and 4
    assert value.mean == pytest.approx(BEST - 90.0)
    assert (value.wins, value.ties, value.losses) == (3, 0, 0)


def test_the_papers_figures_are_marked_and_not_beaten_by_rounding() -> None:
    quoted = (
        Quoted(label="Paper", queries=6, values={"cifar10": 91.61}),
        Quoted(label="Paper", queries=3, values={"cifar10": 95.0}, sd={"cifar10": 0.1}),
        Quoted(label="Other", queries=192, values={"cifar10": 80.0}),
    )
    section = section_of(quoted=quoted, options={"paper": "Paper", "ours": ["ours"]})
    texts = comparison.render(section, synthetic([section], curve)).texts
    assert all(row[0].startswith("quoted: ") for row in rows_of(texts["made-quoted"]))
    level, behind = rows_of(texts["made-paper"])
    assert level[-1].startswith("level")
    assert behind[4] == "quoted: 95.00 ± 0.10"
    assert behind[-1] == "behind"


def test_variants_are_set_against_the_first_of_their_group() -> None:
    rows = tuple(
        Row(label=label, group=group, seeds="0-9", blocks=({"method": label},))
        for group in ("g", "h")
        for label in ("theirs", "ours")
    )
    options = {"markers": {"g": "first", "h": "second"}}
    section = section_of("variants", rows=rows, budgets=(6,), options=options)
    texts = variants.render(section, synthetic([section], curve)).texts
    assert texts["first"] == texts["second"]
    reference, other = rows_of(texts["first"])
    assert reference[:3] == ["theirs", "91.000", "reference"]
    assert other[2] == "**+0.607 (+0.607 to +0.607)**"


def test_transfer_counts_the_settings_in_the_records() -> None:
    section = section_of("transfer", budgets=(6,))
    evidence = synthetic([section], curve)
    assert "ours: 1, theirs: 1" in variants.render_transfer(section, evidence).texts["made"]
    same = {"method": "ours", "hidden": 9, "seed": 0, "dataset": "cifar10", "budget": 100}
    digests = [
        settings_digest(json.dumps(same | changed))
        for changed in ({}, {"seed": 1, "dataset": "cifar100", "budget": 280}, {"hidden": 8})
    ]
    assert digests[0] == digests[1] != digests[2]


def test_the_headline_leaves_out_what_was_not_run() -> None:
    quoted = (Quoted(label="Paper", queries=6, values={"cifar10": 91.61}),)
    show = {"show": [["cifar10", 3], ["cifar10", 6], ["cifar10", 192]]}
    section = section_of("headline", quoted=quoted, options=show)
    text = comparison.render_headline(section, synthetic([section], curve)).texts["made"]
    at_3, at_6 = rows_of(text)
    assert at_3[-1] == table.NONE
    assert at_6[2:] == ["100% (72% to 100%)", "3", table.NONE, "91.607", "91.000", "91.61"]


@pytest.mark.heavy
def test_figures_are_drawn_where_asked_for(made: Any) -> None:
    section, evidence = made
    drawn = section.model_copy(update={"options": {"figures": ["best_so_far", "run_lengths"]}})
    one, again = (comparison.render(drawn, evidence) for _ in range(2))
    assert set(one.figures) == {"made_best_so_far.png", "made_run_lengths.png"}
    assert all(data.startswith(b"\x89PNG") for data in one.figures.values())
    assert one.figures == again.figures
    assert one.pages == again.pages
    page = one.pages["made.html"]
    assert "theirs" in page
    assert not re.search(r'<script[^>]+src="http', page)  # opens without a network


@pytest.mark.parametrize(
    ("value", "text"), [(0.0004, "0.000"), (-0.0004, "0.000"), (-1.5, "-1.500"), (None, "–")]
)
def test_numbers(value: float | None, text: str) -> None:
    assert table.number(value) == text


def test_where_nobody_knows_the_optimum_nothing_is_said_of_it() -> None:
    common = {"source": "nbnlp_surrogate", "dataset": "cifar10", "budget": 6}
    section = section_of(common=common, options={"figures": ["best_so_far"]})
    evidence = synthetic([section], curve)
    unknown = evidence.runs.assign(optimum=np.nan, regret=np.nan)
    evidence = replace(evidence, runs=unknown)
    measured = measured_of(evidence, section, section.rows[0], "cifar10", 6)
    assert measured.metric == "negative_test_loss"
    assert measured.at_optimum == measured.median_to_optimum == table.NONE
    assert math.isnan(measured.regret)
    rendered = comparison.render(section, evidence)
    assert len(rendered.figures) == 1
    (html,) = rendered.pages.values()
    assert "best negative test loss, surrogate (nats)" in html
    assert "seeds at the best known value" in html
    (caution,) = evidence.cautions(section)
    assert "surrogate" in caution
    assert table.with_notes("| a |", [caution]) == f"| a |\n\n*{caution}*"
    assert table.with_notes("| a |", []) == "| a |"


def test_numbers_with_signs_and_bounds() -> None:
    assert table.signed(0.25) == "+0.250"
    assert table.signed(-0.25) == "-0.250"
    assert table.signed(1e-9) == "0.000"
    assert table.number(math.nan) == table.NONE
    assert table.queries(math.inf, 100) == "> 100"
    assert table.percent(0.5, Interval(0.25, 0.75)) == "50% (25% to 75%)"
    assert table.p_value(0.0001) == "< 0.001"
    assert table.markdown(["a|b"], [["1"]]).startswith(r"| a\|b |")


@pytest.mark.parametrize(
    ("low", "high", "p", "said"),
    [
        (0.1, 0.3, 0.01, "ahead"),
        (-0.3, -0.1, 0.01, "behind"),
        (0.0, 0.3, 0.01, "not ahead"),
        (-0.1, 0.3, 0.01, "not ahead"),
        (0.1, 0.3, 0.2, "not ahead"),  # the ranks do not agree
    ],
)
def test_ahead_needs_the_interval_above_zero_and_the_ranks(
    low: float, high: float, p: float, said: str
) -> None:
    value = PairedDifference((low + high) / 2, low, high, p, 5, 0, 5)
    assert table.verdict(value).startswith(said)


def test_points_shared_by_rows_are_one_search() -> None:
    section = section_of()
    other = section.model_copy(update={"name": "again"})
    evidence = synthetic([section, other], curve)
    assert evidence.runs["run_id"].is_unique
    assert evidence.members["made", "", "ours"] == evidence.members["again", "", "ours"]
    assert run_id_of({"a": 1}) != run_id_of({"a": 2})
    assert np.isfinite(evidence.results["best"]).all()
