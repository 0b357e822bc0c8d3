"""The description of a crate, for machines and for people: made of the files that it describes.

Nothing of it is stated but once: who changes it in a crate contradicts the manifest, the pipeline
or the data card that it is made of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from optiproxy_nas.core.numbers import metric_name, value_text
from optiproxy_nas.proof import crate_reading
from optiproxy_nas.proof.contents import NO_LICENCE, CrateFile, Statement, Step
from optiproxy_nas.proof.crate_reading import WORKFLOW
from optiproxy_nas.proof.graph import metadata_of
from optiproxy_nas.runs.manifest import Manifest

CROISSANT = ".croissant.json"
_TABLES = "data/03_primary/"
_NAMES = {
    WORKFLOW: "The nodes of the pipeline",
    "verify.py": "Checks all digests",
    "crate_reading.py": "Reads the crate for verify.py",
}
_OF_SUMS = "Its digest, as the project keeps it beside each file."


class Description(NamedTuple):
    """What a crate says of itself."""

    metadata: dict[str, Any]  # of ro-crate-metadata.json
    page: bytes  # of ro-crate-preview.html


def description_of(crate: Path, manifest_path: str, statement: Statement) -> Description:
    """Return what the metadata and the page of a crate are, made of its other files.

    Args:
        crate: its folder, with all files but those two, their digests and the signature.
        manifest_path: of the run's manifest in it.
        statement: licence and author.
    """
    manifest: Manifest = crate_reading.read_json(crate / manifest_path)
    others = {crate_reading.METADATA, crate_reading.PREVIEW, *crate_reading.UNLISTED}
    files = [
        _file(crate, path, manifest, manifest_path)
        for path in sorted(crate_reading.files_of(crate)[0] - others)
    ]
    cards = [crate_reading.read_json(path) for path in cards_of(crate)]
    metadata = metadata_of(
        manifest, manifest_path, WORKFLOW, files, _steps(crate), cards, statement
    ).metadata.generate()
    return Description(json.loads(json.dumps(metadata)), _page(manifest, files))


def statement_of(crate: Path) -> Statement:
    """Return what the author of a crate states, of its metadata."""
    entities = crate_reading.entities_of(crate)
    author = entities.get("#author", {}).get("name")
    return Statement(entities["./"].get("license", NO_LICENCE), author)


def cards_of(crate: Path) -> list[Path]:
    """Return the data cards of the tables that answered, in a crate."""
    paths = sorted((crate / _TABLES).glob("*/*.json"))
    return [path for path in paths if not path.name.endswith(CROISSANT)]


def pipeline_of(pipeline: str, steps: list[Step]) -> dict[str, Any]:
    """Return what ``pipeline.json`` holds: the nodes in their order."""
    nodes = [
        {
            "name": step.name,
            "function": step.tool,
            "inputs": list(step.inputs),
            "outputs": list(step.outputs),
        }
        for step in steps
    ]
    return {"pipeline": pipeline, "nodes": nodes}


def _steps(crate: Path) -> list[Step]:
    return [
        Step(node["name"], node["function"], tuple(node["inputs"]), tuple(node["outputs"]))
        for node in crate_reading.read_json(crate / WORKFLOW)["nodes"]
    ]


def _file(crate: Path, path: str, manifest: Manifest, manifest_path: str) -> CrateFile:
    """Return a file of a crate, with what it is."""
    artifacts: Mapping[str, Any] = manifest["artifacts"]
    names = {facts["path"]: name for name, facts in artifacts.items()}
    names |= {manifest_path: "manifest", **_NAMES}
    described = path.removesuffix(".sha256")
    digest, size = crate_reading.digest_of(crate / path), (crate / path).stat().st_size
    if path in names:
        return CrateFile(path, digest, size, names[path])
    if path.startswith(_TABLES):
        kind = "Croissant" if path.endswith(CROISSANT) else "Data"
        return CrateFile(path, digest, size, f"{kind} card of the table")
    if described in names:
        return CrateFile(path, digest, size, f"digest of {names[described]}", _OF_SUMS)
    return CrateFile(path, digest, size, f"{Path(path).stem} of the answer")


def _page(manifest: Manifest, files: list[CrateFile]) -> bytes:
    from optiproxy_nas.report.html import render  # matplotlib, beside it, is slow to import

    page = render(
        "crate.html.j2",
        title=f"Run {manifest['run_id']}",
        manifest=manifest,
        best=_best(manifest["result"]),
        parameters=crate_reading.flat(manifest["parameters"]),
        facts=crate_reading.facts_of(manifest),
        files=files,
    )
    return page.encode()


def _best(result: Mapping[str, Any]) -> str:
    """Return the value of the answer in words, "" where there is none."""
    metric, value = str(result["target"]), result[result["target"]]
    return "" if value is None else f"{metric_name(metric)} {value_text(metric, float(value))}"
