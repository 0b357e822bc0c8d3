"""A Kedro dataset for bytes that are a file already (a rendered PNG)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset


class BytesDataset(AbstractDataset[bytes, bytes]):
    """One file of bytes.

    Args:
        filepath: the file, local.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(filepath)
        self.metadata = metadata

    def load(self) -> bytes:
        """Read the file."""
        return self._path.read_bytes()

    def save(self, data: bytes) -> None:
        """Write the file."""
        self._path.write_bytes(data)

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
