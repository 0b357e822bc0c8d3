"""Curves on a page: a picture, and the values at any query, which the page's script reads out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.report import curves
from optiproxy_nas.report.curves import BEST, REACHED, REGRET, CurvePanel, Line, View
from optiproxy_nas.report.html import render
from optiproxy_nas.report.style import LineStyle, evenly, png

MOST = 600  # points of a line: more than a plot has pixels only make a page of megabytes


class Plot(NamedTuple):
    """Curves of one panel as a page shows them.

    Attributes:
        id: of the element that holds the values.
        label: what is drawn.
        axis: the unit of the queries.
        last: the last query.
        lines: name of each curve, and how its line looks.
        picture: PNG bytes.
        values: for the script: ``box``, the plot within the picture (left, right, top and bottom
            as shares of it), ``range`` of its queries, ``digits`` and ``unit`` of the values, and
            ``lines``: x, y, and error (a standard error, None where there is none) of each.
    """

    id: str
    label: str
    axis: str
    last: int
    lines: list[tuple[str, dict[str, Any]]]
    picture: bytes
    values: dict[str, Any]


def plot(identifier: str, panel: CurvePanel, view: View) -> Plot:
    """Return a view of a panel; equal panels give equal plots."""
    figure = curves.draw([panel], [view])
    picture = png(figure)  # which lays the figure out
    axes = figure.axes[0]
    place, digits = axes.get_position(), panel.digits
    percent = " %" if view is REACHED else ""
    values = {
        "box": [round(x, 4) for x in (place.x0, place.x1, 1 - place.y1, 1 - place.y0)],
        "range": list(axes.get_xlim()),
        "digits": 0 if percent else digits,
        "unit": percent,
        "lines": [_line(view.line(curve, panel), digits) for curve in panel.curves],
    }
    entries = curves.entries([panel])
    lines = [(entry.name, swatch(entry.look)) for entry in entries.values()]
    label = curves.axis_label(view, [panel], 0, 1)
    return Plot(identifier, label, panel.unit, panel.budget, lines, picture, values)


def page(title: str, panels: Sequence[CurvePanel]) -> str:
    """Return HTML of all views of all panels that needs no network; equal panels, equal pages."""
    views = (BEST, REGRET, REACHED)
    return render(
        "curves.html.j2",
        title=title,
        sections=[
            (panel.title, [plot(f"curves-{i}-{j}", panel, view) for j, view in enumerate(views)])
            for i, panel in enumerate(panels)
        ],
    )


def swatch(look: LineStyle) -> dict[str, Any]:
    """Return how a line looks in a key; dashes in pixels."""
    strokes = " ".join(f"{look.width * dash:g}" for dash in look.dashes) or "none"
    return {"colour": look.colour, "width": look.width, "dashes": strokes}


def _line(line: Line, digits: int) -> dict[str, Any]:
    """Return at most ``MOST`` points of a line, evenly spaced, the first and the last among them.

    Each is where it was, so what the page says of it is exact; a step is read late by a pixel.
    """
    kept = evenly(len(line.x), MOST) if len(line.x) else slice(None)
    error = None if line.band is None else _numbers((line.band[1] - line.y)[kept], digits)
    return {"x": _numbers(line.x[kept], 0), "y": _numbers(line.y[kept], digits), "error": error}


def _numbers(values: Floats, digits: int) -> list[float]:
    """Return numbers rounded for a page, with one decimal more than it shows."""
    return [round(float(value), digits + 1) for value in values]
