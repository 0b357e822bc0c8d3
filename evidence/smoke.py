"""Every section in miniature: few rows and seeds, some thirty queries and two epochs, for a test.

The figures mean nothing; that every renderer and every kind of search works does. All of it is on
the embedded table, so that it needs no download; a section that the embedded table cannot serve is
left out, unless there is a folder of data files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from evidence.sections import Block, Row, Section, with_seeds
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE

# Above 25, the largest initial sample; 20 is a budget of its own. From 1000 on they are epochs.
BUDGETS: Mapping[int, int] = {
    **{20: 20, 50: 26, 75: 26, 100: 27, 142: 28, 150: 29, 192: 28, 200: 28, 280: 29},
    **{1000: 1100, 2000: 1150, 3200: 1200, 3500: 1260, 5000: 1300, 7250: 1480},
}
SEEDS = 2
# Below every budget; a row that has a number of its own keeps it.
INITIAL = 24
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
    """The section at a size that costs seconds; what differs else is in ``options.smoke``.

    ``smoke.left_out`` is why a section has none: another one does the same.
    ``smoke.seeds`` is their number where one does: others, or tests, render the same with two.
    ``smoke.rows`` is the most of a group where rows are alike, and others run the same searches.
    ``smoke.common`` replaces values of ``common``; ``smoke.needs_data`` keeps the sources, and
    leaves the section out, with the reason in ``options.left_out``, where no folder of data files
    is named in the environment.
    """
    smoke = section.options.get("smoke", {})
    options = {**section.options, **smoke}
    if "left_out" in smoke:
        return section.model_copy(update={"rows": (), "options": options})
    if smoke.get("needs_data") and not os.environ.get(DATA_DIRECTORY_VARIABLE):
        options["left_out"] = (
            "no embedded table has what its searches ask for; set "
            f"{DATA_DIRECTORY_VARIABLE} to a folder with the files"
        )
        return section.model_copy(update={"rows": (), "options": options})
    common = {**section.common, **smoke.get("common", {})}

    def small(block: Block) -> Block:
        whole = {**common, **block}
        datasets = whole["dataset"]
        if options.get("one_dataset") and not isinstance(datasets, str):
            block = {**block, "dataset": datasets[0]}
        quick = QUICK.get(str(whole.get("method")), {})
        budget = BUDGETS[int(whole["budget"])]
        if whole.get("method") == "optiproxy" and budget < 1000:
            quick = {"initial_samples": whole.get("initial_samples", INITIAL), **quick}
        source = whole["source"] if smoke.get("needs_data") else "embedded"
        return {**block, "source": source, "budget": budget, **quick}

    def shorter(row: Row) -> Row:
        extend = None if row.extend is None else BUDGETS[row.extend]
        return row.model_copy(update={"blocks": tuple(map(small, row.blocks)), "extend": extend})

    first_rows = [row for rows in section.groups().values() for row in rows[: options.get("rows")]]
    updates: dict[str, Any] = {
        "common": common,
        "rows": tuple(map(shorter, first_rows)),
        "budgets": tuple(BUDGETS[budget] for budget in section.budgets),
        "quoted": tuple(
            q.model_copy(update={"queries": BUDGETS.get(q.queries or 0, q.queries)})
            for q in section.quoted
        ),
        "options": options,
    }
    return with_seeds(section.model_copy(update=updates), options.get("seeds", SEEDS))
