"""A Kedro dataset of a finished search: what its steps stored, checked against its manifest."""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.loading import open_benchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.benchmarks.tidy_table import table_digest
from optiproxy_nas.core.errors import DataError, OptiProxyError, ParameterError, ResumeError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.core.validation import validate
from optiproxy_nas.evaluation.answered_trials import AnsweredTrials
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.methods import method_of
from optiproxy_nas.objectives import OBJECTIVES, name_of, resolve_objective
from optiproxy_nas.presets import load_preset
from optiproxy_nas.problems.resolution import resolve_problem
from optiproxy_nas.runs.datasets.files import ReadOnlyDataset
from optiproxy_nas.runs.finished import StoredRun
from optiproxy_nas.runs.manifest import (
    Manifest,
    artifacts_by_step,
    manifest_path,
    newest,
    read_manifest,
)

logger = logging.getLogger(__name__)
_ALWAYS = ("dataset", "source", "preset", "seed", "budget")  # of a search, for a message


class RunArtifacts(ReadOnlyDataset[SearchHistory]):
    """A read-only :class:`~optiproxy_nas.evaluation.finished_run.SearchHistory`.

    It is checked and read once, and kept until Kedro releases it: each node of a diagnosis asks
    for it. Every artifact of the manifest must have the SHA-256 that the manifest says, and the
    table that the run's queries were answered from, and the model if one answered, must be the
    same.

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
        self._history: SearchHistory | None = None

    def load(self) -> SearchHistory:
        """Check and read the run, or return what was read before.

        Raises:
            ResumeError: no such run, or it has not finished.
            ParameterError: it is no search run, or one of another version of the project.
            ArtifactError: an artifact is missing or damaged.
            DataError: the table, or the model, is missing or another one.
            UnknownNameError: the source is a plug-in that is not installed here.
        """
        if self._history is None:
            self._history = self._read()
        return self._history

    def _release(self) -> None:
        self._history = None

    def _read(self) -> SearchHistory:
        if self._run_id is None:
            raise ParameterError("Which run? Give --params=run=RUN_ID.", name="run")
        if not manifest_path(self._reporting, self._run_id).exists():
            latest = newest(diagnosable(self._reporting))
            raise ResumeError(
                f"There is no run {self._run_id!r} under {self._reporting}. The latest finished "
                f"searches: {latest or 'none; make one by kedro run --pipeline=nb201_search'}.",
                run_id=self._run_id,
            )
        manifest = read_manifest(self._reporting, self._run_id)
        check_diagnosable(manifest)
        run = StoredRun(self._data.parent, manifest)
        if not run.check_manifest():
            logger.warning(
                "Run %r is of a version whose manifests have no digest: its files are compared "
                "with the manifest, which itself could not be checked.",
                self._run_id,
            )
        run.check()
        parameters, archive = self._parameters(manifest), run.archive()
        return SearchHistory(
            run_id=self._run_id,
            parameters=parameters,
            archive=archive,
            weights=run.tensors("proxy"),
            logits=run.tensors("logits"),
            traces=run.tensors("trace"),
            fitted_rows=run.fitted_rows(),
            benchmark=self._benchmark(manifest)
            if parameters.problem is None
            else AnsweredTrials(resolve_problem(parameters.problem), parameters, archive),
        )

    def _parameters(self, manifest: Manifest) -> SearchParameters:
        try:
            return validate(SearchParameters, manifest["parameters"])
        except ParameterError as error:
            raise ParameterError(
                f"Run {self._run_id!r} was made by another version of the project "
                f"({error.message}). Repeat the search, or use that version.",
                run_id=self._run_id,
            ) from None

    def _benchmark(self, manifest: Manifest) -> Benchmark:
        """Return what answered the run's queries, from table and model."""
        data, model = manifest["data"], b""
        table = self._checked(manifest, "table", "parquet", pd.read_parquet, table_digest)
        if data.get("model_sha256") is not None:
            model = self._checked(manifest, "model", "model", Path.read_bytes, _sha256)
        source = get_source(data["source"])
        return open_benchmark(table, model, manifest["parameters"]["dataset"], source)

    def _checked(
        self,
        manifest: Manifest,
        kind: str,
        suffix: str,
        read: Callable[[Path], Any],
        digest_of: Callable[[Any], str],
    ) -> Any:
        """Return the ingested ``table`` or ``model`` if it is the one that answered the run."""
        source, recorded = manifest["data"]["source"], manifest["data"][f"{kind}_sha256"]
        folder = self._data / "03_primary" / str(manifest["parameters"]["benchmark"])
        path = folder / f"{source}.{suffix}"
        content = read(path) if path.exists() else None
        found = None if content is None else digest_of(content)
        if found != recorded:
            state = "is missing" if found is None else f"has SHA-256 {found[:12]}.."
            raise DataError(
                f"The {kind} of source {source!r} {state}; run {self._run_id!r} was answered by "
                f"{recorded[:12]}..: {path}. Delete it and its card ({path.stem}.json), and make "
                f"it again by 'kedro run --pipeline=ingest --params=source={source}'.",
                source=source,
                found=found,
                recorded=recorded,
            )
        return content

    def _describe(self) -> dict[str, Any]:
        return {"run_id": self._run_id, "path": str(self._reporting)}


def check_diagnosable(manifest: Manifest) -> None:
    """Refuse a run that does not hold what a diagnosis reads.

    Raises:
        ResumeError: it has not finished.
        ParameterError: it keeps no proxy weights, minimises, or measured cells at several
            fidelities.
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
        objective = resolve_objective(parameters.get("objective") or {"name": "accuracy"})
        if objective.direction == "minimize":
            raise ParameterError(
                f"Run {run_id!r} minimises its value; a diagnosis reads runs that maximise. "
                "Its own page has the agreement of the proxy with the queries: report.html.",
                run_id=run_id,
            )
        # Queries that cost differently are not one measurement of a cell each.
        if objective.price.unit != "queries":
            raise ParameterError(
                f"Run {run_id!r} measured cells at several fidelities ({objective.label}); a "
                "diagnosis judges a proxy on one value a cell. Its own page has the agreement of "
                "the fidelities, and epochs by step: report.html.",
                run_id=run_id,
            )
    if artifacts_by_step(manifest["artifacts"], "proxy"):
        return
    advice = f"Method {parameters['method']!r} has no proxy that could be diagnosed."
    if stepwise:
        search = pipeline.replace("_methods", "_search")
        advice = (
            "Make the same search with all its artifacts, and diagnose that run: "
            f"kedro run --pipeline={search} --params={shlex.quote(_runtime_parameters(parameters))}"
        )
    raise ParameterError(
        f"Run {run_id!r} of pipeline {pipeline!r} keeps its archive only, no proxy weights. "
        f"{advice}",
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
    preset = load_preset(str(parameters.get("preset", "default")), name_of(objective))
    sections, values = {*preset, "evolution"}, flatten(preset)
    for key, value in flatten(parameters).items():
        if key.partition(".")[0] in sections and (key not in values or values[key] != value):
            given[key] = value
    return ",".join(f"{key}={_as_text(value)}" for key, value in given.items())


def _as_text(value: Any) -> str:
    """Return a value as a runtime parameter."""
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


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


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
