"""The code, libraries and processor that decide a search: for manifests and points of sweeps.

The code is what the search imports: the loop, and the method, proxy, space, objective
and source that its parameters name, each with everything that it imports (:mod:`code_digest`).
Another baseline, its entry in the registry, a figure or a comment is not part of it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from optiproxy_nas.benchmarks import loading
from optiproxy_nas.benchmarks.source_registry import SOURCES
from optiproxy_nas.core.code_digest import (
    DIGITS,
    NOT_FOUND,
    combined,
    imported_code,
    package_digest,
)
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.core.parameters import source_name
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.evaluation import benchmark_problem, loop, problem_evaluator
from optiproxy_nas.methods import METHODS
from optiproxy_nas.objectives import OBJECTIVES, name_of
from optiproxy_nas.presets import load_preset, objective_defaults, preset_names
from optiproxy_nas.problems.resolution import PROBLEMS
from optiproxy_nas.proxies import PROXIES
from optiproxy_nas.spaces import DECLARED, SPACES

PACKAGE = Path(__file__).parents[1]
# Libraries whose version can change a number or the bytes of an artifact.
LIBRARIES = ("torch", "numpy", "scipy", "pandas", "pyarrow", "safetensors", "matplotlib")


class _Member(NamedTuple):
    """What parameters name in a registry, or by its ``module:Name``."""

    registry: Registry
    name: str

    @property
    def path(self) -> str:
        """``module:Name``."""
        return self.registry.get(self.name, self.name)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version can change what it does."""
        return tuple(getattr(self.registry.load(self.name), "libraries", ()))


def software(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return code, libraries and processor, as far as they can change a search.

    Args:
        parameters: everything that decides the search, resolved (``RunParameters`` as a mapping).

    Returns:
        For a manifest: ``code`` has ``version`` and ``sha256`` (of the whole package, for the
        record only), ``search_sha256`` (of the package's code that the search imports),
        ``plugins`` (of each plug-in's own code, by its ``module:Name``) and ``modules`` (digest by
        module of both, and what else decides: the preset's values and the entries of registries).
        ``libraries`` has the versions of ours and of those that the members name.

    Raises:
        ParameterError: the source of a plug-in, or of what it imports, cannot be read.
    """
    members = list(_members(parameters))
    paths = {member.path for member in members}.union(_dotted_paths(parameters))
    roots = {path.partition(":")[0] for path in paths}
    roots |= {loading.__name__, benchmark_problem.__name__, loop.__name__}
    if parameters.get("problem") is not None:
        roots.add(problem_evaluator.__name__)
    modules = imported_code(roots)
    search = {name: digest for name, digest in modules.items() if _of_package(name)}
    search |= {f"{m.registry.kind} {m.name}": m.path for m in members if m.name in m.registry}
    search |= _preset(parameters)
    libraries = [*LIBRARIES, *(name for member in members for name in member.libraries)]
    return {
        "code": {
            "version": metadata.version("optiproxy-nas"),
            "sha256": package_digest(),
            "search_sha256": combined(search),
            "plugins": _plugins(paths),
            "modules": modules | search,
        },
        "libraries": {name: _version(name) for name in libraries},
        # Vector instructions decide in which order sums are added.
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def names_in(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return all that :func:`software` reads of the parameters: those that are texts."""
    return {key: value for key, value in flatten(parameters).items() if isinstance(value, str)}


def _members(parameters: Mapping[str, Any]) -> Iterator[_Member]:
    """Yield what the parameters name in the registries."""
    space = parameters["space"]
    named = [
        (METHODS, parameters["method"]),
        (PROXIES, parameters.get("proxy", {}).get("name", "")),
        (SPACES, space if isinstance(space, str) else DECLARED),
        (OBJECTIVES, parameters["objective"]["name"]),
        (PROBLEMS, _problem_name(parameters.get("problem"))),
        *((SOURCES, part) for part in source_name(parameters["source"]).split("+")),
    ]
    yield from (_Member(*pair) for pair in named if pair[1] in pair[0] or ":" in pair[1])


def _problem_name(problem: Any) -> str:
    """Return the name of a problem, "" where there is none."""
    return str(problem["name"] if isinstance(problem, Mapping) else problem or "")


def _dotted_paths(parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield every value that is the ``module:Name`` of a module, wherever it stands."""
    for value in names_in(parameters).values():
        for path in value.split("+"):
            module, colon, name = path.strip().partition(":")
            if not colon or not all(map(str.isidentifier, f"{module}.{name}".split("."))):
                continue
            if module in sys.modules or imported_code([module])[module] != NOT_FOUND:
                yield path.strip()


def _plugins(paths: Iterable[str]) -> dict[str, str]:
    """Return the digest of each plug-in's code with all of the user's own that it imports."""
    digests = {}
    for path in sorted(paths):
        module = path.partition(":")[0]
        if _of_package(module):
            continue
        code = {n: d for n, d in imported_code([module]).items() if not _of_package(n)}
        if lost := [name for name, digest in code.items() if digest == NOT_FOUND]:
            raise ParameterError(
                f"The source of {lost[0]}, which the plug-in {path!r} is in or imports, cannot be "
                "read, so that nobody could tell whether it changes. Put it into a file that "
                "Python imports from a folder.",
                path=path,
                module=lost[0],
            )
        digests[path] = combined(code)
    return digests


def _of_package(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE.name


def _preset(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of the preset's values, if the search has one."""
    name = parameters.get("preset")
    if name not in preset_names():
        return {}
    objective = name_of(parameters.get("objective"))
    values = load_preset(name, objective), objective_defaults(name, objective)
    text = json.dumps(values if values[1] else values[0], sort_keys=True)
    return {f"preset {name}": hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}


@lru_cache
def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


@lru_cache(maxsize=1)
def git_state() -> dict[str, Any]:
    """Return commit and cleanness of the checkout that holds the package; None without one."""
    command = ["git", "-C", str(PACKAGE), "status"]
    command += ["--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "clean": None}
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    oid = "# branch.oid "
    commit = next(line.removeprefix(oid) for line in lines if line.startswith(oid))
    return {"commit": commit, "clean": all(line.startswith("#") for line in lines)}
