"""Write a finished run as a crate: a folder that says how it came about, and can be verified.

It is laid out as a project is (``data/07_model_output/RUN_ID/...``), beside ``pipeline.json``, the
metadata, ``SHA256SUMS`` and ``verify.py``. The same run gives the same bytes; a signature does not.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from optiproxy_nas.core.errors import ArtifactError, ParameterError, ResumeError
from optiproxy_nas.export.folder import check_free, whole_folder
from optiproxy_nas.proof import crate_reading, verify
from optiproxy_nas.proof.contents import Statement, Step
from optiproxy_nas.proof.crate_reading import WORKFLOW
from optiproxy_nas.proof.croissant import croissant_of
from optiproxy_nas.proof.description import CROISSANT, description_of, pipeline_of
from optiproxy_nas.proof.signature import Signer
from optiproxy_nas.proof.verification import compare_archive
from optiproxy_nas.runs.atomic_files import digest_path, file_digest
from optiproxy_nas.runs.finished import StoredRun
from optiproxy_nas.runs.manifest import Manifest, manifest_path, reporting_folder


def write_crate(
    project: Path,
    manifest: Manifest,
    steps: Sequence[Step],
    folder: Path,
    statement: Statement | None = None,
    signer: Signer | None = None,
) -> Path:
    """Write the crate of a run into a new folder, which is there whole or not at all.

    Args:
        project: that holds the run.
        manifest: of the run.
        steps: nodes of its pipeline, in their order.
        folder: its path. Nothing is written over.
        statement: licence and author; none by default.
        signer: signs the crate's files.

    Raises:
        ResumeError: the run has not finished.
        ArtifactError: an artifact is missing or damaged, or lies outside of the project.
        ParameterError: there is something at the folder's path.
        DataError: the folder cannot be written.
    """
    if manifest["status"] != "finished":
        raise ResumeError(
            f"Run {manifest['run_id']!r} is {manifest['status']}, not finished: there is nothing "
            f"to export yet. Go on with it by 'kedro run --resume {manifest['run_id']}'.",
            run_id=manifest["run_id"],
        )
    check_free(folder)
    if folder.resolve().is_relative_to((project / "data").resolve()):
        raise ParameterError(
            f"{str(folder)!r} lies in the project's data, where its files would be taken for those "
            "of a run. Name a folder elsewhere.",
            path=str(folder),
        )
    statement = statement or Statement()
    statement.check()
    sources = _sources(project, manifest)
    StoredRun(project, manifest).check()
    cards = _cards(project, manifest)
    of_manifest = _manifest_path(project, manifest)
    with whole_folder(folder, "crate") as partial:  # of its name, since a signature has it
        for path, source in sources.items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial / path)
        _write_cards(project, partial, cards)
        (partial / WORKFLOW).write_bytes(_json(pipeline_of(manifest["pipeline"], list(steps))))
        for name in crate_reading.CHECKERS:
            shutil.copyfile(Path(__file__).with_name(name), partial / name)
        description = description_of(partial, of_manifest, statement)
        text = json.dumps(description.metadata, indent=4, sort_keys=True, ensure_ascii=False)
        (partial / crate_reading.METADATA).write_bytes(text.encode())
        (partial / crate_reading.PREVIEW).write_bytes(description.page)
        sums = {
            path: crate_reading.digest_of(partial / path)
            for path in crate_reading.files_of(partial)[0]
        }
        (partial / crate_reading.SUMS).write_bytes(crate_reading.written_sums(sums))
        if signer is not None:
            signer.sign(partial)
        _check(partial)
    return folder


def _check(crate: Path) -> None:
    """Refuse a crate that its own checks do not pass.

    Raises:
        ArtifactError: a file was changed while it was copied, or does not fit to the manifest.
    """
    checks = [*verify.checks_of(crate), verify.run_check("archive", compare_archive, crate)]
    failed = [check for check in checks if check.state == verify.FAILED]
    if failed:
        raise ArtifactError(
            f"The run cannot be exported: {failed[0].name}: {failed[0].why}. It was edited or "
            "damaged; 'kedro audit' lists what.",
            checks=[check.name for check in failed],
        )


def _sources(project: Path, manifest: Manifest) -> dict[str, Path]:
    """Return path in the crate -> file, of the artifacts, their digests and the manifest.

    Raises:
        ArtifactError: an artifact lies outside of the project.
    """
    found = {}
    for name, facts in manifest["artifacts"].items():
        pure = PurePosixPath(facts["path"])
        path = project / pure
        if pure.is_absolute() or ".." in pure.parts or path.is_symlink():
            raise ArtifactError(
                f"Artifact {name!r} of the manifest lies outside of the project: {pure}. The "
                "manifest was edited; restore it.",
                name=name,
                path=str(pure),
            )
        for file in (path, digest_path(path)):
            if file.exists():
                found[_relative(project, file)] = file
    if journal := manifest["artifacts"].get("journal"):
        for name in crate_reading.BESIDE_JOURNAL:
            if (file := (project / journal["path"]).with_name(name)).exists():
                found[_relative(project, file)] = file
    of_manifest = _manifest_path(project, manifest)
    return {**found, of_manifest: project / of_manifest}


def _manifest_path(project: Path, manifest: Manifest) -> str:
    return _relative(project, manifest_path(reporting_folder(project), manifest["run_id"]))


def _relative(project: Path, path: Path) -> str:
    return path.relative_to(project).as_posix()


def _cards(project: Path, manifest: Manifest) -> list[tuple[Path, dict[str, Any]]]:
    """Return the data card of the table that answered the run, if there is one.

    Raises:
        ArtifactError: it is of another table, or no card.
    """
    data, benchmark = manifest["data"], manifest["parameters"].get("benchmark")
    path = project / "data" / "03_primary" / str(benchmark) / f"{data.get('source')}.json"
    if "table_sha256" not in data or not path.exists():
        return []
    try:
        card = crate_reading.read_json(path)
    except crate_reading.Refused as error:
        raise ArtifactError(f"{error}: {path}. Ingest the source anew.", path=str(path)) from error
    stated = card.get("table_sha256") if isinstance(card, dict) else None
    if stated != data["table_sha256"]:
        raise ArtifactError(
            f"The data card {path.name} is of another table than the one that answered run "
            f"{manifest['run_id']!r}. Ingest the source anew, or repeat the search.",
            path=str(path),
            found=stated,
            recorded=data["table_sha256"],
        )
    return [(path, card)]


def _write_cards(project: Path, crate: Path, cards: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    for path, card in cards:
        place = crate / path.relative_to(project)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
        table = path.with_suffix(".parquet")
        if table.exists():
            content = _json(croissant_of(card, table.name, file_digest(table)))
            place.with_suffix(CROISSANT).write_bytes(content)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
