"""Names of code in files that others may have written: which of them may be imported.

A manifest names methods, spaces and problems also as ``package.module:Name``, which is imported and
called where the run goes on, is audited, compared or diagnosed: whoever sends a run could have any
code called. Imported are names of this package and of the project's own code, those that the user
gives at the command line, and what ``OPTIPROXY_TRUSTED`` lists.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kedro.utils import find_kedro_project

from optiproxy_nas.core.code_digest import PACKAGE
from optiproxy_nas.core.errors import UntrustedNameError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.evaluation.record_file import plug_ins_of

TRUSTED = "OPTIPROXY_TRUSTED"  # packages, modules or module:Name, separated by commas
_NOT_CODE = frozenset({"data", "site-packages", "dist-packages"})


def refuse_foreign_names(
    parameters: Mapping[str, Any], where: object, given: Mapping[str, Any]
) -> None:
    """Refuse parameters of a file that name code which nobody has allowed to be imported.

    Args:
        parameters: of the file, nested.
        where: the file, for the message.
        given: parameters of the user's, whose names are allowed.

    Raises:
        UntrustedNameError: which, and how to allow them.
    """
    allowed = {part for _, value in _names(given) for part in value.split("+")}
    foreign = {
        part.partition(":")[0]: f"{name} = {value}"
        for name, value in _names(parameters)
        for part in value.split("+")
        if ":" in part and part not in allowed and not _is_trusted(part)
    }
    if foreign:
        modules = ",".join(foreign)
        raise UntrustedNameError(
            f"{where} names code that would be imported ({'; '.join(foreign.values())}), and it is "
            f"not of this project. If you trust whoever wrote it, {TRUSTED}={modules} in the "
            "environment allows it; or, to go on with a run, give the name again by --params.",
            names=list(foreign.values()),
        )


def _names(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the parameters that are imported, by name."""
    yield from plug_ins_of(parameters).items()
    for name, value in flatten({"problem": parameters.get("problem")}).items():
        if name in ("problem", "problem.name") and isinstance(value, str):
            yield name, value


def _is_trusted(name: str) -> bool:
    module = name.partition(":")[0]
    package = module.partition(".")[0]
    listed = {entry.strip() for entry in os.environ.get(TRUSTED, "").split(",")}
    prefixes = {module[:end] for end, sign in enumerate(f"{module}.") if sign == "."}
    if listed & {name, *prefixes}:
        return True
    # Of a Kedro project that is configured; importing Kedro for it would configure logging.
    ours = getattr(sys.modules.get("kedro.framework.project"), "PACKAGE_NAME", None)
    return package in (PACKAGE, ours) or _is_in_project(package)


def _is_in_project(package: str) -> bool:
    """Return whether a package is source code of the project; it is not imported."""
    project = find_kedro_project(Path.cwd())
    try:
        spec = importlib.util.find_spec(package) if project and package.isidentifier() else None
    except (ImportError, ValueError):  # no spec, as of __main__
        spec = None
    if spec is None or project is None:
        return False
    places = [Path(it) for it in (spec.origin, *(spec.submodule_search_locations or ())) if it]
    return bool(places) and all(
        place.is_relative_to(project) and not _NOT_CODE & set(place.relative_to(project).parts)
        for place in places
    )
