"""Settings changed one at a time (ablations), and one setting on all datasets (transfer)."""

from __future__ import annotations

import json

import pandas as pd

from evidence import table
from evidence.collect import Evidence
from evidence.comparison import quoted_table
from evidence.measures import compare, measure
from evidence.pages import Rendered
from evidence.sections import Row, Section
from optiproxy_nas.report.statistics import bootstrap_mean

HEAD = ["mean", "difference (95 % interval)", "p", "at the optimum", "median queries"]


def render(section: Section, evidence: Evidence) -> Rendered:
    """A text a group, under the marker of ``options.markers``; the group's first row is reference.

    ``options.quoted`` names the marker of the quoted figures. Read at the first budget, or at that
    of the group in ``options.read_at``; at ``options.regrets_at`` the mean regret.
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
                    *_regrets(section, evidence, row, dataset),
                    str(len(measured.seeds)),
                ]
            )
        if not lines:
            continue  # of another group
        head = [
            "setting",
            *HEAD,
            *(f"regret at {it}" for it in section.options.get("regrets_at", ())),
            "seeds",
        ]
        parts.append(f"**{table.name_of(dataset)}**\n\n" + table.markdown(head, lines))
    return "\n\n".join(parts)


def _regrets(section: Section, evidence: Evidence, row: Row, dataset: str) -> list[str]:
    """Return the mean regrets of a row at ``options.regrets_at``."""
    budgets = section.options.get("regrets_at", ())
    found = [measure(evidence, section, row, dataset, each) for each in budgets]
    return [table.NONE if it is None else table.number(it.regret) for it in found]


# What may differ between the searches of one setting.
OWN = frozenset({"dataset", "seed", "budget"})


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
        "mean regret",
        "at the optimum",
    ]
    counts = ", ".join(
        f"{row.label}: {distinct_settings(evidence.of(section, row)[1])}" for row in section.rows
    )
    note = f"Distinct sets of hyper-parameters, counted in the records of the runs: {counts}."
    return Rendered({section.name: table.markdown(head, lines) + "\n\n" + note})


def distinct_settings(runs: pd.DataFrame) -> int:
    """How many different parameter sets the runs had, dataset, seed and budget apart."""
    return len(
        {
            json.dumps({k: v for k, v in json.loads(text).items() if k not in OWN}, sort_keys=True)
            for text in runs["parameters"]
        }
    )
