"""Searches under bounds: one line a bound and number of queries, beside the paper's Table 3."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product

from evidence import table
from evidence.collect import CONSTRAINTS, Evidence
from evidence.figures import BoundPanel, PaperPoint, by_bound
from evidence.measures import Measured, compare, early, early_caption, measure
from evidence.pages import Rendered
from evidence.sections import Quoted, Section
from optiproxy_nas.objectives.constraints import parse_constraints
from optiproxy_nas.report.curves import Curve
from optiproxy_nas.report.statistics import welch_difference
from optiproxy_nas.report.style import png

Cells = dict[tuple[str, str, int], Measured]  # (row, bound, queries) -> what was measured

SAID = {
    "level": "level",
    "ahead": "ahead",
    "behind": "behind",
    "above": "above, not shown",
    "below": "below, not shown",
}


def render(section: Section, evidence: Evidence) -> Rendered:
    """Texts ``<name>`` (first row beside the paper), ``-methods``, ``-differences``, ``-quoted``.

    The bounds are those of ``common``, in their order; ``options.names`` says how each is called,
    ``options.paper`` which quoted rows the first row is set against. ``options.tables`` names the
    texts that the page has, by their endings ("": the first); default: all four.
    """
    bounds = bounds_of(section)
    (dataset,) = section.datasets()
    cells: Cells = {}
    for row, bound, budget in product(section.rows, bounds, section.budgets):
        measured = measure(evidence, section, row, dataset, budget, objective=bound)
        if measured is not None:
            cells[row.label, bound, budget] = measured
    name = section.name
    tables: dict[str, Callable[[], str]] = {
        "": lambda: _against_paper(section, cells, bounds),
        "-methods": lambda: _methods(section, evidence, cells, bounds),
        "-differences": lambda: _differences(section, cells, bounds),
        "-quoted": lambda: _quoted(section, bounds),
    }
    return Rendered(
        {name + ending: tables[ending]() for ending in section.options.get("tables", tables)},
        figures={f"{name}_best_so_far.png": png(by_bound(_panels(section, cells, bounds)))},
    )


def bounds_of(section: Section) -> dict[str, str]:
    """Label of each objective -> how the reader knows it."""
    given = section.common[CONSTRAINTS]
    names = section.options.get("names", {})
    labels = [
        "; ".join(map(str, parse_constraints(text)))
        for text in ([given] if isinstance(given, str) else given)
    ]
    return {label: names.get(label, label) for label in labels}


def _against_paper(section: Section, cells: Cells, bounds: dict[str, str]) -> str:
    """The first row, and the paper's figure where there is one."""
    ours = section.rows[0].label
    lines: list[list[str]] = []
    standings: dict[int, Counter[str]] = {budget: Counter() for budget in section.budgets}
    for bound, budget in product(bounds, sorted(section.budgets, reverse=True)):
        measured = cells.get((ours, bound, budget))
        if measured is None:
            continue
        quote = _quote(section, bound, budget)
        figure = difference = said = table.NONE
        if quote is not None and len(measured.found):
            paper, sd = quote.values[bound], quote.sd.get(bound, 0.0)
            mean, interval = welch_difference(
                measured.mean, measured.sd, len(measured.found), paper, sd, quote.seeds
            )
            figure = f"quoted: {paper:.2f}" + (f" ± {sd:.2f}" if sd else "")
            difference = f"{table.signed(mean)} ({table.signed(interval.low)} to "
            difference += f"{table.signed(interval.high)})"
            said = SAID[table.relation(mean, interval)]
        if quote is not None:
            standings[budget][said if len(measured.found) else "nothing found"] += 1
        lines.append(
            [
                bounds[bound],
                str(budget),
                table.number(measured.mean),
                measured.interval,
                _nothing(measured),
                measured.at_optimum,
                measured.median_to_optimum,
                table.number(measured.optimum, 2),
                figure,
                difference,
                said,
            ]
        )
    head = [
        "bound",
        "queries",
        "mean",
        "95 % interval",
        "found nothing",
        "at the optimum",
        "median queries to it",
        "optimum",
        "the paper's mean",
        "difference (95 % interval)",
        "verdict",
    ]
    notes = [
        f"{ours!r} against the paper's figures at {budget} queries, of {counts.total()} bounds: "
        + "; ".join(f"{said} {counts[said]}" for said in (*SAID.values(), "nothing found"))
        + "."
        for budget, counts in sorted(standings.items(), reverse=True)
        if counts
    ]
    return "\n\n".join([table.markdown(head, lines), *notes])


