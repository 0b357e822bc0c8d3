"""How somebody edits a crate, or a run in its project, who wants to be believed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from optiproxy_nas.proof import crate_reading
from optiproxy_nas.proof.crate_reading import METADATA, SIGNATURE, SUMS

Edit = Callable[[Path], object]


def sums_anew(crate: Path) -> None:
    """Write the digests of all files anew."""
    paths = crate_reading.files_of(crate)[0] - {SUMS, SIGNATURE}
    sums = {path: crate_reading.digest_of(crate / path) for path in paths}
    (crate / SUMS).write_bytes(crate_reading.written_sums(sums))


def described_anew(crate: Path) -> None:
    """Write digests and sizes of the metadata, and then those of all files, anew."""
    metadata = json.loads((crate / METADATA).read_bytes())
    for entity in metadata["@graph"]:
        if "sha256" in entity and (crate / entity["@id"]).is_file():
            entity["sha256"] = crate_reading.digest_of(crate / entity["@id"])
            entity["contentSize"] = str((crate / entity["@id"]).stat().st_size)
    text = json.dumps(metadata, indent=4, sort_keys=True, ensure_ascii=False)
    (crate / METADATA).write_text(text, encoding="utf-8")
    sums_anew(crate)


def change(path: Path, edit: Callable[[Any], object]) -> None:
    """Edit the value of a JSON file."""
    value = json.loads(path.read_bytes())
    edit(value)
    path.write_text(json.dumps(value, indent=1) + "\n")


def manifest_of(folder: Path) -> Path:
    """Return the file of the manifest in a crate, or of the run ``r`` of a project."""
    return max((folder / "data" / "08_reporting").glob("*/manifest.json"))


def resealed(folder: Path, edit: Callable[[Any], object]) -> None:
    """Edit a manifest, and write its digest of itself anew, there and in the metadata."""

    def edit_and_seal(manifest: dict[str, Any]) -> None:
        edit(manifest)
        manifest["parameters_sha256"] = crate_reading.canonical_digest(manifest["parameters"])
        manifest["manifest_sha256"] = crate_reading.sealed_digest(manifest)

    change(manifest_of(folder), edit_and_seal)
    if (folder / METADATA).exists():
        facts = crate_reading.facts_of(json.loads(manifest_of(folder).read_bytes()))

        def restate(metadata: dict[str, Any]) -> None:
            for entity in metadata["@graph"]:
                if str(entity["@id"]).startswith("#fact/"):
                    entity["value"] = facts.get(entity["propertyID"], entity["value"])

        change(folder / METADATA, restate)


def relisted(folder: Path, path: Path) -> None:
    """Write the digest of an artifact anew: beside it, and in the manifest with its own digest."""
    beside = path.with_name(f"{path.name}.sha256")
    if beside.exists():
        beside.write_text(f"{crate_reading.digest_of(path)}  {path.name}\n")

    def relist(manifest: dict[str, Any]) -> None:
        for facts in manifest["artifacts"].values():
            if folder / facts["path"] == path:
                facts["sha256"] = crate_reading.digest_of(path)

    resealed(folder, relist)


def archive_of(folder: Path) -> Path:
    """Return the whole archive of a crate, or of the run ``r`` of a project."""
    return max((folder / "data" / "07_model_output").glob("*/step_*/archive.parquet/*/*.parquet"))


def journal_of(folder: Path) -> Path:
    """Return the journal of a crate or a project."""
    return next((folder / "data" / "07_model_output").glob("*/journal.jsonl"))


def raise_a_value(folder: Path, place: int = 3) -> Path:
    """Let an architecture be better than it is; return the archive."""
    path = archive_of(folder)
    table = pd.read_parquet(path)
    table["value"] += [0.25 * (row == place) for row in range(len(table))]
    table.to_parquet(path)
    return path


def flip(path: Path) -> None:
    """Change a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap(one: Path, other: Path) -> None:
    """Give two files each the content of the other."""
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def after(edit: Edit, *more: Edit) -> Edit:
    """Return several edits as one."""

    def do(folder: Path) -> None:
        for one in (edit, *more):
            one(folder)

    return do


def link(path: Path) -> None:
    """Put a link in the place of a file, to the same content."""
    target = path.parents[1] / "elsewhere"
    path.rename(target)
    path.symlink_to(os.path.relpath(target, path.parent))


def beside(path: Path) -> Path:
    """Return the file of a file's digest."""
    return path.with_name(f"{path.name}.sha256")


def listed_beside(path: Path) -> None:
    """Write the digest of a file anew, beside it alone."""
    beside(path).write_text(f"{crate_reading.digest_of(path)}  {path.name}\n")
