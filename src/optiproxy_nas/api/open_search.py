"""A search that the user asks and tells, with plain arguments."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from optiproxy_nas.algorithm.search_parameters import OWN_EVALUATION, SearchParameters
from optiproxy_nas.api.notebook_view import search_html
from optiproxy_nas.api.result import SearchResult
from optiproxy_nas.api.result_lines import search_line
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import Direction
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.core.validation import validate
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.initial import Initial, apply_initial
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journal_file import journal_path
from optiproxy_nas.evaluation.journal_header import header_of
from optiproxy_nas.evaluation.journal_replay import repeat_history
from optiproxy_nas.evaluation.prior_sources import dataset_of, read_sources
from optiproxy_nas.evaluation.prior_table import fitted_prior, prior_lines, prior_table
from optiproxy_nas.methods import METHODS, resolve_method
from optiproxy_nas.objectives import name_of
from optiproxy_nas.presets import misfit, preset_for
from optiproxy_nas.problems import Problem
from optiproxy_nas.problems.resolution import check_metrics, resolve_problem, with_problem
from optiproxy_nas.spaces import SpaceLike, get_space, space_name, space_parameter

DEFAULT_SPACE = "nb201"
logger = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class Search(AskTell):
    """A search by ask and tell: you evaluate, in any order, as many trials at a time as you like.

    Example:
        >>> from optiproxy_nas import Search
        >>> search = Search(space="nb201", budget=60, seed=0)
        >>> for trial in search.ask(4):
        ...     search.tell(trial, len(trial.architecture))  # or tell(trial, failed="why")
        >>> len(search.result().archive)
        4

    What it proposes follows from its arguments, and from the order in which it is asked and told.

    Args:
        dataset: a label of the record.
        budget: in all, the random initial sample included: queries, or epochs where the objective
            counts them. Open and failed trials count.
        seed: decides the search together with the other arguments.
        source: a label of the record.
        method: ``optiproxy``, ``random_search``, ``regularized_evolution``, ``local_search``,
            ``bananas``, ``gaussian_process``, ``tpe``, or one of yours.
        preset: of optiproxy's parameters; default the one that fits the space and the objective.
        space: ``nb201``, ``nb101``, ``nb301``, ``nbnlp``, ``fcnet``, ``hpobench``, ``hwgpt``,
            ``package.module:Class``; a declared :class:`~optiproxy_nas.Space`, or its declaration.
        objective: ``accuracy``, or with its settings ``{"name": "constrained", ...}``.
        direction: ``maximize`` or ``minimize`` the value; default maximize.
        problem: whose space, target and objective it has (:func:`search`).
        initial: trials made before, to go on from or to start warm (:func:`search`).
        prior: earlier runs that guide the search (:func:`search`).
        journal: path of a file to which each answer is added, for good, as it is told. Opened again
            with the same arguments, the search has these answers and hands out the other trials.
            :meth:`close`, or ``with``, lets another search open it.
        **overrides: any key of the preset, nested; ``settings={...}`` of a baseline;
            ``failures={"retries": 1}``; ``stopping={"rule": "median"}``;
            ``stop_regret={"epsilon": 0.2}`` (:func:`search`).

    Raises:
        OptiProxyError: see :mod:`optiproxy_nas.core.errors`.
    """

    def __init__(
        self,
        dataset: str | None = None,
        budget: int = 100,
        seed: int = 0,
        *,
        source: str | None = None,
        method: str = "optiproxy",
        preset: str | None = None,
        space: SpaceLike | None = None,
        objective: str | Mapping[str, Any] | None = None,
        direction: Direction | None = None,
        problem: str | Mapping[str, Any] | Problem | None = None,
        initial: Initial | None = None,
        prior: Any = None,
        journal: str | Path | None = None,
        **overrides: Any,
    ) -> None:
        self.problem = None if problem is None else resolve_problem(problem)
        values: dict[str, Any] = {
            "space": None if space is None else space_parameter(space),
            "source": OWN_EVALUATION if source is None else source,
            "objective": objective,
            "direction": direction,
        }
        if self.problem is None:
            space = DEFAULT_SPACE if space is None else space
            values["space"] = space_parameter(space)
            values["benchmark"] = space_name(values["space"])
        else:
            space = self.problem.space
            values = with_problem({**values, "problem": problem, "dataset": dataset}, self.problem)
            dataset = values.pop("dataset")
        if preset is None and METHODS.load(method).takes_preset():
            preset = preset_for(values["space"], name_of(values["objective"])) or "default"
        # The dataset decides no setting: it goes to the table, and into the record at the end.
        self.parameters = resolve_method(
            {
                **values,
                "method": method,
                "preset": preset,
                "seed": seed,
                "budget": budget,
                **({} if prior is None else {"prior": "earlier runs"}),
                **overrides,
            },
            also=self._argument_names(),
        )
        dataset = OWN_EVALUATION if dataset is None else dataset
        self.record_parameters = validate(
            type(self.parameters), {**dict(self.parameters), "dataset": dataset}
        )
        if self.parameters.confirm is not None:
            self._check_confirm()
        if self.problem is not None:
            check_metrics(self.problem, self.parameters.objective)
        if note := misfit(self.parameters):
            logger.warning(note)
        self._benchmark: Benchmark | None = None  # that answers; None: the user evaluates
        found = get_space(space)
        with isolated():
            built = METHODS.load(self.parameters.method).build(found, self.parameters)
        super().__init__(
            found,
            self.parameters.objective,
            built,
            self.parameters.search_budget,
            seed,
            self.parameters.failures,
            self.parameters.stopping,
        )
        self.kept_back = self.parameters.kept_back
        if self.problem is not None:
            self.target_name = self.problem.target.name
        if prior is not None:
            self._take_prior(prior)
        if initial is not None:
            apply_initial(self, self.record_parameters, initial, self.target)
        self.has_journal = journal is not None
        self._journal = None if journal is None else self._opened(journal_path(journal))
        self.before_asking = self._note_asking

    def _take_prior(self, prior: Any) -> None:
        """Let earlier runs guide the search, and note in its parameters which they are.

        Raises:
            OptiProxyError: as of :func:`~optiproxy_nas.evaluation.prior_sources.read_sources`.
        """
        parameters = self.parameters
        assert isinstance(parameters, SearchParameters)  # other methods refuse it
        runs = read_sources(prior, self.space, parameters.seed)
        searched = dataset_of(self.record_parameters.model_dump(mode="json"))
        table = prior_table(runs, self.space, self.objective, self.target, searched)
        targets = parameters.fit.targets
        self.method.take_prior(fitted_prior(self.space, table, self.objective, targets))
        named = {"prior": prior_lines(table)}
        self.parameters = parameters.model_copy(update=named)
        self.record_parameters = self.record_parameters.model_copy(update=named)

    def close(self) -> None:
        """Close the journal, if there is one; then nothing can be told any more."""
        if self._journal is not None:
            self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _opened(self, path: Path) -> Journal:
        """Open the journal, and repeat what it has."""
        free = [trial for trial in self.trials if not trial.charged]
        header = header_of(self.record_parameters, self.target_name, free, self.target)
        journal = Journal.open(path, header)
        try:
            repeat_history(self, journal)
        except BaseException:
            journal.close()
            raise
        return journal

    def _keep(self, request: Request, outcome: Outcome) -> None:
        if self._journal is not None:
            self._journal.record(request, outcome)

    def _note_asking(self, wanted: int) -> None:
        if self._journal is not None:
            self._journal.record_ask(self.times_asked, wanted)

    def result(self) -> SearchResult:
        """Return everything so far; trials that are open are part of it."""
        caution = "" if self._benchmark is None else self._benchmark.caution
        return SearchResult.of(self, self.record_parameters, target=self.target, caution=caution)

    @property
    def target(self) -> str:
        """The metric that is searched for, with its unit; ``value`` of a function."""
        if self.problem is not None:
            return self.problem.target.label
        return "value" if self._benchmark is None else self._benchmark.target

    def _check_confirm(self) -> None:
        """Refuse to confirm: who evaluates can train ``result.top(k)`` again.

        Raises:
            ParameterError: always.
        """
        raise ParameterError(
            "confirm is of search(...), which trains itself. By ask and tell, train "
            "result.top(3) again with seeds of your own, and choose by their means.",
            name="confirm",
        )

    def _argument_names(self) -> list[str]:
        """Return the arguments that can be given, for messages about those that cannot."""
        return argument_names(Search)

    def __repr__(self) -> str:
        """Return two lines: what is searched, and how far it is."""
        counts = f"{len(self.pending)} trials open, {len(self.failed())} failed"
        best = "" if math.isnan(self.best) else f"; best value {self.best:.6g}"
        title = search_line(self.record_parameters)
        return f"Search of {title}\n  {self.spent} spent, {counts}{best}"

    def _repr_html_(self) -> str:
        """Return what notebooks show: how far it is, with the best values so far."""
        return search_html(self, self.record_parameters, self.target)


def argument_names(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's arguments, without ``**overrides``."""
    parameters = inspect.signature(function).parameters.values()
    return [entry.name for entry in parameters if entry.kind is not entry.VAR_KEYWORD]
