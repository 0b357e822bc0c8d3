"""Files that are whole or absent, with a digest beside them, and folders of one process.

A killed process, a full disk or a second writer never leaves a half-written file to be read: data
go to a temporary file beside the target, which is renamed at the end.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from optiproxy_nas.core.errors import ArtifactError, DataError, RunLockedError
from optiproxy_nas.core.secrets import masked_values

LOCK = ".lock"  # of a folder
PARTIAL = ".partial-"
MANY = 4  # files that are not flushed one by one


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits.

    Raises:
        ArtifactError: it is a pipe or a device, which might be read without end.
    """
    if path.exists() and not path.is_file():
        raise ArtifactError(
            f"{path} is no file. Something was put in its place: take it away, and restore the "
            "file, or run again.",
            path=str(path),
        )
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_path(path: Path) -> Path:
    """Return the file that keeps the digest of ``path``."""
    return path.with_name(path.name + ".sha256")


@contextmanager
def replacing(path: Path, flushed: bool = False) -> Iterator[Path]:
    """Yield a temporary path, whose file takes the place of ``path`` at the end.

    A reader sees the old content or the new, never a part. An error leaves the old.

    Args:
        path: the file.
        flushed: whether it is on the disk at the end, so that no power failure takes it away.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        yield partial
        if flushed:
            _flush(partial)
        os.replace(partial, path)
        if flushed:
            _flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def flush_files(paths: Iterable[Path]) -> None:
    """Have files on the disk, with their digest files and their names; some may be missing.

    Many are flushed with all of their file system, which takes about as long as one of them.
    """
    files = [file for path in paths for file in (path, digest_path(path)) if file.exists()]
    by_file_system = {file.stat().st_dev: file for file in files}
    if len(files) > MANY and all(map(_flush_file_system, by_file_system.values())):
        return
    # Of a version, its folder too is new, and so is that of all versions.
    folders = {folder for file in files for folder in (file.parents[0], file.parents[1])}
    for path in [*files, *sorted(folders)]:
        _flush(path)


def _flush_file_system(path: Path) -> bool:
    """Flush all of the file system that a file lies in; return False where that cannot be done."""
    try:
        syncfs = ctypes.CDLL(None).syncfs  # of Linux
    except (OSError, TypeError, AttributeError):
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        return bool(syncfs(handle) == 0)
    finally:
        os.close(handle)


def _flush(path: Path) -> None:
    """Wait until what a file holds, or which names a folder has, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folder, and keeps its names by itself
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_json(path: Path, value: Any, flushed: bool = True) -> None:
    """Write a record as JSON without its secrets, whole or not at all; on the disk if flushed."""
    with replacing(path, flushed) as partial:
        partial.write_bytes(json_bytes(masked_values(value)))


def json_bytes(value: Any) -> bytes:
    """Return a record as :func:`write_json` lays it out."""
    return (json.dumps(value, indent=1) + "\n").encode()


def lock_folder(folder: Path, user: str, **data: Any) -> filelock.AcquireReturnProxy[Any]:
    """Make a folder and return its lock, held; ``with`` gives it up.

    Args:
        folder: the folder, which holds the lock file.
        user: what the folder belongs to, for the message: ``run 'mine'``.
        **data: facts for the error.

    Raises:
        RunLockedError: another process holds the lock.
        DataError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(folder / LOCK, timeout=0).acquire()
    except filelock.Timeout:
        raise RunLockedError(
            f"Another process is working on {user}. Wait for it, or use another name.", **data
        ) from None
    except OSError as error:
        raise DataError(
            f"Cannot write to the data directory {folder}: {error.strerror}. Make it writable, or "
            "work in a copy of the project.",
            path=str(folder),
        ) from error


def verify(path: Path) -> str:
    """Return the digest of a stored file if it is the recorded one.

    Raises:
        ArtifactError: the file was changed after it was written, or its digest is missing.
    """
    found = file_digest(path)
    sidecar = digest_path(path)
    recorded = (
        sidecar.read_text(encoding="utf-8", errors="replace").partition(" ")[0]
        if sidecar.is_file()
        else "(no digest file)"
    )
    if found != recorded:
        raise ArtifactError(
            f"{path} is not the file that was written: SHA-256 {found}, recorded {recorded} in "
            f"{sidecar.name}. It was edited or damaged. Restore it, or delete it and run again "
            "(a search goes on with 'kedro run --resume RUN_ID').",
            path=str(path),
            found=found,
            recorded=recorded,
        )
    return found
