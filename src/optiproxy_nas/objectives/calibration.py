"""How far off the proxy's predictions of a bounded metric have been.

How well a latency can be predicted differs between devices: on some it is nearly a sum over the
operations, on others it is not. The search finds out by itself, since each query was predicted
before it was made.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

WINDOW = 60  # last queries that count
PRIOR = 10  # queries that the assumed error counts for
MOST = 1.0  # an error counts as this at most, in standard deviations of the metric


def prediction_error(archive: pd.DataFrame, metric: str, scale: float, assumed: float) -> float:
    """Root mean square error of the predictions made before each query, in units of ``scale``.

    Args:
        archive: D with the columns ``metric`` and ``predicted_<metric>``, the latter NaN where
            nothing was predicted.
        metric: name of the column.
        scale: what an error is measured in, as the standard deviation of the metric in D.
        assumed: the error before anything is known, in the same units; it counts as ``PRIOR``
            queries.
    """
    errors = (archive[metric] - archive[f"predicted_{metric}"]).to_numpy(dtype=np.float64) / scale
    known = np.minimum(np.abs(errors[np.isfinite(errors)][-WINDOW:]), MOST)
    return float(np.sqrt((PRIOR * assumed**2 + (known**2).sum()) / (PRIOR + len(known))))
