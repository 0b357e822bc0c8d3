"""The raw files of a benchmark source as a Kedro dataset: found, downloaded, checked, parsed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from optiproxy_nas.benchmarks.loading import load_files
from optiproxy_nas.benchmarks.source_registry import get_source


class BenchmarkFiles(AbstractDataset[NoReturn, dict[str, dict[str, dict[str, Any]]]]):
    """Read-only: ``{single source: {file name: {"object": parsed, "sha256": ..., "bytes": ...}}}``.

    Args:
        source: the registered name of a benchmark source, or several joined by "+".
        path: the project's raw layer, which downloads go to. (This name, because Kedro makes a
            relative ``path`` of the catalog absolute.)
        data_directory: the user's own copies; default ``$OPTIPROXY_DATA_DIR``.
        metadata: ignored by Kedro, for hooks and plug-ins.

    Raises:
        UnknownNameError: there is no such source.
        ParameterError: the sources cannot be joined.
    """

    def __init__(
        self,
        source: str,
        path: str = "data/01_raw",
        data_directory: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._source = get_source(source)
        self._raw_directory = Path(path)
        self._data_directory = data_directory
        self.metadata = metadata

    def load(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Fetch, check and parse every file that the source has here."""
        return load_files(self._source, self._data_directory, self._raw_directory)

    def save(self, data: NoReturn) -> None:
        """Refused: raw files are never written."""
        raise DatasetError(f"The raw files of source {self._source.name!r} are read-only.")

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source.name, "path": str(self._raw_directory)}
