"""``python -m cost.dependencies``: what the installed package stands on, as a bill of materials.

It prints CycloneDX 1.5 (JSON) of every distribution that the package and all of its extras need, as
they are installed here: name, version, licence, and what each needs in turn. ``--table`` prints a
table of names, versions and licences in Markdown, for ``docs/dependencies.md``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "optiproxy-nas"
_CLASSIFIER = "License :: OSI Approved :: "
# Texts in the place of a licence's name that are those of a usual one.
_KNOWN = {"MIT License": "MIT", "Apache Software License": "Apache-2.0", "BSD License": "BSD"}
_TEXTS = {
    "Permission is hereby granted, free of charge": "MIT",
    "Redistribution and use in source and binary forms": "BSD",
    "Apache License Version 2.0": "Apache-2.0",
}
_USUAL = re.compile(r"(?i)\b(apache|mit|bsd|isc|mpl|gpl|lgpl|psf|unlicense|zlib)\b")


def needed(name: str, extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the distributions that an installed one needs here, with some of its extras."""
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield canonicalize_name(requirement.name)


def installed(package: str = PACKAGE) -> dict[str, list[str]]:
    """Return what a package needs, as far as it is installed, with what each needs, by name."""
    extras = frozenset(metadata.metadata(package).get_all("Provides-Extra") or ())
    found: dict[str, list[str]] = {}
    waiting = [package]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:  # of an extra that is not installed
            continue
        found[name] = sorted(set(needed(name, extras if name == package else frozenset())))
        waiting += found[name]
    return {name: [it for it in found[name] if it in found] for name in sorted(found)}


def licence(name: str) -> str:
    """Return a distribution's licence as it states it: an SPDX expression, or a usual name."""
    facts: Any = metadata.metadata(name)
    if expression := facts.get("License-Expression"):
        return str(expression)
    classified = [it for it in facts.get_all("Classifier") or () if it.startswith(_CLASSIFIER)]
    if classified:
        names = (it.removeprefix(_CLASSIFIER) for it in classified)
        return " AND ".join(_KNOWN.get(it, it) for it in names)
    stated = " ".join(str(facts.get("License") or "").split())
    if len(stated) > 40:  # the whole text of one
        usual = _USUAL.search(stated)
        return usual[0] if usual else "see its metadata"
    return stated or _of_file(name) or "not stated"


def _of_file(name: str) -> str:
    """Return the licence whose text a distribution brings, "" if none of the usual ones."""
    for file in metadata.files(name) or ():
        if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            text = " ".join(file.read_text(encoding="utf-8").split())
            return next((found for words, found in _TEXTS.items() if words in text), "")
    return ""


def bill(package: str = PACKAGE) -> dict[str, Any]:
    """Return the bill of materials of a package: CycloneDX 1.5."""
    found = installed(package)

    def component(name: str) -> dict[str, Any]:
        version = metadata.version(name)
        return {
            "type": "library",
            "bom-ref": name,
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "licenses": [{"license": {"name": licence(name)}}],
        }

    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(package)},
        "components": [component(name) for name in found if name != package],
        "dependencies": [{"ref": name, "dependsOn": below} for name, below in found.items()],
    }


def table(package: str = PACKAGE) -> str:
    """Return names, versions and licences as a table in Markdown."""
    rows = [
        f"| {name} | {metadata.version(name)} | {licence(name).replace('|', '/')} |"
        for name in installed(package)
        if name != package
    ]
    return "\n".join(["| Distribution | Version | Licence |", "| --- | --- | --- |", *rows])


if __name__ == "__main__":
    print(table() if "--table" in sys.argv else json.dumps(bill(), indent=1))
