"""Searches with rungs and without, read at equal amounts of training."""

from __future__ import annotations

import math

import numpy as np

from evidence import table
from evidence.collect import Evidence
from evidence.epochs import EpochCurves, epoch_curves
from evidence.pages import Rendered
from evidence.sections import Section
from optiproxy_nas.report.statistics import paired_difference, standard_error


def render(section: Section, evidence: Evidence) -> Rendered:
    """Text ``<name>``: means at each of ``budgets``, and what the first row is ahead at the last.

    ``options``: ``full_epochs``, which a query of the plain objective costs.
    """
    curves = {}
    for row in section.rows:
        results, runs = evidence.of(section, row)
        unit = section.options["full_epochs"] if runs["objective"].iloc[0] == "" else 1
        curves[row.label] = epoch_curves(results, max(section.budgets), math.nan, unit)
    first, *_ = curves.values()
    full = section.options["full_epochs"]
    lines = [
        [
            label,
            *(_mean_text(of, budget) for budget in section.budgets),
            table.NONE if of is first else _ahead(first, of, section.budgets[-1]),
            str(len(of.curves)),
        ]
        for label, of in curves.items()
    ]
    head = [f"{budget:,} ({budget // full} full)" for budget in section.budgets]
    last = "the first row's lead at the last"
    return Rendered({section.name: table.markdown(["epochs", *head, last, "seeds"], lines)})


def _mean_text(curves: EpochCurves, epochs: float) -> str:
    """Mean and standard error over seeds; how many have nothing fully trained yet."""
    values = curves.at(epochs)
    reached = values[np.isfinite(values)]
    if not len(reached):
        return table.NONE
    text = f"{reached.mean():.3f} ± {standard_error(reached[:, None])[0]:.3f}"
    return (
        text if len(reached) == len(values) else f"{text} ({len(reached)} of {len(values)} seeds)"
    )


def _ahead(first: EpochCurves, other: EpochCurves, epochs: float) -> str:
    """The paired difference over the seeds, with its interval and verdict."""
    one, two = first.at(epochs), other.at(epochs)
    both = np.isfinite(one) & np.isfinite(two)
    found = paired_difference(one[both], two[both])
    return f"{table.difference(found)}: {table.verdict(found)}"
