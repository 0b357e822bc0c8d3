"""How much earlier runs counted in each step of a search that they guided."""

from __future__ import annotations

from matplotlib.figure import Figure

from optiproxy_nas.core.arrays import as_array
from optiproxy_nas.report import style
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.report.style import ReportFigure

LONGEST = 40  # characters of a name in the legend


def trust(run: RunData) -> Figure:
    """Draw the trust in each earlier run, and the weight of all of them, by step.

    The diagnostics have columns step, prior_trust, and prior_trust_1, ... of the runs in order; the
    names are those of ``earlier_runs`` in the summary.
    """
    title, diagnostics = "Trust in earlier runs", run.diagnostics
    if diagnostics.empty or "prior_trust" not in diagnostics:
        return style.empty_figure(title, "no steps yet")
    step = as_array(diagnostics["step"])
    names = [str(it["name"]) for it in run.summary.get("earlier_runs") or ()]
    figure = style.new_figure(8.0, 3.6)
    axes = figure.subplots()
    axes.set_prop_cycle(color=style.PALETTE)
    for number, name in enumerate(names, 1):
        short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        values = as_array(diagnostics[f"prior_trust_{number}"])
        axes.plot(step, values, linewidth=1.4, marker=".", markersize=4, label=short)
    together = as_array(diagnostics["prior_trust"])
    axes.plot(step, together, color=style.INK, linewidth=2.2, label="weight of all")
    axes.set_ylim(-0.03, 1.03)
    style.tidy(axes, title, "step", "0: not at all, 1: wholly")
    style.step_axis(axes, step)
    style.legend(axes, "lower left", ncols=2)
    return figure


TRUST: ReportFigure[RunData] = ReportFigure(
    "prior_trust",
    "Trust in earlier runs",
    "Each line is an earlier run: how well its ranking agrees with the values queried in this "
    "search up to the step (rank correlation, mixed with a belief that counts for five queries). "
    "The thick one is the weight of all together in the proxy's mean. It falls where the search "
    "knows more itself, and is 0 where earlier runs mislead.",
    trust,
)
