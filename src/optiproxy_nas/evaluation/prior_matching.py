"""Architectures of earlier runs as codes of the space that is searched.

Choices of declared spaces are matched by name, their options by value; what an earlier run says
nothing of is ``UNKNOWN``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.core.errors import DataError, InvalidArchitectureError, ParameterError
from optiproxy_nas.evaluation.prior_sources import EarlierRun
from optiproxy_nas.proxies.prior_mean import UNKNOWN
from optiproxy_nas.spaces.base import SearchSpace


def codes_of(run: EarlierRun, trials: pd.DataFrame, space: SearchSpace) -> Tensor:
    """Return the codes [n, L] of a run's trials, ``UNKNOWN`` where a choice is not shared.

    Raises:
        ParameterError: the run is of another space.
    """
    given = _architectures(trials, run, space)
    choices = getattr(space, "choices", None)
    try:
        return space.from_string(given)
    except InvalidArchitectureError as error:
        if not isinstance(choices, Mapping):
            raise _of_another_space(run, space, error.message) from None
    options = {
        name: {_key(it): n for n, it in enumerate(c.options, 1)} for name, c in choices.items()
    }
    architectures = [_as_dict(one) for one in given]
    before = run.choices or frozenset(name for one in architectures for name in one)
    if not before & options.keys():
        raise _of_another_space(run, space, "no choice of it has the name of one here")
    rows = [
        [
            numbers.get(_key(one[name]), UNKNOWN)
            if name in one
            else (0 if name in before and choices[name].when else UNKNOWN)
            for name, numbers in options.items()
        ]
        for one in architectures
    ]
    codes = torch.tensor(rows, dtype=torch.int64).reshape(-1, space.code_length)
    if not bool((codes > 0).any()):
        raise _of_another_space(run, space, "the choices of its names have other options")
    return codes


def _architectures(trials: pd.DataFrame, run: EarlierRun, space: SearchSpace) -> list[Any]:
    if "architecture" in trials:
        return trials["architecture"].tolist()
    names = [name for name in trials if name in (run.choices or space.node_labels)]
    if not names:
        raise DataError(
            f"prior: {run.name} has no column 'architecture', nor one of a choice.", run=run.name
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
    what = f"space {run.space!r}" if run.space else "another space"
    return ParameterError(
        f"prior: {run.name} is of {what}, not of {space.name!r}: {why:.300}. Leave it out; a "
        "declared space takes earlier runs on spaces that share choices with it by name and value.",
        run=run.name,
    )
