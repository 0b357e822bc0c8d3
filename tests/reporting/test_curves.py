"""Curves of several searches: the numbers that are drawn, in pictures and in the browser alike."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from optiproxy_nas.report.curves import (
    BEST,
    REACHED,
    REGRET,
    Curve,
    CurvePanel,
    best_so_far,
    draw,
    run_lengths,
    value_range,
)
from optiproxy_nas.report.interactive_curves import MOST, figure, page
from optiproxy_nas.report.style import line_style

OURS = Curve("ours", np.array([[10.0, 30.0, 40.0], [10.0, 20.0, 20.0]]))
THEIRS = Curve("theirs", np.array([[10.0, 15.0]]))
PANELS = [
    CurvePanel("one", (OURS, THEIRS), 40.0),
    CurvePanel("two", (THEIRS,), 16.0, "best known value"),
]


def test_mean_and_standard_error_by_hand():
    x, mean, (low, high) = BEST.line(OURS, PANELS[0])
    assert x.tolist() == [1, 2, 3]
    assert mean.tolist() == [10, 25, 30]
    assert (high - mean).tolist() == pytest.approx([0, 5, 10])
    assert (mean - low).tolist() == pytest.approx([0, 5, 10])


def test_regret_does_not_leave_its_logarithmic_axis():
    panel, least = CurvePanel("", (OURS,), 30.0), 1e-3
    _, regret, (low, high) = REGRET.line(OURS, panel)
    assert regret.tolist() == [20, 5, least]
    assert low.tolist() == pytest.approx([20, least, least])
    assert high.tolist() == pytest.approx([20, 10, 10 + least])
    assert REGRET.limits(panel) == (least, 30)


def test_small_scores_have_axes_and_digits_of_their_own():
    scores = Curve("a", np.array([[0.57, 0.5745, 0.5753]]))
    panel = CurvePanel("", (scores,), 0.5761, metric="score")
    _, regret, _ = REGRET.line(scores, panel)
    assert regret[-1] == pytest.approx(0.0008)
    assert REGRET.limits(panel)[0] == pytest.approx(1e-5)
    low, high = value_range(panel)
    assert 0.56 < low < high < 0.58
    trace = figure([panel], [BEST])["data"][-1]
    assert trace["hovertemplate"].startswith("%{y:.5f}")
    assert trace["y"] == [0.57, 0.5745, 0.5753]


def test_seeds_at_the_target_are_percent_of_them():
    x, share, band = REACHED.line(OURS, PANELS[0])
    assert x.tolist() == [0, 1, 2, 3]
    assert share.tolist() == [0, 0, 0, 50]
    assert band is None


def test_a_cell_that_failed_does_not_squash_the_curves():
    values = np.full((1, 20), 90.0)
    values[0, 0] = 10.0
    low, high = value_range(CurvePanel("", (Curve("a", values),), 91.0))
    assert 89.5 < low < 90
    assert 91 < high < 91.5


def test_pictures_have_a_row_for_regret_and_one_legend():
    drawn = best_so_far(PANELS, regret=True)
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["one", "two", "", ""]
    assert [axes.get_yscale() for axes in drawn.axes] == ["linear"] * 2 + ["log"] * 2
    assert [len(axes.collections) for axes in drawn.axes] == [2, 1, 2, 1]  # a band a curve
    (legend,) = drawn.legends
    entries = [text.get_text() for text in legend.get_texts()]
    assert entries == ["ours (2)", "theirs (1)", "optimum", "best known value"]
    (only,) = drawn.axes[1].lines[:1]
    assert only.get_color() == line_style(1).colour  # the same method, the same line


def test_shares_are_told_in_the_same_words_everywhere():
    labels = ["seeds at the optimum (%)", "seeds at the best known value (%)"]
    assert [axes.get_ylabel() for axes in run_lengths(PANELS).axes] == labels
    layout = figure(PANELS, [REACHED])["layout"]
    assert [layout[axis]["title"]["text"] for axis in ("yaxis", "yaxis2")] == labels
    twice = [axes.get_ylabel() for axes in run_lengths(PANELS[:1] * 2).axes]
    assert twice == [labels[0], ""]


def test_many_panels_wrap():
    drawn = draw(PANELS * 2, [BEST])
    assert [axes.get_visible() for axes in drawn.axes] == [True] * 4 + [False] * 2


def test_methods_with_other_numbers_of_seeds_in_other_panels_say_so():
    more = CurvePanel("two", (Curve("theirs", np.ones((3, 2))),), 1.0)
    texts = [t.get_text() for t in run_lengths([PANELS[0], more]).legends[0].get_texts()]
    assert texts == ["ours (2)", "theirs (1 / 3)"]


def test_forty_lines_differ():
    assert len({line_style(index)[:2] for index in range(40)}) == 40
    assert len({line_style(index).dashes for index in range(5)}) == 5


def test_the_browser_shows_what_the_pictures_show():
    views = [BEST, REGRET, REACHED]
    data = figure(PANELS, views)["data"]
    drawn = draw(PANELS, views)
    for number, axes in enumerate(drawn.axes):
        place = f"x{number + 1 if number else ''}"
        named = [t for t in data if t["xaxis"] == place and "name" in t]
        lines = [line for line in axes.lines if "(" in str(line.get_label())]
        named.sort(key=lambda trace: trace["legendrank"])
        assert [t["name"] for t in named] == [line.get_label() for line in lines]
        for trace, line in zip(named, lines, strict=True):
            np.testing.assert_allclose(trace["x"], line.get_xdata())
            np.testing.assert_allclose(trace["y"], line.get_ydata(), atol=1e-4)
            assert trace["line"]["color"] == line.get_color()
        edges = [t for t in data if t["xaxis"] == place and "name" not in t]
        assert len(edges) == 2 * len(axes.collections)
    shown = [t["name"] for t in data if t["showlegend"]]
    assert sorted(shown) == ["ours (2)", "theirs (1)"]


def test_interactive_figure_is_of_plotlys_schema():
    from plotly.graph_objects import Figure

    made = json.loads(json.dumps(figure(PANELS, [BEST, REGRET, REACHED])))
    layout = Figure(made).layout  # refuses unknown properties
    assert layout.yaxis3.type == "log"
    assert layout.xaxis4.matches == "x2"


def test_interactive_page_is_whole_and_the_same_again():
    html = page("Made up", PANELS)
    assert html == page("Made up", PANELS)
    assert "Made up" in html
    assert not re.search(r'<script[^>]+src="http', html)


def test_a_budget_in_epochs_does_not_make_a_page_of_megabytes():
    """What is kept is as it was, from the first to the last, at the same places of all lines."""
    rise = np.maximum.accumulate(np.random.default_rng(0).normal(90, 1, (5, 20_000)), axis=1)
    panels = [CurvePanel("long", (Curve("a", rise), Curve("b", rise - 1)), 95.0)]
    made = figure(panels, [BEST, REGRET, REACHED])
    for view, start in ((BEST, ""), (REGRET, "2"), (REACHED, "3")):
        named = {t["name"]: t for t in made["data"] if "name" in t and t["xaxis"] == f"x{start}"}
        for trace, curve in zip((named["a (5)"], named["b (5)"]), panels[0].curves, strict=True):
            line = view.line(curve, panels[0])
            assert len(trace["x"]) == len(trace["y"]) == MOST
            assert (trace["x"][0], trace["x"][-1]) == (line.x[0], line.x[-1])
            assert np.diff(trace["x"]).max() <= np.ceil(len(line.x) / (MOST - 1))
            at = np.searchsorted(line.x, trace["x"])
            np.testing.assert_allclose(trace["y"], line.y[at], atol=1e-4)
        assert named["a (5)"]["x"] == named["b (5)"]["x"]
    short = figure([CurvePanel("short", (Curve("a", rise[:, :MOST]),), 95.0)], [BEST])
    assert len(short["data"][-1]["x"]) == MOST
    seven = tuple(Curve(f"{i}", rise - i) for i in range(7))
    most = json.dumps(figure([CurvePanel("", seven, 95.0)] * 3, [BEST, REGRET, REACHED]))
    assert len(most) < 2_500_000


def test_nothing_to_draw_is_said():
    assert best_so_far([]).axes[0].texts[0].get_text() == "no searches"
    assert figure([], [BEST])["data"] == []


def test_curves_of_what_is_minimised_are_the_mirror_image():
    values = np.array([[9.0, 6.0, 5.5, 5.0], [8.0, 8.0, 4.0, 4.0]])
    up = CurvePanel("", (Curve("a", -values),), -4.0)
    down = CurvePanel("", (Curve("a", values),), 4.0, sign=-1.0)
    assert value_range(down) == tuple(-end for end in reversed(value_range(up)))
    for view in (REGRET, REACHED):
        one, other = (view.line(panel.curves[0], panel) for panel in (up, down))
        assert one.y.tolist() == other.y.tolist()
