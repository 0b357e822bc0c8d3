"""A read-only Kedro dataset of the finished runs that a selection finds in the MLflow store.

The runs of a sweep are nested under a parent run (:class:`Sweeps`).
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from optiproxy_nas.core import errors
from optiproxy_nas.evaluation.finished_run import FoundRuns
from optiproxy_nas.runs.datasets.files import ReadOnlyDataset
from optiproxy_nas.runs.manifest import reporting_folder
from optiproxy_nas.runs.mlflow_reader import SWEEP, MlflowReader, id_of, is_sweep
from optiproxy_nas.runs.mlflow_store import PARENT_TAG, sqlite_file, store_errors
from optiproxy_nas.runs.mlflow_view import UI_COMMAND
from optiproxy_nas.runs.tracking import MlflowTracker

PAGE = 1000  # runs that one call of the MLflow API gives
SHOWN = 5
_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class MlflowRuns(ReadOnlyDataset[FoundRuns]):
    """The finished runs of a selection: parameters, tags, summary and archive of each.

    Args:
        selection: ``runs`` (our ids or MLflow's), or any of ``experiment`` (a pipeline's name),
            ``sweep`` (its name, or the MLflow id of its parent run) and ``filter`` (MLflow's
            search syntax).
        path: the project, where the default store lies (``mlflow.db``), unless
            ``MLFLOW_TRACKING_URI`` names another. (This name, because Kedro makes a relative
            ``path`` of the catalog absolute.)
        metadata: ignored by Kedro, for hooks and plug-ins.
        last: how many at most, the latest ones; None: all. Reading one takes a twentieth of a
            second.
    """

    def __init__(
        self,
        selection: Mapping[str, Any] | None,
        path: str = ".",
        metadata: dict[str, Any] | None = None,
        last: int | None = None,
    ) -> None:
        self._last = last
        self._selection = {k: v for k, v in (selection or {}).items() if v}
        self._tracker = MlflowTracker(Path(path), "")
        self._records = reporting_folder(Path(path)) / "sweeps"
        self.metadata = metadata

    def load(self) -> FoundRuns:
        """Read the runs, oldest first.

        Raises:
            TrackingError: there is no store, or it cannot be reached or fails midway.
            UnknownNameError: no such experiment, sweep or run.
            ParameterError: the filter is malformed, or no finished run matches.
            ArtifactError: a run that was asked for by its id has no archive in the store.
        """
        uri = self._tracker.uri
        file = sqlite_file(uri)
        if file is not None and not file.exists():
            raise errors.TrackingError(
                f"There is no MLflow store {uri}: no run was tracked here yet. Make some runs "
                "without tracking=off, or name another store by MLFLOW_TRACKING_URI.",
                uri=uri,
            )
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        advice = "and try again once the store is back. Nothing was written."
        with store_errors(uri, "read", advice), tempfile.TemporaryDirectory() as folder:
            return self._found(MlflowReader(self._tracker.client, Path(folder)))

    def _describe(self) -> dict[str, Any]:
        return {"store": self._tracker.uri, "selection": self._selection}

    def _found(self, reader: MlflowReader) -> FoundRuns:
        parent = None
        if explicit := "runs" in self._selection:
            matching = self._by_id()
        else:
            matching, parent = self._by_search(reader)
            matching = [run for run in matching if not is_sweep(run)]
        finished = [run for run in matching if run.info.status == "FINISHED"]
        unfinished = len(matching) - len(finished)
        older = 0 if self._last is None else max(0, len(finished) - self._last)
        finished = finished[older:]
        records = [(id_of(run), reader.read(run, parent)) for run in finished]
        runs = [record for _, record in records if record is not None]
        incomplete = [run_id for run_id, record in records if record is None]
        if parent and "filter" not in self._selection:
            earlier, failed = reader.other_points(parent, {id_of(run) for run in matching})
            runs = earlier + runs
            unfinished += failed
        if incomplete and (explicit or not runs):
            raise errors.ArtifactError(
                f"Run {incomplete[0]!r} has no archive or no result in the MLflow store "
                f"({len(incomplete)} such of {len(finished)}): only a part of the pipeline was "
                "run, the store failed at its end, files were deleted, or it is a sweep or belongs "
                "to one that has not ended (sweep=NAME takes the runs of one). 'kedro run --resume "
                "RUN_ID' sends what is missing of a run.",
                run_ids=incomplete,
            )
        if not runs:
            more = f"; {unfinished} that have not finished" if unfinished else ""
            raise errors.ParameterError(
                f"No finished run matches: {describe(self._selection)}{more}. "
                f"'{UI_COMMAND}' shows what there is.",
                selection=self._selection,
                unfinished=unfinished,
            )
        unchecked = tuple(dict.fromkeys(reader.unchecked))
        return FoundRuns(
            tuple(runs), describe(self._selection), unfinished, tuple(incomplete), unchecked, older
        )

    def _by_id(self) -> list[Any]:
        found: dict[str, Any] = {}
        experiments = list(self._experiments().values())
        for name in self._selection["runs"]:
            tagged = self._search(experiments, f"tags.run_id = '{name}'") if _ID.match(name) else []
            run = tagged[-1] if tagged else self._get(name)
            if run is None or is_sweep(run):
                raise self._unknown_run(name, experiments)
            found[run.info.run_id] = run
        return sorted(found.values(), key=lambda run: run.info.start_time)

    def _unknown_run(self, name: str, experiments: list[str]) -> errors.ParameterError:
        sweeps = self._sweeps(experiments)
        if sweeps.is_one(name):
            return errors.ParameterError(f"{name!r} is a sweep: use sweep={name}.", name=name)
        limit = SHOWN + len(sweeps.parents())
        finished = self._search(experiments, "attributes.status = 'FINISHED'", limit)
        latest = list(dict.fromkeys(id_of(run) for run in finished if not is_sweep(run)))[:SHOWN]
        return errors.ParameterError(
            f"Unknown run {name!r}: neither a run id nor one of MLflow's. The latest finished "
            f"runs of this store: {', '.join(latest) or 'none'}.",
            name=name,
            latest=latest,
        )

    def _get(self, name: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._tracker.client.get_run(name)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _by_search(self, reader: MlflowReader) -> tuple[list[Any], str | None]:
        """Return matching runs, and the MLflow id of the parent of the selected sweep."""
        experiments = self._experiments()
        chosen = list(experiments.values())
        if name := self._selection.get("experiment"):
            if name not in experiments:
                raise errors.unknown_name("MLflow experiment", name, experiments)
            chosen = [experiments[name]]
        condition = self._selection.get("filter", "")
        if not (sweep := self._selection.get("sweep")):
            return self._search(chosen, condition), None
        return self._sweeps(chosen).runs(sweep, condition, reader)

    def _sweeps(self, experiments: list[str]) -> Sweeps:
        return Sweeps(partial(self._search, experiments), self._records)

    def _experiments(self) -> dict[str, str]:
        found = self._tracker.client.search_experiments(max_results=PAGE)
        return {experiment.name: experiment.experiment_id for experiment in found}

    def _search(self, experiments: list[str], condition: str, limit: int = 0) -> list[Any]:
        """Return all runs, oldest first; with a limit, the latest ones."""
        from mlflow.exceptions import MlflowException

        order = [f"attributes.start_time {'DESC' if limit else 'ASC'}"]
        runs: list[Any] = []
        token = None
        while True:
            try:
                page = self._tracker.client.search_runs(
                    experiments, condition, max_results=limit or PAGE, order_by=order,
                    page_token=token,
                )  # fmt: skip
            except MlflowException as error:
                given = self._selection.get("filter")
                if error.error_code != "INVALID_PARAMETER_VALUE" or not given:
                    raise
                raise errors.ParameterError(
                    f"Parameter 'filter' = {given!r} is not one that MLflow can read: "
                    f"{str(error).splitlines()[0]} Write for example \"params.seed = '0' AND "
                    'metrics.`final/regret` < 0.1"; values of params stand in quotes.',
                    filter=given,
                ) from error
            runs += page
            token = page.token
            if limit or not token:
                return runs


def describe(selection: Mapping[str, Any]) -> str:
    """Return a selection in words."""
    terms = [f"{k} {selection[k]}" for k in ("experiment", "sweep", "filter") if k in selection]
    if "runs" in selection:
        runs = selection["runs"]
        few = len(runs) <= SHOWN
        terms.append(f"runs {', '.join(runs)}" if few else f"{len(runs)} runs by their ids")
    return ", ".join(terms) or "all experiments"


class Sweeps:
    """The sweeps of some experiments.

    Args:
        search: (MLflow's condition, limit) -> runs, oldest first; with a limit, the latest ones.
        folder: where the project keeps the records of its sweeps.
    """

    def __init__(self, search: Callable[[str, int], list[Any]], folder: Path) -> None:
        self._search = search
        self._folder = folder

    def parents(self) -> list[Any]:
        """Return the parent runs of all sweeps, oldest first."""
        return [run for run in self._search(f"tags.{SWEEP} LIKE '%'", 0) if is_sweep(run)]

    def is_one(self, name: str) -> bool:
        """Return whether a sweep has this name, or its parent run this MLflow id."""
        return any(name in (run.data.tags[SWEEP], run.info.run_id) for run in self.parents())

    def runs(self, name: str, condition: str, reader: MlflowReader) -> tuple[list[Any], str]:
        """Return the runs of a sweep's grid that match, oldest first, and its parent's MLflow id.

        A name may have had other grids before. What had finished then and is in the grid belongs
        to an earlier parent; the rest of those is left out.

        Raises:
            UnknownNameError: no such sweep.
        """
        parent, others = self._parent(name)
        found = {id_of(run): run for run in self._children(parent, condition)}
        kept = reader.points(parent) if others else set()
        for other in others:
            for run in self._children(other, condition):
                if id_of(run) in kept and run.info.status == "FINISHED":
                    found.setdefault(id_of(run), run)
        return sorted(found.values(), key=lambda run: run.info.start_time), parent

    def _parent(self, name: str) -> tuple[str, list[str]]:
        """Return the parent run of a sweep's grid, and the others of its name, latest first.

        The project's own record says which; without one it is the latest of the name.
        """
        parents = self.parents()
        by_id = [run for run in parents if run.info.run_id == name]
        sweep = by_id[0].data.tags[SWEEP] if by_id else name
        ids = [str(run.info.run_id) for run in reversed(parents) if run.data.tags[SWEEP] == sweep]
        if not ids:
            raise self._unknown(name, parents)
        recorded = name if by_id else self._recorded(name)
        parent = recorded if recorded in ids else ids[0]
        return parent, [other for other in ids if other != parent]

    def _unknown(self, name: str, parents: list[Any]) -> errors.UnknownNameError:
        """Return the error that lists all sweeps, and those that have nothing to compare."""
        names = {run.data.tags[SWEEP] for run in parents}
        finished = {run.data.tags[SWEEP] for run in parents if self._has_finished_runs(run)}
        error = errors.unknown_name("sweep", name, names or {"(there is none in the store)"})
        note = ", ".join(sorted(names - finished))
        message = f"{error.message} No run has finished under: {note}." if note else error.message
        return errors.UnknownNameError(message, **error.data)

    def _children(self, parent: str, condition: str, limit: int = 0) -> list[Any]:
        child = f"tags.`{PARENT_TAG}` = '{parent}'"
        return self._search(f"{child} AND {condition}" if condition else child, limit)

    def _has_finished_runs(self, parent: Any) -> bool:
        """Return whether a sweep has runs to compare.

        One that has finished may have found all its points done, and have none under it.
        """
        finished = "attributes.status = 'FINISHED'"
        return parent.info.status == "FINISHED" or bool(
            self._children(parent.info.run_id, finished, 1)
        )

    def _recorded(self, name: str) -> str:
        """Return the MLflow id of the parent run in the sweep's record, "" if there is none."""
        try:
            text = (self._folder / name / "sweep.json").read_text(encoding="utf-8")
            return str(json.loads(text)["mlflow_run_id"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
