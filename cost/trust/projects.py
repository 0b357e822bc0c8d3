"""Projects with runs, made for :mod:`cost.trust`, and their commands in this process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kedro.framework.startup import bootstrap_project

from cost.measure import empty_project
from optiproxy_nas.cli import cli
from optiproxy_nas.pipelines import report_nodes
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.report.run_report import RunFigures
from optiproxy_nas.report.style import ReportFigure
from optiproxy_nas.runs.project_store import ProjectStore

TINY = "budget=12,initial_samples=6,selection.batch=3,selection.samples=24"
TINY += ",proxy.hidden=8,proxy.members=2,gradient.groups=4,gradient.epochs=4"
TINY += ",fit.epochs=4,fit.first_epochs=4"
RUN, OWN = "r", "own"
PROBLEM = "problem=cost.trust.trainings:Scored,confirm=null,failures.retries=1"
LAYERS = ("01_raw", "02_intermediate", "03_primary", "06_models", "07_model_output", "08_reporting")


def templates(folder: Path) -> dict[str, Path]:
    """Make projects to be copied; this process has then imported and read what a fork of it needs.

    Returns:
        ``empty``: without data; ``table``: with the table of a benchmark; ``store``: with MLflow's
        empty store, too; ``run``: with the finished, tracked runs ``r`` on the table and ``own`` on
        a problem.
    """
    _draw_no_pictures()
    os.environ["OPTIPROXY_TRUSTED"] = "cost.trust.trainings"
    made = {name: folder / name for name in ("empty", "table", "store", "run")}
    folder.mkdir(parents=True)
    new_project(made["empty"])
    copy_of(made["empty"], made["table"])
    with (folder / "log").open("w") as log, redirect_stdout(log), redirect_stderr(log):
        codes = [command(made["table"], "run", "--pipeline=ingest", "--params=source=embedded")]
        copy_of(made["table"], made["store"])
        ProjectStore(made["store"]).open().search_experiments()
        copy_of(made["store"], made["run"])
        of_problem = f"--params=run_id={OWN},{PROBLEM},{TINY},evaluation.executor=serial"
        codes.append(command(made["run"], "run", f"--params=run_id={RUN},{TINY}"))
        codes.append(command(made["run"], "run", "--pipeline=own_search", of_problem))
    assert codes == [0, 0, 0], (folder / "log").read_text()[-3000:]
    return made


def _draw_no_pictures() -> None:
    """Let reports have the titles of their figures, which take most of a small run's time."""
    torch.set_num_threads(1)

    def titles(run: RunData, figures: RunFigures) -> dict[ReportFigure[RunData], bytes]:
        return {figure: figure.title.encode() for figure in figures}

    vars(report_nodes)["draw_figures"] = titles


def command(project: Path, *arguments: str) -> int:
    """Call ``kedro ARGUMENTS`` in a project, which becomes the working directory.

    Returns:
        its exit code.
    """
    os.chdir(project)
    metadata = bootstrap_project(project)
    try:
        cli.main(list(arguments), prog_name="kedro", obj=metadata)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def new_project(folder: Path) -> Path:
    """Make a project without data."""
    folder.mkdir(parents=True)
    empty_project(folder)
    for layer in LAYERS:
        (folder / "data" / layer).mkdir(parents=True)
    return folder


def copy_of(template: Path, folder: Path) -> Path:
    """Copy a project or a crate."""
    return Path(shutil.copytree(template, folder, symlinks=True))


def manifest(project: Path, run_id: str) -> dict[str, Any]:
    """Return the manifest of a run as it is; {}: there is none."""
    path = project / "data" / "08_reporting" / run_id / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return found


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files_of(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, in their order."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


@cache
def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a private key and its public one, and return both files."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    kind, clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, kind, clear))
    of_public = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, of_public))
    return private, public
