"""Curves of several searches: the numbers that are drawn, in pictures and on pages alike."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from optiproxy_nas.report.curve_values import MOST, page, plot
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
from optiproxy_nas.report.style import line_style

OURS = Curve("ours", np.array([[10.0, 30.0, 40.0], [10.0, 20.0, 20.0]]))
THEIRS = Curve("theirs", np.array([[10.0, 15.0]]))
PANELS = [
    CurvePanel("one", (OURS, THEIRS), 40.0),
    CurvePanel("two", (THEIRS,), 16.0, "best known value"),
]


def test_mean_and_standard_error_by_hand() -> None:
    line: Any = BEST.line(OURS, PANELS[0])
    x, mean, (low, high) = line
    assert x.tolist() == [1, 2, 3]
    assert mean.tolist() == [10, 25, 30]
    assert (high - mean).tolist() == pytest.approx([0, 5, 10])
    assert (mean - low).tolist() == pytest.approx([0, 5, 10])


def test_regret_does_not_leave_its_logarithmic_axis() -> None:
    panel, least = CurvePanel("", (OURS,), 30.0), 1e-3
    line: Any = REGRET.line(OURS, panel)
    _, regret, (low, high) = line
    assert regret.tolist() == [20, 5, least]
    assert low.tolist() == pytest.approx([20, least, least])
    assert high.tolist() == pytest.approx([20, 10, 10 + least])
    assert REGRET.limits(panel) == (least, 30)


def test_small_scores_have_axes_and_digits_of_their_own() -> None:
    scores = Curve("a", np.array([[0.57, 0.5745, 0.5753]]))
    panel = CurvePanel("", (scores,), 0.5761, metric="score")
    _, regret, _ = REGRET.line(scores, panel)
    assert regret[-1] == pytest.approx(0.0008)
    assert REGRET.limits(panel)[0] == pytest.approx(1e-5)
    low, high = value_range(panel)
    assert 0.56 < low < high < 0.58
    values = plot("p", panel, BEST).values
    assert values["digits"] == 5
    assert values["lines"][0]["y"] == [0.57, 0.5745, 0.5753]


def test_seeds_at_the_target_are_percent_of_them() -> None:
    x, share, band = REACHED.line(OURS, PANELS[0])
    assert x.tolist() == [0, 1, 2, 3]
    assert share.tolist() == [0, 0, 0, 50]
    assert band is None


def test_a_cell_that_failed_does_not_squash_the_curves() -> None:
    values = np.full((1, 20), 90.0)
    values[0, 0] = 10.0
    low, high = value_range(CurvePanel("", (Curve("a", values),), 91.0))
    assert 89.5 < low < 90
    assert 91 < high < 91.5


def test_pictures_have_a_row_for_regret_and_one_legend() -> None:
    drawn = best_so_far(PANELS, regret=True)
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["one", "two", "", ""]
    assert [axes.get_yscale() for axes in drawn.axes] == ["linear"] * 2 + ["log"] * 2
    assert [len(axes.collections) for axes in drawn.axes] == [2, 1, 2, 1]  # a band a curve
    (legend,) = drawn.legends
    entries = [text.get_text() for text in legend.get_texts()]
    assert entries == ["ours (2)", "theirs (1)", "optimum", "best known value"]
    (only,) = drawn.axes[1].lines[:1]
    assert only.get_color() == line_style(1).colour  # the same method, the same line


def test_shares_are_told_in_the_same_words_everywhere() -> None:
    labels = ["seeds at the optimum (%)", "seeds at the best known value (%)"]
    assert [axes.get_ylabel() for axes in run_lengths(PANELS).axes] == labels
    assert [plot("p", panel, REACHED).label for panel in PANELS] == labels
    twice = [axes.get_ylabel() for axes in run_lengths(PANELS[:1] * 2).axes]
    assert twice == [labels[0], ""]


def test_many_panels_wrap() -> None:
    drawn = draw(PANELS * 2, [BEST])
    assert [axes.get_visible() for axes in drawn.axes] == [True] * 4 + [False] * 2


def test_methods_with_other_numbers_of_seeds_in_other_panels_say_so() -> None:
    more = CurvePanel("two", (Curve("theirs", np.ones((3, 2))),), 1.0)
    texts = [t.get_text() for t in run_lengths([PANELS[0], more]).legends[0].get_texts()]
    assert texts == ["ours (2)", "theirs (1 / 3)"]


def test_forty_lines_differ() -> None:
    assert len({line_style(index)[:2] for index in range(40)}) == 40
    assert len({line_style(index).dashes for index in range(5)}) == 5


@pytest.mark.heavy
def test_the_values_of_a_page_are_what_its_pictures_show() -> None:
    for panel in PANELS:
        for view in (BEST, REGRET, REACHED):
            made, axes = plot("p", panel, view), draw([panel], [view]).axes[0]
            lines = [line for line in axes.lines if "(" in str(line.get_label())]
            assert [name for name, _ in made.lines] == [line.get_label() for line in lines]
            for (_, look), values, line in zip(
                made.lines, made.values["lines"], lines, strict=True
            ):
                np.testing.assert_allclose(values["x"], np.asarray(line.get_xdata()))
                np.testing.assert_allclose(values["y"], np.asarray(line.get_ydata()), atol=1e-4)
                assert look["colour"] == line.get_color()


def test_a_query_is_read_where_the_picture_has_it() -> None:
    """The box is that of the axes in the picture as it was laid out."""
    made = plot("p", PANELS[0], BEST)
    with Image.open(io.BytesIO(made.picture)) as picture:
        grey = np.asarray(picture.convert("L"))
    left, _, _, bottom = made.values["box"]
    column = grey[: int(bottom * len(grey)), round(left * grey.shape[1])]
    assert (column < 128).mean() > 0.5  # the axis of values


@pytest.mark.heavy
def test_a_page_is_whole_and_the_same_again() -> None:
    html = page("Made up", PANELS)
    assert html == page("Made up", PANELS)
    assert "Made up" in html
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)


def test_a_budget_in_epochs_does_not_make_a_page_of_megabytes() -> None:
    """What is kept is as it was, from the first to the last, at the same places of all lines."""
    rise = np.maximum.accumulate(np.random.default_rng(0).normal(90, 1, (5, 20_000)), axis=1)
    panel = CurvePanel("long", (Curve("a", rise), Curve("b", rise - 1)), 95.0)
    for view in (BEST, REGRET, REACHED):
        first, second = plot("p", panel, view).values["lines"]
        for made, curve in zip((first, second), panel.curves, strict=True):
            line = view.line(curve, panel)
            assert len(made["x"]) == len(made["y"]) == MOST
            assert (made["x"][0], made["x"][-1]) == (line.x[0], line.x[-1])
            assert np.diff(made["x"]).max() <= np.ceil(len(line.x) / (MOST - 1))
            at = np.searchsorted(line.x, made["x"])
            np.testing.assert_allclose(made["y"], line.y[at], atol=1e-4)
        assert first["x"] == second["x"]
    short = plot("p", CurvePanel("short", (Curve("a", rise[:, :MOST]),), 95.0), BEST)
    assert len(short.values["lines"][0]["x"]) == MOST


def test_nothing_to_draw_is_said() -> None:
    assert best_so_far([]).axes[0].texts[0].get_text() == "no searches"


def test_curves_of_what_is_minimised_are_the_mirror_image() -> None:
    values = np.array([[9.0, 6.0, 5.5, 5.0], [8.0, 8.0, 4.0, 4.0]])
    up = CurvePanel("", (Curve("a", -values),), -4.0)
    down = CurvePanel("", (Curve("a", values),), 4.0, sign=-1.0)
    assert value_range(down) == tuple(-end for end in reversed(value_range(up)))
    for view in (REGRET, REACHED):
        one, other = (view.line(panel.curves[0], panel) for panel in (up, down))
        assert one.y.tolist() == other.y.tolist()
