"""The README's table: the first row beside random search and the paper's figures."""

from __future__ import annotations

from evidence import table
from evidence.collect import Evidence
from evidence.measures import measure
from evidence.rendered import Rendered
from evidence.sections import Section


def render(section: Section, evidence: Evidence) -> Rendered:
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
        "mean",
        "random search",
        "the paper's mean (quoted)",
    ]
    return Rendered({section.name: table.markdown(head, rows)})
