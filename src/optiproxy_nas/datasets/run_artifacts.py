"""A Kedro dataset for a finished run: everything that it stored, checked against its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from safetensors.torch import load_file

from optiproxy_nas.benchmarks.schema import table_digest
from optiproxy_nas.datasets.atomic import file_digest
from optiproxy_nas.diagnosis.finished_run import FinishedRun, Tensors
from optiproxy_nas.errors import (
    ArtifactError,
    DataError,
    OptiProxyError,
    ParameterError,
    ResumeError,
)
from optiproxy_nas.manifest import Manifest, last_archive, manifest_path, read_manifest
from optiproxy_nas.objectives import build_objective
from optiproxy_nas.parameters import SearchParameters
from optiproxy_nas.validation import validate

SHOWN = 5  # runs that an error names


class RunArtifacts(AbstractDataset[NoReturn, FinishedRun]):
    """Read-only: a :class:`~optiproxy_nas.diagnosis.finished_run.FinishedRun`.

    Every artifact of the manifest must have the SHA-256 that the manifest says, and the table
    that the run's queries were answered from must still be the same.

    Args:
        run_id: the run.
        path: the project's reporting layer, which holds the manifests; the other layers lie beside
            it. (This name, because Kedro makes a relative ``path`` of the catalog absolute.)
        metadata: ignored by Kedro, for hooks and plug-ins.
    """

    def __init__(
        self,
        run_id: str | None,
        path: str = "data/08_reporting",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._run_id = run_id
        self._reporting = Path(path)
        self._data = self._reporting.parent
        self.metadata = metadata

    def load(self) -> FinishedRun:
        """Check and read the run.

        Raises:
            ResumeError: no such run, or it has not finished.
            ParameterError: it is no search run, or one of another version of the project.
            ArtifactError: an artifact is missing or damaged.
            DataError: the table is missing, or is another one.
        """
        if self._run_id is None:
            raise ParameterError("Which run? Give --params=run=RUN_ID.", name="run")
        if not manifest_path(self._reporting, self._run_id).exists():
            latest = ", ".join(diagnosable(self._reporting)[-SHOWN:])
            raise ResumeError(
                f"There is no run {self._run_id!r} under {self._reporting}. The latest finished "
                f"searches: {latest or 'none; make one by kedro run --pipeline=nb201_search'}.",
                run_id=self._run_id,
            )
        manifest = read_manifest(self._reporting, self._run_id)
        check_diagnosable(manifest)
        # Artifacts are noted relative to the project, which holds the data directory.
        files = {
            name: self._data.parent / facts["path"] for name, facts in manifest["artifacts"].items()
        }
        for name, path in files.items():
            _check(name, path, manifest["artifacts"][name]["sha256"])
        return FinishedRun(
            run_id=self._run_id,
            parameters=_parameters(manifest),
            archive=pd.read_parquet(files[last_archive(files)]),
            weights=_by_step(files, "proxy"),
            logits=_by_step(files, "logits"),
            traces=_by_step(files, "trace"),
            table=self._table(manifest),
        )

    def save(self, data: NoReturn) -> None:
        """Refused: a finished run is never written to."""
        raise DatasetError(f"Run {self._run_id!r} has finished and is read-only.")

    def _table(self, manifest: Manifest) -> pd.DataFrame:
        source, recorded = manifest["data"]["source"], manifest["data"]["table_sha256"]
        benchmark = manifest["parameters"]["benchmark"]
        path = self._data / "03_primary" / benchmark / f"{source}.parquet"
        again = f"'kedro run --pipeline=ingest --params=source={source}'"
        if not path.exists():
            raise DataError(
                f"The table of source {source!r} that run {self._run_id!r} was answered from is "
                f"missing ({path}). Make it again by {again}.",
                source=source,
            )
        table = pd.read_parquet(path)
        found = table_digest(table)
        if found != recorded:
            raise DataError(
                f"The table of source {source!r} is not the one that run {self._run_id!r} was "
                f"answered from: SHA-256 {found[:12]}.. instead of {recorded[:12]}... Delete it "
                f"and its card ({path.stem}.json), and make it again by {again}.",
                source=source,
                found=found,
                recorded=recorded,
            )
        return table

    def _describe(self) -> dict[str, Any]:
        return {"run_id": self._run_id, "path": str(self._reporting)}


def check_diagnosable(manifest: Manifest) -> None:
    """Refuse a run that does not hold what a diagnosis reads.

    Raises:
        ResumeError: it has not finished.
        ParameterError: it keeps no proxy weights, or measured cells at several fidelities.
    """
    run_id, pipeline = manifest["run_id"], manifest["pipeline"]
    if manifest["status"] != "finished":
        raise ResumeError(
            f"Run {run_id!r} is {manifest['status']}, not finished: there is nothing to diagnose "
            f"yet. Go on with it by 'kedro run --resume {run_id}'.",
            run_id=run_id,
        )
    if any(name.endswith(".proxy") for name in manifest["artifacts"]):
        _check_fidelity(manifest)
        return
    parameters = manifest["parameters"]
    if parameters.get("method", "optiproxy") == "optiproxy":
        keys = ("dataset", "source", "preset", "seed", "budget")
        given = ",".join(f"{key}={parameters[key]}" for key in keys if key in parameters)
        what = (
            f"Make the same search with all its artifacts by 'kedro run --pipeline=nb201_search "
            f"--params={given}' (and what else you had set), and diagnose that run."
        )
    else:
        what = f"Method {parameters['method']!r} has no proxy that could be diagnosed."
    raise ParameterError(
        f"Run {run_id!r} of pipeline {pipeline!r} keeps its archive only, no proxy weights. {what}",
        run_id=run_id,
        pipeline=pipeline,
    )


def _check_fidelity(manifest: Manifest) -> None:
    """Queries that cost differently are not one measurement of a cell each."""
    objective = build_objective(manifest["parameters"].get("objective") or {"name": "accuracy"})
    if objective.unit != "queries":
        raise ParameterError(
            f"Run {manifest['run_id']!r} measured cells at several fidelities ({objective.label}); "
            "a diagnosis judges a proxy on one value a cell. Its own page has the agreement of the "
            "fidelities, and epochs by step: report.html.",
            run_id=manifest["run_id"],
        )


def diagnosable(reporting: Path) -> list[str]:
    """Ids of the runs that can be diagnosed, in the order in which they were begun."""
    found = []
    for path in reporting.glob("*/manifest.json"):
        try:
            manifest = read_manifest(reporting, path.parent.name)
            check_diagnosable(manifest)
        except OptiProxyError:
            continue
        found.append((str(manifest.get("created")), path.parent.name))
    return [run_id for _, run_id in sorted(found)]


def _check(name: str, path: Path, recorded: str) -> None:
    found = file_digest(path) if path.exists() else None
    if found != recorded:
        state = "is missing" if found is None else f"has SHA-256 {found[:12]}.."
        raise ArtifactError(
            f"Artifact {name!r} {state}, the manifest says {recorded[:12]}..: {path}. The run was "
            "edited or damaged; restore the file ('kedro audit' lists all that is damaged), or "
            "repeat the search.",
            name=name,
            path=str(path),
            found=found,
            recorded=recorded,
        )


def _parameters(manifest: Manifest) -> SearchParameters:
    try:
        return validate(SearchParameters, manifest["parameters"])
    except ParameterError as error:
        raise ParameterError(
            f"Run {manifest['run_id']!r} was made by another version of the project "
            f"({error.message}). Repeat the search, or use that version.",
            run_id=manifest["run_id"],
        ) from None


def _by_step(files: dict[str, Path], kind: str) -> dict[int, Tensors]:
    """``step_NN.<kind>`` by step, on the CPU."""
    steps = {}
    for name, path in files.items():
        step, _, suffix = name.partition(".")
        if suffix == kind and step.startswith("step_"):
            steps[int(step.removeprefix("step_"))] = load_file(path)
    return dict(sorted(steps.items()))
