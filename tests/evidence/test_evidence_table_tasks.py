"""The section of tables: tasks, what is recorded, Optuna's own study, the text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evidence import native_tpe, tables
from evidence.collect import Evidence
from evidence.regenerate import choose
from evidence.searched import to_bytes
from evidence.sections import Section
from optiproxy_nas import Choice, Space
from optiproxy_nas.objectives.constraints import parse_constraints

pytestmark = pytest.mark.heavy

REPOSITORY = Path(__file__).parents[2]
SPACE = Space(
    {
        "depth": Choice.integers(1, 3),
        "kind": ["a", "b"],
        "width": Choice([8, 16, 32, 64], ordered=True, when={"depth": [2, 3]}),
    }
)


def measure(architecture: Mapping[str, Any]) -> dict[str, float]:
    size = float(architecture.get("width", 4)) * float(architecture["depth"])
    return {"value": size + (architecture["kind"] == "b"), "size": size}


def miniature() -> Section:
    (section,) = choose(REPOSITORY, ["tables"], smoke=True)
    return section


def test_a_study_evaluates_each_architecture_once_and_keeps_to_conditions() -> None:
    rows = native_tpe.search(SPACE, measure, (), "maximize", 12, 0)
    assert len({(row["value"], row["size"]) for row in rows}) == 12
    again = native_tpe.search(SPACE, measure, (), "maximize", 12, 0)
    assert rows == again
    bounded = native_tpe.search(SPACE, measure, parse_constraints("size < 50"), "maximize", 12, 0)
    assert rows[:8] == bounded[:8]  # Optuna begins at random
    assert len(native_tpe.search(SPACE, measure, (), "maximize", 19, 0)) <= 18  # of all there are


def test_regret_is_0_at_the_best_and_1_at_the_median_within_the_bounds() -> None:
    plain = tables.task("hpobench", "vehicle")
    assert plain.regret(np.array([plain.best, plain.median])).tolist() == [0.0, 1.0]
    fast = tables.task("hpobench", "vehicle", ("training_seconds < 20",))
    assert fast.best < plain.best
    assert fast.regret(np.array([np.nan])) == fast.regret(np.array([fast.worst])) > 1
    architecture = {name: choice.options[0] for name, choice in _choices().items()}
    measured = fast.measure(architecture)
    assert fast.keeps(measured) == (measured["training_seconds"] < 20)


def _choices() -> dict[str, Choice]:
    space = tables.get_space("hpobench")  # type: ignore[attr-defined]
    assert isinstance(space, Space)
    return space.choices


def test_a_search_is_recorded_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = miniature()
    found = tables.run_missing(tmp_path, section)
    assert len(found) == 2 * section.options["seeds"]
    curves = [entry["best"] for entry in found.values()]
    assert all(len(best) == 12 and (np.diff(best) >= 0).all() for best in curves)

    def forbidden(*_: object) -> None:
        raise AssertionError("searched twice")

    monkeypatch.setattr(tables, "best_so_far", forbidden)
    evidence = Evidence(pd.DataFrame(), pd.DataFrame(), {}, tmp_path)
    text = tables.render(section, evidence).texts["tables"]
    assert "**HPOBench**" in text
    assert text.count("reference") == len(section.options["queries"])
    assert "At 12 queries OptiProxy-NAS is not shown to be ahead of" in text


def test_who_is_ahead_is_said() -> None:
    """Made-up records: the first method is at the best at once, the other one at the median."""
    section = miniature()
    options = {**section.options, "seeds": 12}
    searched = tables.task("hpobench", "vehicle")
    (one,) = options["groups"]["HPOBench"]
    entries = {
        tables.Search(one, entry["arguments"], 12, seed).key: {"best": np.full(12, value)}
        for entry, value in zip(options["searches"], (searched.best, searched.median), strict=True)
        for seed in range(12)
    }
    evidence = Evidence(pd.DataFrame(), pd.DataFrame(), {}, stored=to_bytes(entries))
    text = tables.render(section.model_copy(update={"options": options}), evidence).texts["tables"]
    assert "OptiProxy-NAS is ahead of every one" in text
    assert "+100.000 (+100.000 to +100.000)" in text
