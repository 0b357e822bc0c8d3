"""The code and libraries that decide a run: for its manifest, and for a point of a sweep."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from optiproxy_nas.algorithm.search_parameters import OPTIPROXY
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.methods import METHODS

PACKAGE = Path(__file__).parents[1]
# What of the package can change the queries of a search; the rest runs, records and shows it.
SEARCH_CODE = (
    "algorithm",
    "benchmarks",
    "core",
    "evaluation",
    "methods",
    "objectives",
    "presets",
    "proxies",
    "spaces",
)
# Libraries whose version can change a number or the bytes of an artifact.
LIBRARIES = ("torch", "numpy", "scipy", "pandas", "pyarrow", "safetensors", "matplotlib")


def software(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Code, libraries and processor, as far as they can change a run with these parameters."""
    return {
        "code": {
            "version": metadata.version("optiproxy-nas"),
            "sha256": code_digest(),
            "search_sha256": search_code_digest(parameters),
            "plugins": plugin_digests(parameters),
        },
        "libraries": {name: _version(name) for name in (*LIBRARIES, *_of_method(parameters))},
        # Vector instructions decide in which order sums are added.
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def _of_method(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The libraries that the method of a run names as its own."""
    name = parameters.get("method", OPTIPROXY)
    return () if name == OPTIPROXY else getattr(METHODS.load(name), "libraries", ())


@lru_cache
def _version(name: str) -> str:
    return metadata.version(name)


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

    The baselines' code is none of OptiProxy-NAS's. (Nor is what is in ``methods`` beside them: it
    types the parameters, which are compared themselves, and hands them on.)
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
