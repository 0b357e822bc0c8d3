"""Files that a manifest relies on are flushed to the disk, one by one or with their file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from optiproxy_nas.runs import atomic_files
from optiproxy_nas.runs.atomic_files import digest_path, flush_files, write_json


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files and folders in the order in which they are flushed."""
    paths: list[Path] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        paths.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux names open files so")
def test_a_record_is_flushed_before_it_gets_its_name(tmp_path: Path, flushed: list[Path]) -> None:
    write_json(tmp_path / "manifest.json", {})
    file, folder = flushed
    assert file.name.startswith(atomic_files.PARTIAL)
    assert folder == tmp_path


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux names open files so")
@pytest.mark.parametrize("count", [1, 10])
def test_artifacts_are_flushed_with_digests_and_names(
    tmp_path: Path, flushed: list[Path], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    file_systems: list[Path] = []

    def flush(path: Path) -> bool:
        file_systems.append(path)
        return False  # not Linux

    monkeypatch.setattr(atomic_files, "_flush_file_system", flush)
    files = [tmp_path / f"{number}" / "version" / "file" for number in range(count)]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("some")
        digest_path(file).write_text("digest")
    flush_files([*files, tmp_path / "missing"])
    folders = {folder for file in files for folder in file.parents[:2]}
    assert set(flushed) == {*files, *map(digest_path, files), *folders}
    assert len(file_systems) == (count > 1)


def test_a_file_system_is_flushed_where_the_system_can(tmp_path: Path) -> None:
    assert atomic_files._flush_file_system(tmp_path) == os.path.exists("/proc/self/fd")
