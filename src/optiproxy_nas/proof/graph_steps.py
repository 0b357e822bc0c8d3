"""The steps of a run in its crate: tools, what each step is, and what it did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from rocrate.model import ContextEntity, Entity
from rocrate.rocrate import ROCrate

from optiproxy_nas.proof.contents import Step
from optiproxy_nas.proof.crate_reading import SECONDS, as_text
from optiproxy_nas.runs.manifest import Manifest

ENGINE = "https://kedro.org"
COMPLETED = "http://schema.org/CompletedActionStatus"


def add_entity(crate: ROCrate, entity_id: str, kind: str, **properties: Any) -> Entity:
    """Add an entity that is no file; what is None or empty is left out."""
    given = {name: it for name, it in properties.items() if it is not None and it != []}
    return crate.add(ContextEntity(crate, entity_id, {"@type": kind, **given}))


def add_steps(
    crate: ROCrate,
    workflow: Entity,
    manifest: Manifest,
    steps: Sequence[Step],
    artifacts: Mapping[str, Entity],
    data: Sequence[Entity],
    run: Entity,
    when: Mapping[str, str],
) -> list[Entity]:
    """Add tools, steps and what each did; return what each did, in order."""
    modules = manifest.get("code", {}).get("modules", {})
    version = str(manifest.get("code", {}).get("version"))
    tools = {
        tool: add_entity(
            crate,
            f"#tool/{quote(tool)}",
            "SoftwareSourceCode",
            name=tool,
            version=modules.get(tool.partition(":")[0], version),
            programmingLanguage="Python",
        )
        for tool in dict.fromkeys(step.tool for step in steps)
    }
    seconds = manifest.get("node_seconds") or {}
    how, controls, actions = [], [], []
    for position, step in enumerate(steps, 1):
        place = quote(step.name)
        how.append(
            add_entity(
                crate,
                f"#step/{place}",
                "HowToStep",
                name=step.name,
                position=str(position),
                workExample=tools[step.tool],
            )
        )
        read = _entities(step.inputs, artifacts)
        if "benchmark_table" in step.inputs:
            read += data
        actions.append(
            add_entity(
                crate,
                f"#action/{place}",
                "CreateAction",
                name=step.name,
                description=f"{step.tool} of {', '.join(step.inputs) or 'nothing'}",
                additionalProperty=_seconds(crate, step.name, seconds.get(step.name)),
                instrument=tools[step.tool],
                object=read,
                result=_entities(step.outputs, artifacts),
                actionStatus=COMPLETED,
                endTime=when["endTime"],
            )
        )
        controls.append(
            add_entity(
                crate,
                f"#control/{place}",
                "ControlAction",
                name=f"Run {step.name}",
                instrument=how[-1],
                object=actions[-1],
                actionStatus=COMPLETED,
            )
        )
    workflow["step"], workflow["hasPart"] = how, list(tools.values())
    engine = add_entity(crate, ENGINE, "SoftwareApplication", name="Kedro", url=ENGINE)
    add_entity(
        crate,
        "#organize",
        "OrganizeAction",
        name=f"Execution of {manifest['pipeline']}",
        instrument=engine,
        object=controls,
        result=run,
        actionStatus=COMPLETED,
        **when,
    )
    return actions


def _seconds(crate: ROCrate, name: str, seconds: float | None) -> Entity | None:
    """Add how long a step ran when it ran first."""
    if seconds is None:
        return None
    return add_entity(
        crate,
        f"#seconds/{quote(name)}",
        "PropertyValue",
        name="seconds",
        propertyID=f"{SECONDS}{name}",
        value=as_text(seconds),
        unitText="s",
    )


def _entities(names: Iterable[str], artifacts: Mapping[str, Entity]) -> list[Entity]:
    """Return the artifacts of datasets, with those of the parts that a folder has."""
    return [
        entity
        for name in names
        for artifact, entity in artifacts.items()
        if artifact == name or artifact.startswith(f"{name}/")
    ]
