"""Edits of a crate, and of a run in its project, by somebody who wants to be believed."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from cost.trust.projects import digest, files_of
from optiproxy_nas.proof import verify
from optiproxy_nas.proof.verify import METADATA, PREVIEW, SIGNATURE, SUMS

Edit = Callable[[Path], object]


def sums_anew(crate: Path) -> None:
    """Write the digests of all files anew."""
    paths = sorted(verify.files_of(crate)[0] - {SUMS, SIGNATURE})
    (crate / SUMS).write_text("".join(f"{digest(crate / path)}  {path}\n" for path in paths))


def described_anew(crate: Path) -> None:
    """Write digests and sizes of the metadata, and then those of all files, anew."""
    metadata = json.loads((crate / METADATA).read_bytes())
    for entity in metadata["@graph"]:
        if "sha256" in entity and (crate / entity["@id"]).is_file():
            entity["sha256"] = digest(crate / entity["@id"])
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
        manifest["parameters_sha256"] = verify.canonical_digest(manifest["parameters"])
        manifest["manifest_sha256"] = verify.sealed_digest(manifest)

    change(manifest_of(folder), edit_and_seal)
    if (folder / METADATA).exists():
        facts = verify.facts_of(json.loads(manifest_of(folder).read_bytes()))

        def restate(metadata: dict[str, Any]) -> None:
            for entity in metadata["@graph"]:
                if str(entity["@id"]).startswith("#fact/"):
                    entity["value"] = facts.get(entity["propertyID"], entity["value"])

        change(folder / METADATA, restate)


def relisted(folder: Path, path: Path) -> None:
    """Write the digest of an artifact anew: beside it, and in the manifest with its own digest."""
    beside = path.with_name(f"{path.name}.sha256")
    if beside.exists():
        beside.write_text(f"{digest(path)}  {path.name}\n")

    def relist(manifest: dict[str, Any]) -> None:
        for facts in manifest["artifacts"].values():
            if folder / facts["path"] == path:
                facts["sha256"] = digest(path)

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


def chained(lines: list[str]) -> str:
    """Return the lines of a journal with digests that fit, as who knows how makes them."""
    text, last = "", ""
    for line in lines:
        body = line.rpartition(', "digest"')[0]
        last = hashlib.sha256((last + body).encode()).hexdigest()[:16]
        text += f'{body}, "digest": "{last}"}}\n'
    return text


def of_journal(edit: Callable[[list[str]], object], is_chained: bool = False) -> Edit:
    """Return an edit of the lines of the journal of a crate, with all other digests."""

    def do(crate: Path) -> None:
        path = journal_of(crate)
        lines = path.read_text().splitlines(keepends=True)
        edit(lines)
        path.write_text(chained(lines) if is_chained else "".join(lines))
        relisted(crate, path)
        described_anew(crate)

    return do


def better(lines: list[str]) -> None:
    """Let the answer of a line of a journal be another one."""
    place = next(n for n, line in enumerate(lines) if '"score": ' in line)
    lines[place] = lines[place].replace('"score": ', '"score": 9', 1)


def after(edit: Edit, *more: Edit) -> Edit:
    """Return several edits as one."""

    def do(folder: Path) -> None:
        for one in (edit, *more):
            one(folder)

    return do


def restate(prefix: str, name: str, value: Any) -> Edit:
    """Return an edit of an entry of the first entity of the metadata whose id begins so."""

    def do(crate: Path) -> None:
        def edit(metadata: dict[str, Any]) -> None:
            entities = [it for it in metadata["@graph"] if str(it["@id"]).startswith(prefix)]
            entities[0][name] = value

        change(crate / METADATA, edit)

    return after(do, sums_anew)


def link(path: Path) -> None:
    """Put a link in the place of a file, to the same content."""
    target = path.parents[1] / "elsewhere"
    path.rename(target)
    path.symlink_to(os.path.relpath(target, path.parent))


def word(crate: Path, draw: random.Random) -> str:
    """Edit one text that describes a crate, with all digests but the manifest's; return which."""
    cards = sorted((crate / "data" / "03_primary").glob("*/*.json"))
    path = draw.choice([crate / METADATA, crate / METADATA, crate / "pipeline.json", *cards])
    value = json.loads(path.read_bytes())
    places: list[tuple[Any, Any]] = []

    def collect(inner: Any) -> None:
        pairs = inner.items() if isinstance(inner, dict) else enumerate(inner)
        for key, it in pairs:
            if isinstance(it, str):
                places.append((inner, key))
            elif isinstance(it, dict | list):
                collect(it)

    collect(value)
    inner, key = draw.choice(places)
    before, inner[key] = inner[key], f"{inner[key]}x"
    path.write_text(json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False))
    described_anew(crate)
    return f"{path.relative_to(crate)}: {key} {before!r:.60}"


