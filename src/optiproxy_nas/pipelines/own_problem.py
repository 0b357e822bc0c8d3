"""A user's problem in a run: its data from the catalog, its trials in a journal, its result.

Whatever was trained is in the journal before a node is stored, so a run that goes on, or that is
audited, takes it from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial, update_wrapper
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from kedro.pipeline import Node

from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.core.errors import ArtifactError, JournalError, ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.journal import Journal, Journaled, header_of
from optiproxy_nas.evaluation.journal_file import metric_column, metric_columns, read_journal
from optiproxy_nas.evaluation.problem_evaluator import data_of, evaluator_for, test_answer
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems import Problem
from optiproxy_nas.problems.resolution import check_metrics, resolve_problem
from optiproxy_nas.report.run_data import problem_summary
from optiproxy_nas.runs.atomic_files import write_json
from optiproxy_nas.runs.datasets.files import TrialFiles

# Entries of our catalog that a run itself writes or reads, by name.
RESERVED = frozenset({"encoding", "journal", "benchmark_table", "benchmark_model"})
Digests = dict[str, str | None]


class RunEvaluator(Evaluator):
    """Trains the trials of a run that its journal lacks, and adds them to it.

    Args:
        problem: of the run.
        data: its datasets.
        parameters: of the run.
        settings: of the evaluation.
        files: of the run's trials.
        replay: train nothing: the journal has all.

    Raises:
        JournalError: the journal was edited, or is of another search.
    """

    def __init__(
        self,
        problem: Problem,
        data: Mapping[str, Any],
        parameters: RunParameters,
        settings: EvaluationSettings,
        files: TrialFiles,
        replay: bool,
    ) -> None:
        self.problem, self._data, self._settings = problem, data, settings
        self._files, self._replay = files, replay
        if replay:
            settings = EvaluationSettings()
        self._journal = Journal.open(files.journal, header_of(parameters, problem.target.name))
        try:
            trained = evaluator_for(problem, data, files.folder, settings)
        except BaseException:
            self._journal.close()
            raise
        self._evaluator = Journaled(trained, self._journal, replay)
        self.at_once = self._evaluator.at_once

    def __deepcopy__(self, memo: dict[int, Any]) -> RunEvaluator:
        """Return itself: Kedro's memory copies what it gives to nodes, and a journal has one."""
        return self

    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        """Give what the journal has, and train the others."""
        return self._evaluator.ended(objective, requests)

    def test(self, architecture: str, epochs: int | None) -> dict[str, float]:
        """Return what ``problem.test`` gives of the answer; it is asked once, and kept.

        Raises:
            ArtifactError: it was not kept, and nothing is to be trained.
        """
        if self._files.test.exists():
            kept: dict[str, float] = json.loads(self._files.test.read_text(encoding="utf-8"))
            return kept
        if type(self.problem).test is Problem.test:
            return {}
        if self._replay:
            raise ArtifactError(
                f"There is no {self._files.test} with the test of the answer, {architecture}.",
                path=str(self._files.test),
            )
        trial = answer_of(read_journal(self._files.journal), architecture, epochs)
        number, attempt, seed = (int(trial[name]) for name in ("number", "attempt", "seed"))
        request = Request(number, attempt, architecture, epochs, seed)
        found = test_answer(self.problem, self._data, self._files.folder, self._settings, request)
        write_json(self._files.test, found)
        return found

    def close(self) -> None:
        """End worker processes, and close the journal."""
        self._evaluator.close()
        self._journal.close()


def problem_node(function: Callable[..., Any], names: tuple[str, ...]) -> Node:
    """Return the node that loads a problem, with its datasets of these names from the catalog."""
    load = update_wrapper(partial(function, names=names), function)
    inputs = ["journal", "params:search", "params:run", *names]
    return Node(load, inputs, ["evaluate", "data_digests"], name="load_problem")


def load_problem(
    files: TrialFiles,
    search: SearchParameters,
    run: dict[str, Any],
    *datasets: Any,
    names: tuple[str, ...],
) -> tuple[RunEvaluator, Digests]:
    """Return what trains the trials of a problem, and the digests of its ``datasets``."""
    return open_problem(search, run, files, names, datasets)


