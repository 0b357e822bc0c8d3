"""Audit a finished run: are its files intact, and does its search give the same again?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from optiproxy_nas.core.errors import ResumeError
from optiproxy_nas.runs import manifest as manifests
from optiproxy_nas.runs.finished import StoredRun
from optiproxy_nas.runs.manifest import Manifest, read_manifest, reporting_folder

# (folder of a project copy, manifest to repeat): runs the search again, in that folder.
Rerun = Callable[[Path, Manifest], None]


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
        """Return the verdict for a terminal."""
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
        rerun: runs the manifest's search, under the same run id, in a copy of the project.

    Raises:
        ResumeError: no such run, or it has not finished.
    """
    old = read_manifest(reporting_folder(project_path), run_id)
    if old["status"] != "finished":
        raise ResumeError(
            f"Run {run_id!r} is {old['status']}, not finished: there is nothing to audit yet. Go "
            f"on with it by 'kedro run --resume {run_id}'.",
            run_id=run_id,
        )
    now = manifests.new_manifest(run_id, old["pipeline"], old["parameters"], False)
    stored = StoredRun(project_path, old)
    damaged = [_line(error.data) for error in stored.damage()]
    if old["run_id"] != run_id:
        damaged.append(f"manifest: it says that it is of run {old['run_id']!r}")
    if manifests.digest(old["parameters"]) != old["parameters_sha256"]:
        damaged.append("manifest: its parameters are not those of their digest")
    with tempfile.TemporaryDirectory(prefix="optiproxy-audit-") as name:
        copy = Path(name).resolve()
        shutil.copytree(project_path / "conf", copy / "conf")
        for settings in (".telemetry", "pyproject.toml"):  # without the first, Kedro phones home
            if (project_path / settings).exists():
                shutil.copy(project_path / settings, copy)
        tables = Path("data") / "03_primary"
        shutil.copytree(project_path / tables, copy / tables)
        rerun(copy, old)
        new = read_manifest(reporting_folder(copy), run_id)
        different = manifests.differences({**new, "data": old["data"]}, new)
        if new["result"] != old["result"]:
            different.append("result: the summary in the manifest")
        different += _compare_archives(stored, StoredRun(copy, new))
        different += [
            f"{name}: SHA-256 {facts['sha256'][:12]}.. then, {found[:12]}.. now"
            for name, facts in old["artifacts"].items()
            if (found := new["artifacts"].get(name, {}).get("sha256", "missing")) != facts["sha256"]
        ]
        different += [
            f"{name}: not among the run's artifacts"
            for name in sorted(new["artifacts"].keys() - old["artifacts"].keys())
        ]
    rows, count = new["result"]["queries"], len(old["artifacts"])
    changed = manifests.differences(old, {**now, "data": old["data"]}, manifests.PACKAGE)
    return Audit(damaged, changed, different, rows, count)


def _line(damage: Mapping[str, Any]) -> str:
    """Return what is wrong with a file, of an error's data."""
    found, recorded = damage["found"], damage["recorded"]
    state = f"SHA-256 {found[:12]}.. instead of {recorded[:12]}.." if found else "missing"
    return f"{damage['name']}: {state} ({damage['path']})"


def _compare_archives(old: StoredRun, new: StoredRun) -> list[str]:
    """Return the first archive row that differs, if any."""
    try:
        before, after = old.archive(), new.archive()
    except (OSError, ValueError):
        return []  # a damaged file is reported as such
    for row in range(min(len(before), len(after))):
        then, now = before.iloc[row], after.iloc[row]
        if not then.equals(now):
            return [
                f"archive row {row}: {then['architecture']} {then['value']} then, "
                f"{now['architecture']} {now['value']} now"
            ]
    if len(before) != len(after):
        return [f"archive: {len(before)} rows then, {len(after)} now"]
    return []
