"""Figures and words of a search under constraints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.objectives.constrained import Constrained
from optiproxy_nas.objectives.pareto import hypervolume, reference_of
from optiproxy_nas.report import (
    RunData,
    figures_of,
    html_page,
    markdown_page,
    png,
    terminal_summary,
)
from optiproxy_nas.report.constraint_figures import FIGURES
from optiproxy_nas.report.run_data import bounds_of
from optiproxy_nas.report.summary import bound_sentence, headline, result_rows, settings_rows

COARSE = 25  # dots an inch: as quick to draw as it can be

pytestmark = pytest.mark.filterwarnings("error")

LATENCY, SIZE, CHIP = "edgegpu_latency_ms", "parameters_millions", "edgetpu_latency_ms"


def fact(constraint: str, value: float | None) -> dict[str, Any]:
    metric, operator, bound = constraint.split()
    sign = 1 if operator.startswith("<") else -1
    margin = None if value is None else sign * (float(bound) - value)
    return {
        "constraint": constraint,
        "metric": metric,
        "bound": float(bound),
        "value": value,
        "margin": margin,
        "margin_percent": None if margin is None else 100 * margin / float(bound),
    }


def constrained(
    run: Any, constraints: Any = (f"{LATENCY} < 4", f"{SIZE} <= 0.6", f"{CHIP} < 1")
) -> Any:
    """The made-up run with metrics that grow with what its cells hold, so that good ones cost."""
    rng = np.random.default_rng(1)
    archive = run["archive"].copy()
    codes = archive[[f"code_{i}" for i in range(6)]].to_numpy()
    work = np.array([0.0, 0.1, 0.6, 1.0, 0.2])[codes].sum(1)
    noise = np.exp(rng.normal(0, 0.1, (3, len(archive))))
    archive[LATENCY] = (0.9 + 1.1 * work) * noise[0]
    archive[SIZE] = 0.08 * np.exp(0.75 * work) * noise[1]
    archive[CHIP] = np.where(rng.random(len(archive)) < 0.1, np.inf, 0.5 + 0.12 * work)
    table = [(c.split()[0], float(c.split()[2])) for c in constraints]
    archive["violation"] = sum(
        np.maximum(np.log(archive[metric] / bound), 0) for metric, bound in table
    )
    searched = (archive["step"] > 0).to_numpy()
    for metric in (LATENCY, SIZE, CHIP):
        real = np.where(np.isinf(archive[metric]), 1.0, archive[metric])
        guess = real * np.exp(rng.normal(0, 0.25, len(archive)))
        archive[f"predicted_{metric}"] = np.where(searched, guess, np.nan)
    likely = 1 / (1 + np.exp(4 * (np.minimum(archive["violation"], 9) - 0.2)))
    archive["feasibility"] = np.where(searched, likely, np.nan)
    feasible = (archive["violation"] == 0).to_numpy()
    archive["best"] = np.fmax.accumulate(np.where(feasible, archive["value"], np.nan))

    rate = archive["violation"].gt(0).groupby(archive["step"]).mean()
    recent = np.array(
        [
            (archive["violation"] > 0)[archive["step"].between(1, s)].tail(20).mean()
            for s in rate.index[1:]
        ]
    )
    diagnostics = (
        run["diagnostics"]
        .iloc[1:]
        .assign(
            violation_rate=rate.to_numpy()[1:],
            recent_violation_rate=recent,
            violation_alarm=(recent > 0.8).astype(int),
            weight_accuracy=np.linspace(0.5, 0.7, len(recent)),
            **{
                f"weight_{m}": np.linspace(0.5, 0.3 - i / 10, len(recent))
                for i, (m, _) in enumerate(table)
            },
        )
    )
    fitness = np.where(feasible, archive["value"], -archive["violation"] - 1)
    chosen = archive.iloc[int(fitness.argmax())]
    facts = [
        fact(c, None if np.isinf(chosen[c.split()[0]]) else float(chosen[c.split()[0]]))
        for c in constraints
    ]
    points = archive.loc[feasible, ["value", *(m for m, _ in table)]]
    summary = run["summary"] | {
        "objective": "constrained",
        "best_architecture": chosen["architecture"],
        "validation_accuracy": float(chosen["value"]),
        "queries_to_best": int(fitness.argmax()) + 1,
        "optimum": None if not feasible.any() else float(archive["best"].max()) + 0.4,
        "regret": None if not feasible.any() else 0.4,
        "feasible": bool(feasible.any()),
        "constraints": facts,
        "hypervolume": hypervolume(
            points.to_numpy(), reference_of(bounds_of({"constraints": facts}))
        ),
    }
    return {**run, "archive": archive, "diagnostics": diagnostics, "summary": summary}


def draw(made: Any, **changes: Any) -> Any:
    run = RunData(**made | changes)
    return {figure.id: figure.draw(run) for figure in FIGURES}


def all_words(figure: Any) -> Any:
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    found += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
        legend = axes.get_legend()
        found += [text.get_text() for text in legend.get_texts()] if legend else []
    return "\n".join([*found, figure.get_suptitle()])


@pytest.fixture
def made(run: dict[str, Any]) -> Any:
    return constrained(run)


@pytest.fixture
def hopeless(run: dict[str, Any]) -> Any:
    return constrained(run, (f"{LATENCY} < 0.2",))


def test_they_come_after_the_first_and_replace_the_best_so_far() -> None:
    figure_ids = [figure.id for figure in FIGURES]
    constrained_figures, plain = (
        figures_of(Constrained(constraints="edgegpu_latency_ms < 4")),
        figures_of(Accuracy()),
    )
    assert constrained_figures[: len(FIGURES)] == FIGURES
    assert figure_ids[0] == plain[0].id == "best_so_far"
    assert constrained_figures[len(FIGURES) :] == plain[1:]


def test_an_objective_of_a_user_has_the_figures_of_what_it_has() -> None:
    class Mine(Constrained):
        name: str = "somewhere.of_mine:Mine"

    assert figures_of(Mine(constraints="edgegpu_latency_ms < 4"))[: len(FIGURES)] == FIGURES


def test_the_curve_begins_with_the_first_feasible_cell_and_keeps_to_feasible_ones(
    made: Any,
) -> None:
    archive = made["archive"].iloc[20:].reset_index(drop=True)
    archive.loc[:4, "violation"] = 1.0
    feasible = (archive["violation"] == 0).to_numpy()
    archive["best"] = np.fmax.accumulate(np.where(feasible, archive["value"], np.nan))
    figure = draw(made, archive=archive)["best_so_far"]
    (curve,) = [line for line in figure.axes[0].lines if "best feasible" in str(line.get_label())]
    heights = np.asarray(curve.get_ydata())
    assert np.isnan(heights[:5]).all()
    assert heights[-1] == archive.loc[feasible, "value"].max() < archive["value"].max()
    words = all_words(figure)
    assert "EdgeGPU latency < 4 ms" in words
    assert f"infeasible ({(~feasible).sum()} in all)" in words
    assert f"best found: {heights[-1]:.2f}" in words


def test_violations_by_step_and_alarm(made: Any) -> None:
    recent = [1.0] * 3 + [0.4] * 5
    diagnostics = made["diagnostics"].assign(
        recent_violation_rate=recent, violation_alarm=[1] * 3 + [0] * 5
    )
    figure = draw(made, diagnostics=diagnostics)["violations"]
    above, below = figure.axes
    heights = [bar.get_height() for container in above.containers for bar in container]
    broken = made["archive"]["violation"] > 0
    assert heights == pytest.approx(100 * broken.groupby(made["archive"]["step"]).mean())
    assert above.lines[0].get_ydata() == pytest.approx(100 * np.array(recent))
    assert "alarm (3 steps)" in all_words(figure)
    found, predicted = below.lines
    assert found.get_ydata() == pytest.approx(100 - np.array(heights[1:]))
    likely = made["archive"].query("step == 3")["feasibility"] >= 0.5
    assert predicted.get_ydata()[2] == pytest.approx(100 * likely.mean())


def test_weights_are_named_by_their_metric(made: Any) -> None:
    figure = draw(made)["weights"]
    assert [line.get_label() for line in figure.axes[0].lines] == [
        "accuracy",
        "EdgeGPU latency",
        "parameters",
        "EdgeTPU latency",
    ]
    assert figure.axes[0].lines[1].get_ydata()[-1] == pytest.approx(0.3)


def test_predicted_metrics_tell_correlation_and_error(made: Any) -> None:
    figure = draw(made)["predicted_metrics"]
    archive = made["archive"].query("step > 0")
    rho = archive[LATENCY].corr(archive[f"predicted_{LATENCY}"], method="spearman")
    error = (archive[f"predicted_{LATENCY}"] / archive[LATENCY] - 1).abs().mean()
    text = figure.axes[0].get_title(loc="left")
    assert text.startswith(f"Spearman ρ {rho:.2f}, n = {len(archive)}\n")
    assert f"mean relative error {100 * error:.3g} %" in text
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log", "linear"]
    assert "cannot run" in all_words(figure)
    n = int(np.isfinite(archive[CHIP]).sum())
    assert f"n = {n}" in figure.axes[2].get_title(loc="left")
    assert {4.0} == {
        line.get_xdata()[0] for line in figure.axes[0].lines if line.get_label() == "bound"
    }


def test_front_rises_and_ends_at_the_best_of_the_archive(made: Any) -> None:
    figure = draw(made)["pareto_front"]
    archive = made["archive"]
    for axes, metric in zip(figure.axes, (LATENCY, SIZE, CHIP), strict=True):
        (front,) = [line for line in axes.lines if line.get_label() == "Pareto front"]
        assert (np.diff(front.get_ydata()) > 0).all()
        assert (np.diff(front.get_xdata()) > 0).all()
        runs = archive[np.isfinite(archive[metric])]
        assert front.get_ydata()[-1] == runs["value"].max()
        assert front.get_xdata()[0] == runs[metric].min()
    assert f"hypervolume {made['summary']['hypervolume']:.4g}" in figure.get_suptitle()
    assert made["summary"]["hypervolume"] > 0


def test_every_query_of_a_front_stands_at_its_metric(made: Any) -> None:
    archive = made["archive"].assign(**{SIZE: 1e4 * made["archive"][SIZE]})  # beyond any value
    axes = draw(made, archive=archive)["pareto_front"].axes[1]
    low, high = axes.get_xlim()
    feasible = archive[(archive["violation"] == 0) & archive[SIZE].between(low, high)]
    (marks,) = [it for it in axes.collections if it.get_label() == "feasible"]
    drawn = marks.get_offsets()
    expected = feasible[feasible["value"] >= axes.get_ylim()[0]]
    assert set(expected[SIZE]) <= set(drawn[:, 0])
    assert len(expected) > 1


def test_a_lower_bound_turns_the_front_round(run: dict[str, Any]) -> None:
    made = constrained(run)
    summary = made["summary"] | {"constraints": [fact(f"{LATENCY} > 2", 3.0)]}
    figure = draw(made, summary=summary)["pareto_front"]
    (front,) = [line for line in figure.axes[0].lines if line.get_label() == "Pareto front"]
    assert front.get_xdata()[-1] == made["archive"][LATENCY].max()
    assert (np.diff(front.get_ydata()) < 0).all()


def test_bounds_keep_all_their_digits() -> None:
    facts = [fact("a_ms < 3.14159", 3.0) | {"bound": 3.14159265}]
    assert bounds_of({"constraints": facts})[0].bound == 3.14159265


@pytest.mark.heavy
def test_nothing_feasible_is_drawn_and_said_loudly(hopeless: Any) -> None:
    drawn = draw(hopeless)
    assert all(png(figure, COARSE) for figure in drawn.values())
    assert "best found" not in all_words(drawn["best_so_far"])
    assert "nothing feasible so far:" in all_words(drawn["best_so_far"])
    for name in ("pareto_front", "predicted_metrics"):
        low, high = drawn[name].axes[0].get_xlim()
        assert low < 0.2 < high  # the bound is seen, however far away
    assert "least violating" in all_words(drawn["pareto_front"])
    summary = hopeless["summary"]
    sentence = headline(summary)
    assert sentence.startswith("No feasible cell was found; the least violating is one of ")
    assert "EdgeGPU latency " in sentence
    assert "above the bound." in sentence
    assert "regret" not in sentence
    shown = terminal_summary(summary)
    assert "NO FEASIBLE CELL WAS FOUND; the least violating is\n  |" in shown
    assert "Regret" not in shown
    assert shown.isascii()
    better = headline(summary | {"optimum": 40.0})
    assert better.endswith("The best feasible cell of the table has 40.00 %.")


def test_no_known_optimum(made: Any) -> None:
    sentence = headline(made["summary"] | {"optimum": None, "regret": None})
    assert sentence.startswith("Best feasible cell: ")
    assert "of the table" not in sentence
    assert "to the table's feasible optimum, " in terminal_summary(made["summary"])
    assert "optimum" not in terminal_summary(made["summary"] | {"optimum": None})


def test_the_answer_says_how_far_below_each_bound_it_is(made: Any) -> None:
    summary = made["summary"] | {"constraints": [fact(f"{LATENCY} < 4", 3.71)]}
    sentence = "EdgeGPU latency 3.71 < 4: 0.29 ms (7.3 %) below the bound"
    assert bound_sentence(fact(f"{LATENCY} < 4", 3.71)) == sentence
    assert f"{sentence}." in headline(summary)
    assert f"Constraint           {sentence}" in terminal_summary(summary)
    assert ("Constraint", sentence) in result_rows(summary)
    assert ("Keeps all bounds", "yes") in result_rows(summary)
    page = html_page(RunData(**made | {"summary": summary}), {})
    assert sentence in page.replace("&lt;", "<")
    assert "constraints" not in dict(settings_rows(summary))


@pytest.mark.parametrize(
    ("constraint", "value", "sentence"),
    [
        ("a_ms < 4", 5.0, "A 5, not < 4: 1 ms (25.0 %) above the bound"),
        ("a_ms < 4", 4.0, "A 4, not < 4: at the bound"),
        ("a_ms <= 4", 4.0, "A 4 <= 4: at the bound"),
        ("a_mj > 4", 5.0, "A 5 > 4: 1 mJ (25.0 %) above the bound"),
        ("intensity >= 4", 3.0, "Intensity 3, not >= 4: 1 (25.0 %) below the bound"),
        ("training_seconds < 4", 3.0, "Training time 3 < 4: 1 s (25.0 %) below the bound"),
        ("a_ms < 4", None, "A < 4: broken, it cannot run there"),
    ],
)
def test_distances_to_bounds(constraint: str, value: float | None, sentence: str) -> None:
    assert bound_sentence(fact(constraint, value)) == sentence


def test_measured_metrics_are_results_with_their_units() -> None:
    summary = {"pixel3_latency_ms": 12.345, "eyeriss_energy_mj": None, "edgetpu_latency_ms": np.inf}
    assert result_rows(summary) == [
        ("Pixel3 latency", "12.3 ms"),
        ("Eyeriss energy", "not available"),
        ("EdgeTPU latency", "cannot run there"),
    ]
    assert settings_rows(summary) == []


def test_latencies_say_how_their_benchmark_measured_them() -> None:
    chip, timed = "on the edge GPU (Jetson TX2)", "of a forward pass, as the source timed it"
    summary = {
        LATENCY: 3.71,
        "latency_ms": 13.0,
        "fpga_energy_mj": None,
        "constraints": [fact(f"{LATENCY} < 4", 3.71)],
        "measured": {LATENCY: f"milliseconds {chip}", "latency_ms": f"milliseconds {timed}"},
    }
    rows = dict(result_rows(summary))
    assert rows["EdgeGPU latency"] == f"3.71 ms, {chip}"
    assert rows["Latency"] == f"13 ms, {timed}"
    assert rows["FPGA energy"] == "not available"
    assert chip in terminal_summary(summary)
    assert timed not in terminal_summary(summary)  # it is not bounded


def test_a_latency_of_this_machine_names_it() -> None:
    facts = {
        **{"quantile": 0.9, "quantile_ms": 0.2, "median_ms": 0.1, "precision": 0.1},
        **{"searched_ms": None, "threads": 1, "load": None, "runtime": "torch"},
        "machine": {"processor": "A processor", "cores": 2, "device": "cpu"},
    }
    assert "A processor, 2 cores; torch on cpu, 1 thread" in terminal_summary({"latency": facts})


def test_only_cells_that_may_be_the_answer_are_top_cells(made: Any) -> None:
    archive = made["archive"]
    feasible = (archive["violation"] == 0).to_numpy()
    page = markdown_page(RunData(**made, eligible=feasible), [])
    kept = archive[feasible].nlargest(1, "value")["architecture"].item()
    assert f"of the {feasible.sum()} that can be the answer" in page
    top = page.split("| 1 |")[1].splitlines()[0]
    assert kept in top.replace("\\|", "|")
    assert "EdgeGPU latency (ms)" in page
    nothing = html_page(RunData(**made, eligible=~feasible & feasible), {})
    assert "Top" not in nothing


@pytest.mark.heavy
@pytest.mark.parametrize("size", [(1, 0, 1, 1, 1), (1, 1, 1, 1, 1), (3, 2, 1, 1, 2)])
def test_tiny_runs(make: Any, size: Any) -> None:
    tiny = constrained(make(*size))
    assert all(png(figure, COARSE) for figure in draw(tiny).values())


@pytest.mark.heavy
def test_without_predictions_bounds_or_steps(made: Any) -> None:
    archive = made["archive"].assign(
        feasibility=np.nan, **{f"predicted_{m}": np.nan for m in (LATENCY, SIZE, CHIP)}
    )
    bare = draw(made, archive=archive, diagnostics=pd.DataFrame())
    assert "no query had a prediction" in all_words(bare["predicted_metrics"])
    assert "no step had weights" in all_words(bare["weights"])
    assert all(png(figure, COARSE) for figure in bare.values())
    nothing = draw(made, archive=archive.head(0), diagnostics=pd.DataFrame(), summary={})
    assert all(png(figure, COARSE) for figure in nothing.values())


def test_values_go_by_the_target_of_the_run(made: Any) -> None:
    summary = {**made["summary"], "target": "negative_test_loss", "optimum": None}
    drawn = draw(made, summary=summary)
    for figure in drawn.values():
        assert not any("accuracy" in axes.get_ylabel() for axes in figure.axes)
    best = drawn["best_so_far"].axes[0]
    assert best.get_ylabel() == "negative test loss (nats)"
    assert not any("optimum" in text for text in best.get_legend_handles_labels()[1])
    assert "negative test loss (nats)" in all_words(drawn["pareto_front"])
