"""The manifest of a run: written first, closed last; what resume and audit compare against.

It names everything that decides a run's artifacts (parameters, code, data, versions) and, once
the run has finished, the SHA-256 of every artifact.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from optiproxy_nas.core.errors import ResumeError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.core.secrets import masked_values
from optiproxy_nas.runs.code_identity import git_state, software
from optiproxy_nas.runs.foreign_names import refuse_foreign_names
from optiproxy_nas.runs.manifest_layout import wrong_entries

# What must be equal for a run to go on, in the order in which differences are shown.
DECISIVE = ("parameters", "code.modules", "libraries", "cpu", "data")
# Of the parameters: what ends a search that goes wrong, and changes none that comes to its end.
LIMITS = ("parameters.failures.in_a_row", "parameters.failures.share")
RETRIES = "parameters.failures.retries"
# What is compared in place of "code.modules" where a manifest has none.
_DIGESTS = ("code.search_sha256", "code.plugins")
# Of the code that only runs and shows a search; it may change before a run goes on.
PACKAGE = ("code.version", "code.sha256")

CONFIRMATIONS = "confirm.evaluations"  # the trainings that confirm the best
CONFIRMED = "confirm.archive"  # D, of which they are no part, and they
PRIOR = "prior.trials"  # the trials of the earlier runs that guide a search
AUDITED_PRIOR = "prior.parquet"  # these, beside a copy of the project in which a run is repeated
ANCHOR = "manifest.sha256"  # a tag of MLflow: the digest that the run's manifest states of itself
SEAL = "manifest_sha256"  # an entry: the digest of all others
REFITS = "refits"  # namespace of what an asynchronous run leaves at every fit of its proxy
Manifest = dict[str, Any]


def reporting_folder(project: Path) -> Path:
    """Return the folder of a project that holds a folder a run, and one a sweep in ``sweeps``."""
    return project / "data" / "08_reporting"


def manifest_path(reporting: Path, run_id: str) -> Path:
    """Return ``<reporting>/<run_id>/manifest.json``."""
    return reporting / run_id / "manifest.json"


def new_manifest(
    run_id: str, pipeline: str, parameters: Mapping[str, Any], tracking: bool
) -> Manifest:
    """Return an open manifest: what is known before the first node runs."""
    return {
        "run_id": run_id,
        "pipeline": pipeline,
        "status": "running",
        "created": now(),
        "closed": None,
        "parameters": dict(parameters),
        "parameters_sha256": digest(parameters),
        "tracking": tracking,
        **software(parameters),
        "git": git_state(),
        "environment": {"python": platform.python_version(), "platform": platform.platform()},
        "data": {},
        "artifacts": {},
        "result": None,
        "node_seconds": {},  # of every node, when it ran first
        "node_cpu_seconds": {},  # likewise; of the process, which may do other things beside it
        "wall_seconds": 0.0,  # of all sessions that came to an end
        "mlflow_run_id": None,
        "mlflow_owed": tracking,  # whether MLflow lacks a part of the run
    }


def read_manifest(
    reporting: Path, run_id: str, given: Mapping[str, Any] = MappingProxyType({})
) -> Manifest:
    """Return the manifest of a run; as of :func:`load_manifest`.

    Raises:
        ResumeError: there is no such run, or its manifest is not readable, or of another run.
        UntrustedNameError: as of :func:`load_manifest`.
    """
    path = manifest_path(reporting, run_id)
    if not path.exists():
        found = sorted(reporting.glob("*/manifest.json"), key=lambda p: (p.stat().st_mtime, p))
        runs = [path.parent.name for path in found]
        raise ResumeError(
            f"There is no run {run_id!r} under {reporting}. Runs there: {newest(runs) or 'none'}.",
            run_id=run_id,
            runs=runs,
        )
    manifest = load_manifest(path, given)
    if manifest["run_id"] != run_id:
        raise ResumeError(
            f"{path} is the manifest of another run, {manifest['run_id']!r}: the folder was "
            "renamed, or the file was put there. Give the folder its name, or restore the file.",
            run_id=run_id,
        )
    return manifest


def newest(runs: Sequence[str], shown: int = 5) -> str:
    """Return the names of runs, oldest first, as text: the newest first, then how many more."""
    more = f", and {len(runs) - shown} older" if len(runs) > shown else ""
    return ", ".join(runs[: -shown - 1 : -1]) + more


def load_manifest(path: Path, given: Mapping[str, Any] = MappingProxyType({})) -> Manifest:
    """Return the manifest that a file holds.

    Args:
        path: of the file.
        given: parameters of the user's: what they name may be imported.

    Raises:
        ResumeError: it is not readable, or not the manifest of a run.
        UntrustedNameError: its parameters name code that nobody has allowed.
    """
    try:
        if not path.is_file():  # a pipe has no end
            raise ValueError("it is no file")
        manifest: Manifest = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ResumeError(
            f"{path} is not a readable manifest: {error}. Restore the file, or start a run with "
            "another run_id.",
            path=str(path),
        ) from error
    if wrong := wrong_entries(manifest) or _contradictions(manifest):
        raise ResumeError(
            f"{path} is not a manifest of a run: {', '.join(sorted(wrong))} is missing, or not as "
            "a run writes it. It was edited; restore it, or start a new run.",
            path=str(path),
        )
    executor = (manifest.get("evaluation") or {}).get("executor")
    refuse_foreign_names({**manifest["parameters"], "executor": executor}, path, given)
    return manifest


def _contradictions(manifest: Manifest) -> list[str]:
    """Return entries that do not fit to others."""
    source = manifest["parameters"].get("source")
    is_wrong = {
        "artifacts": manifest["status"] == "finished" and not manifest["artifacts"],
        "result": manifest["status"] == "finished" and manifest.get("result") is None,
        "data": manifest["data"].get("source", source) != source,
    }
    return [name for name, it in is_wrong.items() if it]


def provenance(manifest: Manifest) -> dict[str, str]:
    """Return which code, commit and libraries made a run, as tags of an experiment store."""
    code, git = manifest.get("code") or {}, manifest.get("git") or {}
    return {
        **{f"git.{name}": str(git[name]) for name in ("commit", "clean") if name in git},
        **{f"code.{name}": code[name] for name in ("sha256", "search_sha256") if name in code},
        **{f"version.{name}": version for name, version in manifest.get("libraries", {}).items()},
    }


def differences(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    also: Sequence[str] = (),
    but: Sequence[str] = LIMITS,
) -> list[str]:
    """Return what decides a run and differs, one line each: ``parameters.seed: 0 then, 3 now``.

    Args:
        old: a manifest.
        new: another one.
        also: further entries to compare, with dots: ``code.version``.
        but: what is not compared.
    """
    entries = [*DECISIVE, *also]
    if any(entry_of(manifest, "code.modules") is None for manifest in (old, new)):
        entries[1:2] = _DIGESTS
    lines = []
    for entry in entries:
        before, after = flatten(entry_of(old, entry), entry), flatten(entry_of(new, entry), entry)
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key) and key not in but:
                then, now = (repr(it[key]) if key in it else "not set" for it in (before, after))
                lines.append(f"{key}: {then} then, {now} now")
    return lines


def entry_of(manifest: Mapping[str, Any], path: str) -> Any:
    """Return the entry of a dotted path, None where there is none."""
    value: Any = manifest
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def last_archive(artifacts: Iterable[str]) -> str:
    """Return the name of the whole archive: the only one, or that of the last step."""
    archives = [name for name in artifacts if name.endswith(".archive") and name != CONFIRMED]
    if len(archives) == 1:
        return archives[0]
    return max(archives, key=lambda name: int(name.removeprefix("step_").partition(".")[0]))


def artifacts_by_step(artifacts: Iterable[str], kind: str) -> dict[int, str]:
    """Return step -> name of the artifact of a kind (``archive``, ``proxy``, ...) at each step.

    It is a dataset of the step in the unrolled pipeline, and a partition in an asynchronous run.
    """
    found = {}
    for name in artifacts:
        namespace, _, rest = name.partition(".")
        if namespace == REFITS:
            of_kind, _, step = rest.partition("/")
        else:
            step, of_kind = namespace, rest
        if of_kind == kind and step.startswith("step_"):
            found[int(step.removeprefix("step_"))] = name
    return dict(sorted(found.items()))


def is_asynchronous(manifest: Manifest) -> bool:
    """Return whether a run is an asynchronous search."""
    return bool((manifest.get("evaluation") or {}).get("asynchronous"))


def sealed(manifest: Mapping[str, Any]) -> Manifest:
    """Return a manifest with the digest of its other entries, by which an edit of any is found."""
    others = masked_values({name: entry for name, entry in manifest.items() if name != SEAL})
    return {**others, SEAL: seal_of(others)}


def seal_of(manifest: Mapping[str, Any]) -> str:
    """Return the digest of a manifest's other entries; what is hidden in them stays as it is."""
    others = {name: entry for name, entry in manifest.items() if name != SEAL}
    return digest(json.loads(json.dumps(others)))  # whose keys are texts, and sorted as such


def data_digest(data: Mapping[str, Any]) -> str:
    """Return what tells the data of runs apart, "" where none was recorded."""
    return str(data.get("table_sha256") or (digest(data) if data else ""))


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def now() -> str:
    """Return the time, in UTC, as manifests have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
