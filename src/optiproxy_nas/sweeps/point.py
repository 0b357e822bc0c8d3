"""Points of a sweep: one run each, named by what decides it, and how a process runs one.

A point runs in a Kedro session of its own, in whatever process an executor chose.
"""

from __future__ import annotations

import logging
import shutil
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from kedro.framework.startup import bootstrap_project
from tqdm import tqdm

from optiproxy_nas.algorithm import alarms
from optiproxy_nas.core import errors
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.execution.jobs import Job, Parent
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.pipelines.configuration import SearchSession
from optiproxy_nas.pipelines.project_pipeline import ignore_renamed_resolver
from optiproxy_nas.presets import misfit
from optiproxy_nas.runs.atomic_files import lock_folder
from optiproxy_nas.runs.code_identity import software
from optiproxy_nas.runs.manifest import Manifest, digest, manifest_path, reporting_folder
from optiproxy_nas.runs.run_names import name_from

# What of a manifest's "code" is in the identity: the rest of the package only runs and shows it.
_CODE = ("search_sha256", "plugins")
_DECISIVE = ("pipeline", "parameters", "libraries", "cpu", "data")
_DIGITS = 10
# Kedro's hooks are around one run at a time; a Dask worker may have several threads.
_ONE_AT_A_TIME = threading.Lock()
_LOUD = {
    "kedro": logging.WARNING,
    "kedro_viz": logging.ERROR,
    alarms.LOGGER: logging.ERROR,  # they are in the tables
    "distributed": logging.CRITICAL,  # the outcome says what a worker's death means
}


@dataclass(frozen=True, eq=False)  # a key of dictionaries; equal is what has an equal digest
class Point:
    """One run of a sweep.

    Attributes:
        pipeline: the pipeline that it runs.
        kind: the pipeline's kind ("search", "methods").
        values: what the grid gives, nested: the run's parameters on the command line.
        parameters: everything that decides the search, resolved.
        setting: what differs from the preset or the method's defaults.
        data: source and digest of its table, or its problem and digests, as in a manifest.
        digest: SHA-256 of what decides the run.
        blocks: indices of the blocks of the grid that it is a point of, ascending.
        evaluation: where and how a problem's trials are trained; None: a benchmark answers.
    """

    pipeline: str
    kind: str
    values: Mapping[str, Any]
    parameters: Mapping[str, Any]
    setting: str
    data: Mapping[str, Any]
    digest: str
    blocks: tuple[int, ...]
    evaluation: EvaluationSettings | None = None

    def workers_at_most(self, most: int | None) -> int | None:
        """Return the workers that its search is to have instead of its own; None: its own.

        Args:
            most: that it may have on its machine; None: any number.
        """
        settings = self.evaluation
        if most is None or settings is None or settings.workers <= most or not settings.is_local:
            return None
        return most

    @property
    def note(self) -> str:
        """A warning about its parameters, "" if there is none."""
        return misfit(parameters_of(self.parameters))

    @property
    def run_id(self) -> str:
        """``cifar10-random_search-s0-0123456789``: the same wherever the same run is asked for."""
        label = self.parameters.get("preset") or str(self.parameters["method"]).rpartition(":")[2]
        name = name_from(f"{self.parameters['dataset']}-{label}")
        return f"{name}-s{self.parameters['seed']}-{self.digest[:_DIGITS]}"


