"""What an audit finds without repeating the search: edits of the manifest, files, the table."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from pathlib import Path

from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.benchmarks.table_digests import published_digest
from optiproxy_nas.core.errors import ArtifactError, OptiProxyError, first_line, message_of
from optiproxy_nas.runs.atomic_files import LOCK, digest_path, json_bytes, verify
from optiproxy_nas.runs.manifest import (
    ANCHOR,
    SEAL,
    Manifest,
    digest,
    manifest_path,
    reporting_folder,
    seal_of,
)
from optiproxy_nas.runs.run_record import SECONDS
from optiproxy_nas.runs.tracking import MlflowTracker

# Of a run's folders: what its trainings and a diagnosis write, which no manifest lists.
_OF_OTHERS = ("trials", "diagnose")
_BESIDE_JOURNAL = ("test.json", "latency.json", ".journal.jsonl.lock")
_NO_SIDECAR = ("journal", "report.model/")  # artifacts whose digest stands in the manifest alone


def edits(manifest: Manifest) -> Iterator[str]:
    """Yield what shows that the manifest is not the one that the run wrote."""
    if SEAL not in manifest:
        yield "manifest: it has no digest of itself: it is of an earlier version, or was edited"
    elif seal_of(manifest) != manifest[SEAL]:
        yield "manifest: an entry was edited, its digest is not the one of its entries"


def not_as_written(project: Path, run_id: str, manifest: Manifest) -> Iterator[str]:
    """Yield what shows that the file of a manifest was edited, also where its entries agree."""
    if digest(manifest["parameters"]) != manifest["parameters_sha256"]:
        yield "manifest: its parameters are not those of their digest"
    if manifest_path(reporting_folder(project), run_id).read_bytes() != json_bytes(manifest):
        yield "manifest: its file is laid out in another way than the run wrote it"


def wrong_anchor(project: Path, manifest: Manifest) -> tuple[list[str], list[str]]:
    """Return (what is wrong, notes) of the manifest against the digest that MLflow keeps of it.

    The store is asked for the run by its id, so that a manifest which names no MLflow run, or
    another one, is found too.
    """
    if not (project / "mlflow.db").exists() and not os.environ.get("MLFLOW_TRACKING_URI"):
        named = manifest.get("mlflow_run_id")
        return [], [f"MLflow: not asked, there is no store for run {named}"] if named else []
    tracker = MlflowTracker(project, str(manifest["pipeline"]))
    try:
        found = _runs(tracker, manifest["run_id"])
    except Exception as error:  # MLflow, SQLAlchemy, requests: each has its own
        return [], [f"MLflow: not asked, the store cannot be read: {first_line(error)}"]
    named = manifest.get("mlflow_run_id")
    if named is None and not found:
        return [], []
    if named not in found:
        return [f"MLflow: the manifest names run {named}, the store has {sorted(found)}"], []
    if found[named] is None:
        return [], ["MLflow: not compared, the store keeps no digest of the manifest"]
    if found[named] != manifest.get(SEAL):
        return [f"MLflow: the manifest is not the one that the store knows ({named})"], []
    return [], []


def _runs(tracker: MlflowTracker, run_id: str) -> dict[str, str | None]:
    """Return MLflow id -> digest of the manifest, of the store's runs with our id."""
    experiments = [found.experiment_id for found in tracker.client.search_experiments()]
    quoted = run_id.replace("'", "\\'")
    runs = tracker.client.search_runs(experiments, f"tags.run_id = '{quoted}'")
    return {run.info.run_id: run.data.tags.get(ANCHOR) for run in runs}


def strays(project: Path, manifest: Manifest) -> tuple[list[str], list[str]]:
    """Return (files of the run that its manifest does not list, notes).

    A version of an artifact that is older than the listed one is a note: a run that was killed and
    resumed leaves it, and nothing reads it.
    """
    listed = {facts["path"] for facts in manifest["artifacts"].values()}
    versions = {str(Path(path).parents[1]): path for path in listed if len(Path(path).parts) > 2}
    wrong, notes = [], []
    for folder in sorted((project / "data").glob(f"0*_*/{manifest['run_id']}")):
        for file in sorted(path for path in folder.rglob("*") if not path.is_dir()):
            path = file.relative_to(project).as_posix()
            if file.is_symlink():
                wrong.append(f"{path}: it is a link")
                continue
            if _is_expected(file, path, folder, listed):
                continue
            current = versions.get(str(Path(path).parents[1]))
            name = file.name.removesuffix(".sha256")
            if current is not None and path < current and file.parent.parent.name == name:
                notes.append(f"{path}: an older version, which nothing reads")
            else:
                wrong.append(f"{path}: no manifest lists it")
    return wrong, notes


def _is_expected(file: Path, path: str, folder: Path, listed: set[str]) -> bool:
    if path in listed or file.relative_to(folder).parts[0] in _OF_OTHERS:
        return True
    if file.parent == folder and file.name in (LOCK, SECONDS, "manifest.json", *_BESIDE_JOURNAL):
        return True
    # A digest file without its file is what a kill between the two leaves.
    described = path.removesuffix(".sha256")
    return described != path and (described in listed or not file.with_suffix("").exists())


def wrong_digest_files(
    project: Path, manifest: Manifest, but: Container[str] = ()
) -> Iterator[str]:
    """Yield the artifacts, but some, whose digest file is missing or was edited."""
    for name, facts in manifest["artifacts"].items():
        path = project / facts["path"]
        beside = digest_path(path)
        if name in but or not path.exists() or name.startswith(_NO_SIDECAR):
            continue
        if not beside.is_file():
            yield f"{name}: its digest file is missing ({beside})"
        elif beside.read_bytes() != f"{facts['sha256']}  {path.name}\n".encode():
            yield f"{name}: its digest file was edited ({beside})"


def wrong_table(project: Path, manifest: Manifest) -> tuple[list[str], list[str]]:
    """Return (what is wrong, notes) of the run's table against the files that it was made of."""
    data = manifest["data"]
    if "table_sha256" not in data:
        return [], []
    source = str(data["source"])
    if wrong := list(_edited_tables(project, str(manifest["parameters"].get("benchmark")), source)):
        return wrong, []
    try:
        if get_source(source).model is not None:
            return [], [f"data: the model that answers for source {source!r} was not made anew"]
        published = published_digest(source, project / "data" / "01_raw")
    except OptiProxyError as error:
        return [], [f"data: the table was not made anew: {message_of(error)}"]
    if published != data["table_sha256"]:
        recorded = data["table_sha256"]
        return [
            f"data: the table that answered is not made of the files of source {source!r}: SHA-256 "
            f"{recorded[:12]}.. then, {published[:12]}.. of the files"
        ], []
    return [], []


def _edited_tables(project: Path, benchmark: str, source: str) -> Iterator[str]:
    """Yield the files of an ingested source that are not the ones that were written."""
    for kind in ("parquet", "json", "model"):
        path = project / "data" / "03_primary" / benchmark / f"{source}.{kind}"
        try:
            if path.exists():
                verify(path)
        except ArtifactError as error:
            yield f"data: {error.message}"
