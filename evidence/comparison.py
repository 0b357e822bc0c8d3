"""Methods side by side: a table a dataset, paired differences, the paper's figures, the curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product

import numpy as np
from matplotlib.figure import Figure

from evidence import table
from evidence.collect import Evidence
from evidence.measures import (
    ALARM_HEAD,
    Measured,
    alarms,
    compare,
    early,
    early_caption,
    head,
    measure,
    told_metrics,
)
from evidence.pages import Rendered
from evidence.sections import Quoted, Section
from optiproxy_nas.core.errors import unknown_name
from optiproxy_nas.report.curve_values import page
from optiproxy_nas.report.curves import Curve, CurvePanel, best_so_far, run_lengths
from optiproxy_nas.report.statistics import welch_difference
from optiproxy_nas.report.style import png

Cells = dict[tuple[str, str, int], Measured]  # (label, dataset, budget) -> what was measured

FIGURES: dict[str, Callable[[list[CurvePanel]], Figure]] = {
    "best_so_far": partial(best_so_far, regret=True),
    "run_lengths": run_lengths,
}
SAID = {
    "level": "level, to the two decimals quoted",
    "ahead": "ahead",
    "behind": "behind",
    "above": "no difference shown",
    "below": "no difference shown",
}


def render(section: Section, evidence: Evidence) -> Rendered:
    """Texts ``<name>``, ``<name>-differences`` and, with quoted rows, ``-quoted`` and ``-paper``.

    The first row is the one that the others are compared with. ``options.figures`` names the
    pictures of the curves (``FIGURES``), ``options.told`` metrics that are read of the answers
    (default: test accuracy); ``options.paper`` and ``options.ours`` the quoted rows and those set
    against them.
    """
    cells: Cells = {}
    for row, dataset, budget in product(section.rows, section.datasets(), section.budgets):
        measured = measure(evidence, section, row, dataset, budget, told=told_metrics(section))
        if measured is not None:
            cells[row.label, dataset, budget] = measured
    name = section.name
    texts = {
        name: _measured(section, evidence, cells),
        f"{name}-differences": _differences(section, cells),
    }
    notes: dict[str, list[str]] = {f"{name}-quoted": []}  # what we say of ours is not true of it
    if section.quoted:
        texts[f"{name}-quoted"] = quoted_table(section.quoted, section.datasets())
    if "paper" in section.options:
        texts[f"{name}-paper"] = _against_paper(section, cells)
    if not section.options.get("figures"):
        return Rendered(texts, notes)
    panels = _longest(section, cells)
    for kind in section.options["figures"]:
        if kind not in FIGURES:
            raise unknown_name(f"figure of section {name!r}", str(kind), FIGURES)
    figures = {kind: png(FIGURES[kind](panels)) for kind in section.options["figures"]}
    return Rendered(
        texts,
        notes,
        figures={f"{name}_{kind}.png": picture for kind, picture in figures.items()},
        pages={f"{name}.html": page(section.title, panels)},
    )


def quoted_table(quoted: tuple[Quoted, ...], datasets: list[str]) -> str:
    """Figures of the paper in a table of their own, every one marked as quoted."""
    rows = []
    for quote in quoted:
        values = []
        for dataset in datasets:
            value = table.number(quote.values.get(dataset), 2)
            sd = quote.sd.get(dataset)
            values.append(value if sd is None else f"{value} ± {sd:.2f}")
        rows.append([f"quoted: {quote.label}", str(quote.queries or table.NONE), *values])
    return table.markdown(["method", "queries", *map(table.name_of, datasets)], rows)


def _measured(section: Section, evidence: Evidence, cells: Cells) -> str:
    """One table a dataset, without columns that say nothing in any row."""
    parts, metrics = [], told_metrics(section)
    for dataset in section.datasets():
        rows, is_known = [], True
        for budget, row in product(section.budgets, section.rows):
            measured = cells.get((row.label, dataset, budget))
            if measured is None:
                continue
            is_known = not math.isnan(measured.optimum)
            is_first = budget == section.budgets[0]  # what came before is the same at all budgets
            before = early(evidence, section, row, dataset) if is_first else table.NONE
            warned = alarms(evidence, section, row, dataset) if is_first else [table.NONE] * 2
            rows.append([str(budget), row.label, before, *measured.cells(metrics), *warned])
        captions = ["queries", "method", early_caption(is_known), *head(metrics), *ALARM_HEAD]
        parts.append(f"**{table.name_of(dataset)}**\n\n" + table.telling(captions, rows))
    return "\n\n".join(parts)


def _differences(section: Section, cells: Cells) -> str:
    """The first row minus each of the others, paired by seed."""
    first, *others = section.rows
    rows = []
    for dataset, budget, other in product(section.datasets(), section.budgets, others):
        one, two = (
            cells.get((first.label, dataset, budget)),
            cells.get((other.label, dataset, budget)),
        )
        if one is None or two is None:
            continue
        value, seeds = compare(one, two)
        rows.append(
            [
                table.name_of(dataset),
                str(budget),
                other.label,
                table.difference(value),
                table.p_value(value.p_value),
                f"{value.wins} / {value.ties} / {value.losses}",
                str(seeds),
                table.verdict(value),
            ]
        )
    head = [
        "dataset",
        "queries",
        "against",
        "difference of means (95 % interval)",
        "Wilcoxon p",
        "wins / ties / losses",
        "seeds",
        first.label,
    ]
    return table.markdown(head, rows)


def _against_paper(section: Section, cells: Cells) -> str:
    """Ours minus the paper's quoted mean; Welch's interval where the paper gives a deviation."""
    rows = []
    quotes = [quote for quote in section.quoted if quote.label == section.options["paper"]]
    for label, dataset, quote in product(section.options["ours"], section.datasets(), quotes):
        measured = cells.get((label, dataset, quote.queries or 0))
        if measured is None or dataset not in quote.values:
            continue
        paper, sd = quote.values[dataset], quote.sd.get(dataset, 0.0)
        mean, bounds = welch_difference(
            measured.mean, measured.sd, len(measured.seeds), paper, sd, quote.seeds
        )
        rows.append(
            [
                table.name_of(dataset),
                str(quote.queries),
                label,
                table.number(measured.mean),
                f"quoted: {paper:.2f}" + (f" ± {sd:.2f}" if sd else ""),
                f"{table.signed(mean)} ({table.signed(bounds.low)} to {table.signed(bounds.high)})",
                SAID[table.relation(mean, bounds)],
            ]
        )
    head = [
        "dataset",
        "queries",
        "method",
        "our mean",
        "the paper's mean",
        "difference (95 % interval)",
        "verdict",
    ]
    return table.markdown(head, rows)


def _longest(section: Section, cells: Cells) -> list[CurvePanel]:
    """A panel a dataset, with the longest curves there are."""
    longest: dict[str, dict[str, Measured]] = {}
    for (label, dataset, budget), measured in cells.items():
        known = longest.setdefault(dataset, {}).get(label)
        if known is None or known.budget < budget:
            longest[dataset][label] = measured
    return [
        _panel(dataset, longest[dataset]) for dataset in section.datasets() if dataset in longest
    ]


def _panel(dataset: str, rows: Mapping[str, Measured]) -> CurvePanel:
    """The curves of one dataset; the best of all is the target where nobody knows the optimum."""
    first = next(iter(rows.values()))
    target, name = first.optimum, "optimum"
    if math.isnan(target):
        target = float(np.fmax.reduce(np.concatenate([one.best for one in rows.values()])))
        name = "best known value"
    curves = tuple(Curve(label, one.curves) for label, one in rows.items())
    return CurvePanel(
        table.name_of(dataset), curves, target, name, metric=first.metric, caution=first.caution
    )


def render_headline(section: Section, evidence: Evidence) -> Rendered:
    """Text ``headline``: a line for each pair (dataset, queries) of ``options.show``."""
    ours, random = section.rows
    rows = []
    for dataset, budget in section.options["show"]:
        measured = measure(evidence, section, ours, dataset, budget)
        baseline = measure(evidence, section, random, dataset, budget)
        if measured is None or baseline is None:
            continue
        quoted = [q.values.get(dataset) for q in section.quoted if q.queries == budget]
        rows.append(
            [
                table.name_of(dataset),
                str(budget),
                measured.at_optimum,
                measured.median_to_optimum,
                early(evidence, section, ours, dataset),
                table.number(measured.mean),
                table.number(baseline.mean),
                table.number(quoted[0], 2) if quoted else table.NONE,
            ]
        )
    head = [
        "dataset",
        "queries",
        "at the optimum",
        "median queries to it",
        early_caption(),
        "mean",
        "random search",
        "the paper's mean (quoted)",
    ]
    return Rendered({section.name: table.markdown(head, rows)})
