"""``kedro export`` and ``kedro verify``: a run as a folder that others can check."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from kedro.framework.startup import ProjectMetadata

from optiproxy_nas.commands.command_line import clear_errors
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.numbers import metric_label
from optiproxy_nas.export.trial_files import FORMATS, write_trials
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.pipelines.repetition import steps_of
from optiproxy_nas.proof.contents import NO_LICENCE, Statement
from optiproxy_nas.proof.crate import write_crate
from optiproxy_nas.proof.crate_reading import SUMS, identity_of
from optiproxy_nas.proof.signature import Signer
from optiproxy_nas.proof.verification import failed, verify_crate
from optiproxy_nas.proof.verify import table_of
from optiproxy_nas.runs.finished import StoredRun
from optiproxy_nas.runs.manifest import read_manifest, reporting_folder
from optiproxy_nas.spaces import get_space

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("run_id")
@click.option(
    "--to",
    default="crate",
    show_default=True,
    type=click.Choice(["crate", *FORMATS]),
    help="crate: all of the run, for others to check; the others are its trials: an Optuna study, "
    "a table, lines of JSON.",
)
@click.option("--out", type=_FILE, help="A new folder or file.  [default: RUN_ID.crate, RUN_ID.db]")
@click.option("--sign", "key", type=_FILE, help="PEM file of an elliptic curve key to sign with.")
@click.option("--password", is_flag=True, help="Ask for the password of the key.")
@click.option("--certificate", type=_FILE, help="PEM file of the certificate of the key.")
@click.option("--chain", type=_FILE, multiple=True, help="PEM files up to the root certificate.")
@click.option("--license", "licence", default=NO_LICENCE, help="Of the crate: a URL.")
@click.option("--author", help="Your name, where it shall be in the crate.  [default: none]")
@click.pass_obj
def export(
    metadata: ProjectMetadata,
    run_id: str,
    to: str,
    out: Path | None,
    key: Path | None,
    password: bool,
    certificate: Path | None,
    chain: tuple[Path, ...],
    licence: str,
    author: str | None,
) -> None:
    """Write a finished run as a crate, or its trials for other tools.

    A crate has what decided the run, its steps and files, with all digests. The trials are an
    Optuna study (optuna-dashboard sqlite:///RUN_ID.db), a table, or one JSON object a line.
    """
    project = Path(metadata.project_path)
    if to != "crate":
        if key is not None or author or licence != NO_LICENCE:
            raise click.UsageError("--sign, --license and --author are of crates.")
        with clear_errors():
            path = out or Path(f"{run_id}{FORMATS[to]}")
            write_run_trials(project, run_id, to, path)
        place = os.path.abspath(path)
        click.echo(f"Trials     {shlex.quote(place)}")
        if to == "optuna":
            address = shlex.quote(f"sqlite:///{place}")
            click.echo(f"Look       optuna-dashboard {address}")
        return
    signer = None
    if key is None and (password or certificate or chain):
        raise click.UsageError("--password, --certificate and --chain go with --sign KEY.")
    if password and certificate is not None:
        raise click.UsageError(
            "--password is of --sign without --certificate: beside a certificate, model-signing "
            "reads a key that has none (openssl ec -in crate.key -out plain.key)."
        )
    if key is not None:
        secret = click.prompt("Password", hide_input=True) if password else None
        signer = Signer(key, secret, certificate, chain)
    with clear_errors():
        manifest = read_manifest(reporting_folder(project), run_id)
        target = out or Path(f"{run_id}.crate")
        statement = Statement(licence, author)
        steps = steps_of(project, manifest) if manifest["status"] == "finished" else []
        write_crate(project, manifest, steps, target.absolute(), statement, signer)
    place = shlex.quote(os.path.abspath(target))
    click.echo(f"Crate      {place}{', signed' if signer else ', not signed'}")
    digest = identity_of(target)
    click.echo(f"SHA-256    {digest} of its {SUMS}")
    by = "--chain ROOT" if certificate else "--key PUBLIC" if key else f"--digest {digest}"
    click.echo(f"Verify     kedro verify {place} {by}")


def write_run_trials(project: Path, run_id: str, to: str, path: Path) -> None:
    """Write the trials of a finished run into a new file, once its files are checked.

    Raises:
        ParameterError: there is no such run, it has not finished, or there is something at the
            path.
        ArtifactError: a file that is read was edited or is missing.
        DataError: the file cannot be written, or Optuna is not installed.
    """
    manifest = read_manifest(reporting_folder(project), run_id)
    if manifest["status"] != "finished":
        raise ParameterError(
            f"Go on with run {run_id!r} first, kedro run --resume {run_id}: it has not finished.",
            run_id=run_id,
        )
    run = StoredRun(project, manifest)
    run.check(run.tables)
    parameters = parameters_of(manifest["parameters"])
    space, direction = get_space(parameters.space), parameters.objective.order.direction
    metric = metric_label(str(manifest["result"]["target"]))
    write_trials(path, to, run.trials(), space, direction, run_id, metric)


def crate_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options by which a user says which crate, and whose, it must be."""
    help_texts = {
        "key": "Of a crate: PEM file of the public key of whoever must have signed it.",
        "chain": "In place of it: certificates you trust.",
        "digest": "Of a crate: the SHA-256 that its author states; it stands for all files.",
    }
    command = click.option("--digest", metavar="SHA256", help=help_texts["digest"])(command)
    command = click.option("--chain", type=_FILE, multiple=True, help=help_texts["chain"])(command)
    return click.option("--key", type=_FILE, help=help_texts["key"])(command)


@click.command()
@click.argument("crate", type=_FILE)
@crate_options
def verify(crate: Path, **given: Any) -> None:
    """Check a crate: signature, digests, completeness, parameters. Exit code 1: it does not hold.

    It runs nothing of the crate, and needs no data. kedro audit CRATE repeats the search.
    """
    with clear_errors():
        checks = verify_crate(crate, **given)
    click.echo(f"Crate {identity_of(crate)} (SHA-256 of {SUMS})")
    click.echo(table_of(checks))
    if failed(checks):
        raise SystemExit(1)
