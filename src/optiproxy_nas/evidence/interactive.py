"""The curves as one HTML file that needs no network: values on hover, methods switched off."""

from __future__ import annotations

import numpy as np

from optiproxy_nas.evidence.curves import FLOOR, PALETTE, Curves, methods_of, value_range
from optiproxy_nas.evidence.table import name_of
from optiproxy_nas.statistics import run_length

DASHES = ("solid", "solid", "dash", "dashdot", "dot", "longdash", "longdashdot", "dot")


def page(title: str, curves: Curves) -> str:
    """HTML of best value, regret and share at the optimum against queries, a column a dataset."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    datasets = list(curves)
    figure = make_subplots(
        rows=3,
        cols=max(len(datasets), 1),
        shared_xaxes=True,
        vertical_spacing=0.05,
        horizontal_spacing=0.06,
        column_titles=[name_of(dataset) for dataset in datasets],
    )
    order = methods_of(curves)
    for column, dataset in enumerate(datasets, start=1):
        for label, measured in reversed(curves[dataset].items()):  # the first is drawn on top
            index = order.index(label)
            mean = measured.curves.mean(axis=0)
            query = np.arange(1, measured.budget + 1)
            x, share = run_length(measured.to_optimum, measured.budget)
            panels = (
                (query, mean, "linear", "%{y:.3f} %"),
                (query, np.maximum(measured.optimum - mean, FLOOR), "linear", "%{y:.3f} points"),
                (x, share, "hv", "%{y:.0%} of seeds"),
            )
            for row, (across, up, shape, shown) in enumerate(panels, start=1):
                figure.add_trace(
                    go.Scatter(
                        x=across,
                        y=np.round(up, 4),
                        name=label,
                        legendgroup=label,
                        showlegend=row == 1 and dataset == _first(curves, label),
                        mode="lines",
                        line={
                            "color": PALETTE[index % len(PALETTE)],
                            "dash": DASHES[index % len(DASHES)],
                            "shape": shape,
                        },
                        hovertemplate=f"{label}, query %{{x}}: {shown}<extra></extra>",
                    ),
                    row=row,
                    col=column,
                )
        figure.update_yaxes(range=list(value_range(curves[dataset])), row=1, col=column)
        figure.update_yaxes(type="log", row=2, col=column)
        figure.update_yaxes(range=[0, 1.02], tickformat=".0%", row=3, col=column)
        figure.update_xaxes(title_text="queries", row=3, col=column)
    names = ("best validation accuracy (%)", "regret (points)", "seeds at the optimum")
    for row, name in enumerate(names, start=1):
        figure.update_yaxes(title_text=name, row=row, col=1)
    figure.update_layout(
        title=title,
        template="plotly_white",
        height=1000,
        legend={"orientation": "h", "y": -0.08, "traceorder": "reversed"},
        hovermode="closest",
    )
    # With the library inside, and a fixed name: the same data give the same file.
    html: str = figure.to_html(include_plotlyjs=True, full_html=True, div_id="evidence")
    return html


def _first(curves: Curves, label: str) -> str:
    """The first dataset that has the method: one entry in the legend, not one a panel."""
    return next(dataset for dataset, panel in curves.items() if label in panel)
