"""Results by seed: the tables are computed from them, and so are those on the pages."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import OPTIMA, measured_of, synthetic

from coarse import coarse_pictures
from evidence import comparison, constrained_tables, variants, workers
from evidence.measures import EARLY, alarms, early
from evidence.pages import text_between
from evidence.regenerate import SECTIONS, choose, regenerate_from_stored, render_stored, texts_of
from evidence.sections import Row, Section, load_sections
from evidence.stored import STORED, from_text, stored_path, to_text, why_not
from optiproxy_nas.core.errors import DataError

REPOSITORY = Path(__file__).parents[2]
BEST = OPTIMA["cifar10"]


def curve(point: Any) -> Any:
    """Ours is better; in seed 1 nothing is eligible at first, and seed 2 ends at the optimum."""
    rng = np.random.default_rng([point["seed"], len(point["method"])])
    values = BEST - rng.exponential(2.0, point["budget"]) * (1 if point["method"] == "ours" else 2)
    values[20] = BEST if point["seed"] == 2 else values[20]
    values[:5] = np.nan if point["seed"] == 1 and "bounded" in point["method"] else values[:5]
    return values.tolist()


def section_of(render: str = "comparison", methods: Any = ("ours", "theirs"), **facts: Any) -> Any:
    rows = tuple(
        Row(label=f'the "{method}", again', seeds="0-3", blocks=({"method": method},))
        for method in methods
    )
    base = {
        "title": "T",
        "page": "docs/page.md",
        "order": 1,
        "budgets": (25, 40),
        "common": {"source": "v1_0", "dataset": ["cifar10", "cifar100"], "budget": 40},
        "rows": rows,
    }
    return Section(name="made", render=render, **{**base, **facts})


def told(source: Any, dataset: Any, metrics: Any, architectures: Any) -> Any:
    base = 80 + len(dataset)  # the same architecture has other values on another dataset
    return {metrics[0]: [base + float(a.split()[1]) / 7 for a in architectures]}


def both(section: Any, evidence: Any) -> Any:
    """The evidence, and what is left of it in the section's file."""
    return evidence, from_text(section, to_text(section, evidence), Path())


@pytest.mark.parametrize("figures", [[], ["best_so_far", "run_lengths"]])
def test_a_comparison_of_the_file_is_that_of_the_searches(
    figures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse_pictures(monkeypatch, comparison)
    section = section_of(options={"figures": figures})
    searched, stored = both(section, synthetic([section], curve, told=told))
    assert "test accuracy" in comparison.render(section, stored).texts["made"]
    assert comparison.render(section, stored) == comparison.render(section, searched)


def test_so_are_variants_and_what_was_counted_of_settings() -> None:
    section = section_of("variants", options={"markers": {"": "made"}})
    searched, stored = both(section, synthetic([section], curve))
    assert variants.render(section, stored) == variants.render(section, searched)
    transfer = section.model_copy(update={"render": "transfer"})
    assert variants.render_transfer(transfer, stored) == variants.render_transfer(
        transfer, searched
    )


def test_so_are_searches_under_bounds_of_which_some_find_nothing_at_first() -> None:
    bounds = {"objective.constraints": ["a < 1", "a < 2"], "dataset": "cifar10"}
    section = section_of(
        "constrained",
        ("bounded", "bounded too"),
        common={"source": "v1_0", "budget": 40, **bounds},
    )
    searched, stored = both(section, synthetic([section], curve))
    rendered = constrained_tables.render(section, stored)
    assert rendered == constrained_tables.render(section, searched)


def test_what_is_spent_is_kept_where_it_is_not_the_number_of_queries() -> None:
    section = section_of(options={"full_epochs": 200})
    costs = np.array([12, 200] * 20)
    searched, stored = both(section, synthetic([section], curve, costs=lambda point: costs))
    for row in section.rows:
        (all_rows, _), (kept, _) = searched.of(section, row), stored.of(section, row)
        spent = all_rows.set_index(["seed", "best", "query"])["spent"]
        for line in kept.itertuples():
            same = spent[:, :, line.query][line.seed]
            assert line.spent in same.to_numpy()


def test_a_line_says_what_a_reader_looks_for() -> None:
    section = section_of()
    text = to_text(section, synthetic([section], curve, told=told))
    head, *lines = text.splitlines()
    columns = head.split(",")
    assert {f"best_{n}" for n in (*EARLY, 25, 40)} < set(columns)
    assert len(lines) == 2 * 2 * 4
    (of_seed_2, *_) = (line for line in lines if ",cifar10,,v1_0,2,40," in line)
    assert of_seed_2.startswith(',"the ""ours"", again",ours,')
    assert ",91.607,21,40,1.25,,," in of_seed_2  # optimum, queries to it, trials ...
    assert of_seed_2.split(" ")[-1].startswith("21:91.607:")  # no improvement after it


def test_early_regrets_are_those_of_the_curve() -> None:
    section = section_of()
    evidence = synthetic([section], curve)
    text = early(evidence, section, section.rows[0], "cifar10")
    found = [measured_of(evidence, section, section.rows[0], "cifar10", n) for n in (10, 20, 30)]
    assert text == " / ".join(f"{BEST - one.best.mean():.3f}" for one in found)
    unknown = replace(evidence, runs=evidence.runs.assign(optimum=math.nan))
    text = early(unknown, section, section.rows[0], "cifar10")
    assert text == " / ".join(f"{one.best.mean():.3f}" for one in found)
    short = section_of(common={"source": "v1_0", "dataset": "cifar10", "budget": 22})
    assert early(synthetic([short], curve), short, short.rows[0], "cifar10").endswith(" / –")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (r",91\.607,21,40,", ",91.607,20,40,", "does not follow"),  # sooner than its curve
        (r"91\.607:\S+$", "91.5", "does not follow"),
        (r",best_10,", ",best_11,", "other columns"),
        (r"(?s)\n[^\n]*,3,40,[^\n]*", "", "other seeds"),
        (r" 21:91\.607", " twenty:91.607", "no search"),
    ],
)
def test_a_file_that_was_edited_is_refused(old: str, new: str, why: str) -> None:
    section = section_of()
    text = to_text(section, synthetic([section], curve, told=told))
    edited = re.sub(old, new, text, flags=re.MULTILINE)
    assert edited != text
    with pytest.raises(DataError, match=why) as caught:
        from_text(section, edited, Path())
    assert "kedro evidence made" in caught.value.message


