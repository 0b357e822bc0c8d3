"""What worker processes cost a search: overhead a trial, and how busy they are kept."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from optiproxy_nas import Search
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation.asynchronous import drive_asynchronously
from optiproxy_nas.evaluation.job_evaluator import evaluator_by_jobs
from optiproxy_nas.evaluation.trials import Trial

SECONDS = 2.0  # of a training that is not over at once


def at_once(architecture: str) -> float:
    """Return a number."""
    return float(sum(map(ord, architecture)) % 97)


def two_seconds(architecture: str) -> float:
    """Compute for two seconds."""
    limit = time.perf_counter() + SECONDS
    while time.perf_counter() < limit:
        pass
    return at_once(architecture)


def measure(trials: int) -> dict[str, float]:
    """Return what trials cost, and how busy two workers are.

    Returns:
        ``overhead_ms``: milliseconds a trial from one to the next beside its training, by a method
        that takes none. ``busy``: share of the time of two workers in which they train, of a search
        by OptiProxy-NAS with trainings of two seconds; from when the first trial began, or the
        share of the whole search with the start of the workers, ``busy_in_all``.
    """
    ends, _, _ = _run("random_search", at_once, trials, workers=1)
    overhead = (ends[-1] - ends[0]) / (len(ends) - 1)
    ends, seconds, begun = _run("optiproxy", two_seconds, trials, workers=2)
    in_all = ends[-1] - begun
    first = min(end - took for end, took in zip(ends, seconds, strict=True))
    busy = sum(seconds) / 2
    return {
        "overhead_ms": 1000 * overhead,
        "busy": busy / (ends[-1] - first),
        "busy_in_all": busy / in_all,
    }


def _run(
    method: str, train: Callable[[str], float], trials: int, workers: int
) -> tuple[list[float], list[float], float]:
    """Search; return when each trial was told, how long it trained, and when it was begun."""
    search = Search(space="nb201", method=method, budget=trials, seed=1000)
    ends: list[float] = []
    seconds: list[float] = []

    def note(search: object, trial: Trial) -> None:
        ends.append(time.perf_counter())
        seconds.append(trial.seconds or 0.0)

    settings = EvaluationSettings(executor="processes", workers=workers)
    with tempfile.TemporaryDirectory() as folder:
        evaluator = evaluator_by_jobs(train, search.space, settings, Path(folder))
        begun = time.perf_counter()
        with evaluator:
            drive_asynchronously(search, evaluator, [note])
    return ends, seconds, begun
