"""One reader of finished runs: from a run's folder, from MLflow, from the tables of a sweep."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.runs.finished import StoredRun
from optiproxy_nas.runs.manifest import ANCHOR, SEAL, sealed
from optiproxy_nas.runs.mlflow_reader import RECORD_TAG, MlflowReader

ARCHIVE = pd.DataFrame(
    {"order": [1, 0], "architecture": ["b", "a"], "value": [2.0, 3.0], "best": [3.0, 3.0]}
)
PARAMETERS = {"space": "nb201", "dataset": "cifar10", "source": "embedded", "seed": 4, "budget": 2}


def sha256(path: Any) -> Any:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest_of(project: Any, **files: Any) -> Any:
    """A manifest of files that are there."""
    artifacts = {}
    for name, path in files.items():
        facts = {"path": path, "sha256": sha256(project / path)}
        artifacts[name.replace("__", ".")] = facts
    return {
        "run_id": "mine",
        "pipeline": "nb201_methods",
        "status": "finished",
        "parameters": PARAMETERS,
        "data": {"table_sha256": "d" * 64},
        "code": {"search_sha256": "c" * 64, "modules": {"loop": "1"}},
        "git": {"commit": "e" * 40, "clean": True},
        "libraries": {"torch": "2"},
        "artifacts": artifacts,
        "result": {
            "optimum": 3.0,
            "constraints": [{"metric": "a_ms", "margin": m} for m in (2, 1)],
        },
    }


@pytest.fixture
def stored(tmp_path: Path) -> Any:
    ARCHIVE.to_parquet(tmp_path / "archive.parquet")
    for step in (2, 10):
        save_file({"w": torch.full((1,), float(step))}, tmp_path / f"{step}.safetensors")
    return StoredRun(
        tmp_path,
        manifest_of(
            tmp_path,
            result__archive="archive.parquet",
            step_10__proxy="10.safetensors",
            step_02__proxy="2.safetensors",
        ),
    )


def test_a_folder_is_read_into_the_record(stored: Any) -> None:
    run = stored.read()
    assert (run.run_id, run.seed, run.budget, run.optimum) == ("mine", 4, 2, 3.0)
    assert run.archive_by_query["spent"].tolist() == [1, 2]
    assert run.archive_by_query["architecture"].tolist() == ["a", "b"]
    assert run.summary["margins"] == {"a_ms": 1.0}
    assert run.table == "d" * 64
    assert run.tags["git.clean"] == "True"
    assert run.modules == {"loop": "1"}


def test_tensors_are_in_the_order_of_the_steps(stored: Any) -> None:
    assert [step for step, _ in stored.tensors("proxy").items()] == [2, 10]
    assert stored.proposals() is None


def test_an_edited_manifest_is_told(tmp_path: Path, stored: Any) -> None:
    assert not stored.check_manifest()  # of a version that wrote no digest
    manifest = sealed(stored.manifest)
    assert StoredRun(tmp_path, manifest).check_manifest()
    with pytest.raises(ArtifactError):
        StoredRun(tmp_path, {**manifest, "created": "yesterday"}).check_manifest()


def test_a_word_that_is_a_secret_elsewhere_is_no_edit(
    tmp_path: Path, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = sealed(stored.manifest)
    monkeypatch.setenv("SOME_TOKEN", "nb201_methods")
    assert StoredRun(tmp_path, manifest).check_manifest()


def test_a_changed_and_a_missing_artifact_are_told(stored: Any, tmp_path: Path) -> None:
    stored.check()
    (tmp_path / "2.safetensors").write_bytes(b"edited")
    stored.check(["result.archive"])
    with pytest.raises(ArtifactError) as caught:
        stored.check()
    assert caught.value.data["name"] == "step_02.proxy"
    (tmp_path / "archive.parquet").unlink()
    with pytest.raises(ArtifactError) as caught:
        stored.check(["result.archive"])
    assert caught.value.data["found"] is None


class Client:
    """An MLflow client whose artifacts lie in folders, one a run."""

    def __init__(self, folder: Any) -> None:
        self._folder = folder

    def list_artifacts(self, run_id: Any) -> Any:
        folder = self._folder / run_id
        return [SimpleNamespace(path=path.name) for path in folder.glob("*")]

    def get_run(self, run_id: Any) -> Any:
        """The parent of a sweep, with a tag that vouches for its record, if it has one."""
        record = self._folder / run_id / "sweep.json"
        tags = {RECORD_TAG: sha256(record)} if record.exists() else {}
        return mlflow_run(run_id, **tags)

    def download_artifacts(self, run_id: Any, path: Any, target: Any) -> Any:
        return shutil.copy(self._folder / run_id / path, target)


def mlflow_run(reference: Any, **tags: Any) -> Any:
    info = SimpleNamespace(run_id=reference, run_name=reference)
    return SimpleNamespace(
        info=info, data=SimpleNamespace(tags=tags, metrics={"final/margin_a_ms": 0.5})
    )


@pytest.fixture
def reader(tmp_path: Path, stored: Any) -> Any:
    """A store of one run, of one without a manifest, and of a sweep with two points."""
    store, temporary = tmp_path / "store", tmp_path / "temporary"
    temporary.mkdir()
    for run_id in ("whole", "partial", "sweep"):
        (store / run_id).mkdir(parents=True)
    for run_id in ("whole", "partial"):
        shutil.copy(stored.path("result.archive"), store / run_id)
    (store / "whole" / "manifest.json").write_text(json.dumps(stored.manifest))
    rows = pd.DataFrame({"query": [1, 2], "architecture": "a", "value": [1.0, 2.0]})
    rows = rows.assign(best=rows["value"], spent=[1, 2], run_id="point")
    rows.to_parquet(store / "sweep" / "results.parquet")
    facts = {"parameters": json.dumps(PARAMETERS), "optimum": 5.0, "test_accuracy": 1.0}
    pd.DataFrame(
        [
            {"run_id": "point", "status": "finished", "best_architecture": "a", **facts},
            {"run_id": "broken", "status": "failed", "best_architecture": "", **facts},
        ]
    ).to_parquet(store / "sweep" / "runs.parquet")
    return MlflowReader(Client(store), temporary)


def test_a_run_of_its_own_is_read_from_its_manifest_and_archive(reader: Any, stored: Any) -> None:
    run = reader.read(mlflow_run("whole", **{"mlflow.user": "me"}))
    assert run.settings == stored.read().settings
    assert run.reference == "whole"
    assert run.tags["mlflow.user"] == "me"
    assert reader.read(mlflow_run("partial")) is None


def test_a_point_of_a_sweep_is_read_from_the_tables_of_its_parent(reader: Any) -> None:
    tags = {"run_id": "point", "mlflow.parentRunId": "sweep", "data.sha256": "f"}
    run = reader.read(mlflow_run("lean", **tags))
    assert (run.run_id, run.reference, run.table, run.answer) == ("point", "lean", "f", 2.0)
    assert run.summary["margins"] == {"a_ms": 0.5}
    assert reader.points("sweep") == {"point", "broken"}
    (earlier,), failed = reader.other_points("sweep", {"another"})
    assert (earlier.reference, earlier.optimum, failed) == ("sweep", 5.0, 1)


def test_what_is_no_manifest_is_told(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "store" / "whole" / "manifest.json").write_text("[]")
    with pytest.raises(ArtifactError) as caught:
        reader.read(mlflow_run("whole"))
    assert caught.value.data["run_id"] == "whole"


def test_an_archive_that_its_manifest_does_not_describe_is_refused(
    reader: Any, tmp_path: Path
) -> None:
    ARCHIVE.assign(best=99.0).to_parquet(tmp_path / "store" / "whole" / "archive.parquet")
    with pytest.raises(ArtifactError) as caught:
        reader.read(mlflow_run("whole"))
    assert caught.value.data["path"] == "archive.parquet"


def test_a_manifest_is_checked_where_the_store_has_its_digest(reader: Any, tmp_path: Path) -> None:
    path = tmp_path / "store" / "whole" / "manifest.json"
    recorded = sealed(json.loads(path.read_text()))[SEAL]
    assert reader.read(mlflow_run("whole", **{ANCHOR: recorded})) is not None
    assert reader.unchecked == []
    reader.read(mlflow_run("whole"))
    assert reader.unchecked == ["whole"]
    path.write_text(path.read_text().replace('"seed": 4', '"seed": 5'))
    with pytest.raises(ArtifactError):
        reader.read(mlflow_run("whole", **{ANCHOR: recorded}))


def test_tables_of_a_sweep_are_checked_where_the_store_has_the_digest_of_its_record(
    reader: Any, tmp_path: Path
) -> None:
    assert reader.sweep("sweep") is not None
    assert reader.unchecked == ["sweep"]
    folder = tmp_path / "store" / "sweep"
    tables = {name: sha256(folder / name) for name in ("results.parquet", "runs.parquet")}
    (folder / "sweep.json").write_text(json.dumps({"tables": tables}))
    again = MlflowReader(reader._client, tmp_path / "temporary")
    assert again.sweep("sweep") is not None
    assert again.unchecked == []
    (folder / "results.parquet").write_bytes(b"edited")
    with pytest.raises(ArtifactError):
        MlflowReader(reader._client, tmp_path / "temporary").sweep("sweep")
