"""How an asynchronous search stands, as it is shown and tracked while it goes on."""

from __future__ import annotations

import time

from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.status import Status
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
        self._last: tuple[AskTell, Status] | None = None  # that was not sent
        self._queries = 0  # whose metrics were sent
        self._next = 0.0  # when metrics may be sent again

    def __call__(self, search: AskTell, status: Status) -> None:
        """Take how a search stands."""
        self._last = search, status
        if self._progress is not None:
            self._progress.show_status(status)
        if time.monotonic() >= self._next:
            self.send()

    def send(self) -> None:
        """Send the metrics of the last status, unless they were."""
        if self._last is None or self._tracker is None:
            return
        (search, status), self._last = self._last, None
        began, archive = time.monotonic(), search.archive()
        queries = query_metrics(archive, self._objective, self._target, self._queries)
        self._tracker.log_metrics([*queries, status_metrics(status)])
        self._queries = len(archive)
        now = time.monotonic()
        self._next = now + max(_SECONDS, (now - began) / _SHARE)
