"""Running one point: one Kedro session, in whatever process an executor chose."""

from __future__ import annotations

import shutil
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import filelock
from kedro.framework.project import settings
from kedro.framework.session import KedroSession

from optiproxy_nas.commands.command_line import message_of, own_error
from optiproxy_nas.core.errors import ArtifactError, ResumeError, RunLockedError
from optiproxy_nas.core.random_streams import one_thread
from optiproxy_nas.runs.manifest import manifest_path
from optiproxy_nas.sweeps.point import Point, here
from optiproxy_nas.sweeps.project import enter_project, quiet_logs

# Kedro's hooks are around one run at a time; a Dask worker may have several threads.
_ONE_AT_A_TIME = threading.Lock()


class Outcome(NamedTuple):
    """How a point ended."""

    error: str = ""  # "" where it finished
    note: str = ""  # what the user is to know of a point that finished
    tracking_lost: bool = False  # the MLflow store does not have all of it


@dataclass(frozen=True)
class RunPoint:
    """The function that executors call; it travels to worker processes.

    Attributes:
        project: the Kedro project, at the same path for every worker.
        sweep: what MLflow is to know ("name", "parent", "experiment"), or None without tracking.
    """

    project: Path
    sweep: Mapping[str, Any] | None

    def __call__(self, point: Point) -> Outcome:
        """Run a point to its end; its error, if it fails, becomes the outcome's."""
        with _ONE_AT_A_TIME:
            enter_project(self.project)
            return self._guarded(point)

    def _guarded(self, point: Point) -> Outcome:
        with warnings.catch_warnings(), quiet_logs(), one_thread():
            warnings.simplefilter("ignore", DeprecationWarning)
            hooks = settings.HOOKS[0]
            try:
                if here(point.pipeline, point.parameters, point.data) != point.digest:
                    return Outcome(
                        "This worker has other code or libraries than the process that planned "
                        "the sweep; it was not run. Were they changed just now? Sweep again."
                    )
                error, note = "", self._run(point)
            except Exception as failure:
                error, note = _text(failure), ""
            except BaseException:  # Ctrl-C, SIGTERM: close the run that it cut off
                hooks.interrupt()
                raise
            lost = self.sweep is not None and hooks.lost_sweep == self.sweep["parent"]
            return Outcome(error, note, lost)

    def _run(self, point: Point) -> str:
        """Start a run, or go on with what there is of it; where that is spoilt, start anew."""
        if not manifest_path(reporting(self.project), point.run_id).exists():
            self._session(point, resume=False)
            return ""
        try:
            self._session(point, resume=True)
            return ""
        except Exception as error:
            if not isinstance(spoilt := own_error(error), ResumeError | ArtifactError):
                raise
        clear_run(self.project, point.run_id)
        self._session(point, resume=False)
        return f"begun anew: {spoilt.message.splitlines()[0]}"

    def _session(self, point: Point, resume: bool) -> None:
        sweep = None
        if self.sweep is not None:
            sweep = {**self.sweep, "lean": point.kind == "methods"}
        parameters = {
            **point.values,
            "pipeline": point.pipeline,
            "run_id": point.run_id,
            "resume": resume,
            "tracking": sweep is not None,
            "quiet": True,
            "sweep": sweep,
        }
        with KedroSession.create(
            self.project, save_on_close=False, runtime_params=parameters
        ) as session:
            assert isinstance(session, KedroSession)
            session.run(pipeline_names=[point.pipeline], only_missing_outputs=resume)


def _text(error: BaseException) -> str:
    """Our own errors by their message, others with their type."""
    message = message_of(error)
    return message if own_error(error) else f"{type(error).__name__}: {message}"


def reporting(project: Path) -> Path:
    """The folder of manifests and sweeps."""
    return project / "data" / "08_reporting"


def clear_run(project: Path, run_id: str) -> None:
    """Delete all files of a run.

    Raises:
        RunLockedError: another process works on it.
    """
    lock = filelock.FileLock(reporting(project) / run_id / ".lock", timeout=0)
    try:
        with lock:
            for folder in (project / "data").glob(f"0*_*/{run_id}"):
                for path in folder.iterdir():
                    if path.is_dir():
                        shutil.rmtree(path)
                    elif path.name != ".lock":
                        with suppress(FileNotFoundError):
                            path.unlink()
    except filelock.Timeout:
        raise RunLockedError(
            f"Another process is working on run {run_id!r}; wait for it.", run_id=run_id
        ) from None
