"""What evaluates a search from Python: a benchmark, a function or a problem; and its journal."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from optiproxy_nas.api.open_search import Search
from optiproxy_nas.api.result import SearchResult
from optiproxy_nas.core.errors import JournalError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation.asynchronous import drive_asynchronously
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.function_evaluator import Evaluate, as_evaluator
from optiproxy_nas.evaluation.identity import identity_of
from optiproxy_nas.evaluation.job_evaluator import evaluator_by_jobs
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journal_file import journal_path
from optiproxy_nas.evaluation.journal_header import header_of
from optiproxy_nas.evaluation.journal_replay import expect_journal
from optiproxy_nas.evaluation.journaled import Journaled
from optiproxy_nas.evaluation.loop import Callback, drive
from optiproxy_nas.evaluation.problem_data import data_of
from optiproxy_nas.evaluation.problem_evaluator import evaluator_for, test_answer
from optiproxy_nas.evaluation.status import Status
from optiproxy_nas.evaluation.trial_folders import TrialFolders
from optiproxy_nas.execution.devices import device_here
from optiproxy_nas.export.trainings import Trainings
from optiproxy_nas.problems import VALUE
from optiproxy_nas.problems.building import check_build
from optiproxy_nas.problems.latency import check_latency


class Evaluation:
    """How the trials of one search are evaluated, where they are kept, and the test of the answer.

    Attributes:
        evaluator: trains what is not in the journal.
        journal: of the search, if it keeps one.
        trainings: what trains, and where; None: no problem does.
        callbacks: to be called after each trial.
        close: ends what trains, unless it is the caller's; the journal stays open.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        settings: EvaluationSettings,
        close: Callable[[], Any],
        journal: Journal | None = None,
        test: Callable[[Request], dict[str, float]] | None = None,
        folder: Path | None = None,
        tests: Mapping[tuple[str, int | None, int], Mapping[str, float]] | None = None,
        trainings: Trainings | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.journal, self._test, self._folder = journal, test, folder
        self.close = close
        self._trained, self._settings = evaluator, settings
        self.trainings, self.callbacks = trainings, callbacks
        self._tests = tests or {}
        self.evaluator = Journaled(evaluator, journal) if journal is not None else evaluator

    def drive(
        self,
        search: Search,
        callbacks: Iterable[Callback],
        on_status: Callable[[Status], Any],
    ) -> None:
        """Let a search come to its end: a batch at a time, or as workers become free.

        A journal that says when the method was asked is gone on with in the second way.

        Raises:
            OptiProxyError: as of ``evaluation.loop.drive``, ``evaluation.asynchronous``.
        """
        is_ordered = self.journal is not None and self.journal.history.is_ordered
        if not (self._settings.asynchronous or is_ordered):
            drive(search, self.evaluator, callbacks)
            return
        drive_asynchronously(
            search,
            self._trained,
            callbacks,
            journal=self.journal,
            on_status=on_status,
            in_thread=self._settings.executor != "serial",
            grace=self._settings.grace,
        )

    def tested(self, result: SearchResult) -> SearchResult:
        """Return the result of a search that is over, with the test of its answer.

        The answer is tested once; that of a journal's search is in the journal, and that of a
        result which the search goes on from is in the result.
        """
        if result.archive.empty or not result.is_eligible or self._test is None:
            return result
        request = result.answer_training.request
        found = self.journal.find_test(request) if self.journal is not None else None
        metrics: Mapping[str, float] = found or {}
        if found is None:
            key = request.architecture, request.epochs, request.repeat
            metrics = self._tests.get(key) or self._test(request)
            if self.journal is not None and metrics:
                self.journal.record_test(request, metrics)
        return replace(result, test=metrics)

    def kept(self, result: SearchResult) -> SearchResult:
        """Return a result that names what trained it, without what is taken away.

        That are output files, and data that nothing could be exported with any more.
        """
        if self._folder is None:
            return replace(result, trainings=self.trainings)
        trainings = None if self.trainings is None else replace(self.trainings, data={})
        trials = tuple(replace(t, output="") if t.output else t for t in result.trials)
        return replace(result, trainings=trainings, trials=trials)


