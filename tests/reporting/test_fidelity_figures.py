"""Figures and words of a search on several fidelities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.objectives.multi_fidelity import MultiFidelity
from optiproxy_nas.report import RunData, figures_of, png, terminal_summary
from optiproxy_nas.report.epoch_figures import FIGURES
from optiproxy_nas.report.summary import headline, result_rows, settings_rows

COARSE = 25  # dots an inch: as quick to draw as it can be

pytestmark = pytest.mark.filterwarnings("error")


def on_two_fidelities(run: Any, full_initial: int = 2, promoted: int = 2) -> Any:
    """The made-up run, each query being brief first; the best of each step are promoted."""
    rng = np.random.default_rng(2)
    rows = []
    for step, batch in run["archive"].groupby("step"):
        brief = batch.assign(epochs=12, cost=12)
        brief["value"] = 0.9 * batch["value"] - 6 + rng.normal(0, 1.0, len(batch))
        if step == 0:
            brief.iloc[:full_initial, brief.columns.get_indexer(["epochs", "cost"])] = 200
            brief.iloc[:full_initial, brief.columns.get_loc("value")] = batch["value"].iloc[
                :full_initial
            ]
        picked = brief[brief["epochs"] == 12].nlargest(promoted, "value").index
        full = batch.loc[picked].assign(epochs=200, cost=200 - 12)
        rows += [brief, full]
    archive = pd.concat(rows, ignore_index=True)
    archive["order"] = np.arange(len(archive))
    archive["best"] = archive["value"].where(archive["epochs"] == 200).cummax().ffill()
    diagnostics = run["diagnostics"].iloc[1:]
    diagnostics = diagnostics.assign(
        fidelity_spearman=np.linspace(0.3, 0.8, len(diagnostics)), promoted=promoted
    )
    spent = int(archive["cost"].sum())
    summary = run["summary"] | {
        "objective": "multi_fidelity",
        "budget": spent + 5,
        "queries": len(archive),
        "validation_accuracy": float(archive["best"].max()),
        "spent_epochs": spent,
        "low_queries": int((archive["epochs"] == 12).sum()),
        "full_queries": int((archive["epochs"] == 200).sum()),
    }
    return {**run, "archive": archive, "diagnostics": diagnostics, "summary": summary}


def draw(made: Any, **changes: Any) -> Any:
    run = RunData(**made | changes)
    return {figure.id: figure.draw(run) for figure in FIGURES}


def labelled(figure: Any) -> Any:
    return {
        handle.get_label(): handle
        for axes in figure.axes
        for handle in axes.get_legend_handles_labels()[0]
    }


def words(figure: Any) -> Any:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


@pytest.fixture
def made(run: dict[str, Any]) -> Any:
    return on_two_fidelities(run)


def test_they_come_first_and_replace_the_best_so_far() -> None:
    assert figures_of(MultiFidelity())[: len(FIGURES)] == FIGURES
    assert FIGURES[0].id == figures_of(Accuracy())[0].id


def test_best_fully_trained_value_against_all_epochs_spent(made: Any) -> None:
    archive = made["archive"]
    figure = draw(made)["best_so_far"]
    marks = labelled(figure)
    curve = marks["best fully trained"]
    assert curve.get_xdata() == pytest.approx(archive["cost"].cumsum())
    full = archive[archive["epochs"] == 200]
    assert curve.get_ydata()[-1] == full["value"].max()
    low = figure.axes[0].get_ylim()[0]
    at_once, promoted = full.iloc[:2]["value"] >= low, full.iloc[2:]["value"] >= low
    assert len(marks["trained fully at once"].get_offsets()) == at_once.sum()
    assert len(marks["promoted to full training"].get_offsets()) == promoted.sum()
    hidden = int((~at_once).sum() + (~promoted).sum())
    assert len(marks[f"below the range ({hidden})"].get_offsets()) == hidden
    # Below: dots within the range, and triangles on its border, which are told apart.
    brief = archive[archive["epochs"] == 12]
    border = figure.axes[1].get_ylim()[0]
    under = int((brief["value"] < border).sum())
    dots = ("trained briefly", "trained briefly, later promoted")
    shown = np.concatenate([marks[name].get_offsets() for name in dots])
    assert len(shown) == len(brief) - under
    assert (shown[:, 1] >= border).all()
    fallen = [m for m in figure.axes[1].collections if (m.get_offsets()[:, 1] == border).all()]
    assert sum(len(mark.get_offsets()) for mark in fallen) == under > 0
    assert f"trained briefly, below the range ({under})" in marks
    assert figure.axes[1].get_title(loc="left") == "After 12 epochs"


def test_low_against_full_by_hand(run: dict[str, Any]) -> None:
    archive = pd.DataFrame(
        {
            "order": range(6),
            "step": [0, 0, 0, 1, 1, 1],
            "architecture": list("abcabc"),
            "value": [1.0, 2.0, 3.0, 70.0, 90.0, 80.0],
            "epochs": [12, 12, 12, 200, 200, 200],
            "cost": [12, 12, 12, 188, 188, 188],
            "best": [np.nan] * 3 + [70.0, 90.0, 90.0],
        }
    )
    drawn = draw(run, archive=archive, diagnostics=pd.DataFrame(), summary={})
    figure = drawn["fidelities"]
    assert "n = 3" in words(figure)
    assert "Spearman" not in words(figure)  # of three points
    points = figure.axes[0].collections[0].get_offsets()
    assert np.asarray(points).tolist() == [[1, 70], [2, 90], [3, 80]]
    assert figure.axes[0].get_xlabel().endswith("after 12 epochs")
    bars = drawn["epochs_by_step"].axes[0].containers
    assert [[bar.get_height() for bar in kind] for kind in bars] == [[36, 0], [0, 564]]
    assert "not measured" in words(drawn["epochs_by_step"])


@pytest.mark.heavy
def test_three_rungs_in_another_unit_by_hand(run: dict[str, Any]) -> None:
    archive = pd.DataFrame(
        {
            "order": range(8),
            "step": [0, 0, 0, 1, 1, 1, 2, 2],
            "architecture": list("abcbcabc"),
            "value": [1.0, 3.0, 2.0, 40.0, 50.0, 45.0, 80.0, 90.0],
            "epochs": [11, 11, 11, 33, 33, 33, 100, 100],
            "cost": [11, 11, 11, 22, 22, 22, 67, 67],
            "best": [np.nan] * 6 + [80.0, 90.0],
        }
    )
    objective = MultiFidelity(rungs=(11, 33, 100), unit="percent", continues=True)
    facts = {**objective.summary(archive), "validation_accuracy": 90.0, "budget": 240, "queries": 8}
    drawn = draw(run, archive=archive, diagnostics=pd.DataFrame(), summary=facts)
    marks = labelled(drawn["best_so_far"])
    assert len(marks["after 33 percent, later promoted"].get_offsets()) == 2
    assert "best found: 90.00 (233 percent)" in marks
    assert drawn["best_so_far"].axes[1].get_xlabel() == "percent spent"
    panels = drawn["fidelities"].axes[:2]
    points = [np.asarray(axes.collections[0].get_offsets()).tolist() for axes in panels]
    assert points == [[[3, 40], [2, 50], [1, 45]], [[40, 80], [50, 90]]]
    assert [axes.get_xlabel().split(" after ")[1] for axes in panels] == [
        "11 percent",
        "33 percent",
    ]
    bars = drawn["epochs_by_step"].axes[0].containers
    heights = [[bar.get_height() for bar in kind] for kind in bars]
    assert heights == [[33, 0, 0], [0, 66, 0], [0, 0, 134]]
    assert drawn["epochs_by_step"].axes[0].get_ylabel() == "percent"
    assert all(png(figure, COARSE) for figure in drawn.values())
    sentence = headline(facts)
    assert (
        "It took 233 percent: 2 cells trained fully, 3 trials of 33 and 3 trials of 11." in sentence
    )
    assert ("Trials by rung", "11: 3, 33: 3, 100: 2") in result_rows(facts)
    assert ("Percent spent", "233") in result_rows(facts)
    assert ("Budget in percent", "240") in settings_rows(facts)


def test_epochs_by_step_add_up(made: Any) -> None:
    figure = draw(made)["epochs_by_step"]
    bars = [bar for kind in figure.axes[0].containers for bar in kind]
    assert sum(bar.get_height() for bar in bars) == made["summary"]["spent_epochs"]
    assert figure.axes[1].lines[-1].get_ydata()[-1] == pytest.approx(0.8)


def test_full_training_only(run: dict[str, Any]) -> None:
    archive = run["archive"].assign(epochs=200, cost=200)
    drawn = draw(run, archive=archive)
    assert len(drawn["best_so_far"].axes) == 1
    assert "nothing was promoted" in words(drawn["fidelities"])
    assert all(png(figure, COARSE) for figure in drawn.values())


@pytest.mark.heavy
def test_brief_training_only_and_nothing(run: dict[str, Any]) -> None:
    archive = run["archive"].assign(epochs=12, cost=12, best=np.nan)
    for part in (archive, archive.head(1), archive.head(0)):
        drawn = draw(run, archive=part, summary={})
        assert all(png(figure, COARSE) for figure in drawn.values())
    nothing = draw(run, archive=archive, summary={})["best_so_far"]
    assert "nothing was trained fully" in words(nothing)


def test_words_count_in_epochs(made: Any) -> None:
    summary = made["summary"]
    spent, budget = summary["spent_epochs"], summary["budget"]
    sentence = headline(summary)
    kinds = f"{summary['full_queries']} cells trained fully and {summary['low_queries']} queries"
    assert f"It took {spent} training epochs: {kinds} at low fidelity." in sentence
    facts = dict(
        line.split("  ", 1) for line in terminal_summary(summary).splitlines()[-9:] if "  " in line
    )
    assert facts["Training epochs spent"].strip() == f"{spent} of {budget}"
    assert str(budget) not in facts["Queries"]
    assert ("Epoch budget", str(budget)) in settings_rows(summary)
    assert ("Training epochs spent", str(spent)) in result_rows(summary)


def test_values_go_by_the_target_of_the_run(made: Any) -> None:
    summary = {**made["summary"], "target": "negative_test_loss", "optimum": None}
    drawn = draw(made, summary=summary)
    for figure in drawn.values():
        assert not any("accuracy" in axes.get_ylabel() for axes in figure.axes)
    best = drawn["best_so_far"].axes[0]
    assert best.get_ylabel() == "negative test loss (nats)"
    assert not any("optimum" in text for text in best.get_legend_handles_labels()[1])
    fidelities = drawn["fidelities"].axes[0]
    assert fidelities.get_xlabel().startswith("negative test loss (nats) after 12 ")
