"""Architectures of earlier runs as codes of the space that is searched.

Choices of declared spaces are matched by name, their options by value; what an earlier run says
nothing of is ``UNKNOWN``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.core.errors import DataError, InvalidArchitectureError, ParameterError
from optiproxy_nas.evaluation.prior_sources import EarlierRun
from optiproxy_nas.proxies.prior_mean import UNKNOWN
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.choices.choice import Choice


def codes_of(run: EarlierRun, trials: pd.DataFrame, space: SearchSpace) -> Tensor:
    """Return the codes [n, L] of a run's trials, ``UNKNOWN`` where a choice is not shared.

    The constraint of the space may reject some of them: they inform it all the same.

    Raises:
        ParameterError: the run is of another space.
    """
    given = _architectures(trials, run, space)
    choices = getattr(space, "choices", None)
    try:
        return space.from_string(given)
    except InvalidArchitectureError:
        if not isinstance(choices, Mapping):
            if run.space and run.space != space.name:
                why = f"it was on space {run.space!r}"
            else:
                why = f"{_first_invalid(space, given)!r:.80} is no architecture of the space"
            raise _of_another_space(run, space, why) from None
    options = {
        name: {_key(it): n for n, it in enumerate(c.options, 1)} for name, c in choices.items()
    }
    architectures = [_as_dict(one) for one in given]
    before = run.choices or frozenset(name for one in architectures for name in one)
    if not (shared := before & options.keys()):
        why = f"its choices ({_names(before)}) are not those of the space ({_names(options)})"
        raise _of_another_space(run, space, why)
    rows = [_row(one, before, choices, options) for one in architectures]
    codes = torch.tensor(rows, dtype=torch.int64).reshape(-1, space.code_length)
    if not bool((codes > 0).any()):
        why = f"its choices {_names(shared)} have none of the options of the space"
        raise _of_another_space(run, space, why)
    return codes


def _row(
    architecture: Mapping[str, Any],
    before: frozenset[str],
    choices: Mapping[str, Choice],
    options: Mapping[str, Mapping[str, int]],
) -> list[int]:
    """Return the code [L] of an architecture: which choices exist follows from this space.

    Args:
        architecture: of the earlier run.
        before: names of its choices.
        choices: of the search.
        options: their numbers, from 1, by name and key.
    """
    row: dict[str, int] = {}
    for name, choice in choices.items():
        holds = {
            None
            if row[parent] == UNKNOWN
            else row[parent] in (options[parent][_key(it)] for it in values)
            for parent, values in choice.when.items()
        }
        if False in holds or (None in holds and name in before and name not in architecture):
            row[name] = 0
        elif name in architecture:
            row[name] = options[name].get(_key(architecture[name]), UNKNOWN)
        else:
            row[name] = UNKNOWN
    return list(row.values())


def _architectures(trials: pd.DataFrame, run: EarlierRun, space: SearchSpace) -> list[Any]:
    if "architecture" in trials:
        return trials["architecture"].tolist()
    names = [name for name in trials if name in (run.choices or space.node_labels)]
    if not names:
        raise DataError(
            f"prior = {run.name}: no column 'architecture', nor one of a choice, among "
            f"{', '.join(map(str, trials))[:200]}.",
            run=run.name,
        )
    rows = trials[names].astype(object).where(trials[names].notna(), None).to_dict("records")
    return [{name: it for name, it in row.items() if it is not None} for row in rows]


def _as_dict(architecture: Any) -> Mapping[str, Any]:
    if isinstance(architecture, str):
        try:
            architecture = json.loads(architecture)
        except ValueError:
            return {}
    return architecture if isinstance(architecture, Mapping) else {}


def _key(option: Any) -> str:
    """Return what two equal options have in common: 1 and 1.0 are, 1 and True are not."""
    is_number = isinstance(option, int | float) and not isinstance(option, bool)
    if is_number and math.isfinite(option):
        return f"{float(option)!r}"
    return json.dumps(option, sort_keys=True, default=str)


def _of_another_space(run: EarlierRun, space: SearchSpace, why: str) -> ParameterError:
    return ParameterError(
        f"prior = {run.name}: {why}; this search is on space {space.name!r}. Leave it out.",
        run=run.name,
    )


def _first_invalid(space: SearchSpace, architectures: Iterable[Any]) -> Any:
    """Return the first that is not of the space."""
    for architecture in architectures:
        try:
            space.from_string([architecture])
        except InvalidArchitectureError:
            return architecture
    return None


def _names(names: Iterable[str]) -> str:
    """Return names as a message has them."""
    return f"{', '.join(sorted(names)) or 'none':.120}"
