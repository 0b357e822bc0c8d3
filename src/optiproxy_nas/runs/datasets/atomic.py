"""A Kedro dataset that wraps any other and makes its file whole or absent, with a digest.

A killed process, a full disk or a second writer never leaves a half-written file to be read: data
go to a temporary file beside the target, its SHA-256 is written to ``<target>.sha256``, and only
then is the file renamed. ``load`` checks the digest, so a file edited by hand is refused.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset, AbstractVersionedDataset, Version
from kedro.io.core import parse_dataset_definition

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


class AtomicDataset(AbstractVersionedDataset[Any, Any]):
    """Any single-file dataset, written atomically and checked when it is read.

    Example:
        .. code-block:: yaml

            "{step}.archive":
              type: optiproxy_nas.runs.datasets.AtomicDataset
              dataset: {type: pandas.ParquetDataset}
              filepath: data/07_model_output/${run:run_id}/{step}/archive.parquet
              versioned: true

    Args:
        filepath: the target, local.
        dataset: config of the wrapped dataset, without its filepath.
        version: of Kedro, where the entry is ``versioned``.
        metadata: free; ``{mlflow: true}`` has the file logged as an MLflow artifact.
    """

    def __init__(
        self,
        *,
        filepath: str,
        dataset: dict[str, Any],
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(PurePosixPath(filepath), version)
        self._class, self._config = parse_dataset_definition(dict(dataset))
        self.metadata = metadata
        self._saved: tuple[Path, Any] | None = None

    def _inner(self, path: Path) -> AbstractDataset[Any, Any]:
        return self._class(**self._config, filepath=str(path))  # type: ignore[call-arg]

    def load(self) -> Any:
        """Read the latest (or the pinned) version; what was just saved comes from memory.

        Raises:
            ArtifactError: its digest is not the recorded one.
        """
        path = Path(self._get_load_path())
        if self._saved is not None and self._saved[0] == path:
            return self._saved[1]
        if path.exists():
            verify(path)
        return self._inner(path).load()

    def save(self, data: Any) -> None:
        """Write a version: the whole file or nothing."""
        path = Path(self._get_save_path())
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
        try:
            self._inner(partial).save(data)
            digest = file_digest(partial)
            write_atomically(digest_path(path), f"{digest}  {path.name}\n".encode())
            os.replace(partial, path)
            self._saved = (path, data)
        finally:
            partial.unlink(missing_ok=True)

    def _release(self) -> None:
        super()._release()
        self._saved = None  # the runner calls this once no later node needs it

    def stored(self) -> Path | None:
        """The file that ``load`` would read, or None."""
        return Path(self._get_load_path()) if self._exists() else None

    def _exists(self) -> bool:
        if self._version is None:
            return Path(self._filepath).exists()
        return bool(self._get_versions())

    def _describe(self) -> dict[str, Any]:
        inner = self._class.__name__
        return {"filepath": self._filepath, "version": self._version, "dataset": inner}
