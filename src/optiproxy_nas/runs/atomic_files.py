"""Files that are whole or absent, with a digest beside them.

A killed process, a full disk or a second writer never leaves a half-written file to be read: data
go to a temporary file beside the target, which is renamed at the end.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from optiproxy_nas.core.errors import ArtifactError

PARTIAL = ".partial-"


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_path(path: Path) -> Path:
    """Where the digest of ``path`` is kept."""
    return path.with_name(path.name + ".sha256")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def verify(path: Path) -> str:
    """Return the digest of a stored file if it is the recorded one.

    Raises:
        ArtifactError: the file was changed after it was written, or its digest is missing.
    """
    found = file_digest(path)
    sidecar = digest_path(path)
    recorded = sidecar.read_text().partition(" ")[0] if sidecar.exists() else "(no digest file)"
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
