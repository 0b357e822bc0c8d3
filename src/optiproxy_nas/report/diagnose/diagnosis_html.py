"""The diagnosis of one run: what can be chosen of it, its figures, and its HTML page."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import Field

from optiproxy_nas.algorithm.collapse import CollapseSettings
from optiproxy_nas.core.numbers import decimals, difference_text, fixed, value_text
from optiproxy_nas.core.parameters import StrictModel
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.report.archive_figures import predicted_against_true
from optiproxy_nas.report.diagnose.collapse import Alarm, collapse_figure
from optiproxy_nas.report.diagnose.landscape import Landscape, search_region
from optiproxy_nas.report.diagnose.landscape_figures import in_three_dimensions, overview, zoom
from optiproxy_nas.report.diagnose.proxy_figures import gap_figure, predictions_by_step
from optiproxy_nas.report.diagnose.proxy_gap import METRIC_TAU, Judged
from optiproxy_nas.report.html import render
from optiproxy_nas.report.style import ReportFigure
from optiproxy_nas.spaces import get_space

# Column of the steps that the page shows -> heading and decimals; None: those of differences.
COLUMNS: dict[str, tuple[str, int | None]] = {
    "step": ("Step", 0),
    "fitted_on": ("Fitted on", 0),
    "next_kendall_tau": ("τ next", 2),
    "probe_kendall_tau": ("τ probe", 2),
    "probe_top_kendall_tau": ("τ top", 2),
    "probe_regret": ("Favourite's regret", None),
    "optimism": ("Optimism", None),
    "spread": ("Spread", 2),
    "distance": ("Distance", 2),
    "modes": ("Modes", 0),
    "stagnation": ("Since best", 0),
}
MISSING = "–"


class DiagnosisSettings(StrictModel):
    """Everything that decides a diagnosis, beside the run itself."""

    run: str = Field(min_length=1, description="id of a finished search run")
    window: int = Field(20, ge=2, description="next and last queries that a proxy is judged on")
    probe: int = Field(500, ge=20, description="random cells that every step's proxy is judged on")
    top: float = Field(0.1, gt=0, lt=1, description="share of the probe that counts as its top")
    panels: int = Field(9, ge=1, le=25, description="steps shown one by one")
    every: int = Field(5, ge=1, description="one point of the trajectory for so many queries")
    collapse: CollapseSettings = CollapseSettings()


@dataclass(frozen=True)
class Diagnosis:
    """What the figures of a diagnosis are drawn from."""

    run: SearchHistory
    judged: Judged
    steps: pd.DataFrame  # one row a step
    alarms: Sequence[Alarm]
    landscape: Landscape
    settings: DiagnosisSettings


LANDSCAPE_3D = "landscape_3d"  # the figure that gives way to one that can be turned

# In the order of the page; a caption may hold ``{cells}``: which cells it is of.
FIGURES: tuple[ReportFigure[Diagnosis], ...] = (
    ReportFigure(
        "predictions_by_step",
        "Predicted against queried, by step",
        "Each panel asks the proxy of one step again. Small dots are what it was fitted on, "
        "near the line if the fit was close; ringed dots are the next queries, which it had "
        "not seen: the closer to the line, and the higher the second τ, the better it guided "
        "the search. Ringed dots on a border lie outside the range.",
        lambda d: predictions_by_step(
            d.judged, d.steps, d.settings.window, d.settings.panels, d.landscape.label
        ),
    ),
    ReportFigure(
        "predictions_whole_run",
        "Predicted against queried, whole run",
        "Every query as it was predicted before it was made, each by its own step's proxy. "
        "Above the line the proxy was too hopeful; bars are the spread of its members.",
        lambda d: predicted_against_true(d.run.archive, d.landscape.metric, d.landscape.caution),
    ),
    ReportFigure(
        "gap",
        "Proxy against reality",
        "Above: Kendall's τ of the predicted and the true order (1 perfect, 0 chance) on "
        "random others, on the truly best of these, and on the next queries, which are hard "
        "to tell apart because the search only asks about good ones. Middle: what one would "
        "lose by trusting the proxy's single favourite among the random ones. Below: how much "
        "too high the selected batch was predicted; lasting optimism means that the search is "
        "drawn to where the proxy errs.",
        lambda d: gap_figure(
            d.steps, d.settings.window, d.settings.top, len(d.judged.truth), d.landscape.metric
        ),
    ),
    ReportFigure(
        "collapse",
        "Entropy of α, and mode collapse",
        "Above: the entropy of α falls within a step as the groups decide, and starts again "
        "where they are drawn afresh. Below: the spread of the pool (1 anything, 0 a single "
        "one) and the part of it that lies within single groups; the rest is that the groups "
        "differ. Red shade: the alarm, that is, collapsed groups and no new best for long; "
        "the red bar alone only says that there was no new best.",
        lambda d: collapse_figure(
            d.run.traces,
            d.steps,
            d.alarms,
            d.settings.collapse,
            get_space(d.run.parameters.space).allowed,
        ),
    ),
    ReportFigure(
        "landscape_overview",
        "The landscape from above",
        "{cells} in a plane through their encodings, coloured by their value (read after the "
        "search). The frame is what the next picture shows.",
        lambda d: overview(
            d.landscape, search_region(d.landscape), int((d.run.archive["step"] == 0).sum())
        ),
    ),
    ReportFigure(
        "landscape_region",
        "The region of the search",
        "The frame of the overview with colours of its own, from above and from the side. "
        "Red points are the best of every few queries, numbered in order; those too close to "
        "others are small and without number, those outside the frame are left out.",
        lambda d: zoom(d.landscape, search_region(d.landscape), d.settings.every),
    ),
    ReportFigure(
        LANDSCAPE_3D,
        "The landscape in three dimensions",
        "The same plane with the value as height: every dot is an architecture, the red line "
        "the way of the search.",
        lambda d: in_three_dimensions(d.landscape, d.settings.every),
    ),
)


def diagnosis_page(
    numbers: Mapping[str, Any],
    steps: pd.DataFrame,
    pictures: Mapping[str, bytes],
    landscape: Mapping[str, Any],
) -> str:
    """Return the page.

    Args:
        numbers: what ``numbers.json`` holds.
        steps: one row a step.
        pictures: id of a figure -> PNG bytes.
        landscape: the landscape that can be turned, of ``landscape_data``.
    """
    run_id = str(numbers["run_id"])
    columns, rows = _steps(steps, numbers["target"])
    return render(
        "diagnosis.html.j2",
        title=f"Diagnosis of run {run_id}",
        numbers=numbers,
        headline=headline(numbers),
        pictures=[
            {
                "title": figure.title,
                "caption": figure.caption.format(cells=numbers["cells"]),
                "png": pictures[figure.id],
                "can_be_turned": figure.id == LANDSCAPE_3D,
            }
            for figure in FIGURES
        ],
        landscape=landscape,
        columns=[(heading, "num") for heading in columns],
        rows=rows,
        command=f"kedro run --pipeline=nb201_diagnose --params=run={shlex.quote(run_id)}",
    )


def headline(numbers: Mapping[str, Any]) -> str:
    """Return the diagnosis in a sentence or two."""
    last, metric = numbers["last_step"], numbers["target"]
    best, optimum, optimism = (numbers[name] for name in ("best", "optimum", "median_optimism"))
    goal = f" for {numbers['objective']}" if numbers["objective"] else ""
    if best is None:
        start = f"Nothing{goal} was found in {numbers['queries']} queries"
        if optimum is not None:
            start += f"; the table's optimum is {value_text(metric, optimum)}"
    else:
        start = (
            f"Best {value_text(metric, best, optimum)} at query {numbers['queries_to_best']} of "
            f"{numbers['queries']}"
        )
        if numbers["regret"] is not None:
            regret = difference_text(metric, numbers["regret"], best, optimum)
            start += f", {regret} from the table's optimum"
        start += goal
    if last["probe_regret"] is None:  # nobody knows other cells than those queried
        tau, of_probe = last["recent_kendall_tau"], "the latest queries before they were made"
    else:
        tau, of_probe = last["probe_kendall_tau"], "random cells"
    judged = f"{of_probe} with τ = {'not defined' if tau is None else fixed(tau, 2)}"
    if last["probe_regret"] is not None:
        regret = difference_text(metric, last["probe_regret"])
        judged += f", its favourite among them is {regret} below the best of them,"
    return (
        f"{start}. The last proxy ranks {judged} and the batches were predicted "
        f"{difference_text(metric, abs(optimism))} too "
        f"{'high' if optimism >= 0 else 'low'} (median)."
    )


def _steps(steps: pd.DataFrame, metric: str) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return headings and rows of the table of steps; the alarm comes last."""
    others = [name for name in map(str, steps) if name.startswith(METRIC_TAU)]
    columns = {**COLUMNS, **{name: (f"τ {name.removeprefix(METRIC_TAU)}", 2) for name in others}}
    texts = []
    for name, (_, digits) in columns.items():
        shown = decimals(metric, [*steps[name], 0.0]) if digits is None else digits
        values = steps[name].astype(float)
        texts.append([MISSING if math.isnan(v) else fixed(v, shown) for v in values])
    rows = list(zip(*texts, steps["alarm"].fillna(MISSING), strict=True))
    return [*(heading for heading, _ in columns.values()), "Alarm"], rows
