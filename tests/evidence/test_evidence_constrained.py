"""The tables and the figure of searches under bounds, from curves that are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from synthetic import OPTIMA, measured_of, synthetic
from test_evidence_tables import rows_of

from evidence import constrained_tables, table
from evidence.figures import BoundPanel, by_bound, feasible_mean
from evidence.measures import compare
from evidence.sections import Quoted, Row, Section
from optiproxy_nas.report.curves import Curve
from optiproxy_nas.report.statistics import Interval

BEST = OPTIMA["cifar10"]
LOOSE, TIGHT = "a_ms < 4", "a_ms < 2"
NAN = math.nan


def section_of(**facts: Any) -> Any:
    values = {
        "name": "made",
        "title": "T",
        "page": "docs/page.md",
        "order": 1,
        "render": "constrained",
        "common": {
            "source": "embedded",
            "dataset": "cifar10",
            "budget": 6,
            "objective.name": "constrained",
            "objective.constraints": [LOOSE, TIGHT],
        },
        "budgets": (3, 6),
        "rows": (
            Row(label="ours", seeds="0-9", blocks=({"method": "ours"},)),
            Row(label="theirs", seeds="0-9", blocks=({"method": "theirs"},)),
        ),
        "quoted": (
            Quoted(label="P", queries=6, values={LOOSE: 91.61, TIGHT: 85.0}),
            Quoted(label="P", queries=3, values={LOOSE: 85.0}, sd={LOOSE: 9.0}),
        ),
        "options": {"paper": "P", "names": {TIGHT: "A < 2 ms"}},
    }
    return Section(**{**values, **facts})


def curve(point: Any) -> Any:
    """Under the tight bound ours finds nothing in seeds 0-2, theirs nothing in seeds 7-9."""
    tight, seed = point["objective.constraints"] == TIGHT, point["seed"]
    if point["method"] == "ours":
        if tight:
            return [NAN] * 6 if seed < 3 else [NAN, NAN, NAN, NAN, 80.0, 84.0]
        return [NAN, 80.0, 88.0 + seed % 2, BEST, 50.0, 50.0]
    return [NAN] * 6 if tight and seed > 6 else [70.0, 71.0, 72.0, 73.0, 74.0, 75.0]


@pytest.fixture(scope="module")
def made() -> Any:
    section = section_of()
    return section, synthetic([section], curve)


def test_a_mean_is_of_the_searches_that_found_something(made: Any) -> None:
    section, evidence = made
    ours, theirs = (
        measured_of(evidence, section, row, "cifar10", 6, objective=TIGHT) for row in section.rows
    )
    assert (ours.nothing, ours.mean, ours.sd) == (3, 84.0, 0.0)
    assert len(ours.seeds) == 10
    assert np.isinf(ours.to_optimum).all()
    value, pairs = compare(ours, theirs)
    assert (pairs, value.mean) == (4, 9.0)  # seeds 3 to 6
    at_3 = measured_of(evidence, section, section.rows[0], "cifar10", 3, objective=TIGHT)
    assert math.isnan(at_3.mean)
    assert at_3.interval == table.NONE
    assert at_3.at_optimum.startswith("0%")


def test_the_noise_of_the_tables_is_no_difference() -> None:
    section = section_of()

    def noisy(point: Any) -> Any:
        return [BEST - 5e-8 * (point["method"] == "ours") * (point["seed"] % 2)] * 6

    evidence = synthetic([section], noisy)
    one, other = (
        measured_of(evidence, section, row, "cifar10", 6, objective=LOOSE) for row in section.rows
    )
    assert one.to_optimum.tolist() == [1.0] * 10
    assert compare(one, other)[0].ties == 10


def test_bounds_are_told_apart(made: Any) -> None:
    section, evidence = made
    loose = measured_of(evidence, section, section.rows[0], "cifar10", 6, objective=LOOSE)
    assert loose.nothing == 0
    assert loose.to_optimum.tolist() == [4.0] * 10


@pytest.fixture(scope="module")
def rendered(made: Any) -> Any:
    return constrained_tables.render(*made)


def test_what_is_printed_beside_the_paper(rendered: Any) -> None:
    text = rendered.texts["made"]
    loose_6, loose_3, tight_6, tight_3 = rows_of(text)
    assert loose_6[:3] == [LOOSE, "6", "91.607"]
    assert loose_6[4:7] == ["0 of 10", "100% (72% to 100%)", "4"]
    assert loose_6[8:] == ["quoted: 91.61", "-0.003 (-0.003 to -0.003)", "level"]
    assert loose_3[2] == "88.500"
    assert loose_3[-1] == "above, not shown"  # the paper's deviation is 9 over ten runs
    assert tight_6[0] == "A < 2 ms"
    assert tight_6[4] == "3 of 10"
    assert tight_6[-1] == "behind"
    assert tight_3[2:5] == [table.NONE, table.NONE, "10 of 10"]
    assert tight_3[-3:] == [table.NONE] * 3  # neither a mean of ours nor a figure of the paper
    assert "at 6 queries, of 2 bounds: level 1; ahead 0; behind 1; above, not shown 0" in text
    assert "at 3 queries, of 1 bounds: level 0; ahead 0; behind 0; above, not shown 1" in text


def test_all_rows_differences_and_quoted_figures(rendered: Any) -> None:
    texts = rendered.texts
    assert set(texts) == {"made", "made-methods", "made-differences", "made-quoted"}
    assert len(rows_of(texts["made-methods"])) == 8
    differences = {tuple(row[:2]): row[3:] for row in rows_of(texts["made-differences"])}
    assert differences["A < 2 ms", "3"][-1] == "not compared: nothing feasible"
    assert differences["A < 2 ms", "6"][3] == "4"
    assert differences[LOOSE, "6"][-1] == "ahead"
    assert "quoted: P, 6 queries" in texts["made-quoted"]
    assert rows_of(texts["made-quoted"])[0][1:] == ["91.61", "85.00 ± 9.00"]


def test_a_bound_is_called_by_its_label_however_it_is_written() -> None:
    common = {**section_of().common, "objective.constraints": " a_ms<2.0 ; b_mj >= 1"}
    assert constrained_tables.bounds_of(section_of(common=common)) == {
        "a_ms < 2; b_mj >= 1": "a_ms < 2; b_mj >= 1"
    }


@pytest.mark.parametrize(
    ("mean", "low", "high", "said"),
    [
        (0.004, 0.004, 0.004, "level"),
        (0.3, 0.1, 0.5, "ahead"),
        (0.3, -0.1, 0.7, "above"),
        (-0.3, -0.7, 0.1, "below"),
        (-0.3, -0.5, -0.1, "behind"),
    ],
)
def test_relations_to_a_quoted_figure(mean: float, low: float, high: float, said: str) -> None:
    assert table.relation(mean, Interval(low, high)) == said


def test_a_mean_line_begins_where_half_of_the_seeds_have_something() -> None:
    curves = np.array([[NAN, 1.0, 1.0], [NAN, NAN, 3.0], [NAN, NAN, 5.0]])
    mean, error = feasible_mean(curves)
    assert np.isnan(mean[:2]).all()
    assert (mean[2], error[2]) == (3.0, pytest.approx(2 / math.sqrt(3)))
    two, _ = feasible_mean(curves[:2])
    assert two[1] == 1.0  # one of two


def test_the_figure_has_a_panel_a_bound(rendered: Any) -> None:
    figures = rendered.figures
    assert figures["made_best_so_far.png"].startswith(b"\x89PNG")
    panels = [BoundPanel(str(i), (Curve("a", np.ones((2, 3))),), 2.0) for i in range(4)]
    axes = by_bound(panels).axes
    assert [one.get_title(loc="left") for one in axes if one.get_visible()] == list("0123")
    assert by_bound([]).axes[0].texts  # says that there is nothing
