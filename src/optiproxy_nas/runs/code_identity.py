"""The code, libraries and processor that decide a search: for manifests and points of sweeps.

The code is what the search imports: the loop, and the method, proxy, space, objective
and source that its parameters name, each with everything that it imports (:mod:`code_digest`).
Another baseline, a figure or a comment is not part of it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from optiproxy_nas.benchmarks import loading
from optiproxy_nas.benchmarks.source_registry import SOURCES
from optiproxy_nas.core.code_digest import DIGITS, combined, imported_code
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.core.parameters import source_name
from optiproxy_nas.evaluation import benchmark_problem, loop
from optiproxy_nas.methods import METHODS, method_of
from optiproxy_nas.objectives import OBJECTIVES
from optiproxy_nas.presets import load_preset, preset_names
from optiproxy_nas.proxies import PROXIES
from optiproxy_nas.spaces import SPACES

PACKAGE = Path(__file__).parents[1]
_version = lru_cache(metadata.version)
# Libraries whose version can change a number or the bytes of an artifact.
LIBRARIES = ("torch", "numpy", "scipy", "pandas", "pyarrow", "safetensors", "matplotlib")


def software(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return code, libraries and processor, as far as they can change a search.

    Args:
        parameters: everything that decides the search, resolved (``RunParameters`` as a mapping).

    Returns:
        For a manifest: ``code`` has ``version`` and ``sha256`` (of the whole package, for the
        record only), ``search_sha256`` (of the package's code that the search imports),
        ``plugins`` (of each plug-in's own code, by its ``module:Name``) and ``modules`` (digest by
        module of both).
    """
    modules = imported_code(_roots(parameters))
    search = {name: digest for name, digest in modules.items() if _of_package(name)}
    search |= _preset(parameters)
    return {
        "code": {
            "version": metadata.version("optiproxy-nas"),
            "sha256": package_digest(),
            "search_sha256": combined(search),
            "plugins": _plugins(parameters),
            "modules": modules | search,
        },
        "libraries": {
            name: _version(name) for name in (*LIBRARIES, *method_of(parameters).libraries)
        },
        # Vector instructions decide in which order sums are added.
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def _roots(parameters: Mapping[str, Any]) -> set[str]:
    """Return the modules that a search begins from, by name."""
    modules = {path.partition(":")[0] for path in _named(parameters)}
    return modules | {loading.__name__, benchmark_problem.__name__, loop.__name__}


def _named(parameters: Mapping[str, Any]) -> set[str]:
    """Return ``module:Name`` of what the parameters name, in a registry or by such a path."""
    named = [
        (METHODS, parameters["method"]),
        (PROXIES, parameters.get("proxy", {}).get("name")),
        (SPACES, parameters["space"]),
        (OBJECTIVES, parameters["objective"]["name"]),
        *((SOURCES, part) for part in source_name(parameters["source"]).split("+")),
    ]
    paths = {registry[name] for registry, name in named if name in registry}
    for value in flatten(parameters).values():
        for part in value.split("+") if isinstance(value, str) else ():
            module, colon, name = part.partition(":")
            if colon and name.isidentifier() and all(map(str.isidentifier, module.split("."))):
                paths.add(part)
    return paths


def _plugins(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of each plug-in's code with all of the user's own that it imports."""
    digests = {}
    for path in sorted(_named(parameters)):
        module = path.partition(":")[0]
        if not _of_package(module):
            code = imported_code([module])
            digests[path] = combined({n: d for n, d in code.items() if not _of_package(n)})
    return digests


def _of_package(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE.name


def _preset(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of the preset's values, if the search has one."""
    name = parameters.get("preset")
    if name not in preset_names():
        return {}
    text = json.dumps(load_preset(name), sort_keys=True)
    return {f"preset {name}": hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}


@lru_cache(maxsize=1)
def package_digest() -> str:
    """Return a SHA-256 of the text of all modules, presets and templates of the package."""
    total = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        relative = path.relative_to(PACKAGE)
        stems = [*relative.parent.parts, path.name.partition(".")[0]]
        if path.suffix in {".py", ".yml", ".j2"} and all(map(str.isidentifier, stems)):
            total.update(relative.as_posix().encode())
            total.update(hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest())
    return total.hexdigest()


@lru_cache(maxsize=1)
def git_state() -> dict[str, Any]:
    """Return commit and cleanness of the checkout that holds the package; None without one."""
    command = ["git", "-C", str(PACKAGE), "status"]
    command += ["--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "clean": None}
    lines = done.stdout.splitlines()
    oid = "# branch.oid "
    commit = next(line.removeprefix(oid) for line in lines if line.startswith(oid))
    return {"commit": commit, "clean": all(line.startswith("#") for line in lines)}
