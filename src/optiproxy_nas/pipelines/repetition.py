"""A finished run repeated by its manifest, and the nodes of its pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.framework.project import pipelines
from kedro.pipeline import Node

from optiproxy_nas.core.errors import ResumeError
from optiproxy_nas.pipelines.configuration import SearchSession
from optiproxy_nas.pipelines.project_pipeline import registered
from optiproxy_nas.pipelines.run_parameters import given_again, replayed_evaluation
from optiproxy_nas.proof.contents import Step
from optiproxy_nas.runs.manifest import Manifest


def repeat(project: Path, manifest: Manifest) -> None:
    """Run the search of a manifest again, in a project without the run's files; untracked."""
    with SearchSession.create(project, runtime_params=_parameters(manifest)) as session:
        assert isinstance(session, SearchSession)
        session.run(pipeline_names=[manifest["pipeline"]])


def steps_of(project: Path, manifest: Manifest) -> list[Step]:
    """Return the nodes of a run's pipeline, in their order, as the project's code makes them."""
    parameters = {**_parameters(manifest), "replay": False}
    with SearchSession.create(project, runtime_params=parameters) as session:
        assert isinstance(session, SearchSession)
        session.load_context()  # it unrolls the pipeline
        return [_step(node) for node in pipelines[manifest["pipeline"]].nodes]


def pipeline_of_run(manifest: Manifest) -> str:
    """Return the name of the pipeline that a manifest says, which is a search.

    Raises:
        ResumeError: it is none of this package: a stranger could have another of yours run.
    """
    name: str = manifest["pipeline"]
    found = registered().get(name)
    if found is None or found.kind not in ("search", "methods"):
        raise ResumeError(
            f"Run {manifest['run_id']!r} is of pipeline {name!r}, which is no search here. Its "
            "manifest was edited, or another project made it: work in that one.",
            run_id=manifest["run_id"],
            pipeline=name,
        )
    return name


def _parameters(manifest: Manifest) -> dict[str, Any]:
    parameters = {
        **given_again(manifest["parameters"]),
        **replayed_evaluation(manifest),
        "pipeline": pipeline_of_run(manifest),
        "run_id": manifest["run_id"],
        "tracking": False,
        "quiet": True,
        "replay": True,
    }
    if manifest["parameters"].get("problem") is not None:
        parameters["export"] = False  # its weights come of trainings, which are not repeated
    return parameters


def _step(node: Node) -> Step:
    function = getattr(node.func, "func", node.func)  # of a partial
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return Step(node.name, f"{function.__module__}:{name}", tuple(node.inputs), tuple(node.outputs))
