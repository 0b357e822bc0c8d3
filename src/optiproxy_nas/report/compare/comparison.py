"""Compare finished runs: panels and groups, the tables and the headlines of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.numbers import value_text
from optiproxy_nas.evaluation.finished_run import FoundRuns
from optiproxy_nas.report.compare.cautions import cautions
from optiproxy_nas.report.compare.groups import Panel, make_panels
from optiproxy_nas.report.compare.tables import (
    PanelTables,
    common_settings,
    make_tables,
    runs_table,
)
from optiproxy_nas.report.curves import CurvePanel


@dataclass(frozen=True)
class Comparison:
    """Everything that the page shows; the same runs give the same comparison."""

    name: str
    selection: str
    panels: tuple[Panel, ...]
    tables: tuple[PanelTables, ...]
    common: dict[str, str]
    runs: pd.DataFrame
    cautions: tuple[str, ...]

    @property
    def curves(self) -> list[CurvePanel]:
        """What the figures show, panel by panel."""
        return [panel.curves for panel in self.panels]

    def table(self, which: str) -> pd.DataFrame:
        """Return a table of all panels, with a column ``panel``.

        Args:
            which: "settings", "results", "paired", "cells" or "margins".
        """
        frames = [
            getattr(tables, which).assign(panel=panel.title)
            for panel, tables in zip(self.panels, self.tables, strict=True)
        ]
        whole: pd.DataFrame = pd.concat([frame for frame in frames if len(frame)] or frames[:1])
        return whole[["panel", *(name for name in whole if name != "panel")]]


def compare(found: FoundRuns, budgets: Sequence[int] = (), name: str = "comparison") -> Comparison:
    """Sort the runs and compute every table.

    Args:
        found: at least one finished run.
        budgets: what is spent where groups are read, in each panel's unit; default: the smallest
            of all and the full.
        name: of the page.

    Raises:
        ParameterError: no runs, runs of different spaces, or a budget that no run reaches.
    """
    if not found.runs:
        raise ParameterError(f"There is no finished run to compare among {found.selection}.")
    panels = make_panels(found.runs)
    longest = max(panel.full_budget for panel in panels)
    units = " or ".join(dict.fromkeys(panel.unit for panel in panels))
    beyond = [budget for budget in budgets if budget < 1 or budget > longest]
    if beyond:
        raise ParameterError(
            f"Parameter 'budgets' holds {beyond[0]}; the longest of the runs compared has "
            f"{longest} {units}. Allowed: 1 to {longest}.",
            budget=beyond[0],
            longest=longest,
        )
    return Comparison(
        name,
        found.selection,
        tuple(panels),
        tuple(make_tables(panel, budgets) for panel in panels),
        common_settings(panels),
        runs_table(panels),
        tuple(cautions(found, panels)),
    )


def headline(panel: Panel, tables: PanelTables) -> str:
    """Return the best mean at the smallest budget, who has it, and whether a test sets it apart."""
    budget = min(tables.results["budget"])
    rows = tables.results[tables.results["budget"] == budget]
    if rows["mean"].isna().all():
        return f"{panel.title}, {budget} {panel.unit}: no run found an answer."
    best = rows.loc[(panel.sign * rows["mean"]).idxmax()]
    seeds = f"{best['answered']} seed{'' if best['answered'] == 1 else 's'}"
    # A true minus, as in the page's tables.
    compared = panel.target_at(int(budget)), *rows["mean"]
    means = [value_text(panel.metric, mean, *compared).replace("-", "−") for mean in rows["mean"]]
    mean = means[list(rows.index).index(best.name)]
    equal = means.count(mean)
    mean += " (confirmed)" if panel.compares_confirmed(int(budget)) else ""
    place = f"{panel.title}, {budget} {panel.unit}"
    if equal > 1:
        return f"{place}: {equal} of {len(rows)} groups have the same best mean, {mean}."
    sentence = f"{place}: {best['group']} has {mean} on average over {seeds}"
    if len(rows) > 1:
        apart = _apart(tables.paired, budget, str(best["group"]), len(rows))
        which = "highest" if panel.sign > 0 else "lowest"
        sentence += f", the {which} mean of {len(rows)} groups; {apart}"
    return f"{sentence}."


def _apart(paired: pd.DataFrame, budget: int, best: str, groups: int) -> str:
    if paired.empty:
        return "no two groups share a seed"
    rows = paired[paired["budget"] == budget]
    rows = rows[(rows["first"] == best) | (rows["second"] == best)]
    if not rows["meaningful"].any():
        return "too few common seeds for a test"
    apart = int((rows["p_holm"] < 0.05).sum())
    return f"paired tests set it apart (p < 0.05) from {apart} of the other {groups - 1}"
