"""Names of runs, pages and sweeps, each of which becomes a folder or file below ``data``."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from optiproxy_nas.benchmarks.source_registry import families, registered_sources
from optiproxy_nas.core.errors import ParameterError

CONF = Path(__file__).parents[1] / "conf"  # in a checkout, its conf/base
# What sweeps and the evidence of a checkout write into data/08_reporting.
_NO_RUNS = ("sweeps", "evidence", "evidence_badge", "evidence_preview", "evidence_smoke")
_OF_RENDERERS = ("memory", "own_problem", "tables", "workers")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_IN_CATALOG = re.compile(r"\bdata/\d\d_\w+/([A-Za-z0-9][\w.-]*)")


def check_run_id(value: Any) -> str:
    """Return ``value``, which is to be the id of a run.

    Raises:
        ParameterError: it cannot name a folder, or names one that holds other things.
    """
    name = check_name("Parameter 'run_id'", value)
    # File systems of macOS and Windows take two spellings for one folder.
    if (other := {it.lower() for it in folders_of_others()}) & {name.lower()}:
        raise ParameterError(
            f"Parameter 'run_id' = {name!r} is a folder of data that holds other things than runs. "
            f"Choose another; not one of {', '.join(sorted(other))}.",
            name="run_id",
            value=name,
        )
    return name


@cache
def folders_of_others() -> frozenset[str]:
    """Return the names in ``data/*/`` that are of no run.

    They are what the catalog names (but for what it takes from the run), the benchmarks whose
    tables it holds and the folders of their raw files, sweeps and evidence.
    """
    catalogs = [path.read_text(encoding="utf-8") for path in sorted(CONF.glob("catalog_*.yml"))]
    named = {name for text in catalogs for name in _IN_CATALOG.findall(text)}
    raw = {source.folder for source in registered_sources().values()}
    return frozenset(named | raw | families().keys() | {*_NO_RUNS, *_OF_RENDERERS})


def name_from(text: str) -> str:
    """Return how a name begins that :func:`check_name` takes, as near to a text as can be."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text[:60]).lstrip("._-") or "run"


def check_name(what: str, value: Any) -> str:
    """Return ``value``, which is to name a file or folder.

    Args:
        what: what it is, for the message.
        value: from the user.

    Raises:
        ParameterError: it cannot name one.
    """
    if not isinstance(value, str):
        raise ParameterError(
            f"{what} = {value!r:.200} is no text; in a YAML file a name that reads as something "
            "else stands in quotes.",
            name=value,
        )
    if not _NAME.fullmatch(value):
        raise ParameterError(
            f"{what} = {value!r:.200} names files or folders: letters, digits, '.', '_' and '-', "
            "at most 100, beginning with a letter or digit.",
            name=value,
        )
    return value
