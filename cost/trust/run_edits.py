"""Edits of a run in its project, each with what must find it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from cost.trust.edits import (
    Edit,
    after,
    archive_of,
    beside,
    change,
    flip,
    link,
    listed_beside,
    manifest_of,
    raise_a_value,
    relisted,
    resealed,
)
from cost.trust.projects import digest
from optiproxy_nas.benchmarks.tidy_table import table_digest


def newer(project: Path) -> None:
    """Put a better archive beside the last one, of a later time, with a digest that is right."""
    path = archive_of(project)
    later = path.parents[1] / "2999-01-01T00.00.00.000Z" / path.name
    later.parent.mkdir()
    pd.read_parquet(path).assign(value=99.0).to_parquet(later)
    later.with_name(f"{later.name}.sha256").write_text(f"{digest(later)}  {later.name}\n")


def forged_table(project: Path) -> None:
    """Let a mediocre cell of the table be the best, with sidecars and data card."""
    path = project / "data" / "03_primary" / "nb201" / "embedded.parquet"
    table = pd.read_parquet(path)
    table.loc[7, "validation_accuracy"] = 99.0
    table.to_parquet(path)
    card = path.with_suffix(".json")
    change(card, lambda it: it.update(table_sha256=table_digest(table)))
    for file in (path, card):
        file.with_name(f"{file.name}.sha256").write_text(f"{digest(file)}  {file.name}\n")
    resealed(project, lambda m: m["data"].update(table_sha256=table_digest(table)))


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
