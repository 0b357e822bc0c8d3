"""The record of the searches of tables: what each found, and with which settings of its method."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evidence.sections import digest_of
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.methods import METHODS
from optiproxy_nas.presets import load_preset

NATIVE = "native_tpe"  # in the place of a method
# Digests of the lines that have none, made before they had one.
_FIRST = {
    "large": "8f7b950702b7",
    "random_search": "372b32b3c66a",
    "regularized_evolution": "a67cc62aef8f",
    "local_search": "95c9dba72bc9",
    "tpe": "97835168346a",
    "native_tpe": "1e901bfda3b3",
    "gaussian_process": "438c7d95bbf5",
}


class Search(NamedTuple):
    """One search of a section: a task and a method by what the section says of them."""

    task: Mapping[str, Any]
    arguments: Mapping[str, Any]
    seed: int

    @property
    def key(self) -> str:
        """What tells it from others in the record."""
        return json.dumps([self.task, self.arguments, self.seed], sort_keys=True)


def settings_digest(arguments: Mapping[str, Any]) -> str:
    """Return what tells the preset, or the settings of the method, from others of that name."""
    if (method := arguments.get("method")) is None:
        return digest_of(load_preset(arguments["preset"]))
    settings = {} if method == NATIVE else METHODS.load(method).Settings().model_dump(mode="json")
    return digest_of([method, settings])


def record(path: Path) -> dict[str, Floats]:
    """Return the best so far of the record's searches, by their keys, if they are as of today."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        arguments = json.loads(entry["key"])[1]
        first = _FIRST.get(arguments.get("method", arguments.get("preset")))
        if entry.get("settings", first) == settings_digest(arguments):
            found[entry["key"]] = np.array(entry["best"], dtype=float)
    return found


def add(path: Path, search: Search, best: Floats) -> None:
    """Add the best so far of a search to the record."""
    values = [float(f"{value:.8g}") for value in best]
    entry = {"key": search.key, "settings": settings_digest(search.arguments), "best": values}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
