"""What a run on a user's problem found: its summary, and the table of its trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.incumbent import (
    Confirmation,
    Training,
    incumbent_of,
    incumbent_training,
)
from optiproxy_nas.evaluation.journal_table import (
    metric_column,
    metric_columns,
    read_journal,
    row_request,
)
from optiproxy_nas.evaluation.problem_evaluator import AnswerTest
from optiproxy_nas.execution.jobs import trial_folder
from optiproxy_nas.pipelines.run_evaluator import RunEvaluator, answer_of
from optiproxy_nas.problems import VALUE
from optiproxy_nas.report.run_summary import problem_summary
from optiproxy_nas.report.worker_figures import busy_facts
from optiproxy_nas.runs.datasets.files import TrialFiles


def summarise_problem(
    archive: pd.DataFrame,
    failed: pd.DataFrame,
    evaluate: RunEvaluator,
    search: SearchParameters,
    run: dict[str, Any],
    diagnostics: pd.DataFrame,
    files: TrialFiles,
    trainings: pd.DataFrame | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what the run found, and all trials. Only now, once, is the answer tested and timed.

    What cannot be the answer is not tested.

    Args:
        archive: D.
        failed: the failed trials.
        evaluate: what trained them.
        search: parameters of the search.
        run: parameters of the run itself.
        diagnostics: one row a step.
        files: of the trials.
        trainings: that confirm the best; None: there are none.
    """
    return summary_and_trials(archive, failed, evaluate, search, run, diagnostics, files, trainings)


def summary_and_trials(
    archive: pd.DataFrame,
    failed: pd.DataFrame,
    evaluator: RunEvaluator,
    parameters: RunParameters,
    run: dict[str, Any],
    diagnostics: pd.DataFrame,
    files: TrialFiles,
    trainings: pd.DataFrame | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what a run found, its answer tested and timed, and the table of its trials."""
    trials, target = tabulate_trials(files), evaluator.problem.target
    objective, confirmed = parameters.objective, pd.DataFrame() if trainings is None else trainings
    confirmation = Confirmation.of(objective, archive, parameters.confirm, confirmed)
    incumbent = incumbent_of(objective, archive, confirmation)
    best = archive.iloc[incumbent.place]
    epochs = int(best["epochs"]) if objective.fidelities else None
    answer = answer_of(trials, str(best["architecture"]), epochs)
    searched = Training(row_request(answer, objective.full_fidelity), {VALUE: float(best["value"])})
    if len(confirmed):
        confirmed = confirmed[confirmed["architecture"] == best["architecture"]]
    training = incumbent_training(objective, searched, confirmed).request
    archived = set(map(metric_column, (target.name, *parameters.objective.metrics)))
    metrics = {name: answer[name] for name in metric_columns(trials) if name not in archived}
    test = evaluator.test(training) if incumbent.is_eligible else AnswerTest({})
    summary = problem_summary(
        archive,
        parameters,
        run["run_id"],
        failed,
        target.label,
        metrics,
        test,
        confirmation,
        diagnostics,
    )
    means = confirmation.means[0] if confirmation and confirmation.means else answer
    if latency := evaluator.latency(training, means, bool(run["export"])):
        summary["latency"] = latency
    if run.get("evaluation", {}).get("asynchronous"):
        summary |= busy_facts(trials)
    limits = evaluator.problem.latency
    if limits is not None and limits.metrics[2] in trials:
        summary["imprecise_trainings"] = int((trials[limits.metrics[2]] > limits.precision).sum())
    return {**summary, **_trial_facts(trials, training, files)}, trials


def _trial_facts(trials: pd.DataFrame, answer: Request, files: TrialFiles) -> dict[str, Any]:
    """Return what the trainings took and where they are, that of the answer given."""
    run = Path(*files.journal.parent.parts[-3:])  # data/07_model_output/<run_id>
    folder = run / files.folder.name
    stopped = int(trials["stopped"].sum())
    return {
        "trainings": len(trials),
        "failed_trainings": int((trials["error"] != "").sum()),
        **({"stopped_trainings": stopped} if stopped else {}),
        "trainings_seconds": float(trials["seconds"].sum()),
        "answer_trial": answer.number,
        "answer_folder": trial_folder(folder, answer.number, answer.folder).as_posix(),
        "trial_folders": folder.as_posix(),
        "journal": (run / files.journal.name).as_posix(),
    }


def tabulate_trials(files: TrialFiles) -> pd.DataFrame:
    """Return all attempts of the journal, with the paths of their output relative to the run's."""
    table = read_journal(files.journal)
    root = files.journal.parent
    return table.assign(output=[_relative(path, root) for path in table["output"]])


def _relative(path: str, root: Path) -> str:
    """Return a path below the run's folder relative to it, also where the project was moved."""
    parts = Path(path).parts
    return str(Path(*parts[parts.index("trials") :])) if "trials" in parts else path
