"""Audit a finished run: are its files intact, and does its search give the same again?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from optiproxy_nas.core.errors import ResumeError, message_of, project_error
from optiproxy_nas.runs import manifest as manifests
from optiproxy_nas.runs.audit_checks import (
    edits,
    not_as_written,
    strays,
    wrong_anchor,
    wrong_digest_files,
    wrong_table,
)
from optiproxy_nas.runs.datasets.model_folder import MODEL
from optiproxy_nas.runs.finished import StoredRun
from optiproxy_nas.runs.manifest import (
    AUDITED_PRIOR,
    PRIOR,
    Manifest,
    read_manifest,
    reporting_folder,
)

# (folder of a project copy, manifest to repeat): runs the search again, in that folder.
Rerun = Callable[[Path, Manifest], None]


class Audit(NamedTuple):
    """The findings: empty lists are good news."""

    damaged: list[str]  # stored artifacts whose bytes are not those of the manifest
    notes: list[str]  # of the whole package, of what could not be checked
    changed: list[str]  # code, libraries or processor that decide, and differ from the run's
    different: list[str]  # what the repeated search gave differently, first difference first
    rows: int  # archive rows compared
    artifacts: int  # artifacts compared byte for byte

    @property
    def passed(self) -> bool:
        """Everything stored is intact, and the run's own code repeats the search exactly."""
        return not (self.damaged or self.changed or self.different)

    def text(self) -> str:
        """Return the verdict for a terminal."""
        lines = [f"note: {line}" for line in self.notes]
        lines += [f"changed: {line}" for line in self.changed]
        lines += [f"damaged: {line}" for line in self.damaged]
        lines += [f"different: {line}" for line in self.different]
        verdict = "AUDIT PASSED" if self.passed else "AUDIT FAILED"
        lines.append(
            f"{verdict}: {self.rows} archive rows and {self.artifacts} artifacts compared, "
            f"{len(self.damaged)} damaged on disk, {len(self.different)} different when run again."
        )
        if self.changed and not self.damaged and not self.different:
            lines.append(
                "Other code gave the same, which says nothing of the code that the run names: "
                "audit it in a checkout of its commit, with its libraries."
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
    stored = StoredRun(project_path, old)
    damaged, notes = damage_of(project_path, run_id, old)
    now = manifests.new_manifest(run_id, old["pipeline"], old["parameters"], False)
    here = {**now, "data": old["data"]}
    changed = manifests.differences(old, here)
    more = manifests.differences(old, here, manifests.PACKAGE)
    notes += [line for line in more if line not in changed]
    with project_copy(project_path, run_id, old) as copy:
        try:
            rerun(copy, old)
        except Exception as error:
            if old["parameters"].get("problem") is None or project_error(error) is None:
                raise
            return Audit(damaged, notes, changed, [f"run again: {message_of(error)}"], 0, 0)
        new = read_manifest(reporting_folder(copy), run_id)
        different = manifests.differences({**new, "data": old["data"]}, new)
        if new["result"] != old["result"]:
            different.append("result: the summary in the manifest")
        different += _compare_archives(stored, StoredRun(copy, new))
        different += [
            f"{name}: SHA-256 {facts['sha256'][:12]}.. then, {found[:12]}.. now"
            for name, facts in old["artifacts"].items()
            if not name.startswith(f"{MODEL}/")  # its weights come of a training
            and (found := _sha256(new, name)) != facts["sha256"]
        ]
        different += [
            f"{name}: not among the run's artifacts"
            for name in sorted(new["artifacts"].keys() - old["artifacts"].keys())
        ]
    rows, count = new["result"]["queries"], len(old["artifacts"])
    return Audit(damaged, notes, changed, different, rows, count)


def damage_of(project: Path, run_id: str, manifest: Manifest) -> tuple[list[str], list[str]]:
    """Return what is wrong with a finished run as it lies there, and notes; nothing is repeated.

    Args:
        project: that holds the run.
        run_id: the run.
        manifest: of the run, as it was read.
    """
    errors = list(StoredRun(project, manifest).damage())
    damaged = [_line(error.data) for error in errors]
    damaged += [*edits(manifest), *not_as_written(project, run_id, manifest)]
    damaged += wrong_digest_files(project, manifest, {error.data["name"] for error in errors})
    notes: list[str] = []
    for check in (strays, wrong_anchor, wrong_table):
        wrong, noted = check(project, manifest)
        damaged, notes = damaged + wrong, notes + noted
    return damaged, notes


@contextmanager
def project_copy(project: Path, run_id: str, manifest: Manifest) -> Iterator[Path]:
    """Give a copy of a project in which a run can be repeated, without the run's own files.

    Of a run on a problem it has the journal, which answers, and links to all other files of the
    project: the data of the problem may be any of them.

    Args:
        project: that holds the run.
        run_id: the run.
        manifest: of the run.
    """
    with tempfile.TemporaryDirectory(prefix="optiproxy-audit-") as name:
        copy = Path(name).resolve()
        shutil.copytree(project / "conf", copy / "conf")
        shutil.copy(project / "pyproject.toml", copy)
        (copy / ".telemetry").write_text("consent: false\n")  # without it, Kedro phones home
        if manifest["parameters"].get("problem") is None:
            tables = Path("data") / "03_primary"
            shutil.copytree(project / tables, copy / tables)
        else:
            for path in project.iterdir():
                hidden = path.name.startswith(".")  # of tools, which may write there
                if path.name != "data" and not hidden and not (copy / path.name).exists():
                    (copy / path.name).symlink_to(path)
            for path in (project / "data").glob("*/*"):
                if path.name != run_id:
                    target = copy / path.relative_to(project)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.symlink_to(path)
            _copy_answers(project, copy, manifest)
        if prior := manifest["artifacts"].get(PRIOR):
            shutil.copy(project / prior["path"], copy / AUDITED_PRIOR)
        yield copy


def _copy_answers(project: Path, copy: Path, manifest: Manifest) -> None:
    """Copy the journal of a run, what its answer's test gave, and its answer's latency."""
    journal = Path(manifest["artifacts"]["journal"]["path"])
    (copy / journal).parent.mkdir(parents=True)
    for path in (journal, journal.with_name("test.json"), journal.with_name("latency.json")):
        if (project / path).exists():
            shutil.copy(project / path, copy / path)


def _sha256(manifest: Manifest, name: str) -> str:
    """Return the digest of an artifact, "missing" where there is none."""
    return str(manifest["artifacts"].get(name, {}).get("sha256", "missing"))


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
