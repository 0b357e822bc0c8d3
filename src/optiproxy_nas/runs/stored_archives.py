"""The archive of a run of this project as it is stored, also where the run has not finished."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from optiproxy_nas.core.bounded_files import read_parquet
from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.evaluation.journal_table import journal_trials
from optiproxy_nas.runs.atomic_files import verify
from optiproxy_nas.runs.finished import StoredRun
from optiproxy_nas.runs.manifest import Manifest, last_archive


def stored_trials(project: Path, manifest: Manifest) -> pd.DataFrame | None:
    """Return the archive of a run, or the journal of one that has not finished; None: neither.

    Of a finished run it must be the one that the manifest lists; of others the last that is whole.

    Raises:
        ArtifactError: an archive was edited or damaged.
    """
    run = StoredRun(project, manifest)
    if manifest["status"] == "finished":
        try:
            name = last_archive(manifest["artifacts"])
        except ValueError:
            return None
        run.check([name])
        return run.archive()
    folder = project / "data" / "07_model_output" / str(manifest["run_id"])
    if (journal := folder / "journal.jsonl").exists():
        return journal_trials(journal)
    for path in sorted(folder.glob("step_*/archive.parquet/*/archive.parquet"), reverse=True):
        try:
            verify(path)
        except ArtifactError:
            continue  # what a kill left
        return read_parquet(path)
    return None
