"""Which queries of a search on several fidelities were brief, promoted, or full at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


class Kinds(NamedTuple):
    """What each row [n] of an archive is."""

    low: Mask
    promoted: Mask  # trained fully after it was trained briefly
    whole: Mask  # trained fully at once
    before: NDArray[np.int64]  # the row of a promoted cell's last brief training, else -1


def kinds_of(archive: pd.DataFrame) -> Kinds:
    """Of an archive with columns architecture, epochs and best (NaN before a full training)."""
    epochs = archive["epochs"].to_numpy()
    # There is a best value from the first full training on, and not before.
    full = epochs == epochs.max() if archive["best"].notna().any() else np.zeros_like(epochs, bool)
    before = np.full(len(archive), -1)
    seen: dict[str, int] = {}
    for row, architecture in enumerate(archive["architecture"]):
        if not full[row]:
            seen[architecture] = row
        else:
            before[row] = seen.get(architecture, -1)
    return Kinds(~full, full & (before >= 0), full & (before < 0), before)


def epochs_text(archive: pd.DataFrame, rows: Mask) -> str:
    """``12 epochs``, or ``12 to 50 epochs``."""
    epochs = archive["epochs"].to_numpy()[rows]
    few, many = int(epochs.min()), int(epochs.max())
    return f"{many} epochs" if few == many else f"{few} to {many} epochs"
