"""Epochs to a mean, the frontier and its explanation, from curves that are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import OPTIMA, synthetic
from test_evidence_tables import rows_of

from evidence import fidelity_tables, rungs, table
from evidence.collect import Signal, signal_of
from evidence.epochs import EpochCurves, epoch_curves, reach_interval
from evidence.sections import Quoted, Row, Section

BEST = OPTIMA["cifar10"]
NAN = math.nan


def results_of(*seeds: Any) -> pd.DataFrame:
    """Rows of searches: a list of (cost, best) a seed."""
    return pd.DataFrame(
        [
            {"seed": seed, "query": query, "spent": spent, "best": best}
            for seed, queries in enumerate(seeds)
            for query, (spent, best) in enumerate(
                zip(np.cumsum([cost for cost, _ in queries]), [b for _, b in queries], strict=True),
                start=1,
            )
        ]
    )


LOW = results_of(
    [(12, NAN), (200, 90.0), (12, 90.0), (200, 92.0)],  # 12, 212, 224, 424
    [(12, NAN), (12, NAN), (200, 91.0)],  # 12, 24, 224
)


def test_values_are_read_by_epochs_spent() -> None:
    curves = epoch_curves(LOW, 500, 92.0)
    assert curves.budget == 500
    assert np.isnan(curves.at(0)).all()
    assert np.isnan(curves.at(211)).all()
    np.testing.assert_array_equal(curves.at(212), [90.0, NAN])
    np.testing.assert_array_equal(curves.at(223.0), [90.0, NAN])
    assert curves.at(224).tolist() == [90.0, 91.0]
    assert curves.at(500).tolist() == [92.0, 91.0]  # the second search stopped: its last stands
    assert curves.at_optimum(500) == 1


def test_a_mean_is_undefined_while_a_seed_has_nothing() -> None:
    curves = epoch_curves(LOW, 500, 92.0)
    assert curves.reach(80.0) == 224  # not 212, where one seed has 90 already
    assert curves.reach(90.5) == 224
    assert curves.reach(91.5) == 424
    assert curves.reach(91.6) == math.inf


def test_queries_with_full_training_count_their_epochs_and_the_horizon_cuts() -> None:
    plain = results_of([(1, 90.0), (1, 91.0), (1, 92.0)])
    curves = epoch_curves(plain, 500, 92.0, epochs_per_unit=200)
    assert curves.reach(91.0) == 400
    assert curves.reach(92.0) == math.inf  # at 600
    assert curves.budget == 500
    with pytest.raises(ValueError, match="two runs of one seed"):
        epoch_curves(pd.concat([plain, plain]), 500, 92.0)


def test_resamples_of_equal_seeds_agree_with_the_mean() -> None:
    one = [(12, NAN), (200, 90.0), (200, 92.0)]
    curves = epoch_curves(results_of(*[one] * 5), 500, 92.0)
    assert set(curves.resampled(91.0)) == {412.0}
    assert reach_interval(curves.resampled(91.0)) == ((412.0, 412.0), 1.0)
    interval, reached = reach_interval(curves.resampled(93.0))
    assert interval == (math.inf, math.inf)
    assert reached == 0


def test_half_of_the_resamples_of_two_seeds_hold_the_one_that_never_gets_there() -> None:
    curves = epoch_curves(results_of([(100, 92.0)], [(100, 80.0)]), 500, 92.0)
    reached = np.isfinite(curves.resampled(90.0)).mean()
    assert reached == pytest.approx(0.25, abs=0.04)  # both draws are the first seed


@given(st.lists(st.lists(st.floats(0, 100), min_size=3, max_size=3), min_size=1, max_size=5))
def test_a_lower_level_is_never_reached_later(values: Any) -> None:
    curves = EpochCurves(
        np.array([12.0, 24.0, 36.0]), np.maximum.accumulate(np.array(values), axis=1), 100.0
    )
    reached = [curves.reach(level) for level in (10.0, 40.0, 70.0)]
    assert reached == sorted(reached)


def section_of() -> Any:
    return Section(
        name="made",
        title="T",
        order=1,
        render="fidelity",
        page="docs/page.md",
        common={"dataset": ["cifar10", "cifar100"], "source": "embedded"},
        budgets=(224, 600, 3000),
        rows=(
            Row(
                label="low",
                seeds="0-3",
                blocks=({"method": "low", "objective.name": "multi_fidelity", "budget": 700},),
            ),
            Row(label="full", seeds="0-3", blocks=({"method": "full", "budget": 5},)),
        ),
        quoted=(
            Quoted(label="P low", values={"cifar10": 500, "cifar100": 600}),
            Quoted(label="P full", values={"cifar10": 400}),
        ),
        options={
            "levels": {"cifar10": 91.5, "cifar100": 73.49},
            "low_epochs": 12,
            "full_epochs": 200,
            "horizon": 20000,
            "against": {"low": "P low", "full": "P full"},
        },
    )


def curve(point: Any) -> Any:
    optimum = OPTIMA[point["dataset"]]
    if point["method"] == "full":
        return [80.0, 81.0, 82.0, 83.0, optimum]
    last = optimum if point["dataset"] == "cifar10" or point["seed"] else optimum - 0.4
    return [NAN, 85.0 if optimum > 90 else 60.0, NAN, last]


def costs(point: Any) -> Any:
    return [1] * 5 if point["method"] == "full" else [12, 200, 12, 200]


@pytest.fixture(scope="module")
def made() -> Any:
    section = section_of()
    signal = Signal(place=1234, size=15625, spearman=0.9, spearman_top=0.25)
    return section, synthetic([section], curve, costs=costs, signal=lambda *_: signal)


@pytest.fixture(scope="module")
def rendered(made: Any) -> Any:
    return fidelity_tables.render(*made)


def test_epochs_to_the_level(rendered: Any) -> None:
    rows = rows_of(rendered.texts["made"])
    assert rows[0] == [
        "CIFAR-10",
        "91.50",
        "low",
        "424",
        "424 to 424",
        "100% (51% to 100%)",
        "424",
        "4",
    ]
    assert rows[1][2:5] == ["full", "1,000", "1,000 to 1,000"]
    assert rows[2][3] == "> 700"
    assert rows[2][4].startswith("reached in 3")  # all four draws others than seed 0: 0.75 ^ 4
    assert rows[2][5] == "75% (30% to 95%)"


def test_epochs_beside_the_paper(rendered: Any) -> None:
    rows = rows_of(rendered.texts["made-paper"])
    assert [row[3:] for row in rows] == [
        ["424", "quoted: 500 (P low)", "0.85", "fewer"],
        ["1,000", "quoted: 400 (P full)", "2.50", "more"],
        ["> 700", "quoted: 600 (P low)", "–", "more"],
    ]


@pytest.mark.heavy
def test_the_frontier_says_where_there_is_no_mean(made: Any, rendered: Any) -> None:
    rows = rows_of(rendered.texts["made-frontier"])
    assert rows[0][2:] == ["85.000 ± 0.000", "91.607 ± 0.000", "–"]  # the search ends at 700
    assert rows[1][2:] == ["80.000 ± 0.000", "82.000 ± 0.000", "–"]
    late = section_of().model_copy(update={"budgets": (100,)})
    text = fidelity_tables.render(late, made[1]).texts["made-frontier"]
    assert rows_of(text)[0][2] == "– (4 of 4 seeds have nothing)"


def test_what_is_not_reached_is_explained(rendered: Any) -> None:
    text = rendered.texts["made-why"]
    assert rows_of(text)[0] == ["CIFAR-10", "1,234 of 15,625", "0.90", "0.25"]
    assert "CIFAR-100: 73.49 is not reached in 600 epochs (> 700)." in text
    assert "3 of 4 seeds have the optimum, 73.493, and the others are 0.400 below" in text
    assert "CIFAR-10: " not in text


def test_the_figure_is_drawn_and_repeats(made: Any, rendered: Any) -> None:
    one, again = rendered.figures, fidelity_tables.render(*made).figures
    assert one["made_epochs.png"].startswith(b"\x89PNG")
    assert one == again


def test_the_signal_of_a_brief_training() -> None:
    full = np.arange(300.0)
    one: Any = pytest.approx(1.0)
    assert signal_of(full, full) == Signal(1, 300, one, one)
    brief = full.copy()
    brief[200:] = brief[200:][::-1]  # the best hundred the wrong way round
    signal = signal_of(brief, full)
    assert signal.place == 100
    assert signal.spearman_top == pytest.approx(-1.0)
    assert 0.8 < signal.spearman < 1


def test_rungs_are_read_at_equal_training() -> None:
    common = {"dataset": "cifar10", "source": "embedded"}
    section = section_of().model_copy(update={"common": common, "budgets": (100, 424, 600)})
    found = rungs.render(section, synthetic([section], curve, costs=costs)).texts["made"]
    low, full = rows_of(found)
    assert low[1:] == [table.NONE, f"{BEST:.3f} ± 0.000", f"{BEST:.3f} ± 0.000", table.NONE, "4"]
    assert full[1:4] == [table.NONE, "81.000 ± 0.000", "82.000 ± 0.000"]
    assert full[4].startswith(f"+{BEST - 82:.3f} ")
