"""A run in an MLflow store: opened, written to, closed, through ``MlflowClient`` and explicit ids.

``mlflow`` is imported when the first run starts, since the import takes longer than a search.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import TrackingError, first_line
from optiproxy_nas.core.secrets import masked, masked_values
from optiproxy_nas.runs.manifest import ANCHOR
from optiproxy_nas.runs.metrics import Metrics
from optiproxy_nas.runs.mlflow_store import store_errors
from optiproxy_nas.runs.project_store import ProjectStore
from optiproxy_nas.runs.unsent_metrics import UnsentMetrics

CREATED = "manifest.created"  # a tag: when the manifest of the run was begun
PARAMETERS = 100  # parameters that one call takes

logger = logging.getLogger(__name__)


def forgiving(method: Callable[..., None]) -> Callable[..., None]:
    """Return a method whose first failure is logged and ends the tracking, not the search."""

    @functools.wraps(method)
    def wrapper(self: MlflowRun, *args: Any, **kwargs: Any) -> None:
        if self.lost:
            return
        try:
            with self._store.lock:
                method(self, *args, **kwargs)
        except Exception as error:
            self.lost = True
            logger.warning(
                "The MLflow store %s failed and is told no more: %s. The search goes on, and its "
                "files and manifest are whole; once the store is back, '%s' sends what is missing.",
                masked(self.uri),
                first_line(error),
                self._remedy,
            )

    return wrapper


class MlflowRun:
    """One run of a store; what a failing store lacks is for a later session to send.

    Args:
        project_path: where the default store lies (``mlflow.db`` and ``mlruns/``), unless
            ``MLFLOW_TRACKING_URI`` names another.
        experiment: the experiment's name (the pipeline).
        lean: one of the many runs of a sweep, which has no artifacts.
        advice: for the error where the store cannot be used: how to go on without it.
        remedy: the command that sends what is missing where the store fails later.

    Attributes:
        lost: whether the store failed in the middle of the run.
        was_open: whether nobody had closed it in the store, of a run that goes on.
        run_id: MLflow's id, once the run is open.
    """

    def __init__(
        self,
        project_path: Path,
        experiment: str,
        lean: bool = False,
        advice: str = "or run without it by --params=tracking=off. No query was made.",
        remedy: str = "kedro run --resume RUN_ID",
    ) -> None:
        self._store = ProjectStore(project_path)
        self._experiment = experiment
        self._lean = lean
        self._advice = advice
        self._remedy = remedy
        self._client: Any = None
        self._process = 0
        self._unsent = UnsentMetrics()
        self.lost = False
        self.was_open = False
        self.run_id: str | None = None

    @property
    def is_lean(self) -> bool:
        """Whether it has no artifacts."""
        return self._lean

    @property
    def uri(self) -> str:
        """That of the store."""
        return self._store.uri

    @property
    def client(self) -> Any:
        """This process's client: a database connection must not cross a fork."""
        if self._process != os.getpid():
            self._client = self._store.open()
            self._process = os.getpid()
        return self._client

    def start(
        self,
        name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
        resume: str | None,
        anew: bool = False,
        created: str = "",
        of_experiment: Mapping[str, str] | None = None,
    ) -> str:
        """Open a run, or open again the one with id ``resume``, and return its id.

        Args:
            name: of a new run, for people.
            parameters: of the run.
            tags: of a new run; ``run_id`` is ours.
            resume: MLflow's id of a run that goes on, as far as it is recorded.
            created: the tag ``CREATED`` of a run that goes on: where ``resume`` is None, a run with
                it is opened again. An earlier session was killed before it recorded the id.
            anew: whether metrics are sent that take the place of those of an earlier session.
            of_experiment: tags that the experiment gets where it lacks them.

        Raises:
            TrackingError: the store cannot be reached or is damaged, lacks the run, or would write
                outside the project.
        """
        with store_errors(self.uri, "used", self._advice), self._store.lock:
            stored: Mapping[str, str] = {}
            ours = tags.get("run_id", name)
            if resume is None and created:
                resume = self._unrecorded(ours, created)
            if resume is None:
                self.run_id = self._create(name, tags, of_experiment or {})
            else:
                run = self._opened(resume, ours)
                self.run_id, stored = resume, run.data.params
                self.was_open = run.info.status != "FINISHED"
                self._unsent.others_sent = not anew
                self.client.update_run(resume, status="RUNNING")
                for tag in {"error", ANCHOR} & run.data.tags.keys():  # of the session before
                    self.client.delete_tag(resume, tag)
            # Also those that an earlier session failed to send.
            self._log_parameters({k: v for k, v in parameters.items() if k not in stored})
        return self.run_id

    def _unrecorded(self, ours: str, created: str) -> str | None:
        """Return the id of the run that a session opened for run ``ours`` and did not record."""
        experiment = self.client.get_experiment_by_name(self._experiment)
        if experiment is None:
            return None
        begun = f"tags.`{CREATED}` = '{created}'"
        for run in self.client.search_runs([experiment.experiment_id], begun):
            if run.data.tags.get("run_id", run.info.run_name) == ours:
                return str(run.info.run_id)
        return None

    def _opened(self, mlflow_id: str, name: str) -> Any:
        """Return the run of an id, which a manifest says.

        Raises:
            TrackingError: it is of another run of ours, or its artifacts are outside the project.
        """
        run = self.client.get_run(mlflow_id)
        self._store.check_place(run.info.artifact_uri)
        if (other := run.data.tags.get("run_id", name)) != name:
            raise TrackingError(
                f"The manifest of {name!r} names MLflow run {mlflow_id}, which is of {other!r}: it "
                f"was edited. Restore it, {self._advice}",
                uri=self.uri,
            )
        return run

    def _create(self, name: str, tags: Mapping[str, str], shown: Mapping[str, str]) -> str:
        experiment = self.client.get_experiment_by_name(self._experiment)
        if experiment is None:
            folder = self._store.artifacts
            location = folder.as_uri() if folder else None
            experiment_id = self.client.create_experiment(self._experiment, location)
        else:
            self._store.check_place(experiment.artifact_location)
            experiment_id = experiment.experiment_id
        present = experiment.tags if experiment is not None else {}
        for key in shown.keys() - present.keys():
            self.client.set_experiment_tag(experiment_id, key, shown[key])
        run = self.client.create_run(experiment_id, run_name=name, tags=masked_values(tags))
        run_id: str = run.info.run_id
        return run_id

    def _log_parameters(self, parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        params = [Param(key, masked(str(value))) for key, value in parameters.items()]
        for first in range(0, len(params), PARAMETERS):
            self.client.log_batch(self.run_id, params=params[first : first + PARAMETERS])

    def add(self, values: Mapping[str, float | None], step: int) -> None:
        """Remember metrics of one step or query."""
        self._add([(step, values)])

    def _add(self, metrics: Iterable[tuple[int, Metrics]]) -> None:
        assert self.run_id is not None
        self._unsent.add(self.client, self.run_id, metrics)

    @forgiving
    def flush(self) -> None:
        """Send the remembered metrics and tags."""
        assert self.run_id is not None
        self._unsent.send(self.client, self.run_id)

    @forgiving
    def log_artifacts(self, files: Iterable[tuple[Path, str]]) -> None:
        """Copy files to the run's artifact store: (file, folder there)."""
        for path, folder in () if self._lean else files:
            self.client.log_artifact(self.run_id, str(path), folder)

    def lacks(self, files: Iterable[tuple[Path, str]]) -> bool:
        """Return whether the store has no file of the name of one of (file, folder there)."""
        if self._lean:
            return False
        given = list(files)
        with store_errors(self.uri, "read", self._advice), self._store.lock:
            listed = [
                file.path
                for folder in {folder for _, folder in given}
                for file in self.client.list_artifacts(self.run_id, folder)
            ]
        return any(f"{folder}/{path.name}".lstrip("/") not in listed for path, folder in given)

    def log_later(self, mlflow_id: str, name: str, files: Iterable[Path], folder: str) -> None:
        """Copy files to a folder of the artifact store of the run ``name``, which is over.

        Raises:
            TrackingError: the store failed, or would write outside the project or to another run.
        """
        with store_errors(self.uri, "used", self._advice), self._store.lock:
            self._opened(mlflow_id, name)
            for path in files:
                self.client.log_artifact(mlflow_id, str(path), folder)

    @forgiving
    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags that are known late."""
        for key, value in tags.items():
            self.client.set_tag(self.run_id, key, masked(value))

    @forgiving
    def end(self, status: str, manifest_sha256: str = "") -> None:
        """Close the run: FINISHED, FAILED or KILLED; keep the digest of its closed manifest."""
        if manifest_sha256:
            self._unsent.add_tags({ANCHOR: manifest_sha256})
        self.flush()
        self.client.set_terminated(self.run_id, status=status)
