"""``kedro sweep``: a grid of runs from the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.startup import ProjectMetadata

from optiproxy_nas.commands.command_line import clear_errors
from optiproxy_nas.evaluation.interrupts import end_as_interrupted

if TYPE_CHECKING:
    from optiproxy_nas.sweeps import SweepOutcome

SHOWN = 20  # failures that are listed


@click.command(short_help="Run a grid of searches.")
@click.argument("grid", nargs=-1, metavar="[NAME=VALUES]...")
@click.option("--pipeline", "-p", help="Of all points.  [default: nb201_methods]")
@click.option("--file", "-f", type=click.Path(path_type=Path), help="YAML list of blocks.")
@click.option(
    "--executor",
    "-e",
    default="processes",
    show_default=True,
    help="serial, processes, dask, slurm; or package.module:Class.",
)
@click.option("--workers", "-w", default=2, show_default=True, help="Points at the same time.")
@click.option("--scheduler", help="Address of a Dask scheduler; a local cluster without it.")
@click.option("--slurm", multiple=True, metavar="NAME=VALUE", help="A point's job asks for this.")
@click.option("--name", help="Of the sweep.  [default: pipeline and digest of the grid]")
@click.option("--no-tracking", is_flag=True, help="Without MLflow.")
@click.pass_obj
def sweep(
    metadata: ProjectMetadata | None,
    grid: tuple[str, ...],
    pipeline: str | None,
    file: Path | None,
    executor: str,
    workers: int,
    scheduler: str | None,
    slurm: tuple[str, ...],
    name: str | None,
    no_tracking: bool,
) -> None:
    """Run every point of a grid, and write one table of all.

    VALUES are one value, several with commas, or a half-open range: seed=0:100. A FILE holds
    blocks, each a product; what is given here, too, holds for all of them. What has finished, in
    this sweep or any other, is not run again.

    Points run by the pipeline nb201_methods, whole in one node, unless --pipeline or a block names
    another: nb201_search keeps every artifact of every step, and runs optiproxy only.

    \b
    kedro sweep dataset=cifar10,cifar100 seed=0:10 method=bananas,tpe
    """
    end_as_interrupted()
    with clear_errors("What has finished is kept; the same command goes on with the rest."):
        from optiproxy_nas.core.fields import read_value
        from optiproxy_nas.pipelines.run_parameters import switch
        from optiproxy_nas.sweeps import run_sweep
        from optiproxy_nas.sweeps.grid import (
            check_pipeline,
            parse_arguments,
            read_blocks,
            with_given,
        )

        given: dict[str, Any] = parse_arguments(grid)
        tracking = switch("tracking", given.pop("tracking", True)) and not no_tracking
        if pipeline is not None:
            check_pipeline(pipeline, given.get("pipeline"), "its grid")
            given["pipeline"] = pipeline
        blocks = [given] if file is None else with_given(read_blocks(file), given)
        project = Path(metadata.project_path) if metadata else Path.cwd()
        resources = {name: read_value(text) for name, text in parse_arguments(slurm).items()}
        outcome = run_sweep(
            project, blocks, name, executor, workers, scheduler, tracking, slurm=resources
        )
    click.echo(_text(outcome, workers if executor != "serial" else 1))
    if outcome.failed:
        raise SystemExit(1)


def _text(outcome: SweepOutcome, workers: int) -> str:
    """Return what to print at the end."""
    from optiproxy_nas.benchmarks.source_registry import get_source

    failed = outcome.failed
    lines = [*outcome.notes]
    lines += [f"failed: {run_id}: {error}" for run_id, error in failed[:SHOWN]]
    if len(failed) > SHOWN:
        lines.append(f"... and {len(failed) - SHOWN} more in runs.parquet")
    lines.append(
        f"Sweep {outcome.name}: {outcome.done} points run, {outcome.skipped} finished before, "
        f"{len(failed)} failed."
    )
    if outcome.done:
        search = outcome.search_seconds / outcome.done
        run = outcome.done + len(failed)
        each = outcome.wall_seconds * min(workers, run) / run
        lines.append(
            f"{outcome.wall_seconds:.1f} s in all; a point searched for {search:.2f} s and took "
            f"{max(each - search, 0):.2f} s more, the start of the workers included."
        )
    if failed:
        lines.append("The same command tries the failed ones again.")
    lines.append(f"Tables: {os.path.relpath(outcome.folder)}/results.parquet, runs.parquet")
    of_tables = [p for p in outcome.points if p.parameters.get("problem") is None]
    sources = dict.fromkeys(str(point.parameters["source"]) for point in of_tables)
    cautions = dict.fromkeys(get_source(source).contents.caution for source in sources)
    lines += [f"Note: {caution}" for caution in cautions if caution]
    return "\n".join(lines)
