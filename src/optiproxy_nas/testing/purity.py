"""Exact comparison of what functions give, and of what they leave behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch


def pure(name: str, function: Callable[[pd.DataFrame], Any], table: pd.DataFrame) -> Any:
    """``function(table)``, which gives the same twice and leaves the table as it was."""
    before = plain(table)
    result = function(table)
    assert plain(function(table)) == plain(result), f"{name}: the second time something else"
    assert plain(table) == before, f"{name}: changes its input"
    return result


def plain(value: Any) -> Any:
    """Exact contents, comparable by ==; NaN equals NaN."""
    if isinstance(value, pd.DataFrame):
        return [list(value), list(map(str, value.dtypes)), value.to_csv()]
    if isinstance(value, torch.Tensor | np.ndarray):
        array = np.asarray(value)
        return [str(array.dtype), array.shape, array.tobytes()]
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return repr(value) if isinstance(value, float) else value
