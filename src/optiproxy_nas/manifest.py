"""The manifest of a run: written first, closed last; what resume and audit compare against.

It names everything that decides a run's artifacts (parameters, code, data, versions) and, once
the run has finished, the SHA-256 of every artifact.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from optiproxy_nas.datasets.atomic import write_atomically
from optiproxy_nas.errors import ResumeError
from optiproxy_nas.parameters import OPTIPROXY
from optiproxy_nas.presets import flatten

PACKAGE = Path(__file__).parent
# What of the package can change the queries of a search; the rest runs, records and shows it.
SEARCH_CODE = (
    "algorithm",
    "benchmarks",
    "encodings.py",
    "methods",
    "parameters.py",
    "presets",
    "proxies",
    "registry.py",
    "relaxation.py",
    "reproducibility.py",
    "spaces",
)
# Libraries whose version can change a number or the bytes of an artifact.
LIBRARIES = ("torch", "numpy", "scipy", "pandas", "pyarrow", "safetensors", "matplotlib")
# What must be equal for a run to go on, in the order in which differences are shown.
DECISIVE = ("parameters", "code", "libraries", "cpu", "data")

Manifest = dict[str, Any]


def manifest_path(reporting: Path, run_id: str) -> Path:
    """``<reporting>/<run_id>/manifest.json``."""
    return reporting / run_id / "manifest.json"


def new_manifest(
    run_id: str, pipeline: str, parameters: Mapping[str, Any], tracking: bool
) -> Manifest:
    """An open manifest: what is known before the first node runs."""
    return {
        "run_id": run_id,
        "pipeline": pipeline,
        "status": "running",
        "created": _now(),
        "closed": None,
        "parameters": dict(parameters),
        "parameters_sha256": digest(parameters),
        "tracking": tracking,
        "code": {
            "version": metadata.version("optiproxy-nas"),
            "sha256": code_digest(),
            "search_sha256": search_code_digest(parameters),
            "plugins": plugin_digests(parameters),
        },
        "git": git_state(),
        "libraries": dict(_versions()),
        # Vector instructions decide in which order sums are added.
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "environment": {"python": platform.python_version(), "platform": platform.platform()},
        "data": {},
        "artifacts": {},
        "result": None,
        "mlflow_run_id": None,
    }


def close(manifest: Manifest, status: str, **facts: Any) -> Manifest:
    """The manifest with its final status, the time, and more facts (artifacts, result)."""
    return {**manifest, **facts, "status": status, "closed": _now()}


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write atomically."""
    write_atomically(path, (json.dumps(manifest, indent=1, sort_keys=False) + "\n").encode())


def read_manifest(reporting: Path, run_id: str) -> Manifest:
    """The manifest of a run.

    Raises:
        ResumeError: there is no such run, or its manifest is not readable.
    """
    path = manifest_path(reporting, run_id)
    if not path.exists():
        runs = sorted(p.parent.name for p in reporting.glob("*/manifest.json"))
        recent = ", ".join(runs[-5:]) or "none"
        raise ResumeError(
            f"There is no run {run_id!r} under {reporting}. Runs there: {recent}.", run_id=run_id
        )
    try:
        manifest: Manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ResumeError(f"{path} is not a readable manifest: {error}.", path=str(path)) from error
    lacking = {"run_id", "status", "parameters", "artifacts", "pipeline", "data"}
    if isinstance(manifest, dict):
        lacking -= manifest.keys()
    if lacking or (manifest["status"] == "finished" and not manifest["artifacts"]):
        what = ", ".join(sorted(lacking)) or "artifacts"
        raise ResumeError(
            f"{path} is not a manifest of a run: it lacks {what}. It was edited; restore it, or "
            "start a new run.",
            path=str(path),
        )
    return manifest


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What decides a run and differs, one line each: ``parameters.seed: 0 then, 3 now``."""
    lines = []
    for part in DECISIVE:
        before, after = flatten(old.get(part), part), flatten(new.get(part), part)
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                lines.append(f"{key}: {before.get(key)!r} then, {after.get(key)!r} now")
    return lines


def last_archive(artifacts: Iterable[str]) -> str:
    """The name of the whole archive: the only one, or that of the last step (100 is after 99)."""
    archives = [name for name in artifacts if name.endswith(".archive")]
    if len(archives) == 1:
        return archives[0]
    return max(archives, key=lambda name: int(name.removeprefix("step_").partition(".")[0]))


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in LIBRARIES}


@lru_cache(maxsize=3)
def code_digest(parts: tuple[str, ...] = ()) -> str:
    """SHA-256 over the package's own source and preset files, or over ``parts`` of them."""
    total = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        relative = path.relative_to(PACKAGE)
        if path.suffix in {".py", ".yml"} and (not parts or relative.parts[0] in parts):
            total.update(relative.as_posix().encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def search_code_digest(parameters: Mapping[str, Any]) -> str:
    """SHA-256 of the code that can change the queries of a search with these parameters.

    The baselines' code is none of OptiProxy-NAS's.
    """
    own = parameters.get("method") == OPTIPROXY
    return code_digest(tuple(part for part in SEARCH_CODE if not (own and part == "methods")))


def plugin_digests(parameters: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the source file of every plug-in that is named by its dotted path."""
    digests = {}
    for value in flatten(parameters).values():
        if isinstance(value, str) and ":" in value:
            spec = importlib.util.find_spec(value.partition(":")[0])
            if spec is not None and spec.origin is not None and Path(spec.origin).exists():
                digests[value] = hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
    return digests


@lru_cache(maxsize=1)
def git_state() -> dict[str, Any]:
    """Commit of the checkout that holds the package, and whether it is clean; None without one."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(PACKAGE), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    status = git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "clean": None if status is None else status == ""}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
