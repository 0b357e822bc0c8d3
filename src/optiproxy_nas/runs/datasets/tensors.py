"""A Kedro dataset for dicts of tensors: safetensors, which holds data and never code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from optiproxy_nas.core.errors import ArtifactError


class TensorsDataset(AbstractDataset[dict[str, Tensor], dict[str, Tensor]]):
    """``{name: tensor}`` in one file; equal tensors give equal bytes.

    Args:
        filepath: the file, local.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, Tensor]:
        """Read the tensors, on the CPU.

        Raises:
            ArtifactError: not a safetensors file, or a truncated one.
        """
        try:
            tensors: dict[str, Tensor] = load_file(self._path)
        except SafetensorError as error:
            raise ArtifactError(
                f"{self._path} is not a readable tensor file: {error}.", path=str(self._path)
            ) from error
        return tensors

    def save(self, data: dict[str, Tensor]) -> None:
        """Write the tensors."""
        save_file({name: tensor.contiguous() for name, tensor in data.items()}, self._path)

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
