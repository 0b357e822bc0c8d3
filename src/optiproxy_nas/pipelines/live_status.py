"""How an asynchronous search stands, as it is shown and tracked while it goes on."""

from __future__ import annotations

import time

import pandas as pd

from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.status import Status
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.pipelines.run_progress import RunProgress
from optiproxy_nas.runs.metrics import query_metrics, status_metrics
from optiproxy_nas.runs.tracking import MlflowTracker

_SECONDS = 1.0  # between two writes to the experiment store
_SHARE = 0.05  # of the time, that these may take: workers may wait for them


class LiveStatus:
    """Shows each status, and sends metrics of it and of the new queries, once a second at most.

    Args:
        progress: that shows it.
        tracker: that gets the metrics.
        objective: of the search.
        target: the metric that is searched for.
    """

    def __init__(
        self,
        progress: RunProgress | None,
        tracker: MlflowTracker | None,
        objective: Objective,
        target: str,
    ) -> None:
        self._progress, self._tracker = progress, tracker
        self._objective, self._target = objective, target
        self._status: Status | None = None  # that was not sent
        self._archive: pd.DataFrame | None = None  # D, when a trial was over
        self._queries = 0  # whose metrics were sent
        self._next = 0.0  # when metrics may be sent again

    def trial_over(self, search: AskTell, trial: Trial) -> None:
        """Take what a search has found; a callback, since now nobody asks it."""
        if self._is_due:
            self._archive = search.archive()

    def show(self, status: Status) -> None:
        """Take how a search stands, which may be asked at the same time."""
        self._status = status
        if self._progress is not None:
            self._progress.show_status(status)
        if self._is_due:
            self.send(self._archive)

    def send(self, archive: pd.DataFrame | None) -> None:
        """Send the metrics of the last status, unless they were, and of the new queries of D."""
        if self._status is None or self._tracker is None:
            return
        began, metrics = time.monotonic(), [status_metrics(self._status)]
        if archive is not None:
            metrics += query_metrics(archive, self._objective, self._target, self._queries)
            self._queries = len(archive)
        self._tracker.log_metrics(metrics)
        self._status = None
        now = time.monotonic()
        self._next = now + max(_SECONDS, (now - began) / _SHARE)

    @property
    def _is_due(self) -> bool:
        return self._tracker is not None and time.monotonic() >= self._next
