"""The project's commands: ``kedro run`` with ``--resume`` and one-line errors; ``kedro audit``.

A project of a user has them by ``from optiproxy_nas.cli import cli`` in its ``cli.py``; its other
pipelines run as Kedro alone runs them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.project import pipelines
from kedro.framework.startup import ProjectMetadata

from optiproxy_nas.commands.command_line import clear_errors, printable
from optiproxy_nas.commands.crates import crate_options, export, verify
from optiproxy_nas.commands.evidence import evidence
from optiproxy_nas.commands.mlflow_ui import mlflow_ui
from optiproxy_nas.commands.parameters import parameters
from optiproxy_nas.commands.run_options import (
    read_as_kedro,
    read_parameters,
    run_help,
    run_options,
)
from optiproxy_nas.commands.sweep import sweep
from optiproxy_nas.core.errors import ParameterError, unknown_name
from optiproxy_nas.core.mappings import merge
from optiproxy_nas.evaluation.interrupts import end_as_interrupted
from optiproxy_nas.pipelines.project_pipeline import are_of_user, refuse_sums
from optiproxy_nas.pipelines.repetition import pipeline_of_run, repeat
from optiproxy_nas.pipelines.retraining import check_trained, retrain_text, retrain_trials
from optiproxy_nas.pipelines.run_parameters import (
    evaluation_again,
    given_again,
)
from optiproxy_nas.proof.crate_audit import audit_crate
from optiproxy_nas.proof.crate_reading import METADATA
from optiproxy_nas.runs.audit import audit_run
from optiproxy_nas.runs.manifest import read_manifest, reporting_folder

# Set by the command line itself.
INTERNAL = frozenset({"pipeline", "pipelines", "resume", "quiet", "json", "sweep", "replay"})


@click.group(name="optiproxy-nas")
def cli() -> None:
    """OptiProxy-NAS."""


def _run(resume: str | None, quiet: bool, as_json: bool, **options: Any) -> Any:
    """Run ``kedro run`` with what a search needs around it: resume, and errors in one line."""
    callback = kedro_run.callback
    assert callback is not None
    pipeline = options.pop("pipeline")  # --pipelines is the new spelling; both work
    names = list(options.pop("pipelines") or ()) + ([pipeline] if pipeline else [])
    if resume is None and are_of_user(names):
        with clear_errors():
            refuse_sums(names)
        options["params"] = read_as_kedro(options["params"])
        return callback(pipeline=None, pipelines=names, **options)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    end_as_interrupted()  # a scheduler's kill, a closed terminal
    with clear_errors():
        params = read_parameters(options.pop("params"))
        allowed = {"sweep"} if names == ["compare"] else set()  # a comparison names its sweep
        if internal := sorted((INTERNAL - allowed) & params.keys()):
            raise ParameterError(
                f"{internal[0]!r} is not for --params; there are the options --pipeline and "
                "--resume.",
                name=internal[0],
            )
        if resume is not None:
            if names and names[0] == "ingest":
                raise ParameterError("Ingest is no run; there is nothing to resume.")
            project = click.get_current_context().find_object(ProjectMetadata)
            folder = Path(project.project_path if project else Path.cwd())
            manifest = read_manifest(reporting_folder(folder), resume, params)
            if (other := params.get("run_id", resume)) != resume:
                raise ParameterError(
                    f"--resume names run {resume!r}, and run_id in --params {other!r}. Leave "
                    "run_id out.",
                    run_id=resume,
                )
            again = given_again(manifest["parameters"]) | evaluation_again(manifest, params)
            params = merge(again, params)
            params |= {"run_id": resume, "resume": True}
            params.setdefault("tracking", manifest["tracking"])
            of_run = pipeline_of_run(manifest)
            names = names or [of_run]
            if names not in ([of_run], ["__default__"]):
                raise ParameterError(
                    f"Run {resume!r} is of pipeline {of_run!r}; it cannot go on as "
                    f"{', '.join(names)}. Leave --pipeline out.",
                    run_id=resume,
                )
            options["only_missing_outputs"] = True
        if len(names) > 1:
            raise ParameterError(f"One pipeline a run; {', '.join(names)} were asked for.")
        if names and names != ["__default__"]:
            if names[0] not in pipelines:
                raise unknown_name("pipeline", names[0], set(pipelines) - {"__default__"})
            params["pipeline"] = names[0]
        if quiet or as_json:
            params |= {"quiet": True, "json": as_json}
        return callback(params=params, pipeline=None, pipelines=names, **options)


run = click.Command(name="run", callback=_run, help=run_help(), params=run_options())
cli.add_command(run)
cli.add_command(sweep)
cli.add_command(parameters)
cli.add_command(evidence)
cli.add_command(export)
cli.add_command(verify)
cli.add_command(mlflow_ui)


@cli.command()
@click.argument("run_id", metavar="RUN_ID|CRATE")
@crate_options
@click.option(
    "--retrain",
    metavar="[N]",
    is_flag=False,
    flag_value=0,
    type=click.IntRange(min=0),
    help="Of a run on a problem: train N of its trials again, or all, and tell the differences.",
)
@click.pass_obj
def audit(metadata: ProjectMetadata, /, run_id: str, retrain: int | None, **given: Any) -> None:
    """Check a finished run's files and repeat its search; say whether all is the same.

    The answers of a problem are taken from the run's journal. A CRATE, the folder that kedro export
    wrote, is verified and repeated from its own files, in a checkout of the run's commit.
    """
    project = Path(metadata.project_path)
    with clear_errors():
        if (is_crate := (Path(run_id) / METADATA).is_file()) and retrain is not None:
            raise ParameterError("--retrain is for runs of this project, not for crates.")
        if not is_crate and any(given.values()):
            raise ParameterError(
                f"--key, --chain and --digest are for crates, and {run_id!r} is no folder with one."
            )
        if is_crate:
            result = audit_crate(Path(run_id).absolute(), project, repeat, **given)
        else:
            if retrain is not None:
                check_trained(project, run_id)
            result = audit_run(project, run_id, repeat)
        click.echo(printable(result.text()))
        if retrain is not None:
            click.echo(retrain_text(retrain_trials(project, run_id, retrain)))
    if not result.passed:
        raise SystemExit(1)