# What -> (edit, the check that must find it). Digests are written anew as far as it is said.
CRATE_EDITS: dict[str, tuple[Edit, str]] = {
    "a file added": (lambda c: (c / "data" / "more.txt").write_text("x"), "completeness"),
    "a hidden file added": (lambda c: (c / ".gitignore").write_text("x"), "completeness"),
    "a file added, with digests": (
        after(lambda c: (c / "data" / "more.txt").write_text("x"), sums_anew),
        "metadata",
    ),
    "a file removed": (lambda c: (c / "pipeline.json").unlink(), "completeness"),
    "a file removed, with digests": (
        after(lambda c: archive_of(c).unlink(), described_anew),
        "manifest",
    ),
    "a file renamed": (
        lambda c: (c / "pipeline.json").rename(c / "pipelines.json"),
        "completeness",
    ),
    "two files swapped": (lambda c: swap(c / "pipeline.json", c / PREVIEW), "digests"),
    "two files swapped, with digests": (
        after(lambda c: swap(archive_of(c), manifest_of(c)), described_anew),
        "manifest",
    ),
    "a link in place of a file": (lambda c: link(c / "pipeline.json"), "completeness"),
    "a pipe in place of a file": (
        after(lambda c: (c / PREVIEW).unlink(), lambda c: os.mkfifo(c / PREVIEW)),
        "completeness",
    ),
    "a folder in place of a file": (
        after(lambda c: (c / PREVIEW).unlink(), lambda c: (c / PREVIEW).mkdir()),
        "completeness",
    ),
    "all files emptied": (
        lambda c: [path.write_bytes(b"") for path in files_of(c)],
        "digests",
    ),
    "a line of the digests removed": (
        lambda c: (c / SUMS).write_text((c / SUMS).read_text().partition("\n")[2]),
        "completeness",
    ),
    "a line of the digests twice": (
        lambda c: (c / SUMS).write_text((c / SUMS).read_text() * 2),
        "digests",
    ),
    "no digests": (lambda c: (c / SUMS).unlink(), "digests"),
    "an entity described twice": (
        after(
            lambda c: change(c / METADATA, lambda m: m["@graph"].append(m["@graph"][-1])),
            sums_anew,
        ),
        "metadata",
    ),
    "the script that checks, with digests": (
        after(lambda c: (c / "verify.py").write_text("print('VERIFIED')\n"), described_anew),
        "verify.py",
    ),
    "a value of the archive, with digests": (
        after(raise_a_value, described_anew),
        "manifest",
    ),
    "the parameters, with digests": (
        after(
            lambda c: change(manifest_of(c), lambda m: m["parameters"].update(seed=7)),
            described_anew,
        ),
        "manifest",
    ),
    "the parameters, with the manifest's digests": (
        after(
            lambda c: resealed(c, lambda m: m["parameters"].update(seed=7)),
            described_anew,
        ),
        "parameters",
    ),
    "the result, with the manifest's digests": (
        after(
            lambda c: resealed(c, lambda m: m["result"].update({m["result"]["target"]: 99.0})),
            described_anew,
        ),
        "archive",
    ),
    "the time, with the manifest's digests": (
        after(
            lambda c: resealed(c, lambda m: m.update(created="2020-01-01T00:00:00+00:00")),
            described_anew,
        ),
        "parameters",
    ),
    "a parameter described": (restate("#parameter-value/seed", "value", "7"), "parameters"),
    "the code described": (restate("#fact/code.sha256", "value", "0" * 64), "parameters"),
    "a sentence of the description": (restate("./", "description", "Best of all."), "description"),
    "what a step did": (restate("#action/", "description", "It proves all."), "description"),
    "the page for people, with digests": (
        after(
            lambda c: (c / PREVIEW).write_text((c / PREVIEW).read_text().replace("seed", "luck")),
            described_anew,
        ),
        "description",
    ),
}

# The same of a crate that has a journal.
JOURNAL_EDITS: dict[str, tuple[Edit, str]] = {
    "lines of the journal reordered": (
        of_journal(lambda lines: lines.insert(3, lines.pop(5))),
        "journal",
    ),
    "a line of the journal twice": (of_journal(lambda lines: lines.insert(3, lines[3])), "journal"),
    "a line of the journal dropped": (of_journal(lambda lines: lines.pop(4)), "journal"),
    "the last line of the journal cut": (
        of_journal(lambda lines: lines.append(lines.pop()[:-20])),
        "journal",
    ),
    "an answer in the journal": (of_journal(better), "journal"),
    "an answer in the journal, with the chain of its lines": (of_journal(better, True), "archive"),
    "the seed of the journal, with the chain of its lines": (
        of_journal(lambda it: it.insert(0, it.pop(0).replace('"seed": 0', '"seed": 7')), True),
        "journal",
    ),
}


