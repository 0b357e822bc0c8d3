"""Points of a sweep: one run each, named by the digest of everything that decides it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optiproxy_nas.methods.settings import parameters_of
from optiproxy_nas.presets import misfit
from optiproxy_nas.runs.manifest import Manifest, digest
from optiproxy_nas.runs.software import software

# What of a manifest's "code" is in the identity: the rest of the package only runs and shows it.
_CODE = ("search_sha256", "plugins")
_DIGITS = 10


@dataclass(frozen=True, eq=False)  # a key of dictionaries; equal is what has an equal digest
class Point:
    """One run of a sweep.

    Attributes:
        pipeline: the pipeline that it runs.
        kind: the pipeline's kind ("search", "methods").
        values: what the grid gives, nested: the run's parameters on the command line.
        parameters: everything that decides the search, resolved.
        setting: what differs from the preset or the method's defaults.
        data: source and digest of its table, as in a manifest.
        digest: SHA-256 of what decides the run.
        blocks: indices of the blocks of the grid that it is a point of, ascending.
    """

    pipeline: str
    kind: str
    values: Mapping[str, Any]
    parameters: Mapping[str, Any]
    setting: str
    data: Mapping[str, str]
    digest: str
    blocks: tuple[int, ...]

    @property
    def note(self) -> str:
        """What its user is to know of its parameters, "" if nothing."""
        return misfit(parameters_of(self.parameters))

    @property
    def run_id(self) -> str:
        """``cifar10-random_search-s0-0123456789``: the same wherever the same run is asked for."""
        known = self.parameters
        label = known.get("preset") or str(known["method"]).rpartition(":")[2]
        name = re.sub(r"[^A-Za-z0-9._-]", "-", f"{known['dataset']}-{label}"[:60])
        return f"{name}-s{known['seed']}-{self.digest[:_DIGITS]}"


def here(pipeline: str, parameters: Mapping[str, Any], data: Mapping[str, str]) -> str:
    """The identity that a run has in this process.

    Args:
        pipeline: its pipeline.
        parameters: what decides its search.
        data: source and digest of its table.
    """
    facts = {"pipeline": pipeline, "parameters": parameters, "data": data}
    return identity({**facts, **software(parameters)})


def identity(manifest: Manifest) -> str:
    """SHA-256 of what decides a run: pipeline, parameters, code, libraries, processor, data."""
    return digest(
        {
            "code": {part: manifest["code"].get(part) for part in _CODE},
            **{
                part: manifest[part]
                for part in ("pipeline", "parameters", "libraries", "cpu", "data")
            },
        }
    )
