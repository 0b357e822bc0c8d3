"""Tables of a comparison, as numbers; the page formats them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.evaluation.finished_run import FinishedRun
from optiproxy_nas.report import statistics
from optiproxy_nas.report.compare.group_settings import ABSENT, settings_of
from optiproxy_nas.report.compare.groups import Group, Panel

# With five pairs the two-sided signed-rank test cannot fall below p = 1/16.
FEWEST_PAIRS = 6
ALL_PAIRS_UP_TO = 8  # groups; more are each compared with the first
TOP_CELLS = 5


@dataclass(frozen=True)
class PanelTables:
    """The tables of one panel; the functions of the same names say which columns they have."""

    settings: pd.DataFrame
    results: pd.DataFrame
    paired: pd.DataFrame
    cells: pd.DataFrame
    margins: pd.DataFrame


def make_tables(panel: Panel, budgets: Sequence[int]) -> PanelTables:
    """Return the tables of a panel, read after those of the budgets that it reaches."""
    reached = budgets_of(panel, budgets)
    return PanelTables(
        settings_table(panel),
        results_table(panel, reached),
        paired_table(panel, reached),
        best_cells(panel),
        margins_table(panel),
    )


def settings_table(panel: Panel) -> pd.DataFrame:
    """Return one row a setting that differs, one column a group (by label)."""
    return pd.DataFrame(
        {g.label: [g.settings.get(n, ABSENT) for n in panel.differing] for g in panel.groups},
        index=pd.Index(panel.differing, name="setting"),
    )


def common_settings(panels: Sequence[Panel]) -> dict[str, str]:
    """Return what all runs agree on, seeds aside."""
    first, *others = [
        {**run.settings, **settings_of(run)} for panel in panels for run in panel.runs
    ]
    return {
        name: value
        for name, value in sorted(first.items())
        if name != "seed" and all(other.get(name) == value for other in others)
    }


def budgets_of(panel: Panel, budgets: Sequence[int]) -> list[int]:
    """Return where the panel is read: the given budgets that a group reaches, else common and full.

    A panel that ends before all the given budgets is read at its end.
    """
    if budgets:
        reached = sorted({budget for budget in budgets if budget <= panel.full_budget})
        return reached or [panel.full_budget]
    return sorted({panel.common_budget, panel.full_budget})


def results_table(panel: Panel, budgets: Sequence[int]) -> pd.DataFrame:
    """Return one row a budget and group that reaches it.

    Columns: budget, group, values ("confirmed", or "single": of one training, as the search saw
    it), seeds, answered (seeds that found something eligible; the next four are
    over these, NaN without), mean, sd (ddof 1, NaN with one seed), low, high (95 % bootstrap of
    the mean), at_target, at_target_low, at_target_high (share of all seeds at the optimum or best
    known value of single trainings, Wilson), median_queries (to it, in the panel's unit; inf if
    half never), regret (of the mean, to it, or to the best confirmed one).
    """
    target, _ = panel.target
    rows = []
    for budget in budgets:
        confirmed, best = panel.compares_confirmed(budget), panel.target_at(budget)
        for group in panel.reaching(budget):
            curves = group.curves(budget)
            final = group.finals(budget, confirmed)
            needed = statistics.queries_to(curves, target, panel.sign)
            found = final[~np.isnan(final)]
            low, high = statistics.bootstrap_mean(found) if len(found) else (math.nan, math.nan)
            mean = float(found.mean()) if len(found) else math.nan
            hits, interval = statistics.share(int(np.isfinite(needed).sum()), len(needed))
            rows.append(
                {
                    "budget": budget,
                    "group": group.label,
                    "values": "confirmed" if confirmed else "single",
                    "seeds": len(final),
                    "answered": len(found),
                    "mean": mean,
                    "sd": float(found.std(ddof=1)) if len(found) > 1 else math.nan,
                    "low": low,
                    "high": high,
                    "at_target": hits,
                    "at_target_low": interval.low,
                    "at_target_high": interval.high,
                    "median_queries": statistics.median_queries(needed),
                    "regret": max(panel.sign * (best - mean), 0.0),
                }
            )
    return pd.DataFrame(rows)


def paired_table(panel: Panel, budgets: Sequence[int]) -> pd.DataFrame:
    """Return one row a budget and pair of groups that both reach it and share an answered seed.

    Columns: budget, first, second, values (as of the results), seeds (common), difference (mean of
    first - second),
    low, high (95 % bootstrap over seeds), p_value (Wilcoxon), p_holm, wins, ties, losses (of the
    first), meaningful. Tests on fewer than ``FEWEST_PAIRS`` seeds have no p-values, and no part
    in the correction, which is over all the tests of the panel (Holm 1979).
    """
    rows = []
    for budget in budgets:
        confirmed = panel.compares_confirmed(budget)
        for first, second in _pairs(panel.reaching(budget)):
            answers = [_answers(group, budget, confirmed) for group in (first, second)]
            common = sorted(answers[0].keys() & answers[1].keys())
            if not common:
                continue
            one, other = ([by_seed[seed] for seed in common] for by_seed in answers)
            difference = statistics.paired_difference(one, other, panel.sign)
            meaningful = len(common) >= FEWEST_PAIRS
            rows.append(
                {
                    "budget": budget,
                    "first": first.label,
                    "second": second.label,
                    "values": "confirmed" if confirmed else "single",
                    "seeds": len(common),
                    "difference": difference.mean,
                    "low": difference.low,
                    "high": difference.high,
                    "p_value": difference.p_value if meaningful else math.nan,
                    "p_holm": math.nan,
                    "wins": difference.wins,
                    "ties": difference.ties,
                    "losses": difference.losses,
                    "meaningful": meaningful,
                }
            )
    table = pd.DataFrame(rows)
    if not table.empty:
        table.loc[table["meaningful"], "p_holm"] = holm(table.loc[table["meaningful"], "p_value"])
    return table


def holm(p_values: Sequence[float] | pd.Series) -> Floats:
    """Return Holm's step-down adjusted p-values, in the order given, at most 1 (Holm 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(adjusted, 1.0)
    return result


