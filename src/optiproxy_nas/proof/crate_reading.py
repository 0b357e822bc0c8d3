"""Read a crate by the standard library alone: its files, their digests, the manifest, its facts.

A copy of this file lies beside ``verify.py`` in each crate, which imports it there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

SUMS, SIGNATURE = "SHA256SUMS", "crate.sig"
METADATA, PREVIEW = "ro-crate-metadata.json", "ro-crate-preview.html"
WORKFLOW = "pipeline.json"
CHECKERS = ("verify.py", "crate_reading.py")  # the program that checks a crate, in it
UNLISTED = (SUMS, SIGNATURE)  # which cannot list themselves
MANIFEST = "data/08_reporting/{}/manifest.json"  # of a run id
BESIDE_JOURNAL = ("test.json", "latency.json")  # of the answer; no manifest lists them
PYTHON = "python"  # stands for the pipeline of a search that was called from Python
SECONDS = "node_seconds."  # of the manifest, and of what the metadata says of a step
LONGEST = 256 * 1024 * 1024  # bytes of a file that is read as a whole


class Refused(Exception):
    """A file cannot be read as what it should be."""


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            sha256.update(block)
    return sha256.hexdigest()


def canonical_digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form, as manifests have it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sealed_digest(manifest: dict[str, Any]) -> str:
    """Return the digest of a manifest without its entry ``manifest_sha256``."""
    return canonical_digest({k: v for k, v in manifest.items() if k != "manifest_sha256"})


def content_of(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        Refused: it is missing, a link or no file (a pipe has no end), or too long.
    """
    if not is_file(path) or path.stat().st_size > LONGEST:
        raise Refused(f"{path.name} is missing, is no file, or has more than {LONGEST} bytes")
    return path.read_bytes()


def is_file(path: Path) -> bool:
    """Return whether there is a file, which is no link."""
    return path.is_file() and not path.is_symlink()


def read_json(path: Path) -> Any:
    """Return the value of a JSON file, in which no key may stand twice.

    Raises:
        Refused: it cannot be read, or is not such a file.
    """
    try:
        return json.loads(content_of(path).decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path.name} is no readable JSON: {type(error).__name__}") from error


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs of a JSON object as a mapping; refuse a key that stands twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def files_of(crate: Path) -> tuple[set[str], list[str]]:
    """Return the files of a folder, relative with "/", and what is neither file nor folder."""
    files, others = set(), []

    def unreadable(error: OSError) -> None:
        others.append(Path(error.filename).relative_to(crate).as_posix())

    for folder, folders, names in os.walk(crate, onerror=unreadable, followlinks=False):
        for name in [*folders, *names]:
            path = Path(folder) / name
            relative = path.relative_to(crate).as_posix()
            if is_file(path):
                files.add(relative)
            elif path.is_symlink() or not path.is_dir():
                others.append(relative)
    return files, sorted(others)


def read_sums(crate: Path) -> dict[str, str]:
    """Return path -> SHA-256 of the lines of ``SHA256SUMS``.

    Raises:
        Refused: it cannot be read, names a place outside of the crate, or is not as it is written:
            by one byte, or in another order.
    """
    content = content_of(crate / SUMS)
    if b"\r\n" in content:
        raise Refused(
            f"{SUMS} has line ends of Windows: what copied the crate changed its texts, as Git "
            "does where core.autocrlf is set; get it as it was written"
        )
    lines = content.decode("utf-8", "surrogateescape").split("\n")[:-1]
    found = {line[66:]: line[:64] for line in lines}
    if not found or written_sums(found) != content or not all(map(_can_be_listed, found)):
        raise Refused(f"{SUMS} is not as it was written")
    return found


def written_sums(sums: Mapping[str, str]) -> bytes:
    """Return the content of ``SHA256SUMS``, in the order of the paths."""
    lines = "".join(f"{sums[path]}  {path}\n" for path in sorted(sums))
    return lines.encode("utf-8", "surrogateescape")


def _can_be_listed(path: str) -> bool:
    pure = PurePosixPath(path)
    is_inside = path == pure.as_posix() and not pure.is_absolute() and ".." not in pure.parts
    return is_inside and path not in (*UNLISTED, ".")


def facts_of(manifest: dict[str, Any]) -> dict[str, str]:
    """Return what the crate states of a run beside its parameters, from the manifest."""
    names = (
        "run_id",
        "pipeline",
        "status",
        "parameters_sha256",
        "mlflow_run_id",
        "manifest_sha256",
    )
    facts = {name: manifest.get(name) for name in names}
    for group in ("git", "environment", "libraries", "data"):
        facts.update(flat(manifest.get(group) or {}, f"{group}."))
    code = manifest.get("code") or {}
    facts.update(
        {f"code.{name}": code.get(name) for name in ("version", "sha256", "search_sha256")}
    )
    facts["cpu"] = manifest.get("cpu")
    return {name: as_text(value) for name, value in facts.items() if value is not None}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted name; a list is a leaf."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            found.update(flat(inner, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = inner
    return found


def as_text(value: Any) -> str:
    """Return a value as the crate states it."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def entities_of(crate: Path) -> dict[str, dict[str, Any]]:
    """Return the entities of the metadata by their id.

    Raises:
        Refused: they cannot be read, or two have one id.
    """
    graph = read_json(crate / METADATA)["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    if len(entities) != len(graph):
        raise Refused(f"{METADATA} describes an entity twice")
    return entities


def manifest_path_of(crate: Path) -> str:
    """Return the path of the run's manifest in the crate."""
    return unquote(entities_of(crate)["#run"]["subjectOf"]["@id"])


def manifest_of(crate: Path) -> dict[str, Any]:
    """Return the manifest of the run, all of whose artifacts are in the crate.

    Raises:
        Refused: it cannot be read, or names files that are not listed.
    """
    path, sums = manifest_path_of(crate), read_sums(crate)
    manifest = read_json(crate / path) if path in sums else None
    if not isinstance(manifest, dict) or path != MANIFEST.format(manifest.get("run_id")):
        raise Refused(f"{path!r} is no manifest of the crate")
    for name, facts in manifest["artifacts"].items():
        if facts["path"] not in sums:
            raise Refused(f"artifact {name} is missing: {facts['path']!r} is not listed")
    return manifest


def identity_of(crate: Path) -> str:
    """Return the digest that stands for all files but the signature: that of ``SHA256SUMS``."""
    return digest_of(crate / SUMS) if is_file(crate / SUMS) else "none"
