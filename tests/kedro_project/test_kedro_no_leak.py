"""The search sees validation values of what it queried, and nothing else of the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro_runs import TINY_ARGUMENT, archive, command, manifest, run, search_digests, sign

from optiproxy_nas.benchmarks.tidy_table import table_digest


@pytest.fixture
def rewrite(quick: Path) -> Any:
    """Change the project's table: ``rewrite(change)``, where ``change`` edits the frame."""

    def rewrite(change: Any) -> None:
        path = quick / "data" / "03_primary" / "nb201" / "embedded.parquet"
        table = pd.read_parquet(path)
        change(table)
        table.to_parquet(path)
        sign(path)
        card_path = path.with_suffix(".json")
        card = json.loads(card_path.read_text()) | {"table_sha256": table_digest(table)}
        card_path.write_text(json.dumps(card))
        sign(card_path)

    return rewrite


def queried_rows(table: Any, queried: Any) -> Any:
    return table["architecture"].isin(queried) & (table["dataset"] == "cifar10")


def test_everything_not_queried_may_be_poisoned(
    quick: Path, reference: Any, template: Path, rewrite: Any
) -> None:
    queried = archive(template, "reference")["architecture"]

    def poison(table: Any) -> None:
        free = ~queried_rows(table, queried)
        assert free.sum() == len(table) - len(queried)
        table.loc[free, "validation_accuracy"] = 100 - table.loc[free, "validation_accuracy"]
        for column in ("latency_ms", "parameters_millions", "training_seconds", "training_seeds"):
            table[column] = 1e6

    rewrite(poison)
    result = run(quick, run_id="r")["result"]
    assert search_digests(quick, "r") == reference
    # The report, made after the search, does see the poison.
    assert result["optimum"] != manifest(template, "reference")["result"]["optimum"]


def test_one_queried_value_matters(
    quick: Path, reference: Any, template: Path, rewrite: Any
) -> None:
    """The other test can fail: a value that was queried changes what follows."""
    first = archive(template, "reference")["architecture"].iloc[:1]

    def change(table: Any) -> None:
        rows = queried_rows(table, first)
        assert rows.sum() == 1
        table.loc[rows, "validation_accuracy"] = 1.0

    rewrite(change)
    run(quick, run_id="r")
    found = search_digests(quick, "r")
    assert found["step_00.batch"] == reference["step_00.batch"]
    assert found["step_01.proxy"] != reference["step_01.proxy"]


def test_a_table_that_is_not_the_one_of_its_card_is_refused_or_recorded(
    quick: Path, template: Path
) -> None:
    """A run must not claim, in its manifest, data that it did not read."""
    path = quick / "data" / "03_primary" / "nb201" / "embedded.parquet"
    table = pd.read_parquet(path)
    table["validation_accuracy"] = 100 - table["validation_accuracy"]
    table.to_parquet(path)
    sign(path)
    claimed = manifest(template, "reference")["data"]
    result = command(quick, "run", f"--params=run_id=r,tracking=off,{TINY_ARGUMENT}")
    if result.exit_code == 0:
        assert manifest(quick, "r")["data"] != claimed
    else:
        assert "embedded" in result.output
