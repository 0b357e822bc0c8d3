"""Going on with runs whose manifest was edited: nothing of theirs, or of others, is changed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from optiproxy_nas.core.errors import ArtifactError, ResumeError, TrackingError
from optiproxy_nas.pipelines import repetition
from optiproxy_nas.runs.mlflow_run import MlflowRun
from optiproxy_nas.runs.run_record import RunRecord

PARAMETERS = {
    "space": "nb201",
    "method": "optiproxy",
    "source": "embedded",
    "seed": 0,
    "objective": {"name": "accuracy"},
}


def record(project: Path, resume: bool) -> RunRecord:
    return RunRecord(project, "mine", "nb201_search", PARAMETERS, False, resume)


@pytest.mark.heavy
def test_an_edited_manifest_is_not_gone_on_with(tmp_path: Path) -> None:
    first = record(tmp_path, resume=False)
    first.close("finished", artifacts={})
    first.release()
    facts = json.loads(first.path.read_bytes())
    first.path.write_text(json.dumps({**facts, "status": "failed"}))
    edited = first.path.read_bytes()
    with pytest.raises(ArtifactError) as caught:
        record(tmp_path, resume=True)
    assert caught.value.data["name"] == "manifest"
    assert first.path.read_bytes() == edited
    first.path.write_text(json.dumps({**facts, "status": "failed", "manifest_sha256": None}))
    record(tmp_path, resume=True).release()  # of a version whose manifests had no digest


@pytest.mark.parametrize("name", ["deploy", "ingest", "nb201_search"])
def test_only_a_search_is_run_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's manifest has no other pipeline of the project run."""
    kinds = {"nb201_search": "search", "ingest": "ingest"}
    found = {name: SimpleNamespace(kind=kind) for name, kind in kinds.items()}
    monkeypatch.setattr(repetition, "registered", lambda: found)
    manifest = {"run_id": "mine", "pipeline": name}
    if name == "nb201_search":
        assert repetition.pipeline_of_run(manifest) == name
    else:
        with pytest.raises(ResumeError):
            repetition.pipeline_of_run(manifest)


class Client:
    """Of a store with a run of ours that is named "yours"; it can only be looked at."""

    def get_run(self, mlflow_id: str) -> Any:
        info = SimpleNamespace(artifact_uri="", status="FINISHED")
        return SimpleNamespace(
            info=info, data=SimpleNamespace(tags={"run_id": "yours"}, params={"seed": "0"})
        )


def test_the_mlflow_run_of_another_run_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MlflowRun, "client", Client())
    run = MlflowRun(tmp_path, "nb201_search")
    with pytest.raises(TrackingError, match="which is of 'yours'"):
        run.start("mine", {}, {}, resume="0123")
    with pytest.raises(TrackingError, match="which is of 'yours'"):
        run.log_later("0123", "mine", [tmp_path], "diagnose")
