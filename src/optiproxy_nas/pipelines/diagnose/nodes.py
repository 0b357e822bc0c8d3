"""Nodes of the diagnosis: measure, draw, write. All of them are pure."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.core.numbers import metric_label
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.report.archive_figures import predicted_against_true
from optiproxy_nas.report.diagnose.captions import FIGURES
from optiproxy_nas.report.diagnose.cells import Cells, cells_of
from optiproxy_nas.report.diagnose.collapse import (
    Alarm,
    collapse_alarms,
    group_numbers,
    stagnation,
)
from optiproxy_nas.report.diagnose.draw_collapse import collapse_figure
from optiproxy_nas.report.diagnose.draw_gap import gap_figure
from optiproxy_nas.report.diagnose.draw_landscape import overview, zoom
from optiproxy_nas.report.diagnose.draw_landscape_3d import in_three_dimensions
from optiproxy_nas.report.diagnose.draw_predictions import predictions_by_step
from optiproxy_nas.report.diagnose.gap import Judged, gap_table, judge, reproduction_error
from optiproxy_nas.report.diagnose.interactive import landscape_html
from optiproxy_nas.report.diagnose.landscape import Landscape, make_landscape, search_region
from optiproxy_nas.report.diagnose.page import diagnosis_page
from optiproxy_nas.report.diagnose.settings import DiagnosisSettings
from optiproxy_nas.report.style import png
from optiproxy_nas.spaces import get_space


def read_cells(run: SearchHistory) -> Cells:
    """The cells that the run is judged on, with their values, now that the search is over."""
    return cells_of(get_space(run.parameters.space), run)


def ask_proxies(
    run: SearchHistory, cells: Cells, diagnose: DiagnosisSettings
) -> tuple[Judged, pd.DataFrame]:
    """Every step's proxy asked again; and what it says of the archive as a table for the record."""
    judged = judge(get_space(run.parameters.space), run, cells, diagnose.probe)
    return judged, judged.archive.drop(columns="predicted_target")


def measure(
    run: SearchHistory, judged: Judged, diagnose: DiagnosisSettings
) -> tuple[pd.DataFrame, list[Alarm]]:
    """One row of numbers a step, the collapse alarm among them; and where it fired."""
    gap = gap_table(run, judged, diagnose.window, diagnose.top)
    best = run.archive["best"].tolist()
    groups = pd.DataFrame([group_numbers(run.logits[step]) for step in run.steps])
    numbers = gap.join(groups)
    numbers["stagnation"] = [stagnation(best[:count]) for count in gap["queries"]]
    alarms, reasons = collapse_alarms(numbers, run.parameters.gradient.groups, diagnose.collapse)
    return numbers.assign(alarm=reasons), alarms


def find_landscape(run: SearchHistory, cells: Cells, diagnose: DiagnosisSettings) -> Landscape:
    """The cells as a landscape, and the search's way through it."""
    space = get_space(run.parameters.space)
    queried = codes_of(space, run.archive)
    told = run.benchmark.target, run.benchmark.caution
    return make_landscape(space, cells, queried, diagnose.every, *told)


def summarise(
    run: SearchHistory,
    judged: Judged,
    steps: pd.DataFrame,
    alarms: list[Alarm],
    landscape: Landscape,
    cells: Cells,
    diagnose: DiagnosisSettings,
) -> dict[str, Any]:
    """The diagnosis as numbers."""
    parameters, archive, optimum = run.parameters, run.archive, cells.optimum
    objective, best = parameters.objective, float(archive["best"].iloc[-1])
    return {
        "run_id": run.run_id,
        "space": parameters.space,
        "dataset": parameters.dataset,
        "source": parameters.source,
        "preset": parameters.preset,
        "seed": parameters.seed,
        "queries": len(archive),
        "steps": len(steps),
        "objective": objective.label,
        "target": run.benchmark.target,
        "caution": run.benchmark.caution,
        # None: nothing was found that may be the answer.
        "best": _number(best),
        "queries_to_best": None if math.isnan(best) else objective.incumbent(archive) + 1,
        # None: nobody knows it.
        "optimum": None if optimum is None else _number(optimum),
        "regret": None if optimum is None else _number(optimum - best),
        "settings": diagnose.model_dump(),
        "cells": cells.words,
        "probe_cells": len(judged.truth),
        "median_optimism": _number(steps["optimism"].median()),
        "last_step": {name: _number(value) for name, value in steps.iloc[-1].items()},
        "alarms": [{**alarm._asdict(), "text": _told(alarm, archive, optimum)} for alarm in alarms],
        # What today's code predicts against what the run stored; 0 if they agree.
        "prediction_difference": _number(reproduction_error(run, judged)),
        "axes": {
            "kind": landscape.axes.kind,
            "variance": landscape.axes.variance.tolist(),
        },
        "trajectory": landscape.trajectory.drop(columns="row").to_dict("records"),
    }


def draw(
    run: SearchHistory,
    judged: Judged,
    steps: pd.DataFrame,
    alarms: list[Alarm],
    landscape: Landscape,
    diagnose: DiagnosisSettings,
) -> dict[str, bytes]:
    """PNG pictures by the names of ``captions.FIGURES``."""
    region = search_region(landscape)
    operations = len(get_space(run.parameters.space).operations)
    initial, metric = int((run.archive["step"] == 0).sum()), run.benchmark.target
    value = metric_label(metric, run.benchmark.caution)
    figures = {
        "predictions_by_step": predictions_by_step(
            judged, steps, diagnose.window, diagnose.panels, value
        ),
        "predictions_whole_run": predicted_against_true(run.archive, metric, run.benchmark.caution),
        "gap": gap_figure(steps, diagnose.window, diagnose.top, len(judged.truth), metric),
        "collapse": collapse_figure(run.traces, steps, alarms, diagnose.collapse, operations),
        "landscape_overview": overview(landscape, region, initial),
        "landscape_region": zoom(landscape, region, diagnose.every),
        "landscape_3d": in_three_dimensions(landscape, diagnose.every),
    }
    return {name: png(figure) for name, figure in figures.items()}


def write_page(
    cells: Cells,
    numbers: dict[str, Any],
    steps: pd.DataFrame,
    landscape: Landscape,
    diagnose: DiagnosisSettings,
    *pictures: bytes,
) -> str:
    """The HTML page; ``pictures`` in the order of ``captions.FIGURES``."""
    names = cells.table["architecture"].tolist()
    interactive = landscape_html(landscape, names, diagnose.every)
    named = dict(zip(FIGURES, pictures, strict=True))
    return diagnosis_page(numbers, steps, named, interactive)


def _told(alarm: Alarm, archive: pd.DataFrame, optimum: float | None) -> str:
    best = float(archive["best"].iloc[alarm.first_query - 1])
    found = optimum is not None and best >= optimum
    return alarm.text() + (" The optimum of the table had been found by then." if found else "")


def _number(value: Any) -> Any:
    """A JSON value: NaN, which JSON has not, as null; numpy's numbers as Python's."""
    if isinstance(value, str):
        return value
    number = float(value)
    return None if math.isnan(number) else int(number) if number.is_integer() else number
