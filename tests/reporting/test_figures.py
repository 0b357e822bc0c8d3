"""The figures: what they show, and that small or broken runs do not stop them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.benchmarks.source_registry import SOURCES, get_source
from optiproxy_nas.core.numbers import metric_label
from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.objectives.constrained import Constrained
from optiproxy_nas.objectives.multi_fidelity import MultiFidelity
from optiproxy_nas.report import RunData, figures_of, png, style
from optiproxy_nas.report.archive_figures import (
    best_so_far,
    predicted_against_true,
    step_diagnostics,
)
from optiproxy_nas.report.logit_figures import edge_probabilities, entropy_trace, logits_heatmap
from optiproxy_nas.report.ranges import top_range
from optiproxy_nas.spaces.nb101 import NASBench101
from optiproxy_nas.spaces.nb301 import NASBench301

COARSE = 25  # dots an inch: as quick to draw as it can be

pytestmark = pytest.mark.filterwarnings("error")


def pixels(axes: Any) -> Any:
    """Return the numbers of the first image of axes."""
    return np.asarray(axes.images[0].get_array())


def legend(figure: Any) -> Any:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def words(figure: Any) -> Any:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def test_best_so_far_keeps_failed_cells_from_squashing_the_top(run: dict[str, Any]) -> None:
    archive = run["archive"]
    assert archive["value"].min() < 20
    figure = best_so_far(RunData(**run))
    low, high = figure.axes[0].get_ylim()
    assert low > 80
    assert high > 91.61
    below = int((archive["value"] < low).sum())
    assert f"below the range ({below})" in legend(figure)
    assert "optimum of the table: 91.61" in legend(figure)


def test_best_so_far_marks_the_first_query_that_found_the_best(run: dict[str, Any]) -> None:
    archive = run["archive"]
    first = int(archive["value"].argmax()) + 1
    best = archive["value"].max()
    assert f"best found: {best:.2f} (query {first})" in legend(best_so_far(RunData(**run)))


def test_the_confirmed_answer_is_marked_not_the_best_single_value(run: dict[str, Any]) -> None:
    archive = run["archive"]
    second = int(archive["value"].nlargest(2).index[1])
    mean = float(archive["value"][second]) - 0.5
    facts = {"confirmed_value": mean, "queries_to_best": second + 1}
    figure = best_so_far(RunData(**{**run, "summary": {**run["summary"], **facts}}))
    (star,) = [mark for mark in figure.axes[0].collections if "answer" in str(mark.get_label())]
    assert np.asarray(star.get_offsets()).tolist() == [[second + 1, pytest.approx(mean)]]
    assert not [text for text in legend(figure) if "best found" in text]


@pytest.mark.parametrize("optimum", [None, math.nan])
def test_best_so_far_without_optimum(run: dict[str, Any], optimum: Any) -> None:
    data = RunData(**run | {"summary": {"optimum": optimum}})
    assert not any("optimum" in text for text in legend(best_so_far(data)))


def test_top_range_shows_everything_where_nothing_is_far_below() -> None:
    value = np.array([90.0, 90.5, 91.0])
    low, high = top_range(value, np.zeros(3), None)
    assert low < 90 < 91 < high


def test_the_better_part_of_what_is_minimised_is_the_mirror_image() -> None:
    value, step = np.array([90.0, 10.0, 91.0, 91.5]), np.array([0, 0, 1, 1])
    low, high = top_range(value, step, 92.0)
    assert top_range(-value, step, -92.0, sign=-1.0) == (-high, -low)


def test_best_so_far_of_what_is_minimised(run: dict[str, Any]) -> None:
    archive = run["archive"]
    turned = archive.assign(value=-archive["value"], best=-archive["best"])
    data = RunData(**run | {"archive": turned, "summary": {}, "direction": "minimize"})
    figure, best = best_so_far(data), turned["value"].min()
    first = int((turned["value"] == best).to_numpy().argmax()) + 1
    assert f"best found: {best:.2f} (query {first})" in legend(figure)
    assert not any("below" in text for text in legend(figure))
    low, high = figure.axes[0].get_ylim()
    assert low < best < high


def test_prediction_figure_states_kendall_tau_of_the_predicted_rows(run: dict[str, Any]) -> None:
    archive = run["archive"]
    rows = archive.dropna(subset=["predicted"])
    tau = rows["predicted"].corr(rows["value"], method="kendall")
    assert f"Kendall τ {tau:.2f}, n = {len(rows)}" in words(predicted_against_true(archive))


def test_prediction_figure_without_predictions(run: dict[str, Any]) -> None:
    initial = run["archive"].query("step == 0")
    assert "no query had a prediction" in words(predicted_against_true(initial))


def test_constant_predictions_have_no_tau(run: dict[str, Any]) -> None:
    archive = run["archive"].assign(predicted=90.0)
    assert "τ" not in words(predicted_against_true(archive))


def test_few_points_have_no_rank_correlation(run: dict[str, Any]) -> None:
    archive = run["archive"].tail(5)
    assert "Kendall τ" in words(predicted_against_true(archive))
    assert "n = 4" in (text := words(predicted_against_true(archive.tail(4))))
    assert "τ" not in text


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=30))
def test_numbered_points_keep_their_distance_and_the_last_is_numbered(points: Any) -> None:
    x, y = np.array(points).T
    numbered = style.spread_out(x, y, 1.0)
    assert numbered[-1]
    shown = np.stack([x, y], 1)[numbered]
    distances = np.linalg.norm(shown[:, None] - shown, axis=-1)
    assert (distances[~np.eye(len(shown), dtype=bool)] >= 1).all()
    # A point without a number is near one that has it.
    assert (np.linalg.norm(np.stack([x, y], 1)[:, None] - shown, axis=-1).min(1) < 1).all()


def test_entropy_trace_runs_through_all_steps_and_draws_log_m(run: dict[str, Any]) -> None:
    axes = entropy_trace(run["traces"], run["space"].allowed).axes[0]
    assert axes.get_xlim()[1] == 8 * 60 + 0.5
    assert "step 8" in words(axes.figure)
    assert any(np.allclose(line.get_ydata(), math.log(5)) for line in axes.lines)


def test_heatmap_has_a_panel_per_node_and_the_final_probabilities(run: dict[str, Any]) -> None:
    operations = run["space"].option_labels
    figure = logits_heatmap(run["traces"], operations, ["first"])
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in panels[:2]] == ["first", "node 1"]
    assert len(panels) == 6
    last = run["traces"][8]["probability"]
    assert np.allclose(pixels(panels[5]), last[:, 5].T)
    wide = logits_heatmap(run["traces"], operations, [], steps="all")
    assert pixels(wide.axes[0]).shape == (5, 8 * 60)


@pytest.mark.parametrize("nodes", [1, 2, 5, 7, 17])
def test_heatmap_of_any_number_of_nodes(nodes: int) -> None:
    probability = np.full((3, nodes, 2), 0.5)
    figure = logits_heatmap({1: {"probability": probability}}, [["a", "b"]] * nodes, [])
    assert sum(bool(axes.images) for axes in figure.axes) == nodes


def test_heatmap_and_entropy_show_only_the_options_that_exist() -> None:
    probability = np.full((3, 2, 3), [[0.0, 0.5, 0.5], [0.2, 0.3, 0.5]])
    names = [("", "low", "high"), ("a", "b", "c")]
    traces = {1: {"probability": probability, "entropy": np.zeros((3, 1))}}
    panels = [axes for axes in logits_heatmap(traces, names, []).axes if axes.images]
    ticks = [[tick.get_text() for tick in axes.get_yticklabels()] for axes in panels]
    assert ticks == [["low", "high"], ["a", "b", "c"]]
    assert [pixels(axes).shape for axes in panels] == [(2, 3), (3, 3)]
    allowed = torch.tensor([[bool(name) for name in row] for row in names])
    (axes,) = entropy_trace(traces, allowed).axes
    assert any(np.allclose(line.get_ydata(), math.log(6) / 2) for line in axes.lines)


def test_no_traces() -> None:
    empty = {1: {"entropy": np.zeros((0, 4)), "probability": np.zeros((0, 6, 5))}}
    for traces in ({}, empty):
        assert "no search epochs" in words(
            entropy_trace(traces, torch.ones(6, 5, dtype=torch.bool))
        )
        assert "no search epochs" in words(logits_heatmap(traces, [["a"]], []))


def test_diagnostics_that_were_not_measured(run: dict[str, Any]) -> None:
    nothing = run["diagnostics"].assign(
        recent_kendall_tau=math.nan,
        recent_spearman=math.nan,
        duplicates_rejected=0,
        twins_rejected=0,
    )
    assert words(step_diagnostics(RunData(**run | {"diagnostics": nothing}))) == "not measured none"


@pytest.mark.heavy
@pytest.mark.parametrize(
    "size", [(1, 0, 1, 1, 1), (1, 1, 1, 1, 1), (3, 2, 1, 1, 2)], ids=["initial", "one", "two"]
)
def test_tiny_runs(make: Any, draw_all: Any, size: Any) -> None:
    for figure in draw_all(make(*size)).values():
        assert png(figure, COARSE).startswith(b"\x89PNG")


def test_an_empty_run(run: dict[str, Any], draw_all: Any) -> None:
    empty = run | {
        "archive": run["archive"].head(0),
        "diagnostics": run["diagnostics"].head(0),
        "traces": {},
        "summary": {},
    }
    figures = draw_all(empty)
    assert "nothing found yet" in words(figures["best_cell"])
    assert all(png(figure, COARSE) for figure in figures.values())


@pytest.mark.heavy
def test_equal_figures_give_equal_bytes(run: dict[str, Any]) -> None:
    first, second = (best_so_far(RunData(**run)) for _ in range(2))
    data = png(first)
    assert data == png(second) == png(first)
    assert b"Software" not in data


@pytest.mark.parametrize(
    "objective", [Accuracy(), Constrained(constraints="latency_ms < 4"), MultiFidelity()]
)
def test_figures_have_an_id_a_title_and_a_caption_of_their_own(objective: Any) -> None:
    figures = figures_of(objective)
    for field in ("id", "title", "caption"):
        assert len({getattr(figure, field) for figure in figures} - {""}) == len(figures)
    assert figures[0].id == "best_so_far"


@pytest.mark.heavy
def test_inputs_are_left_alone(run: dict[str, Any], draw_all: Any) -> None:
    before = run["archive"].copy()
    draw_all(run)
    pd.testing.assert_frame_equal(before, run["archive"])


def test_values_of_a_surrogate_are_labelled_as_such_and_none_as_true(
    run: dict[str, Any], draw_all: Any
) -> None:
    caution = "A surrogate's value: what a model predicts."
    figures = draw_all(run | {"summary": run["summary"] | {"caution": caution}})
    axes = figures["predicted_against_true"].axes[0]
    assert axes.get_xlabel() == "queried validation accuracy, surrogate (%)"
    assert axes.get_ylabel() == "predicted validation accuracy, surrogate (%)"
    first = figures["best_so_far"].axes[0]
    assert first.get_ylabel() == "validation accuracy, surrogate (%)"
    plain = draw_all(run)["best_so_far"].axes[0]
    assert plain.get_ylabel() == "validation accuracy (%)"


def test_every_surrogate_source_is_labelled_as_one() -> None:
    for name in SOURCES:
        source = get_source(name)
        surrogate = ", surrogate" in metric_label(source.contents.target, source.contents.caution)
        assert surrogate == (source.model is not None), name


def test_searched_edges_have_a_panel_of_their_probability_after_each_step(
    run: dict[str, Any],
) -> None:
    traces = {s: {**t, "edges": np.full(3, s / 10)} for s, t in run["traces"].items()}
    figure = logits_heatmap(traces, run["space"].option_labels, [])
    (panel,) = [axes for axes in figure.axes if axes.get_ylabel() == "entry of β"]
    assert np.allclose(pixels(panel), np.arange(1, 9) / 10 * np.ones((3, 1)))
    without = logits_heatmap(run["traces"], run["space"].option_labels, [])
    assert not any(axes.get_ylabel() == "entry of β" for axes in without.axes)


def test_probabilities_of_edges_are_those_of_the_space() -> None:
    generator = torch.Generator().manual_seed(0)
    groups: Any
    for space, groups in ((NASBench101(), (1,) * 21), (NASBench301(), 2 * (1, 3, 6, 10))):
        beta = torch.randn(4, space.num_edges, generator=generator)
        alpha = torch.zeros(4, space.num_nodes, len(space.operations))
        edge_logits = torch.split(beta, groups, dim=-1)
        if space.name == "nb101":
            expected = torch.sigmoid(beta)
        else:
            expected = torch.cat([torch.softmax(part, dim=-1) for part in edge_logits], dim=-1)
        shares = edge_probabilities(space, alpha, beta)
        assert np.allclose(shares, expected.mean(0), atol=0.05)
