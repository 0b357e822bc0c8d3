"""Training trials of a finished run again, to see by how much their values differ."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.numbers import significant
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.core.random_streams import torch_generator
from optiproxy_nas.evaluation.journal_table import metric_column, read_journal, row_request
from optiproxy_nas.evaluation.problem_evaluator import evaluator_for
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.pipelines.problem_data import load_data
from optiproxy_nas.problems.resolution import resolve_problem
from optiproxy_nas.runs.audit import project_copy
from optiproxy_nas.runs.manifest import read_manifest, reporting_folder
from optiproxy_nas.runs.user_stamp import PLACES, is_of_this_user


def check_trained(project: Path, run_id: str) -> None:
    """Refuse a run of which no trial was trained, before anything long is done.

    Raises:
        ParameterError: a benchmark answered the run.
        ResumeError: there is no such run.
    """
    manifest = read_manifest(reporting_folder(project), run_id)
    if parameters_of(manifest["parameters"]).problem is None:
        raise ParameterError(
            f"Run {run_id!r} was answered by a benchmark: nothing was trained. Leave "
            "--retrain out.",
            run_id=run_id,
        )


def retrain_trials(project: Path, run_id: str, count: int = 0) -> pd.DataFrame:
    """Train complete trials of a run again, with their seeds, in folders that are not kept.

    They are trained where the run's were, or, where this user has not set that, in processes of
    this machine.

    Args:
        project: that holds the run.
        run_id: a finished run on a problem.
        count: of trials, always the same ones; 0: all.

    Returns:
        number, architecture, old and new value (NaN where it failed now), and the difference; where
        the problem has a latency, that of then and of now, and the precision that was reached then.

    Raises:
        ParameterError: as of :func:`check_trained`.
        OptiProxyError: its data, journal or problem cannot be used.
    """
    check_trained(project, run_id)
    manifest = read_manifest(reporting_folder(project), run_id)
    parameters = parameters_of(manifest["parameters"])
    problem = resolve_problem(parameters.problem)
    target = metric_column(problem.target.name)
    trials = _chosen(read_journal(project / manifest["artifacts"]["journal"]["path"]), count)
    full = parameters.objective.full_fidelity
    requests = [row_request(row, full) for row in trials.to_dict("records")]
    # Each from nothing, also what continued a shorter training.
    requests = [it if it.repeat else it._replace(folder="") for it in requests]
    with project_copy(project, run_id, manifest) as copy:
        data = load_data(copy, manifest["pipeline"], manifest["parameters"])
        evaluation = manifest["evaluation"]
        if not is_of_this_user(manifest):
            evaluation = {key: it for key, it in evaluation.items() if key not in PLACES}
            evaluation["executor"] = "processes"
        settings = EvaluationSettings.model_validate(evaluation)
        with evaluator_for(problem, data, copy / "retrained", settings) as evaluator:
            found = list(evaluator.outcomes(parameters.objective, requests))
    new = [outcome.metrics.get("value") if outcome else None for outcome in found]
    table = trials[["number", "architecture"]].assign(
        old=trials[target], new=pd.array(new, dtype="float64")
    )
    table = table.assign(difference=table["new"] - table["old"])
    if problem.latency is None:
        return table
    name, _, precision = problem.latency.metrics
    now = [outcome.metrics.get(name) if outcome else None for outcome in found]
    return table.assign(
        old_latency=trials[metric_column(name)],
        new_latency=pd.array(now, dtype="float64"),
        latency_precision=trials[metric_column(precision)],
    )


def retrain_text(table: pd.DataFrame) -> str:
    """Return the differences for a terminal, a line a trial, and their mean and largest."""
    lines = [
        f"retrained: trial {row['number']}: {significant(row['old'], 6)} then, "
        f"{significant(row['new'], 6)} now, difference {significant(row['difference'], 3)}"
        for row in table.to_dict("records")
    ]
    sizes = table["difference"].abs()
    failed = int(sizes.isna().sum())
    lines.append(
        f"{len(table)} trials trained again: they differ by {significant(sizes.mean(), 3)} in the "
        f"mean, by {significant(sizes.max(), 3)} at most; {failed} failed."
    )
    if "old_latency" in table:
        change = (table["new_latency"] / table["old_latency"] - 1).abs()
        lines.append(
            f"Their latencies were measured again, and measurements differ: by {change.mean():.1%} "
            f"in the mean, by {change.max():.1%} at most; {table['latency_precision'].mean():.1%} "
            "was stated in the mean."
        )
    return "\n".join(lines)


def _chosen(trials: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return complete trials, in the order of the journal: all, or random ones, always the same."""
    is_whole = (trials["error"] == "") & ~trials["stopped"]  # its value is of a whole training
    complete = trials[is_whole].reset_index(drop=True)
    if not count or count >= len(complete):
        return complete
    order = torch.randperm(len(complete), generator=torch_generator(0, 0, "retrain"))[:count]
    return complete.iloc[sorted(order.tolist())]
