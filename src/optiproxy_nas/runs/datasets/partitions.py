"""A Kedro dataset of the artifacts of one kind that a search leaves at every step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kedro.io import Version
from kedro_datasets.partitions import PartitionedDataset

from optiproxy_nas.runs.datasets.files import AtomicDataset


class PartitionedArtifacts(PartitionedDataset):  # type: ignore[misc]  # it has no types
    """Kedro's partitioned dataset with files that are written atomically, versioned and checked.

    ``load`` gives name -> function that reads the latest version, ``save`` takes name -> value, or
    a function that gives it when it is its turn.

    Example:
        .. code-block:: yaml

            refits.archive:
              type: optiproxy_nas.runs.datasets.PartitionedArtifacts
              dataset: {type: pandas.ParquetDataset}
              path: data/07_model_output/${run:run_id}/refits/archive
              filename_suffix: .parquet
              versioned: true

    Args:
        path: the folder of the partitions, local.
        dataset: config of the dataset of one file, without its filepath.
        filename_suffix: of each file.
        version: of Kedro, where the entry is ``versioned``.
        metadata: as of :class:`AtomicDataset`.
    """

    def __init__(
        self,
        *,
        path: str,
        dataset: dict[str, Any],
        filename_suffix: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        file = {"type": AtomicDataset, "dataset": dataset}
        super().__init__(
            path=path, dataset=file, filename_suffix=filename_suffix, metadata=metadata
        )
        if version is not None:  # that of the session, as all other datasets of a run have
            self._dataset_config["version"] = version

    def load(self) -> dict[str, Callable[[], Any]]:
        """Return name -> function that reads the partition; none where none was made."""
        self._invalidate_caches()
        if self._exists() and not self._list_partitions():
            return {}
        found: dict[str, Callable[[], Any]] = super().load()
        return found

    def save(self, data: dict[str, Any]) -> None:
        """Write all partitions, each whole or not at all."""
        super().save(data)
        Path(self._path).mkdir(parents=True, exist_ok=True)

    def _exists(self) -> bool:
        return Path(self._path).is_dir()

    def files(self) -> dict[str, tuple[Path, str]]:
        """Return path and SHA-256 of each file, checked, by what its artifact adds to the name.

        Raises:
            ArtifactError: the digest of one is not the recorded one.
        """
        found = {}
        for name in sorted(self.load()) if self._exists() else ():
            path = str(Path(self._path) / f"{name}{self._filename_suffix}")
            file = AtomicDataset(filepath=path, **self._dataset_config)
            found[f"/{name}"] = file.files()[""]
        return found
