"""What trains the trials of a run on a problem, as a run keeps them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.errors import ArtifactError, JournalError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.asynchronous import drive_asynchronously
from optiproxy_nas.evaluation.earlier_trials import EarlierTrials
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.incumbent import Training
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journal_header import header_of
from optiproxy_nas.evaluation.journal_table import metric_column, read_journal, row_request
from optiproxy_nas.evaluation.journaled import Journaled
from optiproxy_nas.evaluation.loop import drive
from optiproxy_nas.evaluation.problem_evaluator import AnswerTest, evaluator_for, test_answer
from optiproxy_nas.evaluation.trial_folders import TrialFolders
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.execution.devices import device_here
from optiproxy_nas.export.trainings import Trainings
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.pipelines.live_status import LiveStatus
from optiproxy_nas.problems import VALUE, Problem
from optiproxy_nas.runs.atomic_files import write_json
from optiproxy_nas.runs.datasets.files import TrialFiles

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class RunEvaluator(Evaluator):
    """Trains the trials of a run that its journal lacks, and adds them to it.

    Args:
        problem: of the run.
        data: its datasets.
        parameters: of the run.
        settings: of the evaluation.
        files: of the run's trials.
        replay: train nothing: the journal has all.

    Attributes:
        earlier: the attempts that the journal had when it was opened.
        starts: number of workers that it starts, or waits for; 0: it trains in this process.
        on_ended: called with each request of a batch and its outcome, as its training ends.
        live: shows and tracks how an asynchronous search stands.

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
        self.problem, self.parameters = problem, parameters
        self._data, self._settings = data, settings
        self._files, self._replay = files, replay
        if replay:
            settings = EvaluationSettings()
        target = problem.target
        header = header_of(parameters, target.name, label=target.label)
        self._journal = Journal.open(files.journal, header)
        try:
            objective = parameters.objective
            trained = evaluator_for(problem, data, files.folder, settings, objective)
        except BaseException:
            self._journal.close()
            raise
        self._trained, self._evaluator = trained, Journaled(trained, self._journal, replay)
        self.at_once = self._evaluator.at_once
        self.earlier = self._journal.attempts()
        self._earlier_keys = {request.key for request, _ in self.earlier}
        self.starts = 0 if settings.executor == "serial" else settings.workers
        self._full_epochs = parameters.objective.full_fidelity
        self.on_ended: Callable[[Request, Outcome], None] | None = None
        self.live: LiveStatus | None = None
        self._folders = TrialFolders(files.folder, parameters, settings)
        self._prepared: dict[int, Request] = {}  # of the batch that is evaluated, by number

    def __deepcopy__(self, memo: dict[int, Any]) -> RunEvaluator:
        """Return itself: Kedro's memory copies what it gives to nodes, and a journal has one."""
        return self

    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        """Give what the journal has, and train the others."""
        requests = self._prepared_by_journal(objective, requests)
        for place, outcome in self._evaluator.ended(objective, requests):
            is_new = requests[place].key not in self._earlier_keys
            if is_new and self.on_ended is not None:
                self.on_ended(requests[place], outcome)
            yield place, outcome

    def drive(self, search: AskTell) -> None:
        """Let a search come to its end: a batch at a time, or as workers become free.

        Raises:
            OptiProxyError: as of ``evaluation.loop.drive`` or ``evaluation.asynchronous``; of a
                replay also where the journal lacks what is asked for.
        """
        if not self._settings.asynchronous:
            drive(search, self, [self._trial_over])
            return
        live = self.live
        drive_asynchronously(
            search,
            self._evaluator if self._replay else self._trained,
            [self._trial_over] if live is None else [self._trial_over, live.trial_over],
            journal=self._journal,
            on_status=None if live is None else live.show,
            in_thread=self._settings.executor != "serial" and not self._replay,
            grace=self._settings.grace,
        )

    def _trial_over(self, search: AskTell, trial: Trial) -> None:
        if not self._replay:
            self._folders(search, trial)

    def _prepared_by_journal(
        self, objective: Objective, requests: Sequence[Request]
    ) -> list[Request]:
        """Return requests with what they take from the trials of the batches before.

        The journal may have trials of this batch and of later ones, which a search that never
        stopped would not have had. What was failed is tried again with what it took at first.
        """
        if not requests or requests[0].repeat:
            return list(requests)
        if requests[0].attempt == 1:
            earlier = EarlierTrials(objective, self.parameters.stopping)
            for request, outcome in self._journal.trials():
                if request.number < requests[0].number and not outcome.error:
                    earlier.add(request, outcome)
            self._prepared = {it.number: earlier.prepared(it) for it in requests}
        return [self._prepared[it.number]._replace(attempt=it.attempt) for it in requests]

    def empty_folders(self, archive: pd.DataFrame) -> None:
        """Empty the folders of trials that are not needed after D (``evaluation.keep``)."""
        if not self._replay:
            self._folders.empty(archive, [request for request, _ in self._journal.trials()])

    @property
    def trainings(self) -> Trainings:
        """What trained the trials, and where their folders are."""
        device = device_here(self._settings)
        return Trainings(self.problem, self._files.folder, self._data, device)

    def searched(self, architecture: str) -> Training:
        """Return the training of the search that an architecture can be the answer by.

        Raises:
            JournalError: the journal has none.
        """
        row = answer_of(read_journal(self._files.journal), architecture, self._full_epochs)
        request = row_request(row, self._full_epochs)
        return Training(request, {VALUE: row[metric_column(self.problem.target.name)]})

    def test(self, request: Request) -> AnswerTest:
        """Return what ``problem.test`` gives of a training of the answer; asked once, and kept.

        So is the error of one that failed, which is said again.

        Raises:
            ArtifactError: it was not kept, and nothing is to be trained.
        """
        if self._files.test.exists():
            kept = AnswerTest(**json.loads(self._files.test.read_text(encoding="utf-8")))
            if kept.error:
                _log.warning("The test of the answer had failed: %s", kept.error)
            return kept
        if type(self.problem).test is Problem.test:
            return AnswerTest({})
        if self._replay:
            raise ArtifactError(
                f"There is no {self._files.test} with the test of the answer, "
                f"{request.architecture}.",
                path=str(self._files.test),
            )
        found = test_answer(self.problem, self._data, self._files.folder, self._settings, request)
        write_json(self._files.test, found._asdict())
        return found

    def latency(
        self, request: Request, searched: Mapping[str, float], measure: bool
    ) -> dict[str, Any]:
        """Return the latency of the answer's network, measured once more; done once, and kept.

        A measurement that failed is tried again where the run is resumed.

        Args:
            request: of the answer's training.
            searched: metrics of the answer in the search, or their means.
            measure: it, where it was not: a run does that exports the network. Nothing is measured
                in a replay.

        Returns:
            What ``Trainings.latency`` does; empty where it is not measured.
        """
        path = self._files.latency
        if path.exists():
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return kept
        if self.problem.latency is None or self._replay or not measure:
            return {}
        if found := self.trainings.latency(request, searched):
            write_json(path, found)
        return found

    def close(self) -> None:
        """End worker processes, and close the journal."""
        self._evaluator.close()
        self._journal.close()


def answer_of(trials: pd.DataFrame, architecture: str, epochs: int | None) -> dict[str, Any]:
    """Return the complete attempt of the search at an architecture, as a row of the journal.

    Raises:
        JournalError: the journal has none.
    """
    is_complete = (trials["error"] == "") & (trials["repeat"] == 0)
    rows = trials[(trials["architecture"] == architecture) & is_complete]
    if epochs is not None:
        rows = rows[rows["epochs"] == epochs]
    if rows.empty:
        raise JournalError(f"The journal has no answer for {architecture}.")
    (row,) = rows.tail(1).to_dict("records")  # numbers of Python, not of numpy
    return {str(name): value for name, value in row.items()}
