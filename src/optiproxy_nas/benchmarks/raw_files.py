"""Find the raw files of a source, or download them, and check them before anyone reads them.

Looked for in this order: the installed package that brings the file (then nowhere else);
``$OPTIPROXY_DATA_DIR/<folder>/``; the project's ``data/01_raw/<folder>/``; the file's URL,
downloaded into the latter. The folder is the source's: ``nb201``, ``hw_nas_bench``. A download goes
on where an earlier attempt was cut off: what has arrived is kept in ``<file>.part``.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3
from tqdm import tqdm

from optiproxy_nas.benchmarks.sources import RawFile, Source
from optiproxy_nas.core.errors import DataError

DATA_DIRECTORY_VARIABLE = "OPTIPROXY_DATA_DIR"


@dataclass(frozen=True)
class Fetched:
    """A checked file. The content is what was hashed, so nothing can change in between."""

    path: Path
    content: bytes
    sha256: str


@dataclass(frozen=True)
class Folder:
    """The files that a pattern matches, to be read one by one.

    Attributes:
        directory: where they lie.
        paths: relative to it, sorted, with "/" on every system.
    """

    directory: Path
    paths: tuple[str, ...]

    def read(self, path: str) -> Fetched:
        """Return one of the files.

        Raises:
            DataError: it cannot be read.
        """
        return _read(self.directory / path)


def fetch(
    source: Source,
    data_directory: str | Path | None = None,
    raw_directory: str | Path = "data/01_raw",
) -> dict[str, Fetched | Folder]:
    """Return the checked files of a single source by name; of a partial one, those that are there.

    Args:
        source: whose files.
        data_directory: the user's own copies, default ``$OPTIPROXY_DATA_DIR``; never written to.
        raw_directory: the project's raw layer, downloaded into.

    Raises:
        DataError: a file is missing and cannot be downloaded, or is truncated or another one.
    """
    copies = data_directory or os.environ.get(DATA_DIRECTORY_VARIABLE)
    directories = [Path(d) / source.folder for d in (copies, raw_directory) if d]
    found: dict[str, Fetched | Folder] = {}
    files = {file.name: file for file in source.publication.files}
    for file in files.values():
        places = _places(file, directories)
        if file.is_pattern:
            folders = (_folder(directory, file.name) for directory in directories)
            folder = next((folder for folder in folders if folder.paths), None)
            if folder is not None:
                found[file.name] = folder
            elif not source.contents.partial:
                raise _missing(source, file, places)
            continue
        path = next((place for place in places if place.is_file()), None)
        if path is None and file.url:
            path = _download(source, file, places)
        if path is not None:
            found[file.name] = _checked(source, file, path)
        elif not source.contents.partial:
            raise _missing(source, file, places)
    if not found:
        first = source.publication.files[0]
        raise _missing(source, first, _places(first, directories))
    return found


def _folder(directory: Path, pattern: str) -> Folder:
    paths = sorted(
        path.relative_to(directory).as_posix() for path in directory.glob(pattern) if path.is_file()
    )
    return Folder(directory, tuple(paths))


def _places(file: RawFile, directories: list[Path]) -> list[Path]:
    """Return where the file may lie.

    A package is located but not imported: its code does not run.
    """
    if file.package_path is None:
        return [directory / file.name for directory in directories]
    package, _, inner = file.package_path.partition("/")
    spec = importlib.util.find_spec(package)
    roots = (spec.submodule_search_locations or []) if spec else []
    return [Path(root) / inner for root in roots]


def _download(source: Source, file: RawFile, places: list[Path]) -> Path:
    """Download into the last place; pooch renames a finished and checked file into it."""
    import pooch  # Only needed here, and slow to import.

    target = places[-1]
    existed = target.parent.exists()
    downloader = ResumingDownloader(target.with_name(target.name + ".part"))
    store = pooch.create(
        path=target.parent,
        base_url="",
        registry={file.name: f"sha256:{file.sha256}"},
        urls={file.name: file.url},
        retry_if_failed=1,
    )
    try:
        return Path(store.fetch(file.name, downloader=downloader))
    except (OSError, ValueError) as error:  # No network or disk; another digest.
        raise _missing(source, file, places, str(error)) from error
    finally:
        if not existed:
            with contextlib.suppress(OSError):  # it holds the file, or the part that has come
                target.parent.rmdir()


def _checked(source: Source, file: RawFile, path: Path) -> Fetched:
    found = _read(path)
    content, sha256 = found.content, found.sha256
    if file.sha256 not in (None, sha256):
        has, size = len(content), file.size or 0
        state = (
            f"is shorter than the pinned file ({has} of {size} bytes), truncated or another file"
            if has < size
            else "is not the published file"
        )
        advice = file.obtain or f"Remove it and get it again. {source.publication.obtain}"
        raise DataError(
            f"{path} {state}: expected sha256 {file.sha256} ({file.size} bytes), found {sha256} "
            f"({has} bytes). {advice}",
            file=str(path),
            expected=file.sha256,
            found=sha256,
            bytes=len(content),
        )
    return found


def _read(path: Path) -> Fetched:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.", file=str(path)) from error
    return Fetched(path, content, hashlib.sha256(content).hexdigest())


def _missing(source: Source, file: RawFile, places: list[Path], reason: str = "") -> DataError:
    looked = ", ".join(map(str, places)) or f"an installed package of {file.package_path}"
    url = f" Its download from {file.url} failed: {reason[:LONGEST]}" if file.url else ""
    put = (
        ""
        if file.package_path
        else f"Put {file.name} at {places[-1]}, or set {DATA_DIRECTORY_VARIABLE} to a directory "
        f"that has {source.folder}/{file.name}. "
    )
    return DataError(
        f"{put}{source.publication.obtain} {file.name} of source {source.name!r} (sha256 "
        f"{file.sha256 or 'not pinned'}) was not found in: {looked}.{url}",
        file=file.name,
        sha256=file.sha256,
        url=file.url,
        places=[str(place) for place in places],
    )


LONGEST = 200  # letters of why a download failed
_TIMEOUT_SECONDS = 10
_CHUNK = 2**16


class ResumingDownloader:
    """A callable for ``pooch.Pooch.fetch(..., downloader=...)`` that resumes.

    pooch checks the digest and renames the finished file into place; what it does not do is keep
    the part that has arrived when a connection breaks.

    Args:
        part: where the unfinished download is kept between attempts.
    """

    def __init__(self, part: Path) -> None:
        self._part = part

    def __call__(self, url: str, output_file: str | os.PathLike[str], _: Any) -> None:
        """Download ``url`` to ``output_file``, requesting only the bytes that are missing.

        Raises:
            OSError: the server cannot be reached, refuses, or breaks off (requests' errors are
                OSErrors); what has arrived is kept.
        """
        have = self._part.stat().st_size if self._part.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                self._part.unlink()  # longer than the file: it is of another one
                raise requests.ConnectionError(f"{url} is shorter than the part we had")
            answer.raise_for_status()
            resumed = answer.status_code == requests.codes.partial_content
            expected = int(answer.headers.get("Content-Length", 0))
            name = Path(self._part.name).stem
            with (
                self._part.open("ab" if resumed else "wb") as file,
                tqdm(total=expected or None, unit="B", unit_scale=True, desc=name) as bar,
            ):
                try:
                    # read1 hands over what has come; requests' own iterator drops a part chunk.
                    while chunk := answer.raw.read1(_CHUNK):
                        file.write(chunk)
                        bar.update(len(chunk))
                except urllib3.exceptions.HTTPError as error:
                    raise requests.ConnectionError(f"broken off: {error}") from error
                if bar.n < expected:
                    raise requests.ConnectionError(f"broken off after {bar.n} of {expected} bytes")
        os.replace(self._part, output_file)
