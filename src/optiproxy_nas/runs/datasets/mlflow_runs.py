"""A read-only Kedro dataset of the finished runs that a selection finds in the MLflow store."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from optiproxy_nas.core.errors import (
    ArtifactError,
    OptiProxyError,
    ParameterError,
    TrackingError,
    unknown_name,
)
from optiproxy_nas.evaluation.finished_run import FoundRuns
from optiproxy_nas.runs.datasets.mlflow_sweeps import Sweeps
from optiproxy_nas.runs.finished import MlflowReader, is_sweep, own_id
from optiproxy_nas.runs.tracking import MlflowTracker

PAGE = 1000  # runs that one call of the MLflow API gives
SHOWN = 5
_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_SQLITE = "sqlite:///"


class MlflowRuns(AbstractDataset[NoReturn, FoundRuns]):
    """The finished runs of a selection: parameters, tags, summary and archive of each.

    Args:
        selection: ``runs`` (our ids or MLflow's), or any of ``experiment`` (a pipeline's name),
            ``sweep`` (its name, or the MLflow id of its parent run) and ``filter`` (MLflow's
            search syntax).
        path: the project, where the default store lies (``mlflow.db``), unless
            ``MLFLOW_TRACKING_URI`` names another. (This name, because Kedro makes a relative
            ``path`` of the catalog absolute.)
        metadata: ignored by Kedro, for hooks and plug-ins.
    """

    def __init__(
        self,
        selection: Mapping[str, Any] | None,
        path: str = ".",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._selection = {k: v for k, v in (selection or {}).items() if v}
        self._tracker = MlflowTracker(Path(path), "")
        self._records = Path(path) / "data" / "08_reporting" / "sweeps"
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
        if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists():
            raise TrackingError(
                f"There is no MLflow store {uri}: no run was tracked here yet. Make some runs "
                "without tracking=off, or name another store by MLFLOW_TRACKING_URI.",
                uri=uri,
            )
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        with self._reachable(), tempfile.TemporaryDirectory() as folder:
            return self._found(MlflowReader(self._tracker.client, Path(folder)))

    def save(self, data: NoReturn) -> None:
        """Refuse: a comparison never writes to the store."""
        raise DatasetError("Runs of the MLflow store are read-only here.")

    def _describe(self) -> dict[str, Any]:
        return {"store": self._tracker.uri, "selection": self._selection}

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Turn failures of the store, each library's own, into one kind of error."""
        try:
            yield
        except OptiProxyError:
            raise
        except Exception as error:
            reason = (str(error) or type(error).__name__).splitlines()[0][:300]
            raise TrackingError(
                f"The MLflow store {self._tracker.uri} cannot be read: {reason}. Set or unset "
                "MLFLOW_TRACKING_URI, and try again once the store is back. Nothing was written.",
                uri=self._tracker.uri,
            ) from error

    def _found(self, reader: MlflowReader) -> FoundRuns:
        parent = None
        if explicit := "runs" in self._selection:
            matching = self._by_id()
        else:
            matching, parent = self._by_search(reader)
            matching = [run for run in matching if not is_sweep(run)]
        finished = [run for run in matching if run.info.status == "FINISHED"]
        unfinished = len(matching) - len(finished)
        runs, incomplete = [], []
        for run in finished:
            record = reader.read(run, parent)
            if record is None:
                incomplete.append(own_id(run))
            else:
                runs.append(record)
        if parent and "filter" not in self._selection:
            earlier, failed = reader.other_points(parent, {own_id(run) for run in matching})
            runs = earlier + runs
            unfinished += failed
        self._check(len(runs), len(finished), unfinished, incomplete, explicit)
        return FoundRuns(tuple(runs), describe(self._selection), unfinished, tuple(incomplete))

    def _check(
        self, runs: int, finished: int, unfinished: int, incomplete: list[str], explicit: bool
    ) -> None:
        if incomplete and (explicit or not runs):
            raise ArtifactError(
                f"Run {incomplete[0]!r} has no archive or no result in the MLflow store "
                f"({len(incomplete)} such of {finished}): only a part of the pipeline was run, the "
                "store failed at its end, files were deleted, or it is a sweep or belongs to one "
                "that has not ended (sweep=NAME takes the runs of one). 'kedro run --resume "
                "RUN_ID' sends what is missing of a run.",
                run_ids=incomplete,
            )
        if not runs:
            more = f"; {unfinished} that have not finished" if unfinished else ""
            raise ParameterError(
                f"No finished run matches: {describe(self._selection)}{more}. 'mlflow ui "
                f"--backend-store-uri {self._tracker.uri}' shows what there is.",
                selection=self._selection,
                unfinished=unfinished,
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

    def _unknown_run(self, name: str, experiments: list[str]) -> ParameterError:
        sweeps = self._sweeps(experiments)
        if sweeps.is_one(name):
            return ParameterError(f"{name!r} is a sweep: use sweep={name}.", name=name)
        limit = SHOWN + len(sweeps.parents())
        finished = self._search(experiments, "attributes.status = 'FINISHED'", limit)
        latest = [own_id(run) for run in finished if not is_sweep(run)][:SHOWN]
        return ParameterError(
            f"Unknown run {name!r}: neither a run id nor one of MLflow's. The latest finished "
            f"runs of this store: {', '.join(latest) or 'none'}.",
            name=name,
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
                raise unknown_name("MLflow experiment", name, experiments)
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
                raise ParameterError(
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
    terms = []
    if runs := selection.get("runs"):
        few = len(runs) <= SHOWN
        terms.append(f"runs {', '.join(runs)}" if few else f"{len(runs)} runs by their ids")
    terms += [f"{k} {selection[k]}" for k in ("experiment", "sweep", "filter") if selection.get(k)]
    return ", ".join(terms) or "all experiments"
