"""The landscape in three dimensions that a reader can turn: what the page's script draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.numbers import value_text
from optiproxy_nas.report.diagnose.landscape import Landscape
from optiproxy_nas.report.diagnose.landscape_figures import axis_labels, value_range

SHADES = [to_hex(matplotlib.colormaps["viridis"](0.9 * x)) for x in np.linspace(0, 1, 10)]
FINEST = 999  # coordinates are whole numbers up to this: no eye tells the difference


def landscape_data(landscape: Landscape, architectures: Sequence[str]) -> dict[str, Any]:
    """Return the cells, the way of the search and the best cell, for JSON.

    Args:
        landscape: the landscape; cells below the range of the colours are left out.
        architectures: [T] strings of its cells.
    """
    low, high = value_range(landscape)
    metric, shown, points = landscape.metric, landscape.values >= low, landscape.trajectory
    left, top = landscape.places.min(0), landscape.places.max(0)

    def whole(values: Floats, least: float, most: float) -> list[int]:
        share = (np.asarray(values, np.float64) - least) / max(most - least, 1e-300)
        return [int(x) for x in (FINEST * np.clip(share, 0, 1)).round()]

    def places(xy: Floats, values: Floats) -> dict[str, list[int]]:
        x, y = (whole(xy[:, axis], left[axis], top[axis]) for axis in (0, 1))
        return {"x": x, "y": y, "z": whole(values, low, high)}

    way = places(points[["x", "y"]].to_numpy(np.float64), points["value"].to_numpy(np.float64))
    best = places(landscape.places[[landscape.optimum]], landscape.values[[landscape.optimum]])
    texts = [
        f"{number}: query {query}, {value_text(metric, value)}, {architectures[row]}"
        for number, query, value, row in points[["number", "query", "value", "row"]].itertuples(
            index=False
        )
    ]
    best_value = value_text(metric, float(landscape.values[landscape.optimum]))
    first, second = (label.partition(" (")[0] for label in axis_labels(landscape))
    return {
        **places(landscape.places[shown], landscape.values[shown]),
        "axes": [first, second, landscape.label],
        "shades": SHADES,
        "way": [
            {"x": x, "y": y, "z": z, "text": text}
            for x, y, z, text in zip(way["x"], way["y"], way["z"], texts, strict=True)
        ],
        "best": {
            **{name: values[0] for name, values in best.items()},
            "text": f"{landscape.best}: {best_value}, {architectures[landscape.optimum]}",
        },
    }
