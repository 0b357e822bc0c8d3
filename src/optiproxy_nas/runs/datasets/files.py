"""Kedro datasets of files: any kind written atomically, bytes, tensors, raw benchmark files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Generic, NoReturn, TypeVar

from kedro.io import AbstractDataset, AbstractVersionedDataset, DatasetError, Version
from kedro.io.core import parse_dataset_definition
from kedro.utils import load_obj
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as tensor_bytes

from optiproxy_nas.benchmarks.loading import load_files
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.runs import atomic_files

T = TypeVar("T")


class ReadOnlyDataset(AbstractDataset[NoReturn, T], Generic[T]):
    """Base of datasets that are only read."""

    def save(self, data: NoReturn) -> None:
        """Refuse to write."""
        raise DatasetError(f"{self} is read-only.")


class AtomicDataset(AbstractVersionedDataset[Any, Any]):
    """Any single-file dataset, written atomically and checked when it is read.

    Its SHA-256 is written to ``<target>.sha256`` before the file is there. ``load`` checks it, so
    that a file edited by hand is refused.

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
        kind, config = parse_dataset_definition(dict(dataset))
        self._kind = kind.__name__
        self._inner: Callable[..., AbstractDataset[Any, Any]] = partial(kind, **config)
        self.metadata = metadata
        self._saved: tuple[Path, Any] | None = None

    def load(self) -> Any:
        """Read the latest (or the pinned) version; what was just saved comes from memory.

        Raises:
            ArtifactError: its digest is not the recorded one.
        """
        path = Path(self._get_load_path())
        if self._saved is not None and self._saved[0] == path:
            return self._saved[1]
        if path.exists():
            atomic_files.verify(path)
        return self._inner(filepath=str(path)).load()

    def save(self, data: Any) -> None:
        """Write a version: the whole file or nothing."""
        path = Path(self._get_save_path())
        with atomic_files.replacing(path) as unfinished:
            self._inner(filepath=str(unfinished)).save(data)
            line = f"{atomic_files.file_digest(unfinished)}  {path.name}\n"
            atomic_files.write_atomically(atomic_files.digest_path(path), line.encode())
        self._saved = (path, data)

    def _release(self) -> None:
        super()._release()
        self._saved = None  # the runner calls this once no later node needs it

    def stored(self) -> Path | None:
        """The file that ``load`` would read, or None."""
        return Path(self._get_load_path()) if self._exists() else None

    def files(self) -> dict[str, tuple[Path, str]]:
        """Return path and SHA-256 of the file, checked, under "".

        Raises:
            ArtifactError: its digest is not the recorded one, or that of another version.
        """
        path = self.stored()
        if path is None:
            return {}
        found = atomic_files.verify(path)
        for other in self._get_versions() if self._version is not None else ():
            # What is made again is the same.
            if Path(other) != path and atomic_files.verify(Path(other)) != found:
                raise ArtifactError(
                    f"{path} and {other} are versions of one artifact, and differ. Take away the "
                    "one that its run has not made.",
                )
        return {"": (path, found)}

    def _exists(self) -> bool:
        if self._version is None:
            return Path(self._filepath).exists()
        return bool(self._get_versions())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "version": self._version, "dataset": self._kind}


class GeneratedDataset(AtomicDataset):
    """A file that is generated when it is first read, and checked whenever it is read again.

    Example:
        .. code-block:: yaml

            mnist1d:
              type: optiproxy_nas.runs.datasets.GeneratedDataset
              function: optiproxy_nas.problems.mnist1d_data.make_signals
              arguments: {seed: 42}
              dataset: {type: pandas.ParquetDataset}
              filepath: data/01_raw/mnist1d.parquet

    Args:
        function: generates the data, ``package.module.function``.
        arguments: of the function. A file is not generated anew when they change: remove it.
        **file: as of :class:`AtomicDataset`.
    """

    def __init__(
        self, *, function: str, arguments: dict[str, Any] | None = None, **file: Any
    ) -> None:
        super().__init__(**file)
        self._function, self._arguments = function, arguments or {}

    def load(self) -> Any:
        """Read the file, or generate and write it.

        Raises:
            ArtifactError: its digest is not the recorded one.
        """
        if not self._exists():
            self.save(load_obj(self._function)(**self._arguments))
            self.release()  # so that the first run reads the same bytes as all others
        return super().load()

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "function": self._function, "arguments": self._arguments}


class _FileDataset(AbstractDataset[T, T], Generic[T]):
    """Base of datasets of one local file.

    Args:
        filepath: the file, local.
        metadata: ignored by Kedro, for hooks and plug-ins.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


class BytesDataset(_FileDataset[bytes]):
    """One file of bytes."""

    def load(self) -> bytes:
        """Read the file."""
        return self._path.read_bytes()

    def save(self, data: bytes) -> None:
        """Write the file."""
        self._path.write_bytes(data)


class TextDataset(_FileDataset[str]):
    """One text file in UTF-8 with line feeds, whatever the locale and the system."""

    def load(self) -> str:
        """Read the file."""
        return self._path.read_text(encoding="utf-8")

    def save(self, data: str) -> None:
        """Write the file."""
        self._path.write_bytes(data.encode())


class TensorsDataset(_FileDataset[Tensors]):
    """``{name: tensor}`` in one file; equal tensors give equal bytes."""

    def load(self) -> Tensors:
        """Read the tensors, on the CPU.

        Raises:
            ArtifactError: not a safetensors file, or a truncated one.
        """
        try:
            tensors: Tensors = load_file(self._path)
        except SafetensorError as error:
            raise ArtifactError(
                f"{self._path} is not a readable tensor file: {error}.", path=str(self._path)
            ) from error
        return tensors

    def save(self, data: Tensors) -> None:
        """Write the tensors; safetensors, writing by itself, leaves a file where it is killed."""
        contiguous = {name: tensor.contiguous() for name, tensor in data.items()}
        self._path.write_bytes(tensor_bytes(contiguous))


@dataclass(frozen=True)
class TrialFiles:
    """Where the trials of a run are kept: the journal, and what lies beside it."""

    journal: Path

    @property
    def folder(self) -> Path:
        """The folder in which each trial has one, ``0007``."""
        return self.journal.parent / "trials"

    @property
    def test(self) -> Path:
        """The file of what the test of the answer gave."""
        return self.journal.parent / "test.json"

    @property
    def latency(self) -> Path:
        """The file of the answer's latency, measured once more."""
        return self.journal.parent / "latency.json"


class JournalDataset(_FileDataset[TrialFiles]):
    """The journal of a run's trials, which the evaluation itself opens, locks and writes."""

    def load(self) -> TrialFiles:
        """Return where it is; it need not be there yet."""
        return TrialFiles(self._path)

    def save(self, data: TrialFiles) -> None:
        """Refuse to write."""
        raise DatasetError(f"{self} is written by the evaluation of trials only.")


class BenchmarkFiles(ReadOnlyDataset[dict[str, dict[str, dict[str, Any]]]]):
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

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source.name, "path": str(self._raw_directory)}
