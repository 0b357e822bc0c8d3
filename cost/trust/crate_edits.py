"""Edits of a crate, each with the check that must find it."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cost.trust.edits import (
    Edit,
    after,
    archive_of,
    change,
    described_anew,
    journal_of,
    link,
    manifest_of,
    raise_a_value,
    relisted,
    resealed,
    sums_anew,
    swap,
)
from cost.trust.projects import files_of
from optiproxy_nas.proof.crate_reading import METADATA, PREVIEW, SUMS
from optiproxy_nas.proof.description import description_of, statement_of


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


def restate(prefix: str, name: str, value: Any) -> Edit:
    """Return an edit of an entry of the first entity of the metadata whose id begins so."""

    def do(crate: Path) -> None:
        def edit(metadata: dict[str, Any]) -> None:
            entities = [it for it in metadata["@graph"] if str(it["@id"]).startswith(prefix)]
            entities[0][name] = value

        change(crate / METADATA, edit)

    return after(do, sums_anew)


def word(crate: Path, draw: random.Random) -> str:
    """Edit one text that describes a crate, with all digests but the manifest's; return which."""
    cards = sorted((crate / "data" / "03_primary").glob("*/*.json"))
    path = draw.choice([crate / METADATA, crate / METADATA, crate / "pipeline.json", *cards])
    value = json.loads(path.read_bytes())
    places: list[tuple[Any, Any]] = []

    def collect(inner: Any) -> None:
        pairs = inner.items() if isinstance(inner, dict) else enumerate(inner)
        for key, it in pairs:
            if isinstance(it, str) and key not in ("sha256", "contentSize"):  # written anew
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
        "completeness",
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