def make_forged(edit: Callable[[dict[str, Any]], object]) -> Edit:
    """Return an edit of a crate's manifest, after which all that follows from it is made anew."""

    def do(crate: Path) -> None:
        from optiproxy_nas.proof.description import description_of, statement_of

        resealed(crate, edit)
        path = manifest_of(crate).relative_to(crate).as_posix()
        made = description_of(crate, path, statement_of(crate))
        text = json.dumps(made.metadata, indent=4, sort_keys=True, ensure_ascii=False)
        (crate / METADATA).write_text(text, encoding="utf-8")
        (crate / PREVIEW).write_bytes(made.page)
        sums_anew(crate)

    return do


# What nothing within a crate can contradict: who makes all of it anew is its author.
FORGERIES: dict[str, Edit] = {
    "when": make_forged(lambda m: m.update(created="2020-01-01T00:00:00+00:00")),
    "on which machine": make_forged(lambda m: m["environment"].update(platform="none")),
    "by which commit": make_forged(lambda m: m.update(git={"commit": "0" * 40, "clean": True})),
    "how long": make_forged(lambda m: m.update(seconds={}, wall_seconds=1.0)),
    "tracked where": make_forged(lambda m: m.update(mlflow_run_id="0" * 32)),
}


def newer(project: Path) -> None:
    """Put a better archive beside the last one, of a later time, with a digest that is right."""
    path = archive_of(project)
    later = path.parents[1] / "2999-01-01T00.00.00.000Z" / path.name
    later.parent.mkdir()
    pd.read_parquet(path).assign(value=99.0).to_parquet(later)
    later.with_name(f"{later.name}.sha256").write_text(f"{digest(later)}  {later.name}\n")


def forged_table(project: Path) -> None:
    """Let a mediocre cell of the table be the best, with sidecars and data card."""
    from optiproxy_nas.benchmarks.tidy_table import table_digest

    path = project / "data" / "03_primary" / "nb201" / "embedded.parquet"
    table = pd.read_parquet(path)
    table.loc[7, "validation_accuracy"] = 99.0
    table.to_parquet(path)
    card = path.with_suffix(".json")
    change(card, lambda it: it.update(table_sha256=table_digest(table)))
    for file in (path, card):
        file.with_name(f"{file.name}.sha256").write_text(f"{digest(file)}  {file.name}\n")
    resealed(project, lambda m: m["data"].update(table_sha256=table_digest(table)))


def beside(path: Path) -> Path:
    """Return the file of a file's digest."""
    return path.with_name(f"{path.name}.sha256")


# Of the run "r" of a project; "disk": found without repeating the search; "search": by that.
RUN_EDITS: dict[str, tuple[Edit, str]] = {
    "a file added": (lambda p: (manifest_of(p).parent / "more.html").write_text("x"), "disk"),
    "an artifact removed": (lambda p: archive_of(p).unlink(), "disk"),
    "an artifact renamed": (
        lambda p: archive_of(p).rename(archive_of(p).with_name("archive.parq")),
        "disk",
    ),
    "an artifact with its sidecar": (
        after(lambda p: flip(archive_of(p)), lambda p: listed_beside(archive_of(p))),
        "disk",
    ),
    "a sidecar removed": (lambda p: beside(archive_of(p)).unlink(), "disk"),
    "a sidecar emptied": (lambda p: beside(archive_of(p)).write_text(""), "disk"),
    "a link in place of an artifact": (lambda p: link(archive_of(p)), "disk"),
    "a newer version of the archive": (newer, "disk"),
    "a digest in the manifest": (
        lambda p: change(
            manifest_of(p),
            lambda m: m["artifacts"]["step_02.archive"].update(sha256="0" * 64),
        ),
        "disk",
    ),
    "the manifest's layout": (
        lambda p: manifest_of(p).write_text(json.dumps(json.loads(manifest_of(p).read_text()))),
        "disk",
    ),
    "the result, with the manifest's digest": (
        lambda p: resealed(p, lambda m: m["result"].update(validation_accuracy=99.0)),
        "disk",
    ),
    "a value of the archive, with sidecar and manifest": (
        lambda p: relisted(p, raise_a_value(p)),
        "disk",
    ),
    "a time, with the manifest's digest": (
        lambda p: resealed(p, lambda m: m.update(created="2020-01-01T00:00:00+00:00")),
        "disk",
    ),
    "table, sidecar, card and manifest together": (forged_table, "disk"),
    "the run's folders renamed": (
        lambda p: [it.rename(it.with_name("s")) for it in (p / "data").glob("0*_*/r")],
        "refused",
    ),
}


def listed_beside(path: Path) -> None:
    """Write the digest of a file anew, beside it alone."""
    beside(path).write_text(f"{digest(path)}  {path.name}\n")
