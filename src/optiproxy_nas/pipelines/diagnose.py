"""Diagnose: the proxies, the way and the collapse of a finished search, on one page.

Parameters (which run, what to measure and to draw), nodes and pipeline.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.collapse import group_numbers, stagnation
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.validation import validate
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.pipelines.project_pipeline import ProjectPipeline, pipeline_of_nodes
from optiproxy_nas.pipelines.run_parameters import GIVEN
from optiproxy_nas.report.diagnose import collapse
from optiproxy_nas.report.diagnose.diagnosis_html import (
    FIGURES,
    Diagnosis,
    DiagnosisSettings,
    diagnosis_page,
)
from optiproxy_nas.report.diagnose.interactive_landscape import landscape_data
from optiproxy_nas.report.diagnose.landscape import Landscape, make_landscape
from optiproxy_nas.report.diagnose.proxy_gap import Judged, gap_table, judge, reproduction_error
from optiproxy_nas.report.diagnose.reference_cells import Cells, cells_of
from optiproxy_nas.report.style import png
from optiproxy_nas.spaces import get_space

COLOURS = 256  # of the pictures, whose thousands of dots would make a page of megabytes


def create_pipeline() -> ProjectPipeline:
    """Return the pipeline: ask the stored proxies again, measure, draw, write.

    Inputs: ``diagnosed_run`` (the run's stored artifacts, read-only), ``params:diagnose``.
    """
    run, cells, settings = "diagnosed_run", "cells", "params:diagnose"
    measured = [run, "judged", "diagnosis.steps", "alarms", "landscape"]
    pictures = {figure.id: f"diagnosis.{figure.id}" for figure in FIGURES}
    page = [cells, "diagnosis.numbers", "diagnosis.steps", "landscape"]
    return pipeline_of_nodes(
        "diagnose",
        (read_cells, run, cells),
        (ask_proxies, [run, cells, settings], ["judged", "diagnosis.predictions"]),
        (measure, [run, "judged", settings], ["diagnosis.steps", "alarms"]),
        (find_landscape, [run, cells, settings], "landscape"),
        (summarise, [*measured, cells, settings], "diagnosis.numbers"),
        (draw, [*measured, settings], pictures),
        (write_page, [*page, *pictures.values()], "diagnosis.page"),
    )


def resolve(
    values: Mapping[str, Any], run: dict[str, Any], also: Iterable[str] = GIVEN
) -> dict[str, Any]:
    """Return ``params:diagnose`` of the given values; sets ``${run:diagnosed}``, the run looked at.

    The run's own parameters are not repeated here: they come from its manifest.

    Raises:
        ParameterError: no run is named, or an unknown name, a wrong type or value.
    """
    name = str(values.get("run") or "")
    if not name or PurePath(name).name != name:
        raise ParameterError(
            f"Parameter 'run' = {values.get('run')!r} names no run. Give the id of a finished "
            "search: kedro run --pipeline=nb201_diagnose --params=run=RUN_ID.",
            run=values.get("run"),
        )
    settings = validate(DiagnosisSettings, {**values, "run": name}, also)
    run["diagnosed"] = settings.run
    return {"diagnose": settings.model_dump()}


def read_cells(run: SearchHistory) -> Cells:
    """Return the cells to judge the run on, with their values, now that the search is over."""
    return cells_of(get_space(run.parameters.space), run)


def ask_proxies(
    run: SearchHistory, cells: Cells, diagnose: DiagnosisSettings
) -> tuple[Judged, pd.DataFrame]:
    """Ask every step's proxy again; return its answers, and those of the archive as a table."""
    judged = judge(get_space(run.parameters.space), run, cells, diagnose.probe)
    return judged, judged.archive.drop(columns="predicted_target")


def measure(
    run: SearchHistory, judged: Judged, diagnose: DiagnosisSettings
) -> tuple[pd.DataFrame, list[collapse.Alarm]]:
    """Return one row of numbers a step, the collapse alarm among them, and where it fired."""
    gap = gap_table(run, judged, diagnose.window, diagnose.top)
    best = run.archive["best"].tolist()
    allowed = get_space(run.parameters.space).allowed
    groups = pd.DataFrame([group_numbers(run.logits[step], allowed) for step in run.steps])
    numbers = gap.join(groups)
    numbers["stagnation"] = [stagnation(best[:count]) for count in gap["queries"]]
    alarms, reasons = collapse.collapse_alarms(
        numbers, run.parameters.gradient.groups, diagnose.collapse
    )
    return numbers.assign(alarm=reasons), alarms


def find_landscape(run: SearchHistory, cells: Cells, diagnose: DiagnosisSettings) -> Landscape:
    """Return the cells as a landscape, and the search's way through it."""
    space = get_space(run.parameters.space)
    queried = codes_of(space, run.archive)
    return make_landscape(
        space, cells, queried, diagnose.every, run.benchmark.target, run.benchmark.caution
    )


def summarise(
    run: SearchHistory,
    judged: Judged,
    steps: pd.DataFrame,
    alarms: list[collapse.Alarm],
    landscape: Landscape,
    cells: Cells,
    diagnose: DiagnosisSettings,
) -> dict[str, Any]:
    """Return the diagnosis as numbers."""
    parameters, archive, optimum = run.parameters, run.archive, cells.optimum
    objective, best = parameters.objective, float(archive["best"].iloc[-1])
    return {
        "run_id": run.run_id,
        "space": parameters.space_name,
        "dataset": parameters.dataset,
        "source": parameters.source,
        "problem": parameters.problem,
        "preset": parameters.preset,
        "seed": parameters.seed,
        "queries": len(archive),
        "steps": len(steps),
        "objective": objective.label,
        "target": run.benchmark.target,
        "caution": run.benchmark.caution,
        # None: nothing was found that may be the answer.
        "best": _number(best),
        "queries_to_best": None if math.isnan(best) else objective.order.incumbent(archive) + 1,
        # None: nobody knows it.
        "optimum": None if optimum is None else _number(optimum),
        "regret": None if optimum is None else _number(abs(optimum - best)),
        "settings": diagnose.model_dump(),
        "cells": cells.description,
        "probe_cells": len(judged.truth),
        "median_optimism": _number(steps["optimism"].median()),
        "last_step": {name: _number(value) for name, value in steps.iloc[-1].items()},
        "alarms": [
            {**alarm._asdict(), "text": _alarm_text(alarm, archive, optimum)} for alarm in alarms
        ],
        # What today's code predicts against what the run stored; 0 if they agree.
        "prediction_difference": _number(reproduction_error(run, judged)),
        "axes": {"kind": landscape.axes.kind, "variance": landscape.axes.variance.tolist()},
        "trajectory": landscape.trajectory.drop(columns="row").to_dict("records"),
    }


def draw(
    run: SearchHistory,
    judged: Judged,
    steps: pd.DataFrame,
    alarms: list[collapse.Alarm],
    landscape: Landscape,
    diagnose: DiagnosisSettings,
) -> dict[str, bytes]:
    """Draw PNG pictures by the ids of ``FIGURES``."""
    diagnosis = Diagnosis(run, judged, steps, alarms, landscape, diagnose)
    return {figure.id: png(figure.draw(diagnosis), colours=COLOURS) for figure in FIGURES}


def write_page(
    cells: Cells,
    numbers: dict[str, Any],
    steps: pd.DataFrame,
    landscape: Landscape,
    *pictures: bytes,
) -> str:
    """Write the HTML page; ``pictures`` in the order of ``FIGURES``."""
    architectures = cells.table["architecture"].tolist()
    interactive = landscape_data(landscape, architectures)
    by_id = {figure.id: png for figure, png in zip(FIGURES, pictures, strict=True)}
    return diagnosis_page(numbers, steps, by_id, interactive)


def _alarm_text(alarm: collapse.Alarm, archive: pd.DataFrame, optimum: float | None) -> str:
    """Return the alarm in words, and whether the optimum had been found by then."""
    best = float(archive["best"].iloc[alarm.first_query - 1])
    found = optimum is not None and best >= optimum
    return alarm.text() + (" The optimum of the table had been found by then." if found else "")


def _number(value: Any) -> Any:
    """Return a JSON value: NaN, which JSON has not, as null; numpy's numbers as Python's."""
    if isinstance(value, str):
        return value
    number = float(value)
    return None if math.isnan(number) else int(number) if number.is_integer() else number
