"""The metadata of a crate: a run as entities of RO-Crate 1.1 and its Provenance Run Crate profile.

Entities come in a fixed order, and all times are the run's, so that a run has one metadata file.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rocrate.model import Entity, File
from rocrate.rocrate import ROCrate

from optiproxy_nas.proof.contents import CrateFile, Statement, Step
from optiproxy_nas.proof.crate_reading import as_text, facts_of, flat
from optiproxy_nas.proof.graph_steps import COMPLETED, ENGINE, add_entity, add_steps
from optiproxy_nas.runs.manifest import Manifest

CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_FORMATS = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".py": "text/x-python",
    ".sha256": "text/plain",
}
_TYPES = {bool: "Boolean", int: "Integer", float: "Float"}


def metadata_of(
    manifest: Manifest,
    manifest_path: str,
    workflow_path: str,
    files: Sequence[CrateFile],
    steps: Sequence[Step],
    cards: Sequence[Mapping[str, Any]],
    statement: Statement,
) -> ROCrate:
    """Return the crate of a run, whose metadata can be written.

    Args:
        manifest: of the run, closed.
        manifest_path: of the manifest in the crate.
        workflow_path: of the pipeline's description in the crate.
        files: all files but the metadata.
        steps: nodes of the pipeline in their order.
        cards: data cards of the tables that were read.
        statement: licence and author.
    """
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(CONTEXT)
    by_path = {file.path: _add_file(crate, file, workflow_path) for file in files}
    artifacts = {
        name: by_path[facts["path"]] for name, facts in sorted(manifest["artifacts"].items())
    }
    workflow = by_path[workflow_path]
    values = _add_parameters(crate, workflow, manifest["parameters"])
    data = [_add_data(crate, card, by_path) for card in cards]
    facts = [
        add_entity(
            crate, f"#fact/{quote(name)}", "PropertyValue", name=name, propertyID=name, value=it
        )
        for name, it in facts_of(manifest).items()
    ]
    when = {"startTime": manifest["created"], "endTime": manifest["closed"]}
    run = add_entity(
        crate,
        "#run",
        "CreateAction",
        name=f"Run {manifest['run_id']} of {manifest['pipeline']}",
        description=_sentence(manifest),
        instrument=workflow,
        object=[*values, *data],
        result=list(artifacts.values()),
        actionStatus=COMPLETED,
        additionalProperty=facts,
        subjectOf=by_path[manifest_path],
        **when,
    )
    actions = add_steps(crate, workflow, manifest, steps, artifacts, data, run, when)
    _describe_root(crate, manifest, workflow, [run, *actions], statement)
    if statement.author:
        run["agent"] = crate.root_dataset["author"]
    return crate


def _add_file(crate: ROCrate, file: CrateFile, workflow_path: str) -> Entity:
    suffix = Path(file.path).suffix
    properties: dict[str, Any] = {
        "name": file.name,
        "sha256": file.sha256,
        "contentSize": str(file.size),
        "encodingFormat": _FORMATS.get(suffix)
        or mimetypes.guess_type(file.path)[0]
        or "application/octet-stream",
    }
    if file.description:
        properties["description"] = file.description
    kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
    if file.path == workflow_path:
        properties["@type"] = kinds
    return crate.add(File(crate, dest_path=file.path, properties=properties))


def _add_parameters(crate: ROCrate, workflow: Entity, parameters: Mapping[str, Any]) -> list[Any]:
    """Add each parameter as an input of the workflow, and its value; return the values."""
    values, inputs = [], []
    for name, value in flat(parameters).items():
        formal, given = f"#parameter/{quote(name)}", f"#parameter-value/{quote(name)}"
        inputs.append(
            add_entity(
                crate,
                formal,
                "FormalParameter",
                name=name,
                additionalType=_TYPES.get(type(value), "Text"),
                workExample={"@id": given},
            )
        )
        values.append(
            add_entity(
                crate,
                given,
                "PropertyValue",
                name=name,
                value=as_text(value),
                exampleOfWork={"@id": formal},
            )
        )
    workflow["input"] = inputs
    return values


def _add_data(crate: ROCrate, card: Mapping[str, Any], by_path: Mapping[str, Entity]) -> Entity:
    """Add a table that was read, with the raw files that it was made of; it is not in the crate."""
    source = str(card["source"])
    raw = [
        add_entity(
            crate,
            f"#raw/{quote(part['source'])}/{quote(file['name'])}",
            "CreativeWork",
            name=file["name"],
            sha256=file.get("sha256"),
            contentSize=str(file["bytes"]) if file.get("bytes") is not None else None,
            url=file.get("url") or part["homepage"],
            license=part["licence"],
            version=part["version"],
        )
        for part in card["parts"]
        for file in part["files"]
    ]
    described = [entity for path, entity in by_path.items() if path.startswith(_cards(card))]
    return add_entity(
        crate,
        f"#data/{quote(source)}",
        "CreativeWork",
        name=f"Table of {source} ({card['benchmark']}), {card['rows']} rows",
        description="Made of its raw files by 'kedro run --pipeline=ingest "
        f"--params=source={source}'. Its digest is over columns and values.",
        license="; ".join(dict.fromkeys(part["licence"] for part in card["parts"])),
        identifier=f"sha256:{card['table_sha256']}",
        hasPart=raw,
        subjectOf=described,
    )


def _cards(card: Mapping[str, Any]) -> str:
    return f"data/03_primary/{card['benchmark']}/{card['source']}."


def _describe_root(
    crate: ROCrate,
    manifest: Manifest,
    workflow: Entity,
    actions: list[Entity],
    statement: Statement,
) -> None:
    root = crate.root_dataset
    root["name"] = f"OptiProxy-NAS run {manifest['run_id']}"
    root["description"] = _sentence(manifest)
    root["datePublished"] = manifest["closed"]
    root["license"] = statement.license
    root["mainEntity"] = workflow
    root["mentions"] = actions
    root["conformsTo"] = [
        add_entity(crate, uri, "CreativeWork", name=name, version=uri.rpartition("/")[2])
        for uri, name in PROFILES.items()
    ]
    if statement.author:
        root["author"] = add_entity(crate, "#author", "Person", name=statement.author)
    code = manifest.get("code") or {}
    workflow["name"] = f"Pipeline {manifest['pipeline']} of optiproxy-nas {code.get('version')}"
    workflow["version"] = str((manifest.get("git") or {}).get("commit") or code.get("version"))
    workflow["programmingLanguage"] = add_entity(
        crate, "#kedro", "ComputerLanguage", name="Kedro", url=ENGINE
    )


def _sentence(manifest: Manifest) -> str:
    """Return what was searched and found, in a sentence."""
    parameters, result = manifest["parameters"], manifest["result"]
    where = parameters.get("dataset") or parameters.get("problem")
    where = where if isinstance(where, str) else "a problem"
    value = result.get(result.get("target"))
    reached = f", {result['target']} {value}" if value is not None else ""
    return (
        f"Search of {parameters.get('method')} on {where}, "
        f"seed {parameters['seed']}, budget {parameters['budget']}: "
        f"{result['best_architecture']}{reached}."
    )
