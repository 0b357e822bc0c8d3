"""The tables of a comparison's page, each with the words that it needs."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pandas as pd

from optiproxy_nas.benchmarks.base import TEST_ACCURACY
from optiproxy_nas.core.numbers import capitalised, metric_label, unit, with_unit
from optiproxy_nas.report.cell import draw_cell
from optiproxy_nas.report.compare import markup, words
from optiproxy_nas.report.compare.compare import Comparison
from optiproxy_nas.report.compare.groups import ABSENT, Panel
from optiproxy_nas.report.compare.tables import ALL_PAIRS_UP_TO, FEWEST_PAIRS
from optiproxy_nas.report.style import png
from optiproxy_nas.spaces.base import SearchSpace

DRAWN_CELLS = 2


def settings(panel: Panel, settings: pd.DataFrame) -> list[str]:
    """What tells the groups apart, and the seeds of each."""
    if settings.empty:
        label = html.escape(panel.groups[0].label)
        return [f"<p>One group ({label}): no setting but the seed differs.</p>"]
    head: list[markup.Cell] = [("Setting", "")]
    head += [(markup.swatch(i) + html.escape(g.label), "") for i, g in enumerate(panel.groups)]
    rows: list[list[markup.Cell]] = [
        [(f"<code>{html.escape(str(name))}</code>", ""), *((html.escape(v), "") for v in values)]
        for name, values in zip(settings.index, settings.to_numpy().tolist(), strict=True)
    ]
    seeds: list[markup.Cell] = [("seeds", "")]
    seeds += [(f"{len(group.runs)} ({_ranges(group.seeds)})", "") for group in panel.groups]
    # A method's own settings are many, and say nothing of the others.
    shared = [all(value != ABSENT for value in values) for values in settings.to_numpy().tolist()]
    shown = [row for row, common in zip(rows, shared, strict=True) if common]
    own = [row for row, common in zip(rows, shared, strict=True) if not common]
    return [
        "<h3>Settings that differ</h3>",
        *markup.folded(head, [*shown, seeds], "setting"),
        *(markup.folded(head, own, "setting", " of some groups only", True) if own else []),
    ]


def results(panel: Panel, results: pd.DataFrame, is_optimum: bool) -> str:
    """Mean, spread, share at the target, queries to it and regret, by budget and group."""
    swatch = {group.label: markup.swatch(index) for index, group in enumerate(panel.groups)}
    target = "optimum" if is_optimum else "best known"
    distance = "Regret" if is_optimum else "Below the best known"
    spent = panel.unit.capitalize()
    titles = (spent, "Group", "Seeds", "Mean", "SD", "95 % interval", f"At the {target}")
    head = [(title, "" if title == "Group" else "num") for title in titles]
    head += [(f"Median {panel.unit} to it", "num"), (distance, "num")]
    rows: list[list[markup.Cell]] = []
    for row in results.to_dict("records"):
        rows.append(
            [
                (str(row["budget"]), "num"),
                (swatch[row["group"]] + html.escape(row["group"]), "name"),
                (words.answered(row["answered"], row["seeds"]), "num"),
                (words.number(row["mean"]), "num"),
                (words.number(row["sd"]), "num"),
                (words.interval(row["low"], row["high"]), "num"),
                (words.share(row["at_target"], row["at_target_low"], row["at_target_high"]), "num"),
                (words.queries(row["median_queries"]), "num"),
                (words.number(row["regret"]), "num"),
            ]
        )
    note = (
        "Interval of the mean: percentile bootstrap over seeds; of the share: Wilson, 95 %. "
        "“never”: half of the seeds or more did not reach it. "
        f"{distance}: from the mean to the {target}."
    )
    return markup.table(head, rows) + f'<p class="note">{note}</p>'


def paired(panel: Panel, paired: pd.DataFrame) -> list[str]:
    """Differences over common seeds with their tests; nothing for a single group."""
    if len(panel.groups) < 2:
        return []
    body = ["<h3>Paired by seed</h3>"]
    if paired.empty:
        return [*body, "<p>No two groups share a seed with an answer, so none can be paired.</p>"]
    titles = (
        panel.unit.capitalize(),
        "First",
        "Second",
        "Common seeds",
        "Difference",
        "95 % interval",
    )
    head = [(title, "" if title in ("First", "Second") else "num") for title in titles]
    head += [("Wins / ties / losses", "num"), ("p", "num"), ("p (Holm)", "num")]
    rows: list[list[markup.Cell]] = []
    for row in paired.to_dict("records"):
        weak = "num" if row["meaningful"] else "num weak"
        p = words.p_value(row["p_value"], row["seeds"])
        holm = words.p_value(row["p_holm"], row["seeds"]) if row["meaningful"] else ""
        bold = row["meaningful"] and row["p_holm"] < 0.05
        rows.append(
            [
                (str(row["budget"]), "num"),
                (html.escape(row["first"]), ""),
                (html.escape(row["second"]), ""),
                (str(row["seeds"]), weak),
                (words.difference(row["difference"]), weak),
                (words.interval(row["low"], row["high"]), weak),
                (f"{row['wins']} / {row['ties']} / {row['losses']}", weak),
                (p, weak),
                (f"<b>{holm}</b>" if bold else holm, weak),
            ]
        )
    note = (
        "First minus second, over the seeds that both have; interval: bootstrap; p: Wilcoxon's "
        "signed-rank test, two-sided, corrected by Holm's method over all tests of this table. "
        f"With fewer than {FEWEST_PAIRS} pairs the test cannot reach 0.05, so it is not made."
    )
    if len(panel.groups) > ALL_PAIRS_UP_TO:
        note += " There are many groups: each is compared with the first only."
    return [*body, *markup.folded(head, rows, "pair"), f'<p class="note">{note}</p>']


def margins(panel: Panel, margins: pd.DataFrame) -> list[str]:
    """How far the answers are from their bounds; nothing where nothing is bounded."""
    if margins.empty:
        return []
    head = [("Group", ""), ("Metric", ""), ("Runs", "num"), ("Mean", "num"), ("Least", "num")]
    head += [("Greatest", "num")]
    swatch = {group.label: markup.swatch(index) for index, group in enumerate(panel.groups)}
    rows: list[list[markup.Cell]] = [
        [
            (swatch[row["group"]] + html.escape(row["group"]), "name"),
            (f"<code>{html.escape(row['metric'])}</code>", ""),
            (str(row["runs"]), "num"),
            *((words.margin(row[name]), "num") for name in ("mean", "least", "greatest")),
        ]
        for row in margins.to_dict("records")
    ]
    note = (
        "From the answer of each run to the bound, in the unit of the metric's name; positive: the "
        "bound is kept. Runs that found nothing feasible are left out, and so are those that left "
        "no note of it."
    )
    return ["<h3>Margins</h3>", markup.table(head, rows), f'<p class="note">{note}</p>']


def cells(panel: Panel, cells: pd.DataFrame, space: SearchSpace) -> list[str]:
    """The best cells as a table, the first of them drawn; nothing where there is none."""
    if cells.empty:
        return []
    tested = bool(cells["test"].notna().any())
    head = [("Rank", ""), (html.escape(capitalised(metric_label(panel.metric))), "num")]
    head += [(capitalised(metric_label(TEST_ACCURACY)), "num")] * tested + [
        ("Runs", "num"),
        ("Groups", ""),
        ("Cell", ""),
    ]
    drawings, rows = [], []
    for rank, row in enumerate(cells.to_dict("records"), start=1):
        test = [(words.number(row["test"]), "num")] * tested
        cell = f"<code>{html.escape(row['architecture']).replace('|', '|<wbr>')}</code>"
        rows.append(
            [
                (str(rank), ""),
                (words.number(row["value"]), "num"),
                *test,
                (str(row["runs"]), "num"),
                (html.escape(row["groups"]), ""),
                (cell, ""),
            ]
        )
        if rank <= DRAWN_CELLS:
            picture = png(draw_cell(space, row["architecture"], node_labels=space.node_labels))
            caption = f"<b>{words.value(panel.metric, row['value'])}.</b> {cell}"
            drawings.append(
                f'<figure class="cell"><div class="wide">'
                f"{markup.image(picture, row['architecture'])}</div>"
                f"<figcaption>{caption}</figcaption></figure>"
            )
    return ["<h3>Best cells</h3>", *drawings, markup.table(head, rows)]


def agreed(comparison: Comparison) -> list[str]:
    """The settings that all runs share, folded."""
    rows: list[list[markup.Cell]] = [
        [(f"<code>{html.escape(name)}</code>", ""), (html.escape(value), "")]
        for name, value in comparison.common.items()
    ]
    head = [("Setting", ""), ("Value", "")]
    return markup.folded(head, rows, "setting", " that all runs agree on", always=True)


def runs(panels: Sequence[Panel], runs: pd.DataFrame) -> list[str]:
    """Every run that was compared, folded."""
    head = [("Dataset", ""), ("Group", ""), ("Seed", "num"), ("Run", ""), ("Queries", "num")]
    units = {unit(panel.metric) for panel in panels}
    best = with_unit("Best", panels[0].metric) if len(units) == 1 else "Best"
    head += [(best, "num"), ("Commit", ""), ("MLflow run", "")]
    rows: list[list[markup.Cell]] = [
        [
            (html.escape(row["panel"]), ""),
            (html.escape(row["group"]), ""),
            (str(row["seed"]), "num"),
            (f"<code>{html.escape(row['run_id'])}</code>", ""),
            (str(row["queries"]), "num"),
            (words.number(row["best"]), "num"),
            (html.escape(row["commit"]), ""),
            (f"<code>{html.escape(row['reference'])}</code>", ""),
        ]
        for row in runs.to_dict("records")
    ]
    return markup.folded(head, rows, "run", always=True)


def _ranges(seeds: Sequence[int]) -> str:
    """Ascending numbers with runs joined: ``0–9, 12``."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], seed]
        else:
            parts.append([seed])
    return ", ".join("–".join(map(str, part)) for part in parts)
