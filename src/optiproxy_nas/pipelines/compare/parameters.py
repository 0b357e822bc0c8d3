"""Parameters of a comparison: which runs, read after how many queries, under which name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from optiproxy_nas.core.errors import ParameterError, unknown_name
from optiproxy_nas.pipelines.run_parameters import RUN_KEYS, check_name

SELECTORS = ("experiment", "runs", "sweep", "filter")
KEYS = (*SELECTORS, "budgets", "name")
LONGEST_NAME = 80


def resolve(values: Mapping[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """``params:compare``; sets the run's ``selection`` and ``name``. A comparison is no run.

    Raises:
        UnknownNameError: a parameter that a comparison has not.
        ParameterError: no runs are chosen, by two ways that exclude each other, or a value is of
            the wrong kind.
    """
    for key in sorted(set(values) - set(KEYS)):
        raise unknown_name("parameter", key, {*KEYS, *RUN_KEYS} - {"run_id"})
    if run.get("run_id") is not None:
        raise ParameterError("A comparison has no run_id; name=NAME names its page.")
    # A run's own "sweep" (the one that it belongs to) goes by the same name.
    given = {**values, "sweep": run.get("sweep") or values.get("sweep")}
    selection: dict[str, Any] = {
        name: _text(name, given.get(name)) for name in ("experiment", "sweep", "filter")
    }
    selection["runs"] = items(values.get("runs"))
    selection = {name: value for name, value in selection.items() if value}
    if not selection:
        raise ParameterError(
            "Which runs are to be compared? Choose by experiment=nb201_search, by runs=ID1;ID2, by "
            "sweep=NAME or by filter=\"params.seed = '0'\" (quote the whole argument in a shell)."
        )
    if "runs" in selection and len(selection) > 1:
        raise ParameterError(
            "Parameter 'runs' names the runs; experiment, sweep and filter cannot be added to it."
        )
    name = _text("name", values.get("name")) or _name_of(selection)
    run["selection"], run["name"] = selection, check_name("Parameter 'name'", name)
    return {"compare": {"budgets": _budgets(values.get("budgets")), "name": name}}


def items(value: Any) -> list[str]:
    """A list, also one written with semicolons or blanks (a comma ends a ``--params`` item)."""
    if value is None:
        return []
    parts = value if isinstance(value, list | tuple) else [value]
    split = [item for part in parts for item in re.split(r"[;\s]+", str(part)) if item]
    return list(dict.fromkeys(split))


def _budgets(value: Any) -> list[int]:
    found = items(value)
    wrong = [item for item in found if not item.isdecimal() or int(item) < 1]
    if wrong:
        raise ParameterError(
            f"Parameter 'budgets' holds {wrong[0]!r}: numbers of queries from 1 on, "
            "budgets=100;192.",
            budgets=found,
        )
    return sorted({int(item) for item in found})


def _text(name: str, value: Any) -> str:
    if isinstance(value, Mapping | list):
        raise ParameterError(
            f"Parameter {name!r} was read as {value!r}, not as a text. Write it into "
            "conf/local/parameters_compare.yml, in quotes, under 'compare:'.",
            name=name,
        )
    return "" if value is None else str(value).strip()


def _name_of(selection: Mapping[str, Any]) -> str:
    """A file name from what was chosen: a digest of several ids; cut, with one, where long."""
    runs = selection.get("runs", [])
    if len(runs) > 1:
        return f"runs-{_digest(sorted(runs))}"
    parts = [selection[key] for key in ("experiment", "sweep", "filter") if key in selection]
    parts += runs
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts)).strip("-._") or "comparison"
    if len(slug) <= LONGEST_NAME:
        return slug
    return f"{slug[: LONGEST_NAME - 9].rstrip('-._')}-{_digest(selection)}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
