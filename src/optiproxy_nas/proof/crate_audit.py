"""Repeat the search of a crate, from its files and a checkout of the code alone."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from optiproxy_nas.core.errors import ArtifactError, ResumeError
from optiproxy_nas.proof import crate_reading, verify
from optiproxy_nas.proof.verification import verify_crate
from optiproxy_nas.runs import manifest as manifests
from optiproxy_nas.runs.audit import Audit, Rerun, audit_run
from optiproxy_nas.runs.manifest import Manifest, load_manifest


def audit_crate(
    crate: Path,
    checkout: Path,
    rerun: Rerun,
    key: Path | None = None,
    chain: tuple[Path, ...] = (),
    digest: str | None = None,
) -> Audit:
    """Verify a crate, repeat its search and compare everything.

    The table is ingested anew; nothing of the checkout's ``data`` is read but raw files.

    Args:
        crate: its folder.
        checkout: a project of the code that made the run; its ``conf`` is used.
        rerun: as of :func:`~optiproxy_nas.runs.audit.audit_run`.
        key: of whoever should have signed the crate; as ``chain`` and ``digest``, see
            :func:`~optiproxy_nas.proof.verification.verify_crate`.
        chain: in its place.
        digest: of the crate.

    Raises:
        ArtifactError: the crate does not hold.
        ParameterError: as of ``verify_crate``.
        ResumeError: the code here is not the run's.
        DataError: it is no crate.
        UntrustedNameError: it names code that nobody has allowed to be imported.
    """
    checks = verify_crate(crate, key, chain, digest)
    if failures := [check for check in checks if check.state == verify.FAILED]:
        found = "\n  ".join(f"{check.name}: {check.why}" for check in failures)
        raise ArtifactError(
            f"The crate {str(crate)!r} does not hold, so its search is not repeated. kedro verify "
            f"lists what is wrong.\n  {found}",
            checks=[check.name for check in failures],
        )
    manifest = load_manifest(crate / crate_reading.manifest_path_of(crate))
    if manifest["pipeline"] == crate_reading.PYTHON:
        raise ResumeError(
            "The crate is of a search that was called from Python, so that no pipeline repeats it: "
            "call search() with its parameters, and with a copy of its journal, if there is one, "
            "which answers.",
            run_id=manifest["run_id"],
        )
    _check_code(manifest)
    with tempfile.TemporaryDirectory(prefix="optiproxy-crate-") as name:
        project = Path(name).resolve()
        shutil.copytree(checkout / "conf", project / "conf")
        shutil.copy(checkout / "pyproject.toml", project)
        (project / "data" / "03_primary").mkdir(parents=True)
        raw = checkout / "data" / "01_raw"
        if raw.is_dir():
            (project / "data" / "01_raw").symlink_to(raw.resolve())
        for path in sorted(crate_reading.read_sums(crate)):
            if path.startswith("data/") and not path.startswith(("data/01_", "data/03_")):
                (project / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(crate / path, project / path)
        audit = audit_run(project, manifest["run_id"], rerun)
        signature = [f"signature: {it.why}" for it in checks if it.name == "signature"]
        return audit._replace(notes=[*signature, *audit.notes])


def _check_code(manifest: Manifest) -> None:
    """Refuse to repeat a run with other code than its own.

    Raises:
        ResumeError: code, libraries or the processor's instructions differ; what to do.
    """
    parameters = manifest["parameters"]
    here = manifests.new_manifest(manifest["run_id"], manifest["pipeline"], parameters, False)
    lines = manifests.differences(manifest, {**here, "data": manifest["data"]})
    if not lines:
        return
    git = manifest.get("git") or {}
    commit = git.get("commit")
    advice = (
        f"Take its commit: git worktree add ../audit {commit}, install it there with its "
        "constraints.txt, and call kedro audit there."
        if commit
        else "The run names no commit; get its code from its author."
    )
    if commit and not git.get("clean"):
        advice += " The run was made with changes that were not committed."
    raise ResumeError(
        f"The code here is not that of run {manifest['run_id']!r}, so that repeating it would say "
        "nothing of it.\n  " + "\n  ".join(lines) + f"\n{advice}",
        run_id=manifest["run_id"],
        differences=lines,
    )
