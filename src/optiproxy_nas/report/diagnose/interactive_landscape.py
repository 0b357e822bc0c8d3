"""The landscape in three dimensions that a reader can turn: a part of an HTML page."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

from optiproxy_nas.core.numbers import decimals, unit
from optiproxy_nas.report.diagnose.landscape import Landscape
from optiproxy_nas.report.diagnose.landscape_figures import RED, axis_labels, value_range
from optiproxy_nas.report.interactive_curves import as_text
from optiproxy_nas.report.style import ORANGE

SHADES = [(x, to_hex(matplotlib.colormaps["viridis"](0.9 * x))) for x in np.linspace(0, 1, 10)]


def landscape_html(landscape: Landscape, architectures: Sequence[str], every: int) -> str:
    """Return an HTML fragment with the script that draws it; it needs no network.

    Args:
        landscape: the landscape.
        architectures: [T] strings of its cells, shown on hovering.
        every: one point of the trajectory for so many queries.
    """
    import plotly.graph_objects as go  # here, or every command would wait for it

    low, high = value_range(landscape)
    names = np.array(list(map(as_text, architectures)), dtype=object)
    shown = landscape.values >= low
    points = landscape.trajectory
    best = landscape.optimum
    digits, metric_unit = (
        decimals(landscape.metric, points["value"]),
        as_text(unit(landscape.metric)),
    )
    value = f"%{{z:.{digits}f}} {metric_unit}".rstrip()
    way_value = f"%{{customdata[1]:.{digits}f}} {metric_unit}".rstrip()
    name = "optimum" if landscape.total else "best"
    figure = go.Figure(
        [
            go.Scatter3d(
                **_places(landscape.places[shown], landscape.values[shown]),
                mode="markers",
                name="cells of the table" if landscape.total and not landscape.drawn else "others",
                text=names[shown].tolist(),
                hovertemplate=f"{value}<br>%{{text}}<extra></extra>",
                marker={
                    "size": 2,
                    "opacity": 0.55,
                    "color": landscape.values[shown].astype(np.float32),
                    "colorscale": SHADES,
                    "cmin": low,
                    "cmax": high,
                    "colorbar": {
                        "title": {"text": as_text(landscape.label), "side": "right"},
                        "len": 0.7,
                    },
                },
            ),
            go.Scatter3d(
                **_places(points[["x", "y"]].to_numpy(), np.maximum(points["value"], low)),
                mode="lines+markers+text",
                name=f"best of every {every} queries, in order",
                text=points["number"].astype(str).tolist(),
                textposition="top center",
                textfont={"size": 11, "color": RED},
                customdata=np.column_stack([points["query"], points["value"].round(6)]).tolist(),
                hovertext=names[points["row"]].tolist(),
                hovertemplate=f"query %{{customdata[0]}}: {way_value}<br>%{{hovertext}}"
                "<extra></extra>",
                line={"color": RED, "width": 4},
                marker={"size": 4.5, "color": RED},
            ),
            go.Scatter3d(
                **_places(landscape.places[[best]], landscape.values[[best]]),
                mode="markers",
                name=as_text(landscape.best),
                text=[names[best]],
                hovertemplate=f"{name}: {value}<br>%{{text}}<extra></extra>",
                marker={"size": 7, "color": ORANGE, "symbol": "diamond"},
            ),
        ]
    )
    first, second = (label.partition(" (")[0] for label in axis_labels(landscape))
    figure.update_layout(
        template="plotly_white",
        height=680,
        margin={"l": 0, "r": 0, "t": 10, "b": 0},
        legend={"orientation": "h", "y": -0.02, "itemsizing": "constant"},
        scene={
            "xaxis": {"title": {"text": first}},
            "yaxis": {"title": {"text": second}},
            "zaxis": {
                "title": {"text": as_text(landscape.label)},
                "range": [low, high + 0.02 * (high - low)],
            },
            "aspectmode": "manual",
            "aspectratio": {"x": 1.3, "y": 1.05, "z": 0.85},
            "camera": {
                "center": {"x": 0.0, "y": 0.0, "z": -0.12},
                "eye": {"x": 0.95, "y": -1.95, "z": 0.75},
            },
        },
    )
    # A fixed id: a random one would make two equal pages differ.
    page: str = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        div_id="landscape",
        config={"displaylogo": False, "responsive": True},
        # Plotly's own message for browsers that cannot: the page has a picture for them.
        post_script="if (document.querySelector('#{plot_id} .no-webgl')) "
        "document.documentElement.classList.remove('webgl');",
    )
    return page


def _places(places: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    """Return coordinates in half the bytes; no eye tells the difference."""
    x, y = np.asarray(places, dtype=np.float32).T
    return {"x": x, "y": y, "z": np.asarray(values, dtype=np.float32)}
