"""Audit: is a finished run still what it says, and does its search give the same again?"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from optiproxy_nas.datasets.atomic import file_digest
from optiproxy_nas.errors import ResumeError
from optiproxy_nas.manifest import Manifest, differences, new_manifest, read_manifest

Rerun = Callable[[str, Manifest], None]  # (run id, manifest to repeat): runs the search again


class Audit(NamedTuple):
    """The findings: empty lists are good news."""

    damaged: list[str]  # stored artifacts whose bytes are not those of the manifest
    changed: list[str]  # code, libraries or data that differ from the run's
    different: list[str]  # what the repeated search gave differently, first difference first
    rows: int  # archive rows compared
    artifacts: int  # artifacts compared byte for byte

    @property
    def passed(self) -> bool:
        """Everything stored is intact and the search repeats exactly."""
        return not self.damaged and not self.different

    def text(self) -> str:
        """The verdict for a terminal."""
        lines = [f"note: {line}" for line in self.changed]
        lines += [f"damaged: {line}" for line in self.damaged]
        lines += [f"different: {line}" for line in self.different]
        verdict = "AUDIT PASSED" if self.passed else "AUDIT FAILED"
        lines.append(
            f"{verdict}: {self.rows} archive rows and {self.artifacts} artifacts compared, "
            f"{len(self.damaged)} damaged on disk, {len(self.different)} different when run again."
        )
        return "\n".join(lines)


def audit_run(project_path: Path, run_id: str, rerun: Rerun) -> Audit:
    """Check a finished run's files against its manifest, repeat its search, compare everything.

    Args:
        project_path: the project whose ``data/`` holds the run.
        run_id: the run.
        rerun: runs the manifest's search under another run id in the same project.

    Raises:
        ResumeError: no such run, or it has not finished.
    """
    reporting = project_path / "data" / "08_reporting"
    old = read_manifest(reporting, run_id)
    if old["status"] != "finished":
        raise ResumeError(
            f"Run {run_id!r} is {old['status']}, not finished: there is nothing to audit yet. Go "
            f"on with it by 'kedro run --resume {run_id}'.",
            run_id=run_id,
        )
    now = new_manifest(run_id, old["pipeline"], old["parameters"]) | {"data": old["data"]}
    damaged = [
        f"{name}: {found} ({facts['path']})"
        for name, facts in old["artifacts"].items()
        if (found := _damage(project_path / facts["path"], facts["sha256"]))
    ]
    repeat = f"{run_id}.audit"
    remove_run(project_path, repeat)
    try:
        rerun(repeat, old)
        new = read_manifest(reporting, repeat)
        different = [
            f"data: {line}"
            for line in differences({"data": old["data"]}, new)
            if line.startswith("data")
        ]
        # The report names the run and so differs; everything else must be equal to the byte.
        names = [n for n in old["artifacts"] if not n.startswith("report.")]
        different += _compare_archives(project_path, old, new)
        different += [
            f"{name}: SHA-256 {old['artifacts'][name]['sha256'][:12]}.. then, "
            f"{new['artifacts'].get(name, {}).get('sha256', 'missing')[:12]}.. now"
            for name in names
            if old["artifacts"][name]["sha256"] != new["artifacts"].get(name, {}).get("sha256")
        ]
        rows = new["result"]["queries"]
    finally:
        remove_run(project_path, repeat)
    return Audit(damaged, differences(old, now), different, rows, len(names))


def remove_run(project_path: Path, run_id: str) -> None:
    """Delete a run's folders in all data layers."""
    for folder in (project_path / "data").glob(f"0*_*/{run_id}"):
        shutil.rmtree(folder)


def _damage(path: Path, sha256: str) -> str | None:
    if not path.exists():
        return "missing"
    found = file_digest(path)
    return None if found == sha256 else f"SHA-256 {found[:12]}.. instead of {sha256[:12]}.."


def _compare_archives(project_path: Path, old: Manifest, new: Manifest) -> list[str]:
    """The first archive row that differs, if any."""
    name = max(n for n in old["artifacts"] if n.endswith(".archive"))
    paths = [project_path / m["artifacts"][name]["path"] for m in (old, new)]
    try:
        before, after = (pd.read_parquet(path) for path in paths)
    except (OSError, ValueError):
        return []  # a damaged file is reported as such
    for row in range(min(len(before), len(after))):
        if not before.iloc[row].equals(after.iloc[row]):
            return [
                f"archive row {row}: {before.iloc[row]['architecture']} "
                f"{before.iloc[row]['value']} then, {after.iloc[row]['architecture']} "
                f"{after.iloc[row]['value']} now"
            ]
    if len(before) != len(after):
        return [f"archive: {len(before)} rows then, {len(after)} now"]
    return []
