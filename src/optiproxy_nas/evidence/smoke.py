"""Every section in miniature: two seeds, some thirty queries and two epochs, for a test.

The figures mean nothing; that every row can be run and every renderer works does. All of it is on
the embedded table, so that it needs no download.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.evidence.sections import Block, Row, Section, with_seeds

# Above 25, the largest initial sample; 20 is a budget of its own.
BUDGETS: Mapping[int, int] = {20: 20, 100: 27, 192: 28, 280: 29}
SEEDS = 2
QUICK: Mapping[str, Block] = {
    "optiproxy": {
        "fit.epochs": 2,
        "fit.first_epochs": 2,
        "gradient.epochs": 2,
        "selection.samples": 20,
    },
    "bananas": {"settings.epochs": 2},
    "gaussian_process": {"settings.iterations": 2, "settings.random": 20},
}


def miniature(section: Section) -> Section:
    """The section at a size that costs seconds; what differs else is in ``options.smoke``."""

    options = {**section.options, **section.options.get("smoke", {})}

    def small(block: Block) -> Block:
        whole = {**section.common, **block}
        datasets = whole["dataset"]
        if options.get("one_dataset") and not isinstance(datasets, str):
            block = {**block, "dataset": datasets[0]}
        quick = QUICK.get(str(whole.get("method")), {})
        budget = BUDGETS[int(whole["budget"])]
        return {**block, "source": "embedded", "budget": budget, **quick}

    def fewer(row: Row) -> Row:
        extend = None if row.extend is None else BUDGETS[row.extend]
        return row.model_copy(update={"blocks": tuple(map(small, row.blocks)), "extend": extend})

    updates: dict[str, Any] = {
        "rows": tuple(map(fewer, section.rows)),
        "budgets": tuple(BUDGETS[budget] for budget in section.budgets),
        "quoted": tuple(
            q.model_copy(update={"queries": BUDGETS.get(q.queries or 0, q.queries)})
            for q in section.quoted
        ),
        "options": options,
    }
    return with_seeds(section.model_copy(update=updates), SEEDS)
