"""A Kedro dataset of a finished search: what its steps stored, checked against its manifest."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.loading import open_benchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.benchmarks.tidy_table import table_digest
from optiproxy_nas.core.errors import DataError, OptiProxyError, ParameterError, ResumeError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.core.validation import validate
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.methods import method_of
from optiproxy_nas.objectives import OBJECTIVES, name_of, resolve_objective
from optiproxy_nas.presets import load_preset
from optiproxy_nas.runs.finished import StoredRun
from optiproxy_nas.runs.manifest import Manifest, manifest_path, read_manifest

SHOWN = 5  # runs that an error names
_ALWAYS = ("dataset", "source", "preset", "seed", "budget")  # of a search, for a message


class RunArtifacts(AbstractDataset[NoReturn, SearchHistory]):
    """A read-only :class:`~optiproxy_nas.evaluation.finished_run.SearchHistory`.

    Every artifact of the manifest must have the SHA-256 that the manifest says, and the table
    that the run's queries were answered from, and the model if one answered, must be the same.

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

    def load(self) -> SearchHistory:
        """Check and read the run.

        Raises:
            ResumeError: no such run, or it has not finished.
            ParameterError: it is no search run, or one of another version of the project.
            ArtifactError: an artifact is missing or damaged.
            DataError: the table, or the model, is missing or another one.
            UnknownNameError: the source is a plug-in that is not installed here.
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
        run = StoredRun(self._data.parent, manifest)
        run.check()
        return SearchHistory(
            run_id=self._run_id,
            parameters=_parameters(manifest),
            archive=run.archive(),
            weights=run.tensors("proxy"),
            logits=run.tensors("logits"),
            traces=run.tensors("trace"),
            benchmark=self._benchmark(manifest),
        )

    def save(self, data: NoReturn) -> None:
        """Refuse: a finished run is never written to."""
        raise DatasetError(f"Run {self._run_id!r} has finished and is read-only.")

    def _benchmark(self, manifest: Manifest) -> Benchmark:
        """Return what answered the run's queries, from table and model."""
        table, model = self._table(manifest), self._model(manifest)
        source = get_source(manifest["data"]["source"])
        return open_benchmark(table, model, manifest["parameters"]["dataset"], source)

    def _path(self, manifest: Manifest, suffix: str) -> Path:
        folder = self._data / "03_primary" / str(manifest["parameters"]["benchmark"])
        return folder / f"{manifest['data']['source']}.{suffix}"

    def _model(self, manifest: Manifest) -> bytes:
        """Return the bytes of the model that answered, none where a table did."""
        recorded = manifest["data"].get("model_sha256")
        if recorded is None:
            return b""
        source, path = manifest["data"]["source"], self._path(manifest, "model")
        model = path.read_bytes() if path.exists() else None
        found = None if model is None else hashlib.sha256(model).hexdigest()
        if model is None or found != recorded:
            state = "is missing" if found is None else f"has SHA-256 {found[:12]}.."
            raise DataError(
                f"The model of source {source!r} {state}; run {self._run_id!r} was answered by "
                f"{recorded[:12]}..: {path}. Delete it and its card ({path.stem}.json), and make "
                f"it again by 'kedro run --pipeline=ingest --params=source={source}'.",
                source=source,
                found=found,
                recorded=recorded,
            )
        return model

    def _table(self, manifest: Manifest) -> pd.DataFrame:
        """Return the table that the queries were answered from."""
        source, recorded = manifest["data"]["source"], manifest["data"]["table_sha256"]
        path = self._path(manifest, "parquet")
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
    parameters = manifest["parameters"]
    stepwise = method_of(parameters).stepwise
    if stepwise:
        _check_fidelity(manifest)
    if any(name.endswith(".proxy") for name in manifest["artifacts"]):
        return
    if stepwise:
        search = pipeline.replace("_methods", "_search")
        what = (
            "Make the same search with all its artifacts, and diagnose that run: "
            f"kedro run --pipeline={search} --params={shlex.quote(_runtime_parameters(parameters))}"
        )
    else:
        what = f"Method {parameters['method']!r} has no proxy that could be diagnosed."
    raise ParameterError(
        f"Run {run_id!r} of pipeline {pipeline!r} keeps its archive only, no proxy weights. {what}",
        run_id=run_id,
        pipeline=pipeline,
    )


def _runtime_parameters(parameters: Mapping[str, Any]) -> str:
    """Return the runtime parameters of an equal search: those that no default gives."""
    given = {key: parameters[key] for key in _ALWAYS if key in parameters}
    objective = dict(parameters.get("objective") or {})
    if name_of(objective) != name_of(None):
        fields = OBJECTIVES.load(name_of(objective)).model_fields
        defaults = {name: field.get_default() for name, field in fields.items() if name != "name"}
        changed = {k: v for k, v in objective.items() if k not in defaults or v != defaults[k]}
        given |= flatten(changed, "objective")
    resolved = flatten(parameters)
    for key, value in flatten(load_preset(str(parameters.get("preset", "default")))).items():
        if resolved.get(key, value) != value:
            given[key] = resolved[key]
    return ",".join(f"{key}={_as_text(value)}" for key, value in given.items())


def _as_text(value: Any) -> str:
    """Return a value as a runtime parameter."""
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _check_fidelity(manifest: Manifest) -> None:
    """Refuse queries that cost differently: they are not one measurement of a cell each."""
    objective = resolve_objective(manifest["parameters"].get("objective") or {"name": "accuracy"})
    if objective.price.unit != "queries":
        raise ParameterError(
            f"Run {manifest['run_id']!r} measured cells at several fidelities ({objective.label}); "
            "a diagnosis judges a proxy on one value a cell. Its own page has the agreement of the "
            "fidelities, and epochs by step: report.html.",
            run_id=manifest["run_id"],
        )


def diagnosable(reporting: Path) -> list[str]:
    """Return ids of the runs that can be diagnosed, in the order in which they were begun."""
    found = []
    for path in reporting.glob("*/manifest.json"):
        try:
            manifest = read_manifest(reporting, path.parent.name)
            check_diagnosable(manifest)
        except OptiProxyError:
            continue
        found.append((str(manifest.get("created")), path.parent.name))
    return [run_id for _, run_id in sorted(found)]


def _parameters(manifest: Manifest) -> SearchParameters:
    try:
        return validate(SearchParameters, manifest["parameters"])
    except ParameterError as error:
        raise ParameterError(
            f"Run {manifest['run_id']!r} was made by another version of the project "
            f"({error.message}). Repeat the search, or use that version.",
            run_id=manifest["run_id"],
        ) from None
