"""The answer of a run on a problem as a folder of files, as the node ``export`` gives it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node

from optiproxy_nas.evaluation.identity import Digests
from optiproxy_nas.evaluation.journal_table import (
    metric_column,
    metric_columns,
    read_journal,
    row_request,
)
from optiproxy_nas.export.answer import Answer
from optiproxy_nas.export.folder import export_answer
from optiproxy_nas.pipelines.run_evaluator import RunEvaluator
from optiproxy_nas.report.documents import with_page
from optiproxy_nas.runs.datasets.files import TrialFiles
from optiproxy_nas.runs.datasets.model_folder import MODEL


def export_node() -> Node:
    """Return the node that exports the answer, after the summary."""
    inputs = ["report.summary", "evaluate", "data_digests", "journal"]
    return Node(export_model, inputs, MODEL, name="export")


def export_model(
    summary: dict[str, Any], evaluate: RunEvaluator, data: Digests, files: TrialFiles
) -> dict[str, bytes]:
    """Return the files of the answer of a run; what cannot be exported is a warning.

    Args:
        summary: of the run.
        evaluate: what trained its trials.
        data: digests of its datasets.
        files: of its trials.
    """
    parameters, target = evaluate.parameters, evaluate.problem.target
    trials = read_journal(files.journal)
    row = _row(trials, Path(summary["answer_folder"]).name)
    full = parameters.objective.full_fidelity
    answer = Answer(
        parameters=parameters,
        request=row_request(row, full),
        target=target.label,
        value=row[metric_column(target.name)],
        metrics={name: row[name] for name in metric_columns(trials)},
        test=summary["test"],
        constraints=summary.get("constraints") or (),
        is_eligible=summary["is_eligible"],
        confirmed=_confirmed(summary),
        run_id=summary["run_id"],
        data=data,
        caution=summary.get("caution") or "",
        latency=summary.get("latency", {}),
    )
    return with_page(export_answer(answer, evaluate.trainings, keep_going=True))


def _row(trials: pd.DataFrame, folder: str) -> dict[Any, Any]:
    """Return the last training in a folder that succeeded, as a row of the journal."""
    names = trials["folder"].where(trials["folder"] != "", trials["number"].map("{:04d}".format))
    (row,) = trials[(names == folder) & (trials["error"] == "")].tail(1).to_dict("records")
    return row


def _confirmed(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what ``Answer.confirmed`` has; {}: there are no confirmations."""
    if summary.get("confirmed_value") is None:
        return {}
    best, sd = summary["candidates"][0], summary["confirmed_sd"]
    values = [value for value in best["values"] if value is not None]
    facts = {"mean": best["mean"], "sd": math.nan if sd is None else sd, "values": values}
    return {**facts, "single": best["single"]}