def _methods(section: Section, evidence: Evidence, cells: Cells, bounds: dict[str, str]) -> str:
    """Every row under every bound; what came before the first budget stands with that."""
    lines = []
    (dataset,) = section.datasets()
    for bound, budget, row in product(bounds, section.budgets, section.rows):
        measured = cells.get((row.label, bound, budget))
        if measured is None:
            continue
        is_first = budget == section.budgets[0]
        lines.append(
            [
                bounds[bound],
                str(budget),
                row.label,
                early(evidence, section, row, dataset, bound) if is_first else table.NONE,
                table.number(measured.mean),
                table.number(measured.sd),
                measured.interval,
                _nothing(measured),
                measured.at_optimum,
                measured.median_to_optimum,
                str(len(measured.seeds)),
            ]
        )
    head = [
        "bound",
        "queries",
        "method",
        early_caption(),
        "mean",
        "sd",
        "95 % interval",
        "found nothing",
        "at the optimum",
        "median queries to it",
        "seeds",
    ]
    return table.markdown(head, lines)


def _differences(section: Section, cells: Cells, bounds: dict[str, str]) -> str:
    """The first row minus each of the others, paired by seed, where both found something."""
    first, *others = section.rows
    lines = []
    for bound, budget, other in product(bounds, section.budgets, others):
        one = cells.get((first.label, bound, budget))
        two = cells.get((other.label, bound, budget))
        if one is None or two is None:
            continue
        line = [bounds[bound], str(budget), other.label]
        try:
            value, pairs = compare(one, two)
        except ValueError:  # no seed in which both found something
            lines.append([*line, *[table.NONE] * 3, "0", "not compared: nothing feasible"])
            continue
        lines.append(
            [
                *line,
                table.difference(value),
                table.p_value(value.p_value),
                f"{value.wins} / {value.ties} / {value.losses}",
                str(pairs),
                table.verdict(value),
            ]
        )
    head = [
        "bound",
        "queries",
        "against",
        "difference of means (95 % interval)",
        "Wilcoxon p",
        "wins / ties / losses",
        "pairs",
        first.label,
    ]
    return table.markdown(head, lines)


def _quoted(section: Section, bounds: dict[str, str]) -> str:
    """Figures of the paper: a line a bound, a column a quoted row."""
    lines = []
    for bound, name in bounds.items():
        line = [name]
        for quote in section.quoted:
            value, sd = table.number(quote.values.get(bound), 2), quote.sd.get(bound)
            line.append(value if sd is None else f"{value} ± {sd:.2f}")
        lines.append(line)
    head = [
        f"quoted: {quote.label}" + (f", {quote.queries} queries" if quote.queries else "")
        for quote in section.quoted
    ]
    return table.markdown(["bound", *head], lines)


def _panels(section: Section, cells: Cells, bounds: dict[str, str]) -> list[BoundPanel]:
    """A panel a bound, with the longest curves there are."""
    panels = []
    for bound, name in bounds.items():
        longest = [
            max(found, key=lambda measured: measured.budget)
            for row in section.rows
            if (found := [m for key, m in cells.items() if key[:2] == (row.label, bound)])
        ]
        labels = [
            row.label for row in section.rows if any(key[:2] == (row.label, bound) for key in cells)
        ]
        if not longest:
            continue
        points = tuple(
            PaperPoint(budget, quote.values[bound])
            for budget in section.budgets
            if (quote := _quote(section, bound, budget)) is not None
        )
        curves = tuple(
            Curve(label, measured.curves) for label, measured in zip(labels, longest, strict=True)
        )
        panels.append(BoundPanel(name, curves, longest[0].optimum, points, longest[0].metric))
    return panels


def _quote(section: Section, bound: str, budget: int) -> Quoted | None:
    """The paper's figure that the first row is set against."""
    paper = section.options.get("paper")
    for quote in section.quoted:
        if quote.label == paper and quote.queries == budget and bound in quote.values:
            return quote
    return None


def _nothing(measured: Measured) -> str:
    """How many searches found nothing that keeps the bound."""
    return f"{measured.nothing} of {len(measured.seeds)}"
