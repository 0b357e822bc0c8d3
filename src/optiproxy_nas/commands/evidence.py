"""``kedro evidence``: run the searches behind the tables of the documentation, and write these."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from optiproxy_nas.commands.command_line import clear_errors
from optiproxy_nas.core.errors import ParameterError


@click.command()
@click.argument("sections", nargs=-1, metavar="[SECTION ...]")
@click.option("--smoke", is_flag=True, help="In miniature, to data/08_reporting/evidence_smoke/.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    help="At most the first N seeds of each row, to data/08_reporting/evidence_preview/.",
)
@click.option(
    "--badge",
    is_flag=True,
    help="The claims that half an hour can check, beside what is measured (docs/artifact.md).",
)
@click.option(
    "--from-stored",
    is_flag=True,
    help="Write tables and figures anew from docs/evidence/: nothing is searched, in seconds.",
)
@click.option("--executor", default="processes", show_default=True, help="How searches are run.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--no-tracking", is_flag=True, help="Do not tell MLflow of the searches.")
@click.option("--list", "only_list", is_flag=True, help="Name the sections, and run nothing.")
@click.pass_obj
def evidence(
    metadata: ProjectMetadata,
    sections: tuple[str, ...],
    smoke: bool,
    seeds: int | None,
    badge: bool,
    from_stored: bool,
    executor: str,
    workers: int,
    no_tracking: bool,
    only_list: bool,
) -> None:
    """Regenerate the tables and figures of docs/: run the searches that are missing.

    SECTIONs are the files of conf/base/evidence/; if none is named, all but reproduced*, which take
    50 CPU hours. Searches that are there already are not run again, so an interrupted call goes on
    where it stopped. The result of every search goes to docs/evidence/SECTION.csv, and the tables
    are computed from there; --from-stored does that alone.
    """
    project = Path(metadata.project_path)
    for option, is_chosen in (("--badge", badge), ("--from-stored", from_stored)):
        if is_chosen and (smoke or seeds or only_list or (badge and from_stored)):
            raise click.UsageError(f"{option} stands alone: not with --smoke, --seeds or --list.")
    with clear_errors("Go on with the same command: what has finished is kept."):
        if not (project / "evidence").is_dir():
            raise ParameterError(
                f"There is no evidence/ in {project}: it stands beside src in a checkout of the "
                "repository, and is no part of the installed package. Work in a checkout.",
                path=str(project),
            )
        sys.path.insert(0, str(project))
        from evidence.badge import measure_badge
        from evidence.collect import count_searches
        from evidence.regenerate import (
            PREVIEW,
            SMOKE,
            choose,
            regenerate,
            regenerate_from_stored,
        )

        chosen = choose(project, sections, seeds, smoke)
        if only_list:
            counts = count_searches(project, chosen)
            for section in chosen:
                click.echo(f"{section.name:12}{counts[section.name]:6d} searches  {section.title}")
            return
        if from_stored:
            regenerate_from_stored(project, chosen, click.echo, must=bool(sections))
            return
        if badge:
            lines = measure_badge(
                project, chosen, click.echo, executor=executor, workers=workers, tracking=False
            )
            sys.exit(any(line.holds is False for line in lines))
        regenerate(
            project,
            chosen,
            preview=SMOKE if smoke else PREVIEW if seeds else None,
            say=click.echo,
            name=SMOKE if smoke else "evidence",
            executor=executor,
            workers=workers,
            tracking=not no_tracking,
        )
