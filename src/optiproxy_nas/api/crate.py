"""A search from Python as a crate: its archive, its record and its journal."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.evaluation.journal_file import is_journal
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.export.folder import check_free
from optiproxy_nas.proof.contents import Statement, Step
from optiproxy_nas.proof.crate import write_crate
from optiproxy_nas.proof.signature import Signer
from optiproxy_nas.proof.verify import PYTHON
from optiproxy_nas.runs.atomic_files import file_digest, write_json
from optiproxy_nas.runs.manifest import manifest_path, new_manifest, reporting_folder, sealed

_STEP = ("search", "optiproxy_nas.api.entry:search")


def export_search(
    result: SearchRecord, folder: Path, journal: Path | None, key: Path | None, author: str | None
) -> Path:
    """Write the crate of a search into a new folder.

    Raises:
        OptiProxyError: as of :meth:`SearchResult.export_crate`.
    """
    if journal is not None and not is_journal(journal):
        raise ParameterError(
            f"{str(journal)!r} is no journal of a search. Give the path that search(..., "
            "journal=path) wrote to.",
            path=str(journal),
        )
    check_free(folder)
    run_id = folder.name
    with tempfile.TemporaryDirectory(prefix="optiproxy-crate-") as name:
        project = Path(name).resolve()
        files = project / "data" / "07_model_output" / run_id
        files.mkdir(parents=True)
        result.archive.to_parquet(files / "archive.parquet")
        result.save(files / "record.search")
        artifacts = {"result.archive": "archive.parquet", "result.record": "record.search"}
        if journal is not None:
            shutil.copyfile(journal, files / "journal.jsonl")
            artifacts["journal"] = "journal.jsonl"
        manifest = new_manifest(run_id, PYTHON, result.parameters.model_dump(mode="json"), False)
        if journal is not None:  # it says when the search ended; a result does not
            ended = datetime.fromtimestamp(int(journal.stat().st_mtime), UTC).isoformat()
            manifest["created"] = ended
        manifest |= {
            "status": "finished",
            "closed": manifest["created"],
            "artifacts": {
                of: {
                    "path": (files / file).relative_to(project).as_posix(),
                    "sha256": file_digest(files / file),
                }
                for of, file in artifacts.items()
            },
            "result": _summary(result),
        }
        manifest = sealed(manifest)
        write_json(manifest_path(reporting_folder(project), run_id), manifest)
        steps = [Step(*_STEP, (), tuple(sorted(artifacts)))]
        signer = None if key is None else Signer(key)
        return write_crate(project, manifest, steps, folder, Statement(author=author), signer)


def _summary(result: SearchRecord) -> dict[str, Any]:
    confirmed = {} if result.confirmation.empty else {"confirmations": len(result.confirmation)}
    return {
        "queries": len(result.archive),
        "best_architecture": result.best.text,
        "target": result.target,
        result.target: result.best_value,
        "caution": result.caution,
        **confirmed,
    }
