"""Which searches are run, once each, and whose they are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from synthetic import points_of, run_id_of

from evidence.collect import collect, count_searches
from evidence.sections import Row, Section
from optiproxy_nas import sweeps
from optiproxy_nas.core.errors import DataError


def section(name: str, *rows: Any) -> Any:
    return Section(
        name=name,
        title="T",
        order=1,
        render="comparison",
        page="docs/page.md",
        common={"source": "v1_0", "dataset": "cifar10"},
        rows=rows,
    )


SHORT = ({"method": "m", "budget": 100},)
LONG = ({"method": "m", "budget": 280},)
SECTIONS = [
    section("one", Row(label="short", seeds="0-1", blocks=SHORT)),
    section(
        "two",
        Row(label="again", seeds="0-2", blocks=SHORT),
        Row(label="both", seeds="0-0", blocks=SHORT + LONG),
    ),
]


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A sweep that runs nothing; what it was asked for, and what is to fail."""
    state = SimpleNamespace(asked=[], failed=[], regret={})

    def resolve(project: Path, blocks: Any) -> Any:
        owners: dict[Any, Any] = {}
        for index, block in enumerate(blocks):
            for point in points_of([block]):
                owners.setdefault(run_id_of(point), []).append(index)
        return [SimpleNamespace(run_id=run_id, blocks=tuple(b)) for run_id, b in owners.items()]

    def run_sweep(project: Path, blocks: Any, **options: Any) -> Any:
        state.asked.append((blocks, options))
        points = {run_id_of(point): point for point in points_of(blocks)}
        ids = list(points)
        runs = pd.DataFrame(
            {
                "run_id": ids,
                "dataset": [point["dataset"] for point in points.values()],
                "seed": [point["seed"] for point in points.values()],
                "budget": [point["budget"] for point in points.values()],
                "objective": [point.get("objective.constraints", "") for point in points.values()],
                "parameters": [json.dumps(point) for point in points.values()],
                "regret": [state.regret.get(point["seed"], 0.0) for point in points.values()],
            }
        )
        results = pd.DataFrame({"run_id": ids * 2, "query": [1] * len(ids) + [2] * len(ids)})
        found = resolve(project, blocks)
        return SimpleNamespace(results=results, runs=runs, failed=state.failed, points=found)

    monkeypatch.setattr(sweeps, "resolve", resolve)
    monkeypatch.setattr(sweeps, "run_sweep", run_sweep)
    return state


def test_every_row_gets_its_own_searches_and_shared_ones_are_run_once(
    sweep: Any, tmp_path: Path
) -> None:
    evidence = collect(tmp_path, SECTIONS, workers=3)
    ((_, options),) = sweep.asked  # one sweep for all
    assert options == {"workers": 3, "replace": True}
    assert len(evidence.runs) == 4  # seeds 0, 1, 2 of the short ones, and one long one
    sizes = {
        row.label: tuple(map(len, evidence.of(one, row))) for one in SECTIONS for row in one.rows
    }
    assert sizes == {"short": (4, 2), "again": (6, 3), "both": (4, 2)}
    results, runs = evidence.of(SECTIONS[0], SECTIONS[0].rows[0])
    assert set(results["run_id"]) == set(runs["run_id"])


def test_only_what_has_not_reached_the_optimum_is_extended(sweep: Any, tmp_path: Path) -> None:
    sweep.regret = {1: 0.5}
    extended = Row(label="extended", seeds="0-2", blocks=SHORT, extend=280)
    sections = [section("one", extended, Row(label="not", seeds="0-2", blocks=SHORT))]
    evidence = collect(tmp_path, sections, name="e")
    first, longer = (blocks for blocks, _ in sweep.asked)
    assert [(block["budget"], block["seed"]) for block in longer] == [(280, [1])]
    assert [options["name"] for _, options in sweep.asked] == ["e", "e-extended"]
    assert len(first) == 2
    _, runs = evidence.of(sections[0], extended)
    assert dict(zip(runs["seed"], runs["budget"], strict=True)) == {0: 100, 1: 280, 2: 100}
    _, runs = evidence.of(sections[0], sections[0].rows[1])
    assert dict(zip(runs["seed"], runs["budget"], strict=True)) == {0: 100, 1: 100, 2: 100}


def test_of_several_bounds_only_the_open_ones_are_extended(sweep: Any, tmp_path: Path) -> None:
    sweep.regret = {1: math.nan}  # nothing feasible was found: not settled
    bounds = {"objective.constraints": ["a < 1", "a < 2"]}
    row = Row(label="r", seeds="0-1", blocks=({**SHORT[0], **bounds},), extend=280)
    collect(tmp_path, [section("one", row)])
    _, (longer, _) = sweep.asked
    assert [(b["objective.constraints"], b["seed"]) for b in longer] == [
        ("a < 1", [1]),
        ("a < 2", [1]),
    ]


def test_no_table_is_made_of_a_part_of_the_searches(sweep: Any, tmp_path: Path) -> None:
    sweep.failed = [SimpleNamespace(run_id="m-s0", error="Out of luck.")]
    with pytest.raises(DataError, match=r"1 searches failed.*m-s0: Out of luck\.") as caught:
        collect(tmp_path, SECTIONS)
    assert caught.value.data["failed"] == ["m-s0"]


def test_searches_are_counted_by_section_without_running_them(sweep: Any, tmp_path: Path) -> None:
    assert count_searches(tmp_path, SECTIONS) == {"one": 2, "two": 4}
    assert sweep.asked == []


def test_a_section_without_rows_runs_nothing(sweep: Any, tmp_path: Path) -> None:
    assert collect(tmp_path, [section("none")]).members == {}
    assert sweep.asked == []
