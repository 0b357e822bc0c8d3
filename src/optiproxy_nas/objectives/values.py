"""Numbers of an objective: what an evaluation answered, checked; what a proxy predicts of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from optiproxy_nas.core.errors import DataError
from optiproxy_nas.proxies.targets import to_values

Values = NDArray[np.float64]


def value_columns(
    predictions: Tensor, values: Values, name: str, reference: float | None = None
) -> dict[str, Values]:
    """Predictions [E, n] in target units as ``predicted`` and ``predicted_sd`` [n], percent.

    ``values``, ``name`` and ``reference`` are those that the targets were made with.
    """
    members = to_values(predictions.double().numpy(), values, name, reference)
    return {
        "predicted": members.mean(0),
        "predicted_sd": members.std(0, ddof=min(1, len(members) - 1)),
    }


def finite(
    answer: Any,
    architectures: Sequence[str],
    what: str = "evaluation",
    may_not_run: bool = False,
) -> Values:
    """An evaluation's answer as values [n]; with ``may_not_run``, +inf is one too.

    Raises:
        DataError: something else than one finite number an architecture.
    """
    try:
        values = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    good = np.isfinite(values) | (may_not_run & np.isposinf(values))
    if values.shape != (len(architectures),) or not good.all():
        if values.shape != (len(architectures),):
            wrong = f"gave {_short(answer)}"
        else:
            first = int(np.argmin(good))
            wrong = f"gave {values[first]} for {architectures[first]}"
        also = ", or +inf where it cannot run" if may_not_run else ""
        raise DataError(
            f"The {what} of {len(architectures)} architectures {wrong}; it must give one finite "
            f"number for each{also}.",
            architectures=list(architectures),
        )
    return values


def _short(answer: Any) -> str:
    """An answer that cannot be used, in a few words."""
    try:
        return f"{len(answer)} of them ({type(answer).__name__})"
    except TypeError:
        return f"{answer!r} ({type(answer).__name__})"
