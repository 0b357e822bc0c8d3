"""The section files: what they may say, and that ours keep to the rules of reporting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthetic import points_of, run_id_of

from evidence import RENDERERS
from evidence.constrained_tables import bounds_of
from evidence.regenerate import SECTIONS, SMOKE, choose, regenerate
from evidence.sections import Section, load_sections, with_seeds
from evidence.smoke import BUDGETS
from optiproxy_nas.core.errors import DataError, ParameterError, UnknownNameError

REPOSITORY = Path(__file__).parents[2]
ALL = load_sections(REPOSITORY / SECTIONS)

SECTION = """
title: T
order: 1
render: comparison
page: docs/page.md
common: {source: v1_0, budget: 100}
rows:
  - label: a
    seeds: 3-5
    blocks: [{method: m, dataset: cifar10}, {method: m, dataset: [x, y], budget: 7}]
  - {label: b, seeds: 0-0, blocks: [{method: n, dataset: z}]}
"""


def write(folder: Path, text: str, name: str = "one.yml") -> Any:
    (folder / name).write_text(text)
    return folder


def test_a_row_is_common_then_its_own_then_seeds(tmp_path: Path) -> None:
    (section,) = load_sections(write(tmp_path, SECTION))
    first, second = section.blocks(section.rows[0])
    assert first == {
        "pipeline": "nb201_methods",
        "source": "v1_0",
        "budget": 100,
        "method": "m",
        "dataset": "cifar10",
        "seed": [3, 4, 5],
    }
    assert second["budget"] == 7
    assert section.datasets() == ["cifar10", "x", "y", "z"]
    (row, _) = with_seeds(section, 2).rows
    assert row.seed_list() == [3, 4]
    assert with_seeds(section, 99).rows == section.rows


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: 3-5", "seeds: 3:5", "seeds"),
        ("label: b", "label: a", "same label"),
        ("title: T", "titel: T", "titel"),
        ("rows:", "rows: [", "one.yml"),
        (SECTION, "- a list", "one.yml"),
    ],
)
def test_a_file_that_is_no_section_is_named(
    tmp_path: Path, old: Any, new: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_sections(write(tmp_path, SECTION.replace(old, new)))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            SECTION.replace("label: b", "lable: b").replace("order: 1", "order: one"),
            [
                "rows, entry 2: Parameter 'label' is missing.",
                "rows, entry 2: Unknown parameter 'lable'. Did you mean 'label'? Allowed here: "
                "blocks, extend, group, label, seeds.",
                "Parameter 'order' = 'one': it must be a whole number.",
            ],
        ),
        (
            "title: T\norder: 1\nrender: comparison\npage: p.md\nrows: 5\n",
            ["Parameter 'rows' = 5: it must be a list."],
        ),
        ("title: [T\norder: 1\n", ["Line 2, column 6 is not YAML"]),
        ("", ["It holds no fields; write 'title"]),
        (SECTION + "name: x\n", ["'name' is that of the file"]),
    ],
)
def test_what_is_wrong_in_a_file_is_told_on_a_line_a_field(
    tmp_path: Path, text: Any, lines: Any
) -> None:
    with pytest.raises(DataError) as caught:
        load_sections(write(tmp_path, text))
    first, *others = caught.value.message.splitlines()
    assert first == f"{tmp_path / 'one.yml'} is not an evidence section:"
    assert len(others) == len(lines)
    assert all(other.startswith(line) for other, line in zip(others, lines, strict=True)), others


def test_unknown_sections_are_refused_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, SECTION)
    with pytest.raises(UnknownNameError) as caught:
        load_sections(tmp_path, ["onne"])
    assert caught.value.data["suggestion"] == "one"
    with pytest.raises(ParameterError, match="No sections"):
        load_sections(tmp_path / "nothing")


def test_sections_come_in_their_order(tmp_path: Path) -> None:
    write(tmp_path, SECTION.replace("order: 1", "order: 9"), "a.yml")
    write(tmp_path, SECTION, "b.yml")
    assert [section.name for section in load_sections(tmp_path)] == ["b", "a"]
    assert [section.name for section in load_sections(tmp_path, ["a", "a"])] == ["a"]


def test_a_section_on_request_is_done_only_where_it_is_named(tmp_path: Path) -> None:
    folder = tmp_path / SECTIONS
    folder.mkdir(parents=True)
    write(folder, SECTION)
    write(folder, SECTION + "on_request: true\n", "long.yml")
    assert [section.name for section in choose(tmp_path)] == ["one"]
    assert [section.name for section in choose(tmp_path, ["long"])] == ["long"]


@pytest.mark.parametrize("section", ALL, ids=lambda section: section.name)
def test_reported_seeds_are_those_that_nothing_was_tuned_on(section: Any) -> None:
    assert {seed for row in section.rows for seed in row.seed_list()} <= set(range(100))
    assert callable(RENDERERS.load(section.render))


@pytest.mark.parametrize("section", ALL, ids=lambda section: section.name)
def test_every_row_is_long_enough_for_a_budget_that_is_read(section: Any) -> None:
    for row in section.rows:
        blocks = section.blocks(row)
        if "full_epochs" in section.options:  # budgets are epochs, and plain searches train fully
            unit = section.options["full_epochs"]
            spent = [b["budget"] * (1 if "objective.name" in b else unit) for b in blocks]
            assert min(spent) >= max(section.budgets)
            continue
        assert min(section.budgets) <= max(block["budget"] for block in blocks) <= 280


def test_kedro_does_not_take_the_sections_for_parameters() -> None:
    from kedro.config import OmegaConfigLoader

    loader = OmegaConfigLoader(
        str(REPOSITORY / "conf"), base_env="base", default_run_env="base", runtime_params={}
    )
    assert SECTIONS.is_relative_to("conf/base")
    assert not {section.name for section in ALL} & set(loader["parameters"])
    assert not {"rows", "render"} & set(loader["parameters"])


def test_a_miniature_has_the_first_rows_of_each_group_on_few_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPTIPROXY_DATA_DIR", "/data")
    always = [section for section in ALL if not section.on_request]
    for whole, small in zip(always, choose(REPOSITORY, smoke=True), strict=True):
        if "left_out" in whole.options.get("smoke", {}):
            assert small.rows == ()
            continue
        most = whole.options.get("smoke", {}).get("rows")
        for group, rows in whole.groups().items():
            assert [row.label for row in small.groups()[group]] == [x.label for x in rows[:most]]
        seeds = whole.options.get("smoke", {}).get("seeds", 2)
        for row in small.rows:
            assert len(row.seed_list()) == seeds
            for block in small.blocks(row):
                assert block["budget"] in BUDGETS.values()
                needs_data = "needs_data" in whole.options.get("smoke", {})
                assert (block["source"] == "embedded") is not needs_data
                if block["method"] == "optiproxy":
                    assert block["fit.epochs"] == 2


def test_what_the_embedded_table_cannot_serve_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OPTIPROXY_DATA_DIR", raising=False)
    (small,) = choose(REPOSITORY, ["low_fidelity"], smoke=True)
    assert small.rows == ()
    said: list[Any] = []
    assert regenerate(tmp_path, [small], preview=SMOKE, say=said.append) == []
    assert said == [f"low_fidelity: left out: {small.options['left_out']}."]
    assert "OPTIPROXY_DATA_DIR" in said[0]


def test_bounds_of_the_embedded_table_stand_in_for_devices() -> None:
    (small,) = choose(REPOSITORY, ["hardware"], smoke=True)
    assert all("latency_ms <" in label for label in bounds_of(small))
    assert not set(bounds_of(small)) & set(small.options["names"])


def test_the_twelve_bounds_have_names_and_figures_of_the_paper() -> None:
    (section,) = load_sections(REPOSITORY / SECTIONS, ["hardware"])
    bounds = bounds_of(section)
    assert len(bounds) == 12
    assert set(section.options["names"]) == set(bounds)
    assert all(set(quote.values) == set(bounds) for quote in section.quoted)
    assert all(set(quote.sd) <= set(bounds) for quote in section.quoted)


def test_full_trainings_are_the_searches_of_every_method() -> None:
    every, low = load_sections(REPOSITORY / SECTIONS, ["baselines", "low_fidelity"])
    known = [points_of(every.blocks(row)) for row in every.rows]
    ids = {run_id_of(point) for points in known for point in points}
    for row in low.rows[1:]:
        assert {run_id_of(point) for point in points_of(low.blocks(row))} <= ids


@pytest.mark.parametrize(
    "section",
    [it for it in ALL if it.render == "variants"],
    ids=lambda section: section.name,
)
def test_the_page_has_a_place_for_each_table_of_variants(section: Section) -> None:
    """Before hours of searches have ended."""
    page = (REPOSITORY / section.page).read_text(encoding="utf-8")
    assert set(section.options["markers"]) == set(section.groups())
    markers = [*section.options["markers"].values(), section.options.get("quoted")]
    for marker in filter(None, markers):
        assert page.count(f"<!-- {marker} -->") == page.count(f"<!-- end {marker} -->") == 1
