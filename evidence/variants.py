"""One setting changed at a time, against a reference: ablations, sensitivity, sanity checks."""

from __future__ import annotations

from evidence import table
from evidence.collect import Evidence
from evidence.comparison import quoted_table
from evidence.measures import compare, measure
from evidence.rendered import Rendered
from evidence.sections import Row, Section

HEAD = ["mean", "difference (95 % interval)", "p", "at the optimum", "median queries"]


def render(section: Section, evidence: Evidence) -> Rendered:
    """A text a group, under the marker of ``options.markers``; the group's first row is reference.

    ``options.quoted`` names the marker of the quoted figures. Read at the first budget.
    """
    markers = section.options["markers"]
    texts = {
        markers[group]: _group(section, evidence, rows) for group, rows in section.groups().items()
    }
    if "quoted" in section.options:
        texts[section.options["quoted"]] = quoted_table(section.quoted, section.datasets())
    notes = {
        markers[group]: evidence.cautions(section.model_copy(update={"rows": tuple(rows)}))
        for group, rows in section.groups().items()
    }
    return Rendered(texts, notes)


def _group(section: Section, evidence: Evidence, rows: list[Row]) -> str:
    """One table a dataset: each row, and its paired difference to the first."""
    budget = section.budgets[0]
    parts = []
    for dataset in section.datasets():
        reference = measure(evidence, section, rows[0], dataset, budget)
        lines = []
        for row in rows:
            measured = measure(evidence, section, row, dataset, budget)
            if measured is None or reference is None:
                continue
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
                    str(len(measured.seeds)),
                ]
            )
        if not lines:
            continue  # of another group
        parts.append(
            f"**{table.name_of(dataset)}**\n\n" + table.markdown(["setting", *HEAD, "seeds"], lines)
        )
    return "\n\n".join(parts)