def identity_now(pipeline: str, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Return the identity that a run would have if this process ran it.

    Args:
        pipeline: its pipeline.
        parameters: what decides its search.
        data: source and digest of its table.
    """
    facts = {"pipeline": pipeline, "parameters": parameters, "data": data}
    return identity({**facts, **software(parameters)})


def identity(manifest: Manifest) -> str:
    """Return the SHA-256 of a run's pipeline, parameters, code, libraries, processor and data."""
    code = {part: manifest["code"].get(part) for part in _CODE}
    return digest({"code": code, **{part: manifest[part] for part in _DECISIVE}})


Tracked = Mapping[str, Any] | None  # what MLflow is to know of the sweep


class Outcome(NamedTuple):
    """How a point ended."""

    error: str = ""  # "" where it finished
    note: str = ""  # what the user is to know of a point that finished
    tracking_lost: bool = False  # the MLflow store does not have all of it


@dataclass(frozen=True)
class RunPoint:
    """What runs a point as a job of an executor; it travels to worker processes.

    Attributes:
        project: the Kedro project, at the same path for every worker.
        workers: trials that a search may train at the same time on its machine; None: as it likes.
    """

    project: Path
    workers: int | None = None

    def __call__(self, job: Job, parent: Parent) -> Outcome:
        """Run a point to its end; its error, if it fails, becomes the outcome's.

        The job's architecture is the point and what MLflow is to know ("name", "parent",
        "experiment"), or None without tracking.
        """
        point, sweep = job.architecture
        sessions: list[SearchSession] = []
        tqdm.set_lock(threading.RLock())  # its own is a semaphore, which outlives a killed process
        with _ONE_AT_A_TIME, warnings.catch_warnings(), quiet_logs(), isolated():
            warnings.simplefilter("ignore", DeprecationWarning)
            ignore_renamed_resolver()  # settings.py is imported once, and its filter ends here
            enter_project(self.project)
            try:
                if identity_now(point.pipeline, point.parameters, point.data) != point.digest:
                    return Outcome(
                        "This worker has other code or libraries than the process that planned "
                        "the sweep; it was not run. Were they changed just now? Sweep again."
                    )
                error, note = "", self._run(point, sweep, sessions)
            except Exception as failure:
                error, note = errors.message_of(failure), ""
                if errors.project_error(failure) is None:
                    error = f"{type(failure).__name__}: {error}"
            return Outcome(error, note, any(session.tracking_lost for session in sessions))

    def _run(self, point: Point, sweep: Tracked, sessions: list[SearchSession]) -> str:
        """Start a run, or go on with what there is of it; where that is spoilt, start anew."""
        if not manifest_path(reporting_folder(self.project), point.run_id).exists():
            self._session(point, sweep, sessions, resume=False)
            return ""
        try:
            self._session(point, sweep, sessions, resume=True)
            return ""
        except Exception as error:
            if not isinstance(
                refusal := errors.project_error(error), errors.ResumeError | errors.ArtifactError
            ):
                raise
        clear_run(self.project, point.run_id)
        self._session(point, sweep, sessions, resume=False)
        return f"begun anew: {refusal.message.splitlines()[0]}"

    def _session(
        self, point: Point, sweep: Tracked, sessions: list[SearchSession], resume: bool
    ) -> None:
        sweep = {**sweep, "lean": point.kind == "methods"} if sweep else None
        parameters = {
            **point.values,
            "pipeline": point.pipeline,
            "run_id": point.run_id,
            "resume": resume,
            "tracking": sweep is not None,
            "quiet": True,
            "sweep": sweep,
            **self._of_problem(point),
        }
        with SearchSession.create(
            self.project, save_on_close=False, runtime_params=parameters
        ) as session:
            assert isinstance(session, SearchSession)
            sessions.append(session)
            session.run(pipeline_names=[point.pipeline], only_missing_outputs=resume)

    def _of_problem(self, point: Point) -> dict[str, Any]:
        """Return the run's parameters of a problem: nothing is exported, and cores are shared."""
        if point.evaluation is None:
            return {}
        settings = {"export": False}
        workers = point.workers_at_most(self.workers)
        return settings if workers is None else {**settings, "evaluation": {"workers": workers}}


def clear_run(project: Path, run_id: str) -> None:
    """Delete all files of a run.

    Raises:
        RunLockedError: another process works on it.
    """
    with lock_folder(reporting_folder(project) / run_id, f"run {run_id!r}", run_id=run_id):
        for folder in (project / "data").glob(f"0*_*/{run_id}"):
            for path in folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != ".lock":
                    path.unlink(missing_ok=True)


def enter_project(path: Path | str) -> Path:
    """Configure Kedro for a project, unless it is; return the project's absolute path."""
    project = Path(path).resolve()
    _configure_kedro(project)
    return project


@lru_cache(maxsize=1)  # Kedro is configured for one project at a time
def _configure_kedro(project: Path) -> None:
    bootstrap_project(project)


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Silence the lines of Kedro about every node and session, and of Dask about every worker."""
    before = {name: logging.getLogger(name).level for name in _LOUD}
    try:
        for name, level in _LOUD.items():
            logging.getLogger(name).setLevel(level)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
