"""AtomicDataset: the whole file or nothing, and never a changed one."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import AbstractDataset, DatasetError, Version

from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.runs.atomic_files import digest_path, file_digest, write_atomically
from optiproxy_nas.runs.datasets import AtomicDataset


class Bytes(AbstractDataset[Any, Any]):
    """Writes in two parts; ``between`` happens after the first."""

    between = staticmethod(lambda: None)

    def __init__(self, *, filepath: Any) -> None:
        self._path = filepath

    def load(self) -> Any:
        with open(self._path, "rb") as file:
            return file.read()

    def save(self, data: Any) -> None:
        with open(self._path, "wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            self.between()
            file.write(data[len(data) // 2 :])

    def _describe(self) -> Any:
        return {}


def dataset(path: Path, version: Any = None) -> Any:
    return AtomicDataset(filepath=str(path), dataset={"type": Bytes}, version=version)


def no_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def save_in_child(entry: Any, data: Any) -> Any:
    """Save in a forked process; the signal that ended it, or 0."""
    pid = os.fork()
    if pid == 0:
        try:
            entry.save(data)
        finally:
            os._exit(0)
    status = os.waitpid(pid, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def test_round_trip(tmp_path: Path) -> None:
    entry = dataset(tmp_path / "a" / "b.bin")
    assert not entry.exists()
    assert entry.stored() is None
    entry.save(b"content")
    assert entry.exists()
    assert entry.load() == b"content"
    assert dataset(tmp_path / "a" / "b.bin").load() == b"content"
    assert entry.stored() == tmp_path / "a" / "b.bin"
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["b.bin", "b.bin.sha256"]


def test_digest_file_is_that_of_sha256sum(tmp_path: Path) -> None:
    path = tmp_path / "b.bin"
    dataset(path).save(b"content")
    assert digest_path(path).read_text() == f"{file_digest(path)}  b.bin\n"


def test_versions(tmp_path: Path) -> None:
    path = tmp_path / "b.bin"
    for version in ("2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"):
        dataset(path, Version(None, version)).save(version.encode())
    latest = dataset(path, Version(None, None))
    assert latest.exists()
    assert latest.load() == b"2026-01-02T00.00.00.000Z"
    assert latest.stored() == path / "2026-01-02T00.00.00.000Z" / "b.bin"
    first = dataset(path, Version("2026-01-01T00.00.00.000Z", None))
    assert first.load() == b"2026-01-01T00.00.00.000Z"


def test_any_kedro_dataset_can_be_wrapped(tmp_path: Path) -> None:
    entry = AtomicDataset(
        filepath=str(tmp_path / "t.parquet"), dataset={"type": "pandas.ParquetDataset"}
    )
    frame = pd.DataFrame({"a": [1, 2]})
    entry.save(frame)
    entry.release()
    pd.testing.assert_frame_equal(entry.load(), frame)


@pytest.mark.parametrize("version", [None, Version(None, "2026-01-01T00.00.00.000Z")])
def test_failed_save_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: Any
) -> None:
    entry = dataset(tmp_path / "b.bin", version)
    monkeypatch.setattr(Bytes, "between", staticmethod(no_space))
    with pytest.raises((OSError, DatasetError), match="No space left on device"):
        entry.save(b"content")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not entry.exists()
    with pytest.raises(DatasetError):
        entry.load()


def test_failed_save_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = dataset(tmp_path / "b.bin")
    entry.save(b"content")
    monkeypatch.setattr(Bytes, "between", staticmethod(no_space))
    with pytest.raises((OSError, DatasetError)):
        entry.save(b"something else")
    assert entry.load() == b"content"


def test_no_room_for_the_digest_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = dataset(tmp_path / "b.bin")
    monkeypatch.setattr("pathlib.Path.write_bytes", lambda *_: no_space())
    with pytest.raises((OSError, DatasetError), match="No space left on device"):
        entry.save(b"content")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.heavy
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("version", [None, Version(None, "2026-01-01T00.00.00.000Z")])
def test_killed_while_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: Any
) -> None:
    entry = dataset(tmp_path / "b.bin", version)
    monkeypatch.setattr(Bytes, "between", staticmethod(die))
    assert save_in_child(entry, b"content") == signal.SIGKILL
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) == 1
    assert left[0].startswith(".partial-")
    assert not entry.exists()
    with pytest.raises(DatasetError):
        dataset(tmp_path / "b.bin", version and Version(None, None)).load()
    monkeypatch.undo()
    again = dataset(tmp_path / "b.bin", version and Version(None, "2026-01-02T00.00.00.000Z"))
    again.save(b"content")
    assert again.load() == b"content"


@pytest.mark.heavy
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_between_digest_and_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = dataset(tmp_path / "b.bin")
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        if str(target).endswith(".bin"):
            die()
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    assert save_in_child(entry, b"content") == signal.SIGKILL
    monkeypatch.undo()
    assert digest_path(tmp_path / "b.bin").exists()
    assert not entry.exists()
    with pytest.raises(DatasetError):
        entry.load()
    entry.save(b"content")
    assert entry.load() == b"content"


def test_edited_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.bin"
    entry = dataset(path)
    entry.save(b"content")
    path.write_bytes(b"c0ntent")
    entry = dataset(path)
    with pytest.raises(
        (ArtifactError, DatasetError), match="is not the file that was written"
    ) as e:
        entry.load()
    assert "b.bin" in str(e.value)


def test_file_without_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.bin"
    entry = dataset(path)
    entry.save(b"content")
    digest_path(path).unlink()
    entry = dataset(path)
    with pytest.raises((ArtifactError, DatasetError), match="no digest file"):
        entry.load()


@pytest.mark.parametrize("content", [b"", b"\n", b"not a digest\n", b"\xd8 of no text"])
def test_file_with_a_broken_digest_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.bin"
    entry = dataset(path)
    entry.save(b"content")
    digest_path(path).write_bytes(content)
    entry = dataset(path)
    with pytest.raises((ArtifactError, DatasetError), match="is not the file that was written"):
        entry.load()


def test_artifact_error_carries_its_facts(tmp_path: Path) -> None:
    path = tmp_path / "b.bin"
    entry = dataset(path)
    entry.save(b"content")
    recorded = file_digest(path)
    path.write_bytes(b"other")
    entry = dataset(path)
    with pytest.raises((ArtifactError, DatasetError)) as caught:
        entry.load()
    error: Any = caught.value
    while not isinstance(error, ArtifactError):
        error = error.__cause__
    assert error.data == {"path": str(path), "found": file_digest(path), "recorded": recorded}


def test_write_atomically_leaves_old_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.json"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, "replace", lambda *_: no_space())
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]
