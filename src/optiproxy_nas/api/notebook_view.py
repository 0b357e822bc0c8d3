"""What a notebook shows of a search while it runs, in one place that is renewed."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import numpy as np

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.api.result_lines import search_line
from optiproxy_nas.core.arrays import Floats, as_array
from optiproxy_nas.core.numbers import duration, metric_name, value_text
from optiproxy_nas.evaluation.ask_tell import AskTell

EVERY = 0.5  # seconds between two renewals, at least
WIDTH, HEIGHT = 320, 64  # of the curve, in pixels
LATEST = 3  # failures that are shown


def in_notebook() -> bool:
    """Return whether code runs in a kernel, whose front end shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def search_html(search: AskTell, parameters: RunParameters, target: str, status: str = "") -> str:
    """Return how a search stands as a piece of HTML: spent, best so far, the latest failures.

    Args:
        search: open or ended.
        parameters: of the search, for its record.
        target: the metric that is searched for.
        status: further words, such as when it will end.
    """
    from optiproxy_nas.report.html import render  # matplotlib, beside it, is slow to import

    archive = search.archive()
    best, found = search.best, ""
    if len(archive):
        found = str(archive["architecture"].iloc[search.objective.order.incumbent(archive)])
    failed = [trial for trial in search.trials if trial.error]
    counts = f"{len(archive)} complete, {len(failed)} failed, {len(search.pending)} open"
    return render(
        "search.html.j2",
        title=search_line(parameters),
        spent=search.spent_on_ended,
        budget=parameters.budget,
        unit=search.objective.price.unit,
        counts=", ".join(filter(None, [counts, status])),
        best="" if math.isnan(best) else f"{metric_name(target)} {value_text(target, best)}",
        architecture=found,
        points=curve_points(as_array(archive["best"])),
        width=WIDTH,
        height=HEIGHT,
        failures=[trial.error.splitlines()[0][:200] for trial in failed[-LATEST:]],
    )


def curve_points(best: Floats) -> str:
    """Return the points of the best values so far [n] as those of a line in SVG; "" of one value.

    The range begins with the first decile, as the first values would squash the others.
    """
    known = best[np.isfinite(best)]
    if len(known) < 2 or known[0] == known[-1]:
        return ""
    low, high = sorted((float(known[len(known) // 10]), float(known[-1])))
    if low == high:
        low, high = sorted((float(known[0]), float(known[-1])))
    margin = 4
    shown = known.clip(low, high)
    x = [margin + (WIDTH - 2 * margin) * i / (len(shown) - 1) for i in range(len(shown))]
    y = HEIGHT - margin - (HEIGHT - 2 * margin) * (shown - low) / (high - low)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


class NotebookView:
    """The display of one search in a notebook; made only where :func:`in_notebook`."""

    def __init__(self, search: AskTell, parameters: RunParameters, target: str) -> None:
        from IPython import display

        self._search, self._parameters, self._target = search, parameters, target
        self._begun, self._shown = time.monotonic(), -math.inf
        self._display: Any = display
        html = search_html(search, parameters, target)
        self._handle = self._display.display(self._display.HTML(html), display_id=True)

    def renew(self, is_last: bool = False) -> None:
        """Show how the search stands, unless it was shown a moment ago."""
        now = time.monotonic()
        if is_last or now - self._shown >= EVERY:
            self._shown = now
            status = self._status(now, is_last)
            html = search_html(self._search, self._parameters, self._target, status)
            self._handle.update(self._display.HTML(html))

    def _status(self, now: float, is_last: bool) -> str:
        seconds, spent = now - self._begun, self._search.spent_on_ended
        if is_last:
            return f"took {duration(round(seconds, 1))}"
        left = self._parameters.budget - spent
        return f"about {duration(math.ceil(seconds * left / spent))} left" if spent else ""
