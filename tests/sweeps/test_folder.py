"""What is in the way of a sweep's tables, and what its record may be."""

import json
from pathlib import Path
from typing import Any

import filelock
import pytest

from optiproxy_nas.core.errors import ArtifactError, DataError, ParameterError, RunLockedError
from optiproxy_nas.runs.atomic_files import lock_folder
from optiproxy_nas.sweeps.record import check_places, read_facts, refuse_other_grid
from optiproxy_nas.sweeps.tables import SCHEMA

FACTS = {
    "schema": SCHEMA,
    "grid_sha256": "a",
    "mlflow_run_id": None,
    "tables": {"runs.parquet": "0"},
}


@pytest.mark.parametrize("name", [".lock", "sweep.json", "results.parquet", "runs.parquet"])
def test_a_folder_where_a_file_is_to_be(tmp_path: Path, name: Any) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=f"{name} is a folder.*Move it away, or .*--name"):
        check_places(tmp_path)


@pytest.mark.parametrize("place", ["sweeps", "sweeps/x"])
def test_a_file_where_a_folder_is_to_be(tmp_path: Path, place: Any) -> None:
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(DataError, match=f"{place} is a file.*Move it away") as caught:
        check_places(tmp_path / "sweeps" / "x")
    assert ("--name" in caught.value.message) == (place == "sweeps/x")  # else it does not help


def test_the_lock(tmp_path: Path) -> None:
    folder = tmp_path / "sweeps" / "x"
    check_places(folder)
    with lock_folder(folder, "sweep 'x'"), pytest.raises(filelock.Timeout):
        filelock.FileLock(folder / ".lock", timeout=0).acquire()
    with filelock.FileLock(folder / ".lock"), pytest.raises(RunLockedError, match="'x'"):
        lock_folder(folder, "sweep 'x'")


@pytest.mark.parametrize(
    "text", ["5", "[]", "null", "{}", f'{{"schema": {SCHEMA}}}', json.dumps(FACTS | {"tables": 5})]
)
def test_a_record_that_is_none(tmp_path: Path, text: Any) -> None:
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"sweep\.json is not the record of a sweep.*--name"):
        read_facts(tmp_path)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff"])
def test_a_record_that_cannot_be_read(tmp_path: Path, data: Any) -> None:
    (tmp_path / "sweep.json").write_bytes(data)
    with pytest.raises(ArtifactError, match=r"sweep\.json is not readable.*Move the folder away"):
        read_facts(tmp_path)


def test_records(tmp_path: Path) -> None:
    assert read_facts(tmp_path) is None
    (tmp_path / "sweep.json").write_text(json.dumps(FACTS))
    assert read_facts(tmp_path) == FACTS


def test_tables_of_another_grid_are_kept() -> None:
    with pytest.raises(ParameterError, match=r"'x' has tables of another grid.*another --name"):
        refuse_other_grid(Path("x"), "x", FACTS, "b")
    refuse_other_grid(Path("x"), "x", FACTS, "a")
    refuse_other_grid(Path("x"), "x", {**FACTS, "tables": {}}, "b")  # nothing to lose
