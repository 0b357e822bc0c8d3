"""Files of strangers: refused by an error of ours, whatever is in them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cost.fuzz import LARGEST, SLOWEST, fuzz, samples
from optiproxy_nas.core.errors import ArtifactError, ResumeError
from optiproxy_nas.runs.atomic_files import file_digest
from optiproxy_nas.runs.manifest import load_manifest, read_manifest

SOUND = {"run_id": "a", "status": "failed", "artifacts": {}, "pipeline": "x", "data": {}}


@pytest.mark.parametrize(
    "facts",
    [
        {"parameters": []},
        {"parameters": {}, "evaluation": [1]},
        {"parameters": {}, "status": None},
        {"parameters": {}, "artifacts": "all"},
        {"parameters": {}, "artifacts": {"journal": "journal.jsonl"}},
        *(
            {"parameters": {}, "artifacts": {"journal": {"path": path, "sha256": "0" * 64}}}
            for path in ("/dev/zero", "data/../../x", "C:\\x", "data\\..\\..\\x", "", None, "a\0")
        ),
        {"parameters": {}, "artifacts": {"journal": {"path": "journal.jsonl"}}},
        *({"parameters": {}, "created": time} for time in ([1], "yesterday", "2026-11-30")),
        {"parameters": {}, "libraries": []},
        {"parameters": {}, "code": {"modules": []}},
        {"parameters": {}, "node_seconds": {"encode": float("nan")}},
        {"parameters": {}, "wall_seconds": "long"},
        {"parameters": {}, "tracking": "maybe"},
        {"parameters": {}, "mlflow_run_id": "../x"},
        *({"parameters": {}, "run_id": name} for name in ("../a", "/a", "a/b", "a\\b", "..", "")),
        {"parameters": {"source": "embedded"}, "data": {"source": "os:abort"}},
        {"parameters": {}, "status": "finished", "result": {}},
    ],
)
def test_a_manifest_that_no_run_writes_is_refused(facts: Any, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**SOUND, **facts}))
    with pytest.raises(ResumeError):
        load_manifest(path)


def test_a_manifest_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b" / "manifest.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**SOUND, "parameters": {}}))
    assert load_manifest(path)["run_id"] == "a"
    with pytest.raises(ResumeError, match="of another run, 'a'"):
        read_manifest(tmp_path, "b")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    os.mkfifo(path)
    with pytest.raises(ResumeError, match="no file"):
        load_manifest(path)
    with pytest.raises(ArtifactError, match="no file"):
        file_digest(path)


def test_a_manifest_nested_without_end_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ResumeError):
        load_manifest(path)


@pytest.mark.slow
def test_changed_files_raise_our_errors_only_and_take_no_memory() -> None:
    for reader in samples():
        found = fuzz(reader, seconds=60)
        assert found["other_errors"] == [], reader
        assert found["slowest_s"] < SLOWEST, reader
        assert found["grown_mb"] < LARGEST, reader
