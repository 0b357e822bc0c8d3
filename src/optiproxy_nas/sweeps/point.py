"""Points of a sweep: one run each, named by what decides it, and how a process runs one.

A point runs in a Kedro session of its own, in whatever process an executor chose.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import filelock
from kedro.framework.startup import bootstrap_project

from optiproxy_nas.core.errors import (
    ArtifactError,
    ResumeError,
    RunLockedError,
    message_of,
    own_error,
)
from optiproxy_nas.core.random_streams import one_thread
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.pipelines.configuration import SearchSession
from optiproxy_nas.presets import misfit
from optiproxy_nas.runs.code_identity import software
from optiproxy_nas.runs.manifest import Manifest, digest, manifest_path

# What of a manifest's "code" is in the identity: the rest of the package only runs and shows it.
_CODE = ("search_sha256", "plugins")
_DIGITS = 10
# Kedro's hooks are around one run at a time; a Dask worker may have several threads.
_ONE_AT_A_TIME = threading.Lock()
_LOUD = {
    "kedro": logging.WARNING,
    "kedro_viz": logging.ERROR,
    "distributed": logging.CRITICAL,  # what a worker's death means is told by the outcome
}
_entered: set[Path] = set()


@dataclass(frozen=True, eq=False)  # a key of dictionaries; equal is what has an equal digest
class Point:
    """One run of a sweep.

    Attributes:
        pipeline: the pipeline that it runs.
        kind: the pipeline's kind ("search", "methods").
        values: what the grid gives, nested: the run's parameters on the command line.
        parameters: everything that decides the search, resolved.
        setting: what differs from the preset or the method's defaults.
        data: source and digest of its table, as in a manifest.
        digest: SHA-256 of what decides the run.
        blocks: indices of the blocks of the grid that it is a point of, ascending.
    """

    pipeline: str
    kind: str
    values: Mapping[str, Any]
    parameters: Mapping[str, Any]
    setting: str
    data: Mapping[str, str]
    digest: str
    blocks: tuple[int, ...]

    @property
    def note(self) -> str:
        """What its user is to know of its parameters, "" if nothing."""
        return misfit(parameters_of(self.parameters))

    @property
    def run_id(self) -> str:
        """``cifar10-random_search-s0-0123456789``: the same wherever the same run is asked for."""
        known = self.parameters
        label = known.get("preset") or str(known["method"]).rpartition(":")[2]
        name = re.sub(r"[^A-Za-z0-9._-]", "-", f"{known['dataset']}-{label}"[:60])
        return f"{name}-s{known['seed']}-{self.digest[:_DIGITS]}"


def here(pipeline: str, parameters: Mapping[str, Any], data: Mapping[str, str]) -> str:
    """The identity that a run has in this process.

    Args:
        pipeline: its pipeline.
        parameters: what decides its search.
        data: source and digest of its table.
    """
    facts = {"pipeline": pipeline, "parameters": parameters, "data": data}
    return identity({**facts, **software(parameters)})


def identity(manifest: Manifest) -> str:
    """SHA-256 of what decides a run: pipeline, parameters, code, libraries, processor, data."""
    return digest(
        {
            "code": {part: manifest["code"].get(part) for part in _CODE},
            **{
                part: manifest[part]
                for part in ("pipeline", "parameters", "libraries", "cpu", "data")
            },
        }
    )


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
            sessions: list[SearchSession] = []
            try:
                if here(point.pipeline, point.parameters, point.data) != point.digest:
                    return Outcome(
                        "This worker has other code or libraries than the process that planned "
                        "the sweep; it was not run. Were they changed just now? Sweep again."
                    )
                error, note = "", self._run(point, sessions)
            except Exception as failure:
                error, note = _text(failure), ""
            return Outcome(error, note, any(session.tracking_lost for session in sessions))

    def _run(self, point: Point, sessions: list[SearchSession]) -> str:
        """Start a run, or go on with what there is of it; where that is spoilt, start anew."""
        if not manifest_path(reporting(self.project), point.run_id).exists():
            self._session(point, sessions, resume=False)
            return ""
        try:
            self._session(point, sessions, resume=True)
            return ""
        except Exception as error:
            if not isinstance(spoilt := own_error(error), ResumeError | ArtifactError):
                raise
        clear_run(self.project, point.run_id)
        self._session(point, sessions, resume=False)
        return f"begun anew: {spoilt.message.splitlines()[0]}"

    def _session(self, point: Point, sessions: list[SearchSession], resume: bool) -> None:
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
        with SearchSession.create(
            self.project, save_on_close=False, runtime_params=parameters
        ) as session:
            assert isinstance(session, SearchSession)
            sessions.append(session)
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


def enter_project(path: Path | str) -> Path:
    """Configure Kedro for a project, the first time; its absolute path."""
    project = Path(path).resolve()
    if project not in _entered:
        bootstrap_project(project)
        _entered.clear()  # Kedro is configured for one project at a time
        _entered.add(project)
    return project


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Without the lines of Kedro about every node and session, and of Dask about every worker."""
    before = {name: logging.getLogger(name).level for name in _LOUD}
    for name, level in _LOUD.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
