"""The project's commands: ``kedro run`` with ``--resume`` and one-line errors; ``kedro audit``."""

from __future__ import annotations

import re
import signal
import warnings
from pathlib import Path
from typing import Any

import click
import yaml
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.session import KedroSession
from kedro.framework.startup import ProjectMetadata

from optiproxy_nas.commands.command_line import clear_errors, interrupt
from optiproxy_nas.commands.evidence import evidence
from optiproxy_nas.commands.sweep import sweep
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.mappings import merge
from optiproxy_nas.runs.audit import audit_run
from optiproxy_nas.runs.manifest import Manifest, read_manifest

# Set by the command line itself.
INTERNAL = frozenset({"pipeline", "pipelines", "resume", "quiet", "sweep"})
COMMAS = (
    "Commas separate parameters; a list is written with semicolons: "
    '--params="objective.constraints=latency_ms <= 12; parameters_millions <= 0.5".'
)


@click.group(name="optiproxy-nas")
def cli() -> None:
    """OptiProxy-NAS."""


def _run(resume: str | None, **options: Any) -> Any:
    """``kedro run``: its own callback, with what a search needs around it."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    pipeline = options.pop("pipeline")  # --pipelines is the new spelling; both work
    names = list(options.pop("pipelines") or ()) + ([pipeline] if pipeline else [])
    params = dict(options.pop("params") or {})
    signal.signal(signal.SIGTERM, interrupt)  # a scheduler's kill ends a run as Ctrl-C does
    with clear_errors():
        asked = {"sweep"} if names == ["compare"] else set()  # a comparison names its sweep
        if internal := sorted((INTERNAL - asked) & params.keys()):
            raise ParameterError(
                f"{internal[0]!r} is not for --params; there are the options --pipeline and "
                "--resume.",
                name=internal[0],
            )
        if cut := [key for key in params if "<" in key or ">" in key]:
            raise ParameterError(
                f"{cut[0].strip()!r} is no parameter's name: it is what follows a comma. {COMMAS}",
                name=cut[0],
            )
        if resume is not None:
            if names and names[0] == "ingest":
                raise ParameterError("Ingest is no run; there is nothing to resume.")
            project = click.get_current_context().find_object(ProjectMetadata)
            folder = Path(project.project_path if project else Path.cwd())
            manifest = read_manifest(_reporting(folder), resume)
            params = merge(manifest["parameters"], params)
            params |= {"run_id": resume, "resume": True}
            params.setdefault("tracking", manifest["tracking"])
            names = names or [manifest["pipeline"]]
            if names not in ([manifest["pipeline"]], ["__default__"]):
                raise ParameterError(
                    f"Run {resume!r} is of pipeline {manifest['pipeline']!r}; it cannot go on as "
                    f"{', '.join(names)}. Leave --pipeline out.",
                    run_id=resume,
                )
            options["only_missing_outputs"] = True
        if len(names) > 1:
            raise ParameterError(f"One pipeline a run; {', '.join(names)} were asked for.")
        if names and names != ["__default__"]:
            params["pipeline"] = names[0]
        callback = kedro_run.callback
        assert callback is not None
        return callback(params=params, pipeline=None, pipelines=names, **options)


def _reporting(project_path: Path) -> Path:
    return project_path / "data" / "08_reporting"


class _Run(click.Command):
    """``kedro run``, whose parser of --params reads values as YAML and lets its errors through."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except yaml.YAMLError as error:
            raise click.UsageError(
                f"A value of --params cannot be read: {' '.join(str(error).split())}. {COMMAS}"
            ) from error
        except click.ClickException as error:
            if "params" in error.message and re.search("[<>]", error.message):
                raise click.UsageError(f"{error.message} {COMMAS}") from error  # several bounds
            raise


run = _Run(
    name="run",
    callback=_run,
    help="Run the pipeline.",
    params=[
        *kedro_run.params,
        click.Option(
            ["--resume"],
            metavar="RUN_ID",
            help="Go on with an unfinished run, to the same result as an uninterrupted one.",
        ),
    ],
)
cli.add_command(run)
cli.add_command(sweep)
cli.add_command(evidence)


@cli.command()
@click.argument("run_id")
@click.pass_obj
def audit(metadata: ProjectMetadata, run_id: str) -> None:
    """Check a finished run's files and repeat its search; say whether all is the same."""
    project = Path(metadata.project_path)

    def rerun(folder: Path, manifest: Manifest) -> None:
        params = {
            **manifest["parameters"],
            "pipeline": manifest["pipeline"],
            "run_id": run_id,
            "tracking": False,
            "quiet": True,
        }
        with KedroSession.create(folder, runtime_params=params) as session:
            assert isinstance(session, KedroSession)
            session.run(pipeline_names=[manifest["pipeline"]])

    with clear_errors():
        result = audit_run(project, run_id, rerun)
    click.echo(result.text())
    if not result.passed:
        raise SystemExit(1)
