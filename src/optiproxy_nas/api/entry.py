"""The plain-Python entry: any method on any problem, without Kedro."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from optiproxy_nas.algorithm.budget import refuse_confirm
from optiproxy_nas.api.arguments import (
    check_function,
    check_problem_arguments,
    evaluation_settings,
)
from optiproxy_nas.api.early_end import carrying_result, result_after
from optiproxy_nas.api.evaluation import open_evaluation
from optiproxy_nas.api.export import check_export, export_if_possible
from optiproxy_nas.api.open_search import DEFAULT_SPACE, Search, argument_names
from optiproxy_nas.api.progress import SearchBar
from optiproxy_nas.api.result import SearchResult
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.benchmarks.source_registry import (
    check_source,
    family_of,
    find_source,
    get_source,
)
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import Direction
from optiproxy_nas.evaluation.benchmark_problem import check_benchmark, evaluator_of
from optiproxy_nas.evaluation.earlier_trials import refuse_stopping
from optiproxy_nas.evaluation.function_evaluator import Evaluate
from optiproxy_nas.evaluation.initial import Initial, apply_initial
from optiproxy_nas.evaluation.loop import Callback, confirm_best
from optiproxy_nas.evaluation.stop_rules import WarnOfWideEpsilon, stop_rules
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.problems import Problem
from optiproxy_nas.spaces import SpaceLike, space_name, space_parameter


def search(
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
    evaluate: Evaluate | None = None,
    problem: str | Mapping[str, Any] | Problem | None = None,
    data: Mapping[str, Any] | None = None,
    confirm: Mapping[str, int] | None = None,
    journal: str | Path | None = None,
    evaluation: Mapping[str, Any] | None = None,
    workers: int | None = None,
    executor: str | None = None,
    scheduler: str | None = None,
    initial: Initial | None = None,
    prior: Any = None,
    callbacks: Iterable[Callable[[Search, Trial], Any]] = (),
    timeout: float | None = None,
    target: float | None = None,
    patience: int | None = None,
    stop_regret: Mapping[str, float] | None = None,
    progress: bool = False,
    export: str | Path | None = None,
    **overrides: Any,
) -> SearchResult:
    """Search a space with as few evaluations as possible.

    What is searched is a benchmark's table, a function of yours (``evaluate``), or a problem.

    Example:
        >>> from optiproxy_nas import Space, search
        >>> space = Space({"depth": [1, 2, 3], "width": [16, 32, 64]})
        >>> result = search(
        ...     space=space,
        ...     evaluate=lambda network: network["depth"] * network["width"],
        ...     budget=9,
        ...     method="random_search",
        ... )
        >>> result.best_architecture, result.best_value
        ({'depth': 3, 'width': 64}, 192.0)

    Args:
        dataset: of the benchmark, default the source's first (``cifar10``, ``ptb``); with
            ``evaluate`` or ``problem``, only a label.
        budget: in all, the random initial sample included: queries, or epochs where the objective
            counts them. Failed trials count.
        seed: decides the search together with the other arguments.
        source: where the benchmark's values come from; default the first that is registered for
            the space (``embedded``, ``nb101_table``, ``nb301_yahpo``, ``nbnlp_surrogate``); with
            ``evaluate``, only a label.
        method: ``optiproxy``, or a baseline: ``random_search``, ``regularized_evolution``,
            ``local_search``, ``bananas``, ``gaussian_process``, ``tpe``.
        preset: of OptiProxy-NAS, ``default``, ``paper``, ``large``, ``nlp``, ``hardware``,
            ``declared_bounds``, ``low_fidelity``, ``rungs``, or ``published`` and ``published_*``;
            default that which was tuned for the objective and the space.
        space: a registered search space, or ``package.module:Class``; your own declared
            :class:`~optiproxy_nas.Space`, or its declaration. Default ``nb201``, or the problem's.
        objective: what is searched for, a registered name or a mapping of its name and settings:
            ``accuracy``, ``{"name": "constrained", "constraints": ["latency_ms <= 12"]}``,
            ``{"name": "multi_fidelity", ...}``. Default the problem's, else ``accuracy``.
        direction: ``maximize`` or ``minimize`` the value; default that of the source's or the
            problem's target, with ``evaluate`` maximize.
        evaluate: your own evaluation: called with one architecture (a string; of a declared space a
            dict), it gives a number,
            or ``{metric: number}`` with ``value`` and the metrics that the
            objective bounds. Where the objective has fidelities, the number of training epochs is
            a second argument. If it raises, or gives NaN, None or an infinite value, that trial
            failed: it is charged, kept and not proposed again, and the search goes on. A function
            of a whole batch is passed as ``batched(f)``. Default: the benchmark's.
        problem: your own :class:`~optiproxy_nas.Problem`, an instance, ``package.module:Class``, or
            a mapping ``{"name": "package.module:Class", **settings}``.
        data: the problem's datasets by name; default what its ``load`` gives.
        confirm: train the best again, ``{"best": 3, "seeds": 2}``: the best three with two fresh
            seeds each; by the means of these the answer is chosen (``result.confirmation``). They
            are charged: the search has the rest of the budget. A function is called again with the
            global generators of Python, NumPy and torch seeded; one that seeds itself confirms
            nothing, which is warned of.
        journal: path of a file to which each finished trial is added, for good, as it ends. Called
            again with the same arguments (``budget`` and ``failures`` may differ), a search trains
            nothing twice. That of another function or other data is refused, of changed code warned
            of. The folders of trials are beside it, ``<its stem>_trials/0007``.
        evaluation: where trials are trained, which changes no proposal: ``executor`` (``serial``
            or ``processes``), ``timeout`` (seconds a trial), ``workers``, ``threads``, ``device``
            (``auto``, ``cpu``, ``cuda``).
        workers: so many trials are trained at a time, and a worker that becomes free gets the next
            proposal at once (docs/workers.md); 1: the search that it is without. It is
            ``evaluation.workers`` with ``evaluation.asynchronous``.
        executor: short for ``evaluation.executor``; with several workers default ``processes``.
        scheduler: short for ``evaluation.scheduler``, the address of a Dask cluster.
        initial: trials made before: a :class:`SearchResult`, a table with the columns
            ``architecture``, ``value`` and the objective's metrics, a list of trials, or a file of
            one of them (``.csv``, ``.parquet``, ``.json``, or of ``SearchResult.save``). The result
            of this same search with any budget goes on to what it would have been; others start
            it warm and are not charged. A result or a journal must be of the same space, direction
            and target; tables and lists of trials are taken on trust.
        prior: earlier runs that guide the search, on the same space or a declared one that shares
            choices with it: results, journals, tables, trials or files of them; or functions of a
            list of architectures that score each without a training (``"parameters"`` and
            ``"flops"`` are two). How much each counts follows from how well it ranks what is
            queried (docs/memory.md).
        callbacks: called with ``(search, trial)`` after each trial that is complete or failed;
            ``search.stop(reason)`` ends the search.
        timeout: seconds after which no further trial is begun; what confirms still is.
        target: value at which the search stops.
        patience: number of trials without improvement at which it stops.
        stop_regret: ``{"epsilon": 0.2, "confidence": 0.95}`` stops OptiProxy-NAS once, with that
            confidence (the default is this one), no architecture is better than the best by more
            than epsilon, in the unit of the value; in whole steps, from the second on.
        progress: show a progress bar.
        export: path of a new folder into which the answer is exported, as by
            :meth:`SearchResult.export`; a failure is a warning. With ``journal``, it may hold what
            this same call exported before.
        **overrides: any key of the preset, nested: ``proxy={"hidden": 128}``; of a baseline
            ``settings={"population": 20}``; ``failures={"retries": 1}``; of a problem
            ``stopping={"rule": "median"}``.

    Raises:
        SearchInterrupted: Ctrl-C; its ``result`` has what was paid for.
        OptiProxyError: see :mod:`optiproxy_nas.core.errors`; where trials were paid for,
            ``data["archive"]`` and ``data["trials"]`` have them, and ``data["result"]`` all.
    """
    check_problem_arguments(problem, evaluate, data)
    short = {"workers": workers, "executor": executor, "scheduler": scheduler}
    settings = evaluation_settings(evaluation, problem is not None, evaluate, short)
    of_benchmark = evaluate is None and problem is None
    if confirm is not None:
        overrides = {**overrides, "confirm": confirm}
    if stop_regret is not None:
        overrides = {**overrides, "stop_regret": stop_regret}
    if of_benchmark:
        registered = _source_of(source, DEFAULT_SPACE if space is None else space)
        source = registered.name if source is None else source
        dataset = registered.datasets[0] if dataset is None else dataset
        overrides = {"benchmark": registered.family.name, **overrides}
    if not isinstance(progress, bool):
        raise ParameterError(f"progress = {progress!r}: True or False.", progress=progress)
    given: Any = callbacks  # of any type
    chosen = tuple(given) if isinstance(given, Iterable) else (given,)
    if wrong := [callback for callback in chosen if not callable(callback)]:
        raise ParameterError(
            f"callbacks has {wrong[0]!r:.200} ({type(wrong[0]).__name__}): it must be functions of "
            "(search, trial), as callbacks=[f]."
        )
    rules = stop_rules(timeout, target, patience)
    opened = _Searched(
        dataset,
        budget,
        seed,
        source=source,
        method=method,
        preset=preset,
        space=space,
        objective=objective,
        direction=direction,
        problem=problem,
        prior=prior,
        **overrides,
    )
    if problem is None:
        refuse_stopping(opened.parameters.stopping, "a benchmark" if of_benchmark else "evaluate")
    if of_benchmark:
        refuse_confirm(opened.parameters)
        check_source(opened.parameters, dataset)
        benchmark = load_benchmark(opened.parameters.source, str(dataset), complete=True)
        check_benchmark(opened.objective, benchmark)
        evaluate = evaluator_of(opened.objective, benchmark)
        opened._benchmark = benchmark
    elif evaluate is not None:
        check_function(evaluate, bool(opened.objective.fidelities))
    opened.learn()
    if initial is not None:
        apply_initial(opened, opened.record_parameters, initial, opened.target)
    if export is not None:
        export = check_export(export, opened.record_parameters, journal is not None)
    rules.append(WarnOfWideEpsilon(opened.parameters))
    with (
        open_evaluation(opened, evaluate, data, journal, settings) as answering,
        SearchBar(opened, progress) as bar,
        carrying_result(opened, answering),
    ):
        bar.begin(opened, answering.journal)
        called: list[Callback] = [bar.trial_ended, *chosen, *rules, *answering.callbacks]
        answering.drive(opened, called, bar.show)
        confirm_best(opened, answering.evaluator, opened.parameters, bar.confirmed)
        result = answering.tested(result_after(opened, answering))
        if export is not None:
            export_if_possible(result, answering.trainings, Path(export))
    return result


class _Searched(Search):
    """The search of :func:`search`, which takes more arguments, and confirms its best."""

    _prior: Any = None

    def _take_prior(self, prior: Any) -> None:
        """Wait for :meth:`learn`: the benchmark says what is searched for."""
        self._prior = prior

    def learn(self) -> None:
        """Let the earlier runs that were given guide the search."""
        if self._prior is not None:
            super()._take_prior(self._prior)

    def _check_confirm(self) -> None:
        """Take it."""

    def _argument_names(self) -> list[str]:
        return argument_names(search)


def _source_of(source: str | None, space: SpaceLike) -> Source:
    """Return the source that is named, or the default one of the space's benchmark.

    Raises:
        UnknownNameError: no such source or space.
        ParameterError: none is named, and none is registered for the space.
    """
    family, name = family_of(space), space_name(space_parameter(space))
    if source is not None:
        return find_source(source, family.name if family else "")
    if family is None:
        raise ParameterError(
            f"No registered source is of search space {name!r}: give one, source=..., or your own "
            "evaluate=...",
            space=name,
        )
    return get_source(family.source)
