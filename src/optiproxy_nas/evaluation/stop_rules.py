"""Rules when to stop a search before its budget: callbacks, called after each trial."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from numbers import Real
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.validation import finite_number, whole_number
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.problems import VALUE

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class StopAfter:
    """Stop when the search has taken a number of seconds; the open trial is finished first."""

    def __init__(self, seconds: float) -> None:
        given: Any = seconds  # what a user gave, of any type
        if isinstance(given, bool) or not isinstance(given, Real) or not float(given) > 0:
            raise ParameterError(
                f"timeout = {given!r:.200}: it must be a number of seconds above 0.",
                name="timeout",
                value=given,
            )
        self._seconds, self._end = float(seconds), time.monotonic() + float(seconds)

    def __call__(self, search: AskTell, trial: Trial) -> None:
        """Stop the search if the time is over."""
        if time.monotonic() >= self._end:
            search.stop(f"the timeout of {self._seconds:g} s is over")


class StopAtTarget:
    """Stop when an eligible trial is as good as a value."""

    def __init__(self, target: float) -> None:
        finite_number("target", target)
        self._target = target

    def __call__(self, search: AskTell, trial: Trial) -> None:
        """Stop the search if its best value is there."""
        sign = search.objective.order.sign
        if sign * search.best >= sign * self._target:
            search.stop(f"the target of {self._target!r} is reached")


class StopWithoutImprovement:
    """Stop when so many trials in a row have not improved the best eligible value."""

    def __init__(self, patience: int) -> None:
        self._patience = whole_number("patience", patience, least=1)
        self._since, self._best = 0, math.nan

    def __call__(self, search: AskTell, trial: Trial) -> None:
        """Stop the search if its best value is too old."""
        best = search.best
        improved = best != self._best and not math.isnan(best)
        self._since = 0 if improved else self._since + 1
        self._best = best
        if self._since >= self._patience:
            search.stop(f"the last {self._since} trials brought no improvement")


class WarnOfWideEpsilon:
    """Warn once where ε of ``stop_regret`` is wider than the values of the initial sample lie.

    Args:
        parameters: of a search; of one without ``stop_regret`` nothing is said.
    """

    def __init__(self, parameters: RunParameters) -> None:
        self._is_open = False
        if isinstance(parameters, SearchParameters) and parameters.stop_regret is not None:
            self._is_open, self._epsilon = True, parameters.stop_regret.epsilon
            self._count = parameters.initial_samples

    def __call__(self, search: AskTell, trial: Trial) -> None:
        """Compare them when the initial sample is there."""
        if self._is_open:
            self.look(search.archive())

    def look(self, archive: pd.DataFrame) -> None:
        """Compare them if the initial sample is in an archive whole."""
        if not self._is_open or len(archive) < self._count:
            return
        self._is_open = False
        values = archive[VALUE].to_numpy()[: self._count]
        if self._epsilon > (spread := float(values.max() - values.min())):
            _log.warning(
                "stop_regret.epsilon = %g is more than the values of the initial sample are apart "
                "(%.3g), so the search ends early whatever it finds. Give what is no loss, in the "
                "unit of the value.",
                self._epsilon,
                spread,
            )


def stop_rules(timeout: Any, target: Any, patience: Any) -> list[Callable[[AskTell, Trial], None]]:
    """Return the rules of those arguments that are not None.

    Raises:
        ParameterError: one of them has a wrong value.
    """
    rules: list[Callable[[AskTell, Trial], None]] = []
    if timeout is not None:
        rules.append(StopAfter(timeout))
    if target is not None:
        rules.append(StopAtTarget(target))
    if patience is not None:
        rules.append(StopWithoutImprovement(patience))
    return rules