def summarise_problem(
    archive: pd.DataFrame,
    failed: pd.DataFrame,
    evaluate: RunEvaluator,
    search: SearchParameters,
    run: dict[str, Any],
    files: TrialFiles,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what the run found, and all trials. Only now, once, is the answer tested."""
    return summary_and_trials(archive, failed, evaluate, search, run["run_id"], files)


def open_problem(
    parameters: RunParameters,
    run: Mapping[str, Any],
    files: TrialFiles,
    names: Sequence[str],
    datasets: Sequence[Any],
) -> tuple[RunEvaluator, Digests]:
    """Return what trains the trials of a run, and the digests of its data.

    Args:
        parameters: of the run, which name the problem.
        run: parameters of the run itself.
        files: of its trials.
        names: of the datasets that the catalog gives.
        datasets: these.

    Raises:
        OptiProxyError: the problem, its data or the journal cannot be used.
    """
    problem = resolve_problem(parameters.problem)
    check_metrics(problem, parameters.objective)
    data = data_of(problem, dict(zip(names, datasets, strict=True)))
    settings = EvaluationSettings.model_validate(run["evaluation"])
    evaluator = RunEvaluator(problem, data, parameters, settings, files, bool(run["replay"]))
    return evaluator, digests_of(data)


def check_problem(parameters: RunParameters, runner: str = "") -> None:
    """Refuse a run on a problem before anything is trained.

    Raises:
        ParameterError: a bound on what the problem does not measure, or a runner whose processes
            would each train.
    """
    problem = resolve_problem(parameters.problem)
    check_metrics(problem, parameters.objective)
    if runner.rpartition(".")[2].startswith("ParallelRunner"):
        raise ParameterError(
            "A problem is trained by one process that holds its journal; ParallelRunner has "
            "several. Leave --runner out; evaluation.workers=2 trains two trials at a time."
        )


def output_files(files: TrialFiles) -> list[tuple[Path, str]]:
    """Return (file, folder) of what the trials wrote, and of the test of the answer."""
    found = [(path, f"trials/{path.parent.name}") for path in files.folder.glob("*/output.txt")]
    return sorted(found) + ([(files.test, "")] if files.test.exists() else [])


def digests_of(data: Mapping[str, Any]) -> Digests:
    """Return a digest of each dataset; None where it is of a type that has none."""
    return {name: _digest(value) for name, value in data.items()}


def _digest(value: Any) -> str | None:
    if isinstance(value, pd.DataFrame | pd.Series):
        # joblib pickles a table, and equal tables have different pickles: one that was just made,
        # and one that was read back from its file.
        with suppress(TypeError):  # cells that cannot be hashed, such as lists
            rows = pd.util.hash_pandas_object(value).to_numpy()
            value = (rows, [str(name) for name in pd.DataFrame(value).columns])
    try:
        return str(joblib.hash(value, hash_name="sha1"))
    except Exception:  # of an object that cannot be pickled: of any kind
        return None


def catalog_names(problem: Any, catalog: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the datasets of a problem that the catalog has; the problem loads the others.

    Raises:
        ParameterError: one is called like a dataset of a run.
    """
    found = tuple(name for name in resolve_problem(problem).datasets if name in catalog)
    if ours := [name for name in found if name in RESERVED]:
        raise ParameterError(
            f"The problem reads {ours[0]!r} of the catalog, which is a dataset of every run. Give "
            "its entry another name.",
            name=ours[0],
        )
    return found


def summary_and_trials(
    archive: pd.DataFrame,
    failed: pd.DataFrame,
    evaluator: RunEvaluator,
    parameters: RunParameters,
    run_id: str,
    files: TrialFiles,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what a run found, its answer tested, and the table of its trials."""
    trials, target = tabulate_trials(files), evaluator.problem.target
    best = archive.iloc[parameters.objective.order.incumbent(archive)]
    epochs = int(best["epochs"]) if parameters.objective.fidelities else None
    answer = answer_of(trials, str(best["architecture"]), epochs)
    archived = set(map(metric_column, (target.name, *parameters.objective.metrics)))
    metrics = {name: answer[name] for name in metric_columns(trials) if name not in archived}
    test = evaluator.test(str(best["architecture"]), epochs)
    summary = problem_summary(archive, parameters, run_id, failed, target.label, metrics, test)
    return summary, trials


def tabulate_trials(files: TrialFiles) -> pd.DataFrame:
    """Return all attempts of the journal, with the paths of their output relative to the run's."""
    table = read_journal(files.journal)
    root = files.journal.parent
    return table.assign(output=[_relative(path, root) for path in table["output"]])


def answer_of(trials: pd.DataFrame, architecture: str, epochs: int | None) -> dict[str, Any]:
    """Return the complete attempt at an architecture, as a row of the journal.

    Raises:
        JournalError: the journal has none.
    """
    rows = trials[(trials["architecture"] == architecture) & (trials["error"] == "")]
    if epochs is not None:
        rows = rows[rows["epochs"] == epochs]
    if rows.empty:
        raise JournalError(f"The journal has no answer for {architecture}.")
    (row,) = rows.tail(1).to_dict("records")  # numbers of Python, not of numpy
    return {str(name): value for name, value in row.items()}


def _relative(path: str, root: Path) -> str:
    """Return a path below the run's folder relative to it, also where the project was moved."""
    parts = Path(path).parts
    return str(Path(*parts[parts.index("trials") :])) if "trials" in parts else path