@contextmanager
def open_evaluation(
    search: Search,
    evaluate: Evaluate | None,
    data: Mapping[str, Any] | None,
    journal: str | Path | None,
    settings: EvaluationSettings,
) -> Iterator[Evaluation]:
    """Open what evaluates a search; at the end its processes and its journal are closed.

    Args:
        search: that was not asked yet.
        evaluate: a function, of one architecture or of a batch; None: the search's problem.
        data: datasets of the problem by name.
        journal: path of the journal; None: there is none.
        settings: where and how trials are trained.

    Raises:
        JournalError: the journal cannot be used, or folders of other trials are beside it.
        RunLockedError: another search writes to the journal.
        ParameterError: a dataset is missing, settings that would change nothing, or the problem
            cannot build its networks, or nothing can keep a bound on their latency.
    """
    problem = search.problem
    if problem is not None:
        check_build(problem)
        check_latency(problem, search.parameters.objective, device_here(settings))
    with ExitStack() as stack:
        datasets = data_of(problem, data) if problem is not None else {}
        target = problem.target.name if problem is not None else VALUE
        needs_folder = problem is not None or settings.executor != "serial"
        opened, folder, temporary = None, Path(), None
        search.has_journal = journal is not None
        if journal is not None:
            journal = journal_path(journal)
            folder = trials_folder(journal) if needs_folder else folder
            free = [trial for trial in search.trials if not trial.charged]
            answering = problem if problem is not None else evaluate
            is_table = search._benchmark is not None
            identity = None if is_table else identity_of(answering, datasets)
            label = search.target
            header = header_of(search.record_parameters, target, free, label, identity)
            opened = stack.enter_context(Journal.open(journal, header))
            if search.parameters.may_end_early and not opened.history.is_ordered:
                expect_journal(search, journal)
        elif needs_folder:
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="optiproxy-trials-"))
            folder = Path(temporary)
        test = None
        if problem is not None:
            objective = search.parameters.objective
            evaluator = evaluator_for(problem, datasets, folder, settings, objective)
            found = problem

            def test(request: Request) -> dict[str, float]:
                return test_answer(found, datasets, folder, settings, request).metrics

        else:
            assert evaluate is not None
            evaluator = function_evaluator(evaluate, search, folder, settings)
        trains = stack.enter_context(ExitStack())
        if evaluator is not evaluate:  # else it is the caller's
            trains.enter_context(evaluator)
        close = trains.close
        kept = Path(temporary) if temporary else None
        if problem is None:
            yield Evaluation(evaluator, settings, close, opened, test, kept, search.tests)
            return
        trainings = Trainings(problem, folder, datasets, device_here(settings))
        folders = TrialFolders(folder, search.parameters, settings)
        yield Evaluation(
            evaluator, settings, close, opened, test, kept, search.tests, trainings, [folders]
        )


def function_evaluator(
    evaluate: Evaluate, search: Search, folder: Path, settings: EvaluationSettings
) -> Evaluator:
    """Return the evaluator of a user's function.

    Raises:
        ParameterError: it is to be trained in worker processes, and cannot be.
    """
    if settings.executor != "serial":
        return evaluator_by_jobs(evaluate, search.space, settings, folder)
    return as_evaluator(evaluate, search.space)


def trials_folder(journal: Path) -> Path:
    """Return the folder beside a journal in which each trial has one of its own.

    Raises:
        JournalError: there is no such journal yet, but the folder holds trials of another search.
    """
    folder = journal.with_name(f"{journal.stem}_trials")
    is_new = not journal.exists() or not journal.stat().st_size
    if is_new and folder.is_dir() and any(folder.iterdir()):
        raise JournalError(
            f"The journal {str(journal)!r} is new, but {str(folder)!r} holds the files of other "
            "trials, which this search would take for its own. Move that folder away, or use "
            "another path.",
            path=str(journal),
            folder=str(folder),
        )
    return folder
