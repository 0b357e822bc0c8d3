"""One point after the other, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from optiproxy_nas.sweeps.executors.base import (
    ExecutorSettings,
    Function,
    Outcomes,
    refuse_scheduler,
)
from optiproxy_nas.sweeps.point import Point


class SerialExecutor:
    """No workers; ``settings.workers`` means nothing here."""

    def __init__(self, settings: ExecutorSettings) -> None:
        refuse_scheduler("serial", settings)

    def run(self, points: Sequence[Point], function: Function) -> Outcomes:
        """See :class:`optiproxy_nas.sweeps.executors.base.Executor`."""
        for point in points:
            yield point, function(point)
