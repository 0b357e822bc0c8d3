"""The end-of-run summary: short, aligned, ASCII."""

from __future__ import annotations

from typing import Any

import pytest

from optiproxy_nas.report import terminal_summary
from optiproxy_nas.report.run_data import present
from optiproxy_nas.report.summary import headline, result_rows, settings_rows
from optiproxy_nas.report.summary_fields import duration, text


def test_it_tells_the_result_and_where_to_look(run: dict[str, Any]) -> None:
    summary = run["summary"] | {
        "wall_seconds": 75.3,
        "artifacts": "data/runs/x",
        "mlflow_command": "kedro mlflow-ui",
        "failed_trials": 3,
        "stopped": "after so many words of a reason that no terminal of 80 columns can hold them",
    }
    shown = terminal_summary(summary)
    assert shown.isascii()
    lines = shown.splitlines()
    assert f"  {summary['best_architecture']}" in lines
    assert all(f"  {line}".rstrip() in lines for line in summary["best_drawing"].splitlines())
    assert all(len(line) <= 80 for line in lines if summary["best_architecture"] not in line)
    facts = dict(line.split("  ", 1) for line in lines[-6:])
    assert facts["Wall time"].strip() == "1 min 15 s"
    assert facts["Artifacts"].strip() == "data/runs/x"
    assert facts["MLflow"].strip() == summary["mlflow_command"]
    assert facts["Audit"].strip() == f"kedro audit {summary['run_id']}"
    assert any(f"best at query {summary['queries_to_best']}" in line for line in lines)
    starts = {len(line) - len(line.split("  ", 1)[1].lstrip()) for line in lines[-6:]}
    assert len(starts) == 1


def test_what_a_value_is_the_mean_of_is_said() -> None:
    of_table = {"target": "validation_accuracy", "validation_accuracy": 91.0, "training_seeds": 3.0}
    assert "91.00 % (the table's mean over 3 training seeds)" in terminal_summary(of_table)
    assert "the table's mean over 3 training seeds" in headline(of_table)
    assert "1 training seed)" in terminal_summary({**of_table, "training_seeds": 1.0})
    confirmed = {
        "problem": "mnist1d",
        "target": "accuracy",
        "accuracy": 90.0,
        "confirmed_value": 90.0,
        "confirmed_sd": 0.5,
        "single_value": 93.25,
        "confirmations": 2,
        "queries": 34,
        "budget": 40,
        "kept_back": 6,
    }
    lines = terminal_summary(confirmed).splitlines()
    assert lines[2].split("  ", 1)[1].strip() == "90.00 %"
    assert lines[3].startswith("Confirmed")
    assert "mean of 2 confirmations, sd 0.50 points; 93.25 % in the search" in lines[3]
    assert any("34 of 40, 6 of them to confirm" in line for line in lines)
    assert "(mean of 2 confirmations, sd" in headline(confirmed)
    alone = {**confirmed, "confirmed_sd": None, "confirmations": 1}
    assert "1 confirmation; 93.25 % in the search" in terminal_summary(alone)
    assert not {"confirmed_value", "candidates"} & dict(settings_rows(confirmed)).keys()


def test_a_problem_has_an_architecture_tested_once_and_its_own_metrics() -> None:
    summary = {
        "problem": "mnist1d",
        "space": "mnist1d",
        "dataset": "mnist1d",
        "target": "accuracy",
        "accuracy": 97.1,
        "best_architecture": '{"stages": 1}',
        "queries": 40,
        "failed_trials": 2,
        "metrics": {"flops_millions": 3.25},
        "test": {"accuracy": 95.5, "recall": 0.5},
        "page": "data/report.html",
    }
    lines = terminal_summary(summary).splitlines()
    assert lines[0].endswith("  mnist1d")
    assert "Best architecture" in lines
    facts = dict(line.split("  ", 1) for line in lines[-6:])
    assert facts["Test accuracy"].strip() == "95.50 %"
    assert facts["Failed trials, charged too"].strip() == "2"
    assert facts["Page"].strip() == "data/report.html"
    assert "Test accuracy: 95.50 %" in headline(summary)
    assert dict(result_rows(summary))["FLOPs"] == "3.25 million"
    labels = dict(settings_rows(summary))
    assert labels["Problem"] == "mnist1d"
    assert not {"metrics", "test"} & labels.keys()


def test_unknown_facts_are_left_out(run: dict[str, Any]) -> None:
    summary = run["summary"] | {"test_accuracy": None, "regret": float("nan")}
    shown = terminal_summary(summary)
    assert "Test accuracy" not in shown
    assert "Regret" not in shown
    assert "MLflow" not in shown
    assert terminal_summary({})


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0173, "17.3 ms"),
        (59, "59 s"),
        (75.3, "1 min 15 s"),
        (7260, "2 h 1 min"),
        (93600, "1 d 2 h"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_numpy_scalars_read_like_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    assert text(numpy.float32(0.5)) == "0.5"
    assert text(numpy.int64(7)) == "7"
    assert not present(numpy.float32("nan"))


def test_headline_when_nothing_is_better() -> None:
    sentence = headline({"validation_accuracy": 91.61, "optimum": 91.61, "regret": 0.0})
    assert sentence.endswith("No cell of the table is better (91.61 %).")
