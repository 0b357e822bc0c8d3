"""Points of a sweep as jobs of an executor, and how searches share the cores with the sweep."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.core.validation import validate
from optiproxy_nas.execution.base import Executor
from optiproxy_nas.execution.jobs import Job
from optiproxy_nas.execution.registry import check_executor_settings
from optiproxy_nas.measuring.machine import machine
from optiproxy_nas.sweeps.point import Outcome, Point, Tracked

GRACE = 10.0  # seconds in which a run that is told to end may be closed
FAILED = "failed"  # folder of a sweep: what its failed points have written


def executor_settings(
    executor: str,
    workers: int,
    scheduler: str | None = None,
    slurm: Mapping[str, Any] | None = None,
) -> EvaluationSettings:
    """Return the settings of a sweep's executor, checked.

    Raises:
        ParameterError: no such executor, no worker, or a setting of another executor.
    """
    values = {"executor": executor, "workers": workers, "scheduler": scheduler}
    values |= {"slurm": slurm} if slurm else {}
    settings = validate(EvaluationSettings, values)
    check_executor_settings(settings, "slurm")
    return settings


def run_points(
    executor: Executor, points: Sequence[Point], tracked: Tracked, folder: Path
) -> Generator[tuple[Point, Outcome], None, None]:
    """Run points, and yield each with its outcome as it ends; then the executor is closed.

    Args:
        executor: of a :class:`~optiproxy_nas.sweeps.point.RunPoint`.
        points: with different run ids.
        tracked: what MLflow is to know of the sweep ("name", "parent", "experiment"); None:
            nothing.
        folder: of the sweep; in its folder ``failed`` is what failed points have written.
    """
    failed: set[str] = set()
    try:
        for number, point in enumerate(points):
            place = str(folder / FAILED / point.run_id)
            executor.submit(Job(number, 1, (point, tracked), None, 0, place, grace=GRACE))
        while results := executor.poll():
            for ended in results:
                outcome = Outcome(ended.error) if ended.error else Outcome(*ended.answer)
                point = points[ended.job.number]
                if outcome.error:
                    failed.add(point.run_id)
                yield point, outcome
                executor.release([ended.job.key])
    except (KeyboardInterrupt, GeneratorExit):  # here, or where the outcomes are taken
        message = f"\nStopping; runs in progress are closed (at most {GRACE:.0f} s) ..."
        tqdm.write(message, file=sys.stderr)  # beside the progress bar
        raise
    finally:
        executor.close()  # which waits for runs to be closed
        for point in points:
            if point.run_id not in failed:
                shutil.rmtree(folder / FAILED / point.run_id, ignore_errors=True)
        with suppress(OSError):  # some have failed
            (folder / FAILED).rmdir()


def workers_of_searches(settings: EvaluationSettings, points: Sequence[Point]) -> int | None:
    """Return how many trials each search of a sweep may train at the same time; None: as it likes.

    The cores of this machine are shared out: of W searches that run at the same time, each has a
    Wth of them, and at least one; on a cluster, where a point has one core, it has one. That
    changes no search, since a step's trials are told in their order.

    Args:
        settings: of the sweep's executor.
        points: of the sweep.

    Raises:
        ParameterError: a search is asynchronous with several workers; then its proposals depend on
            when its trials end, and the tables on the machine.
    """
    for point in points:
        evaluation = point.evaluation
        if evaluation is not None and evaluation.asynchronous and evaluation.workers > 1:
            raise ParameterError(
                f"The searches of this sweep have workers = {evaluation.workers}. What an "
                "asynchronous search proposes depends on when its trials end, so the same sweep "
                "would give other tables each time. Leave workers out of the section, and give "
                "the sweep --workers: it runs several searches at the same time.",
                workers=evaluation.workers,
            )
    if settings.executor == "serial" or settings.workers == 1:
        return None
    if settings.executor == "processes":
        return max(1, machine().cores // settings.workers)
    return 1


def note_of_sharing(points: Sequence[Point], most: int | None) -> str:
    """Return what the user is to know of searches with fewer workers than they ask for, or ""."""
    if all(point.workers_at_most(most) is None for point in points):
        return ""
    return (
        f"Each search trained {most} at a time, fewer than its evaluation.workers: the sweep runs "
        "several searches at the same time, and they share the cores."
    )
