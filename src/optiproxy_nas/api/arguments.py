"""Arguments of ``search`` about what evaluates: read, and refused before the first training."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation.evaluator import Evaluator
from optiproxy_nas.evaluation.function_evaluator import Batched, Evaluate
from optiproxy_nas.execution.registry import read_evaluation, with_short_forms
from optiproxy_nas.problems import Problem

# Settings that say something only where trials are trained in processes of their own.
_OF_PROCESSES = ("workers", "threads")
_OF_ASYNCHRONOUS = ("workers", "asynchronous", "executor")


def evaluation_settings(
    given: Mapping[str, Any] | None,
    problem: bool,
    evaluate: Evaluate | None,
    short: Mapping[str, Any] | None = None,
) -> EvaluationSettings:
    """Return the settings of an evaluation, and refuse those that would change nothing.

    Args:
        given: of ``search(evaluation=...)``.
        problem: whether a problem is searched.
        evaluate: a user's function; None: there is none.
        short: ``workers``, ``executor`` and ``scheduler`` of ``search``; None: not given.

    Raises:
        ParameterError: an unknown name, a wrong value, or a setting that would change nothing.
    """
    if not isinstance(given, Mapping | None):
        raise ParameterError(
            f"evaluation = {given!r:.200}: it must be a mapping of settings, such as "
            'evaluation={"executor": "processes", "timeout": 600}.'
        )
    short = short or {}
    values: dict[str, Any] = with_short_forms({"evaluation": given or {}, **short})["evaluation"]
    if short.get("workers") not in (None, 1):
        values = {"executor": "processes", **values}
    settings = read_evaluation(values)
    takes_batches = isinstance(evaluate, Batched | Evaluator)
    is_serial = settings.executor == "serial" and settings.workers == 1
    if is_serial and settings.asynchronous:  # it is the search without them
        values = {name: values[name] for name in values if name not in _OF_ASYNCHRONOUS}
    if values and not problem and (evaluate is None or takes_batches):
        what = "a function of a whole batch" if takes_batches else "a benchmark"
        if settings.asynchronous:
            raise ParameterError(
                f"workers = {settings.workers}: there is nothing to share out, since {what} is not "
                "trained one trial at a time. Leave workers out, or give a function of one "
                "architecture, or a problem.",
                name="workers",
            )
        raise ParameterError(
            f"evaluation = {values}: it would change nothing, since {what} is not trained one "
            "trial at a time. Leave it out."
        )
    if not problem and "keep" in values:
        raise ParameterError(
            f"evaluation.keep = {settings.keep!r} would change nothing: a function has no folder "
            "for what it keeps. A problem finds it as trial.folder.",
            name="keep",
        )
    if not problem and "device" in values:
        raise ParameterError(
            f"evaluation.device = {settings.device!r} would change nothing: a function is called "
            "with an architecture, and chooses its device itself. A problem finds it as "
            "trial.device.",
            name="device",
        )
    of_processes = _OF_PROCESSES if problem else (*_OF_PROCESSES, "timeout")
    named = [name for name in of_processes if name in values]
    if settings.executor == "serial" and named:
        raise ParameterError(
            f"evaluation.{named[0]} = {values[named[0]]!r} would change nothing without "
            'evaluation={"executor": "processes"}.',
            name=named[0],
        )
    return settings


def check_function(evaluate: Any, takes_epochs: bool) -> None:
    """Refuse an evaluation that cannot be called as it will be, before any trial.

    Args:
        evaluate: of the search.
        takes_epochs: whether it is called with a number of epochs, too.

    Raises:
        ParameterError: it is no function, or of other arguments.
    """
    if isinstance(evaluate, Evaluator):
        return
    if not callable(evaluate):
        raise ParameterError(
            f"evaluate = {evaluate!r} ({type(evaluate).__name__}): it must be a function of an "
            "architecture, or batched(f)."
        )
    function = evaluate.function if isinstance(evaluate, Batched) else evaluate
    what = "a list of architectures" if isinstance(evaluate, Batched) else "an architecture"
    try:
        inspect.signature(function).bind(*[None] * (1 + takes_epochs))
    except TypeError as error:
        epochs = ", and with the epochs that it is trained for," if takes_epochs else ""
        raise ParameterError(
            f"evaluate = {function!r:.200} is called with {what}{epochs} and cannot be: {error}."
        ) from None
    except ValueError:  # of some built-in functions nobody can tell
        return


def check_problem_arguments(problem: Any, evaluate: Any, data: Any) -> None:
    """Refuse arguments of ``search`` that contradict each other.

    Raises:
        ParameterError: which.
    """
    if problem is None:
        if data is not None:
            raise ParameterError(
                "data = ... would change nothing: it holds the datasets of a problem, problem=..."
            )
        return
    if evaluate is not None:
        what = "its method evaluate" if isinstance(problem, Problem | type) else "one of its own"
        raise ParameterError(
            f"Both problem = {problem!r:.200} and evaluate are given; a problem has {what}. Give "
            "one of them."
        )
    if not isinstance(data, Mapping | None):
        raise ParameterError(
            f"data = {type(data).__name__}: it must be a mapping of datasets by name."
        )
