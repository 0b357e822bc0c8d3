"""Array types that the whole package shares, and the way from tensors to arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Tensors = dict[str, Tensor]  # named tensors: weights, logits, a trace


def deviation(values: Floats, axis: int | None = None, ddof: int = 0) -> Any:
    """Return the standard deviation, also of numbers whose squares are beyond all floats."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = values.std(axis, ddof=ddof)
        if np.isinf(found).any():
            largest = np.abs(values).max()
            found = (values / largest).std(axis, ddof=ddof) * largest
    return found


def as_array(values: Any) -> Floats:
    """Return a float64 array of a tensor (any device, with or without gradient), array or list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)
