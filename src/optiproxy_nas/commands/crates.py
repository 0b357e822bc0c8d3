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
from optiproxy_nas.pipelines.repetition import steps_of
from optiproxy_nas.proof.contents import NO_LICENCE, Statement
from optiproxy_nas.proof.crate import write_crate
from optiproxy_nas.proof.crate_reading import SUMS, identity_of
from optiproxy_nas.proof.signature import Signer
from optiproxy_nas.proof.verification import failed, verify_crate
from optiproxy_nas.proof.verify import table_of
from optiproxy_nas.runs.manifest import read_manifest, reporting_folder

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("run_id")
@click.option("--to", "folder", type=_FILE, help="A new folder.  [default: RUN_ID.crate]")
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
    folder: Path | None,
    key: Path | None,
    password: bool,
    certificate: Path | None,
    chain: tuple[Path, ...],
    licence: str,
    author: str | None,
) -> None:
    """Write a finished run as a crate: what decided it, its steps and files, with all digests."""
    project = Path(metadata.project_path)
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
        target = folder or Path(f"{run_id}.crate")
        statement = Statement(licence, author)
        steps = steps_of(project, manifest) if manifest["status"] == "finished" else []
        write_crate(project, manifest, steps, target.absolute(), statement, signer)
    place = shlex.quote(os.path.relpath(target))
    click.echo(f"Crate      {place}{', signed' if signer else ', not signed'}")
    digest = identity_of(target)
    click.echo(f"SHA-256    {digest} of its {SUMS}")
    by = "--chain ROOT" if certificate else "--key PUBLIC" if key else f"--digest {digest}"
    click.echo(f"Verify     kedro verify {place} {by}")


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
