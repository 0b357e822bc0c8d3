"""Settings changed one at a time (ablations), and one setting on all datasets (transfer)."""

from __future__ import annotations

import math

from evidence import table
from evidence.collect import Evidence
from evidence.comparison import quoted_table
from evidence.measures import compare, early, early_caption, measure
from evidence.pages import Rendered
from evidence.sections import Row, Section
from optiproxy_nas.report.statistics import bootstrap_mean

HEAD = ["mean", "difference (95 % interval)", "p", "at the optimum", "median queries"]


def render(section: Section, evidence: Evidence) -> Rendered:
    """A text a group, under the marker of ``options.markers``; the group's first row is reference.

    ``options.quoted`` names the marker of the quoted figures. Read at the first budget, or at that
    of the group in ``options.read_at``.
    """
    markers, read_at = section.options["markers"], section.options.get("read_at", {})
    texts = {
        markers[group]: _group(section, evidence, rows, read_at.get(group, section.budgets[0]))
        for group, rows in section.groups().items()
    }
    if "quoted" in section.options:
        texts[section.options["quoted"]] = quoted_table(section.quoted, section.datasets())
    notes = {
        markers[group]: evidence.cautions(section.model_copy(update={"rows": tuple(rows)}))
        for group, rows in section.groups().items()
    }
    return Rendered(texts, notes)


def _group(section: Section, evidence: Evidence, rows: list[Row], budget: int) -> str:
    """One table a dataset: each row at a budget, and its paired difference to the first."""
    parts, is_known = [], True
    for dataset in section.datasets():
        reference = measure(evidence, section, rows[0], dataset, budget)
        lines = []
        for row in rows:
            measured = measure(evidence, section, row, dataset, budget)
            if measured is None or reference is None:
                continue
            is_known = not math.isnan(measured.optimum)
            if row is rows[0]:
                difference, p_value = "reference", table.NONE
            else:
                value, _ = compare(measured, reference)
                difference, p_value = table.difference(value), table.p_value(value.p_value)
                if table.shown(value):
                    difference = f"**{difference}**"
            lines.append(
                [
                    row.label,
                    table.number(measured.mean),
                    difference,
                    p_value,
                    measured.at_optimum,
                    measured.median_to_optimum,
                    early(evidence, section, row, dataset),
                    str(len(measured.seeds)),
                ]
            )
        if not lines:
            continue  # of another group
        head = ["setting", *HEAD, early_caption(is_known), "seeds"]
        parts.append(f"**{table.name_of(dataset)}**\n\n" + table.markdown(head, lines))
    return "\n\n".join(parts)


def render_transfer(section: Section, evidence: Evidence) -> Rendered:
    """Text ``<name>``: each row on each dataset, with what was changed for it."""
    lines = []
    for row in section.rows:
        _, runs = evidence.of(section, row)
        for dataset in section.datasets():
            budget = section.budgets[0]
            measured = measure(evidence, section, row, dataset, budget)
            if measured is None:
                continue
            own = runs[runs["dataset"] == dataset]
            lines.append(
                [
                    row.label,
                    table.name_of(dataset),
                    ", ".join(sorted(set(own["setting"]))) or "nothing",
                    table.number(measured.mean),
                    table.interval(bootstrap_mean(measured.best)),
                    early(evidence, section, row, dataset),
                    table.number(measured.regret),
                    measured.at_optimum,
                ]
            )
    head = [
        "setting",
        "dataset",
        "changed for it",
        f"mean at {section.budgets[0]}",
        "95 % interval",
        early_caption(),
        "mean regret",
        "at the optimum",
    ]
    counts = ", ".join(
        f"{row.label}: {evidence.of(section, row)[1]['settings'].nunique()}" for row in section.rows
    )
    note = f"Distinct sets of hyper-parameters, counted in the records of the runs: {counts}."
    return Rendered({section.name: table.markdown(head, lines) + "\n\n" + note})
