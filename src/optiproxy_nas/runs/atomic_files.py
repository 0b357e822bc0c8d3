"""Files that are whole or absent, with a digest beside them, and folders of one process.

A killed process, a full disk or a second writer never leaves a half-written file to be read: data
go to a temporary file beside the target, which is renamed at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from optiproxy_nas.core.errors import ArtifactError, DataError, RunLockedError
from optiproxy_nas.core.secrets import masked_values

PARTIAL = ".partial-"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_path(path: Path) -> Path:
    """Return the file that keeps the digest of ``path``."""
    return path.with_name(path.name + ".sha256")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path, whose file takes the place of ``path`` at the end.

    A reader sees the old content or the new, never a part. An error leaves the old.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON without its secrets, whole or not at all."""
    write_atomically(path, (json.dumps(masked_values(value), indent=1) + "\n").encode())


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
        return filelock.FileLock(folder / ".lock", timeout=0).acquire()
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
        sidecar.read_text(encoding="utf-8").partition(" ")[0]
        if sidecar.exists()
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
