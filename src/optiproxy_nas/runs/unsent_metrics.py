"""Metrics on their way to an MLflow run: each name and step is sent once, in all sessions."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from optiproxy_nas.runs.metrics import Metrics

BATCH = 1000  # metrics that one call of the MLflow API takes
_REFUSED = re.compile(r"[^\w. :/-]")  # what MLflow takes in the name of no metric


class UnsentMetrics:
    """Remembers metrics and tags until they are sent.

    Attributes:
        others_sent: whether an earlier session, or another process, may have sent some. The store
            is asked then, once for each name.
        sent_at: when something was sent last, by the monotonic clock.
    """

    def __init__(self) -> None:
        self.others_sent = False
        self.sent_at = 0.0
        self._metrics: list[tuple[str, float, int]] = []
        self._tags: dict[str, str] = {}
        self._steps: dict[str, set[int]] = {}  # by name: those sent, or to be sent

    @property
    def is_new(self) -> bool:
        """Whether this process has added none."""
        return not self._steps

    def add(self, client: Any, run_id: str, metrics: Iterable[tuple[int, Metrics]]) -> None:
        """Remember (step, values) that the run lacks; what is no finite number is left out."""
        for step, values in metrics:
            for given, value in values.items():
                if value is None or not math.isfinite(value):
                    continue
                name = _REFUSED.sub("_", given)
                if name not in self._steps:
                    stored = client.get_metric_history(run_id, name) if self.others_sent else ()
                    self._steps[name] = {metric.step for metric in stored}
                if step not in self._steps[name]:
                    self._steps[name].add(step)
                    self._metrics.append((name, float(value), int(step)))

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Remember tags."""
        self._tags |= tags

    def send(self, client: Any, run_id: str) -> None:
        """Send what is remembered."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step) for key, value, step in self._metrics]
        tags = [RunTag(key, value) for key, value in self._tags.items()]
        self._metrics, self._tags, self.sent_at = [], {}, time.monotonic()
        for first in range(0, max(len(metrics), len(tags)), BATCH):
            client.log_batch(run_id, metrics=metrics[first : first + BATCH], tags=tags)
