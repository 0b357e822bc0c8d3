"""Whether one setting serves all datasets: what differs between the runs, and what they reach."""

from __future__ import annotations

import json

import pandas as pd

from evidence import table
from evidence.collect import Evidence
from evidence.measures import measure
from evidence.rendered import Rendered
from evidence.sections import Section
from optiproxy_nas.report.statistics import bootstrap_mean

# What may differ between the searches of one setting.
OWN = frozenset({"dataset", "seed", "budget"})


def render(section: Section, evidence: Evidence) -> Rendered:
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