def test_sections_without_a_file_are_left_out_with_the_reason(tmp_path: Path) -> None:
    said: list[Any] = []
    assert regenerate_from_stored(tmp_path, choose(REPOSITORY), said.append) == []
    reasons = {line.partition(":")[0]: line for line in said}
    assert "docs/evidence/baselines.csv" in reasons["baselines"]
    assert "reads whole tables" in reasons["low_fidelity"]
    assert "docs/evidence/tables.parquet" in reasons["tables"]
    assert "measures time" in reasons["cost"]


KEPT = [
    section for section in load_sections(REPOSITORY / SECTIONS) if not why_not(REPOSITORY, section)
]


# Its groups read tables of eight datasets, for ten seconds; the suite has one group of it below.
SLOW = {"tables"}


@pytest.mark.parametrize(
    "section",
    [
        pytest.param(it, id=it.name, marks=[pytest.mark.slow] if it.name in SLOW else [])
        for it in KEPT
    ],
)
def test_the_page_is_what_its_file_gives(section: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    coarse_pictures(monkeypatch, workers)
    plain = section.model_copy(update={"options": {**section.options, "figures": []}})
    try:
        evidence, rendered = render_stored(REPOSITORY, plain)
    except DataError as error:  # the names and units of some pages are those of its tables
        if section.rows:
            raise
        pytest.skip(error.message)
    page = (REPOSITORY / section.page).read_text(encoding="utf-8")
    for marker, text in texts_of(plain, rendered, evidence).items():
        assert text_between(page, marker).strip() == text.strip(), marker


def test_a_group_of_declared_spaces_is_what_the_file_gives() -> None:
    (section,) = (it for it in KEPT if it.name == "tables")
    groups = {name: it for name, it in section.options["groups"].items() if "HW-GPT" in name}
    part = section.model_copy(update={"options": {**section.options, "groups": groups}})
    try:
        evidence, rendered = render_stored(REPOSITORY, part)
    except DataError as error:
        pytest.skip(error.message)
    page = (REPOSITORY / section.page).read_text(encoding="utf-8")
    (text,) = texts_of(part, rendered, evidence).values()
    assert text.startswith("**HW-GPT")
    assert text.strip() in text_between(page, "tables")


def test_every_file_is_of_a_section_and_small() -> None:
    files = sorted((REPOSITORY / STORED).glob("*"))
    sections = load_sections(REPOSITORY / SECTIONS)
    assert set(files) <= {stored_path(REPOSITORY, section) for section in sections}
    assert all(path.stat().st_size < 1_000_000 for path in files)


def test_who_was_warned_is_told_of_methods_with_a_proxy() -> None:
    section = section_of()
    evidence = synthetic([section], curve)
    assert alarms(evidence, section, section.rows[0], "cifar10") == ["–", "–"]
    warned = ["", "proxy gap at query 40", "mode collapse at query 32, proxy gap at query 34", ""]
    runs = evidence.runs.sort_values(["method", "dataset", "seed"])
    ours = runs["method"] == "ours"
    runs.loc[ours, "recent_kendall_tau"] = [0.1, 0.2, 0.3, 0.4] * 2
    runs.loc[ours, "alarms"] = warned * 2
    evidence, stored = both(section, replace(evidence, runs=runs))
    for each in (evidence, stored):
        assert alarms(each, section, section.rows[0], "cifar10") == ["0.25", "2 / 1 / 0"]
        assert alarms(each, section, section.rows[1], "cifar10") == ["–", "–"]
