"""A comparison as one HTML page that needs no network.

The same comparison gives the same page, byte for byte. Its figures are pictures; where scripts
run, their values are read out at any query. ``templates/comparison.html.j2`` is the page; here
is what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from optiproxy_nas.benchmarks.base import TEST_ACCURACY
from optiproxy_nas.core import numbers
from optiproxy_nas.report.cell import draw_cell
from optiproxy_nas.report.compare.comparison import Comparison, headline
from optiproxy_nas.report.compare.group_settings import ABSENT
from optiproxy_nas.report.compare.groups import Panel
from optiproxy_nas.report.compare.tables import ALL_PAIRS_UP_TO, FEWEST_PAIRS, PanelTables
from optiproxy_nas.report.curve_values import plot, swatch
from optiproxy_nas.report.curves import BEST, REACHED
from optiproxy_nas.report.html import render
from optiproxy_nas.report.style import line_style, png
from optiproxy_nas.spaces.base import SearchSpace

DRAWN_CELLS = 2  # of the best, as pictures
MISSING = "–"
CONFIRMED = (
    "Means and pairs at the end of the runs are of confirmed values: each run trained its best "
    "again, and this is the mean of its answer. What was found on the way, by whom and when, is of "
    "single trainings."
)


def comparison_page(comparison: Comparison, space: SearchSpace) -> str:
    """Return the page of a comparison.

    Args:
        comparison: of :func:`optiproxy_nas.report.compare.comparison.compare`.
        space: the search space of its runs, which draws their cells.
    """
    panels = list(zip(comparison.panels, comparison.tables, strict=True))
    return render(
        "comparison.html.j2",
        title=f"Comparison of {len(comparison.runs)} run{'' if len(comparison.runs) == 1 else 's'}",
        comparison=comparison,
        headlines=[headline(panel, tables) for panel, tables in panels],
        sections=[
            _section(number, panel, tables, space)
            for number, (panel, tables) in enumerate(panels, start=1)
        ],
        runs=comparison.runs.to_dict("records"),
        best_digits={
            panel.title: numbers.decimals(panel.metric, [run.answer for run in panel.runs])
            for panel in comparison.panels
        },
        best_label=_best_label(comparison.panels),
        any_confirmed=bool(comparison.runs["confirmed"].notna().any()),
        test_label=numbers.capitalised(numbers.metric_label(TEST_ACCURACY)),
        fewest_pairs=FEWEST_PAIRS,
        all_pairs_up_to=ALL_PAIRS_UP_TO,
        number=_number,
        interval=_interval,
        queries=_queries,
        p_value=_p_value,
        ranges=_ranges,
    )


def _section(number: int, panel: Panel, tables: PanelTables, space: SearchSpace) -> dict[str, Any]:
    """Return what the template shows of the panel at ``number``."""
    target, is_optimum = panel.target
    beyond = "Below" if panel.sign > 0 else "Above"
    phrase = "the optimum of the table" if is_optimum else "the best value that any run found"
    if panel.objective:
        phrase += f" for {panel.objective}"
    digits = numbers.decimals(panel.metric, [target, *tables.results["mean"]])
    source = f"source {panel.source}, " if panel.source else ""
    reached = bool(tables.results["at_target"].any())
    differences: Iterable[float] = tables.paired.get("difference", [])
    return {
        "panel": panel,
        "note": f"{source}table {panel.table[:12] or 'not recorded'}; {phrase} is "
        f"{_number(target, digits)}{_unit(panel) if not math.isnan(target) else ''}. Values: "
        f"{numbers.metric_label(panel.metric)}; differences: "
        f"{numbers.difference_unit(panel.metric) or 'in the same unit'}.",
        "confirmed_note": CONFIRMED if panel.compares_confirmed(panel.full_budget) else "",
        "value_unit": _unit(panel),
        "value_label": numbers.capitalised(numbers.metric_label(panel.metric)),
        "target": "optimum" if is_optimum else "best known",
        "target_phrase": phrase,
        "distance": "Regret" if is_optimum else f"{beyond} the best known",
        "digits": digits,
        # No difference but 0 reads as 0.
        "paired_digits": max(
            (numbers.decimals(panel.metric, [d, 0.0]) for d in differences), default=0
        ),
        "lines": {
            group.label: swatch(line_style(index)) for index, group in enumerate(panel.groups)
        },
        # A method's own settings are many, and say nothing of the others.
        "shared_settings": _settings(tables.settings, shared=True),
        "partial_settings": _settings(tables.settings, shared=False),
        "best_so_far": plot(f"best-{number}", panel.curves, BEST),
        "run_length": plot(f"length-{number}", panel.curves, REACHED) if reached else None,
        "results": tables.results.to_dict("records"),
        "paired": tables.paired.to_dict("records"),
        "margins": tables.margins.to_dict("records"),
        "cells": tables.cells.to_dict("records"),
        "drawings": [
            png(draw_cell(space, architecture, node_labels=space.node_labels))
            for architecture in tables.cells["architecture"][:DRAWN_CELLS]
        ],
        "tested": bool(tables.cells["test"].notna().any()),
    }


def _settings(settings: pd.DataFrame, shared: bool) -> list[tuple[str, list[str]]]:
    """Return the settings that all groups have (``shared``) or only some, by group."""
    rows = zip(settings.index, settings.to_numpy().tolist(), strict=True)
    return [(str(name), values) for name, values in rows if (ABSENT not in values) == shared]


def _best_label(panels: Sequence[Panel]) -> str:
    units = {numbers.unit(panel.metric) for panel in panels}
    return numbers.with_unit("Best", panels[0].metric) if len(units) == 1 else "Best"


def _unit(panel: Panel) -> str:
    """Return the unit of a panel's values as it follows a number: `` %``."""
    return f" {numbers.unit(panel.metric)}".rstrip()


def _number(value: float, digits: int, sign: str = "") -> str:
    """Return a number with a true minus; ``sign`` "+": a plus where it is positive."""
    return MISSING if math.isnan(value) else f"{value:{sign}z.{digits}f}".replace("-", "−")


def _interval(low: float, high: float, digits: int) -> str:
    return MISSING if math.isnan(low) else f"{_number(low, digits)} to {_number(high, digits)}"


def _queries(median: float) -> str:
    return numbers.significant(median, 12) if math.isfinite(median) else "never"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _ranges(seeds: Sequence[int]) -> str:
    """Return ascending numbers with consecutive ones joined: ``0–9, 12``."""
    stretches: list[list[int]] = []
    for seed in seeds:
        if stretches and seed == stretches[-1][-1] + 1:
            stretches[-1] = [stretches[-1][0], seed]
        else:
            stretches.append([seed])
    return ", ".join("–".join(map(str, stretch)) for stretch in stretches)
