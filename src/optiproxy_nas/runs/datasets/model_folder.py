"""A Kedro dataset of an exported answer: a folder of files, written whole and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from optiproxy_nas.export.folder import digests, write_folder

MODEL = "report.model"  # its name in the catalog; its files are artifacts "report.model/model.json"


class ModelDataset(AbstractDataset[Mapping[str, bytes], dict[str, bytes]]):
    """Files by name, of :func:`optiproxy_nas.export.folder.export_answer`, in one folder.

    Args:
        filepath: the folder, local.
        metadata: free; ``{mlflow: true}`` has it logged as a model of the MLflow run.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, bytes]:
        """Read the files.

        Raises:
            DataError, ArtifactError: one is missing, or was edited.
        """
        return {name: (self._path / name).read_bytes() for name in digests(self._path)}

    def save(self, data: Mapping[str, bytes]) -> None:
        """Write the folder, whole or not at all, in the place of an older one."""
        write_folder(self._path, data, replace=True)

    def stored(self) -> Path | None:
        """The folder that ``load`` would read, or None."""
        return self._path if self._exists() else None

    def files(self) -> dict[str, tuple[Path, str]]:
        """Return path and SHA-256 of each file, checked, by what its artifact adds to the name.

        Raises:
            DataError, ArtifactError: one is missing, or was edited.
        """
        found = digests(self._path) if self._exists() else {}
        return {f"/{name}": (self._path / name, sha256) for name, sha256 in found.items()}

    def _exists(self) -> bool:
        return self._path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