def best_cells(panel: Panel, count: int = TOP_CELLS) -> pd.DataFrame:
    """Return the best distinct cells that any run queried and could have answered with.

    Columns: architecture, value, test (%, where a run ended with it and its source has test
    accuracy beside the value, else NaN), runs (how many queried it), groups (their labels, joined).
    """
    queried = pd.concat(
        run.eligible[["architecture", "value"]].drop_duplicates("architecture").assign(group=label)
        for label, run in _labelled(panel)
    )
    cells = queried.groupby("architecture")
    best = cells["value"].last().sort_values(ascending=panel.sign < 0, kind="stable").head(count)
    labels = [cells.get_group(cell)["group"] for cell in best.index]
    test = {
        run.summary.get("best_architecture"): run.summary.get("test_accuracy") for run in panel.runs
    }
    return pd.DataFrame(
        {
            "architecture": best.index,
            "value": best.to_numpy(),
            "test": [float(t) if (t := test.get(c)) is not None else math.nan for c in best.index],
            "runs": [len(of_cell) for of_cell in labels],
            "groups": ["; ".join(dict.fromkeys(of_cell)) for of_cell in labels],
        }
    )


def margins_table(panel: Panel) -> pd.DataFrame:
    """Return how far the answers keep their bounds: one row a group and bounded metric.

    Columns: group, metric, runs (that have an answer and its margin), mean, least, greatest (in
    the metric's unit, positive inside). Empty where nothing is bounded.
    """
    margins = pd.DataFrame(
        {"group": label, "metric": metric, "margin": float(margin)}
        for label, run in _labelled(panel)
        if not math.isnan(run.answer)
        for metric, margin in sorted((run.summary.get("margins") or {}).items())
    )
    if margins.empty:
        return margins
    by_metric = margins.groupby(["group", "metric"], sort=False)["margin"]
    return by_metric.agg(runs="size", mean="mean", least="min", greatest="max").reset_index()


def runs_table(panels: Sequence[Panel]) -> pd.DataFrame:
    """Return one row a compared run: panel, group, seed, run_id, queries, best, confirmed, ...

    Then commit and reference. ``best`` is the best value of a single training, and NaN where
    nothing that was found may be the answer; ``confirmed`` the confirmed mean of the answer, NaN
    where there is none.
    """
    return pd.DataFrame(
        {
            "panel": panel.title,
            "group": label,
            "seed": run.seed,
            "run_id": run.run_id,
            "queries": len(run.archive),
            "best": run.answer,
            "confirmed": math.nan if run.confirmed is None else run.confirmed,
            "commit": run.tags.get("git.commit", "")[:8],
            "reference": run.reference,
        }
        for panel in panels
        for label, run in _labelled(panel)
    )


def _labelled(panel: Panel) -> Iterator[tuple[str, FinishedRun]]:
    """Return every run with the label of its group."""
    return ((group.label, run) for group in panel.groups for run in group.runs)


def _answers(group: Group, budget: int, confirmed: bool) -> dict[int, float]:
    """Return seed -> value after the budget, of the seeds that have one."""
    final = group.finals(budget, confirmed).tolist()
    return {
        seed: value for seed, value in zip(group.seeds, final, strict=True) if not math.isnan(value)
    }


def _pairs(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    if len(groups) <= ALL_PAIRS_UP_TO:
        return list(combinations(groups, 2))
    return [(groups[0], other) for other in groups[1:]]
