"""The trials of a search as a file for other tools: an Optuna study, CSV, or lines of JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from optiproxy_nas.core.errors import DataError, ParameterError, unknown_name
from optiproxy_nas.evaluation.optuna_study import JOURNALS, write_study
from optiproxy_nas.export.folder import check_free
from optiproxy_nas.spaces.base import SearchSpace

# Format -> suffix of a file that is named for the user.
FORMATS = {"optuna": ".db", "csv": ".csv", "jsonl": ".jsonl"}
_BY_SUFFIX = {suffix: to for to, suffix in FORMATS.items()} | dict.fromkeys(JOURNALS, "optuna")


def format_of(path: Path, to: str | None = None) -> str:
    """Return the format of a file of trials: the one that is named, else that of the suffix.

    Raises:
        UnknownNameError: there is no such format.
        ParameterError: none is named, and the suffix tells none.
    """
    if to is not None:
        if to not in FORMATS:
            raise unknown_name("format", to, FORMATS)
        return to
    found = _BY_SUFFIX.get(path.suffix.lower())
    if found is None:
        raise ParameterError(
            f"{str(path)!r} says no format by its end: {', '.join(_BY_SUFFIX)}; or give to=, one "
            f"of {', '.join(FORMATS)}.",
            path=str(path),
        )
    return found


def write_trials(
    path: Path,
    to: str,
    trials: pd.DataFrame,
    space: SearchSpace,
    direction: str,
    name: str,
    metric: str,
) -> Path:
    """Write trials into a new file.

    Args:
        path: of the file.
        to: one of ``FORMATS``.
        trials: one row each: architecture (text), state, value, error, and what else is known.
        space: that was searched; each choice of a declared one is a column, too.
        direction: ``maximize`` or ``minimize``.
        name: of the study.
        metric: what the value is, for people.

    Raises:
        ParameterError: there is something at the path.
        DataError: it cannot be written there, or Optuna is not installed.
    """
    check_free(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if to == "optuna":
            write_study(path, name, space, trials, direction, metric)
        elif to == "csv":
            _with_choices(trials, space).to_csv(path, index=False)
        else:
            rows = trials.to_dict("records")
            lines = [json.dumps(_for_json(row, space), ensure_ascii=False) for row in rows]
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{str(path)!r} cannot be written: {error.strerror or error}.", path=str(path)
        ) from error
    return path


def _with_choices(trials: pd.DataFrame, space: SearchSpace) -> pd.DataFrame:
    """Return trials with a column for each choice of a declared space."""
    if not hasattr(space, "choices") or trials.empty:
        return trials
    choices = pd.DataFrame(list(map(space.architecture, trials["architecture"])))
    choices = choices.reindex(columns=list(space.choices)).set_index(trials.index)
    new = choices[[name for name in choices if name not in trials]]
    return pd.concat([trials, new], axis="columns")


def _for_json(row: dict[Any, Any], space: SearchSpace) -> dict[str, Any]:
    """Return a row without what is missing, its architecture as an evaluation takes it."""
    found = {
        str(name): it.item() if hasattr(it, "item") else it
        for name, it in row.items()
        if it is not None and not (isinstance(it, float) and math.isnan(it))
    }
    return found | {"architecture": space.architecture(row["architecture"])}
