"""What a grid's text, files and Python values stand for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.core.mappings import flatten, nested
from optiproxy_nas.sweeps.grid import (
    MOST,
    check_pipeline,
    check_size,
    expand,
    parse_arguments,
    parse_block,
    parse_text,
    read_blocks,
    with_given,
)

names = st.from_regex(r"[a-z]{1,3}(\.[a-z]{1,3}){0,2}", fullmatch=True)


@given(st.integers(-50, 50), st.integers(1, 30), st.integers(1, 7))
def test_ranges_are_those_of_python(start: Any, length: Any, step: Any) -> None:
    stop = start + length
    assert list(parse_text("seed", f"{start}:{stop}:{step}")) == list(range(start, stop, step))
    assert list(parse_text("seed", f"{start}:{stop}")) == list(range(start, stop))


@given(st.lists(st.integers(), min_size=1))
def test_lists_of_integers(values: Any) -> None:
    assert list(parse_text("seed", ",".join(map(str, values)))) == values


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_their_value(value: Any) -> None:
    assert list(parse_text("fit.lr", repr(value))) == [value]


def test_types_of_scalars() -> None:
    values = parse_text("x", "5, 0.5,1e-3,true,False,null,cifar10,my_module:Class,1_0,nan")
    assert values == [5, 0.5, 0.001, True, False, None, "cifar10", "my_module:Class", "1_0", "nan"]


def test_ranges_among_other_values() -> None:
    assert parse_text("seed", "0:3,7,10:4:-3") == [0, 1, 2, 7, 10, 7]


@pytest.mark.parametrize("text", ["0:", ":5", "0:x:y:", "1:2:0", "5:5", "5:0", "0:1:2:3", "0.5:2"])
def test_bad_ranges(text: Any) -> None:
    with pytest.raises(ParameterError, match="half-open"):
        parse_text("seed", text)


@pytest.mark.parametrize("text", ["", ",", "1,,2", "1,"])
def test_values_left_out(text: Any) -> None:
    with pytest.raises(ParameterError, match="lacks a value"):
        parse_text("seed", text)


# At most 3^4 points: without a bound, one draw of 25 names fills the machine's memory.
@pytest.mark.heavy
@given(
    st.dictionaries(names, st.lists(st.integers(), min_size=1, max_size=3), min_size=1, max_size=4)
)
def test_a_block_is_a_product(block: Any) -> None:
    parsed = parse_block(block)
    points = list(expand(parsed))
    assert len(points) == parsed.size == np.prod([len(values) for values in block.values()])
    assert points[0] == {name: values[0] for name, values in block.items()}
    assert points[-1] == {name: values[-1] for name, values in block.items()}


def test_the_last_parameter_changes_fastest() -> None:
    points = list(expand(parse_block({"a": "1,2", "b": "0:2"})))
    assert points == [{"a": 1, "b": 0}, {"a": 1, "b": 1}, {"a": 2, "b": 0}, {"a": 2, "b": 1}]


def test_spellings_of_the_same_block() -> None:
    spellings: list[dict[str, Any]] = [
        {"seed": "0:3", "selection.batch": "2,5"},
        {"seed": range(3), "selection": {"batch": [2, 5]}},
        {"seed": [0, "1:3"], "selection.batch": ("2", 5)},
        {"seed": np.arange(3), "selection.batch": [np.int64(2), np.float64(5)]},
    ]
    points = [list(expand(parse_block(block))) for block in spellings]
    assert all(found == points[0] for found in points)


@given(st.dictionaries(st.from_regex(r"[a-z]\.[a-z]|[A-Z]", fullmatch=True), st.integers()))
def test_nested_undoes_flatten(flat: Any) -> None:
    assert (flatten(nested(flat)) if flat else {}) == flat


def test_a_name_and_a_part_of_it() -> None:
    for flat in ({"fit": 1, "fit.lr": 2}, {"fit.lr": 2, "fit": 1}):
        with pytest.raises(ParameterError, match="both given"):
            nested(flat)


def test_a_problem_or_an_objective_beside_its_settings() -> None:
    for flat in (
        {"problem": "m:P", "problem.mode": "a", "objective": "o", "objective.x.y": 1},
        {"objective.x.y": 1, "problem.mode": "a", "objective": "o", "problem": "m:P"},
    ):
        assert nested(flat) == {
            "problem": {"name": "m:P", "mode": "a"},
            "objective": {"name": "o", "x": {"y": 1}},
        }
    with pytest.raises(ParameterError) as caught:
        nested({"problem.name": "m:P", "problem": "m:Q"})
    assert caught.value.data["name"] == "problem"


@pytest.mark.parametrize("block", [{}, {"pipeline": "nb201_search"}])
def test_empty_blocks(block: Any) -> None:
    with pytest.raises(ParameterError, match="empty"):
        parse_block(block)


def test_sizes() -> None:
    with pytest.raises(ParameterError, match="no blocks"):
        check_size([])
    block = parse_block({"seed": f"0:{10**12}"})  # not made into a list
    with pytest.raises(ParameterError, match=f"at most {MOST}"):
        check_size([block])
    assert check_size([parse_block({"a": "1,2"}), parse_block({"b": "0:5"})]) == 7


@pytest.mark.parametrize("argument", ["seed", "=3", ""])
def test_arguments_that_are_none(argument: Any) -> None:
    with pytest.raises(ParameterError, match="NAME=VALUES"):
        parse_arguments([argument])


def test_an_argument_twice() -> None:
    with pytest.raises(ParameterError, match="given twice"):
        parse_arguments(["seed=0", "seed=1"])


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "grid.yml"
    path.write_text(
        "- seed: 10:20\n  dataset: [cifar10, cifar100]\n"
        "- {pipeline: nb201_methods, seed: 3, fit: {lr: 1e-3}}\n"
    )
    first, second = (parse_block(block) for block in read_blocks(path))
    assert list(first.values["seed"]) == list(range(10, 20))  # YAML itself reads 620
    assert first.values["dataset"] == ["cifar10", "cifar100"]
    assert second.pipeline == "nb201_methods"
    assert next(expand(second)) == {"seed": 3, "fit.lr": 0.001}


@pytest.mark.parametrize("text", ["", "[]", "5", "- 5", "[a, b]"])
def test_files_without_blocks(tmp_path: Path, text: Any) -> None:
    (tmp_path / "grid.yml").write_text(text)
    with pytest.raises(ParameterError, match=r"grid\.yml"):
        read_blocks(tmp_path / "grid.yml")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"grid\.yml"):
        read_blocks(tmp_path / "grid.yml")
    (tmp_path / "grid.yml").write_text("- {a: [}")
    with pytest.raises(DataError, match="cannot be read"):
        read_blocks(tmp_path / "grid.yml")


@pytest.mark.parametrize(
    "text",
    [
        "- {seed: 1, budget: 9, seed: 2}",
        "- seed: 1\n- {fit: {lr: 1, lr: 2}}",
        "- {fit.lr: 1, fit.lr: 1}",
    ],
)
def test_a_name_twice_in_a_file(tmp_path: Path, text: Any) -> None:
    (tmp_path / "grid.yml").write_text(text)
    with pytest.raises(ParameterError, match=r"given twice.*line \d of .*grid\.yml"):
        read_blocks(tmp_path / "grid.yml")


def test_a_name_in_two_blocks(tmp_path: Path) -> None:
    (tmp_path / "grid.yml").write_text("- {seed: 1}\n- {seed: 2}\n- {a: {lr: 1}, b: {lr: 1}}")
    assert len(read_blocks(tmp_path / "grid.yml")) == 3


def test_a_name_dotted_and_nested() -> None:
    with pytest.raises(ParameterError, match=r"'fit\.lr' is given twice"):
        parse_block({"fit.lr": 1, "fit": {"lr": 2}})


def test_the_command_line_wins_over_a_file() -> None:
    (block,) = with_given([{"seed": "0:9", "fit": {"lr": "1", "epochs": "5"}}], {"fit.lr": "2"})
    assert block == {"seed": "0:9", "fit.lr": "2", "fit.epochs": "5"}


def test_two_pipelines() -> None:
    blocks: list[dict[str, Any]] = [{"seed": 0}, {"pipeline": "a", "seed": 0}]
    assert [b["pipeline"] for b in with_given(blocks, {"pipeline": "a"})] == ["a", "a"]
    assert with_given(blocks, {}) == blocks
    with pytest.raises(ParameterError, match=r"says pipeline 'b', and block 2 .* says 'a'"):
        with_given(blocks, {"pipeline": "b"})
    check_pipeline(None, "a", "there")
