"""What a text on a command line becomes: a number only where the parameter is no text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from optiproxy_nas.commands.run_options import read_parameters
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.fields import (
    SWITCH,
    described,
    fields_of,
    is_optional,
    scalar_kind,
    text_names,
)
from optiproxy_nas.core.parameters import StrictModel
from optiproxy_nas.core.validation import validate
from optiproxy_nas.sweeps.grid import parse_block

LIKE_NUMBERS = ["007", "1e3", "on", "12e4567", "1_0", "0:3", "true"]


class Inner(BaseModel):
    path: Path
    lr: float = Field(gt=0, le=1)


class Outer(BaseModel):
    name: str
    label: str | None
    names: tuple[str, ...]
    either: int | str
    count: int | None
    counts: list[int]
    switch: bool
    mode: Literal["a", "b"] = Field(description="what is done")
    anything: dict[str, Any]
    inner: Inner


def test_kinds_of_fields() -> None:
    fields = fields_of(Outer)
    assert list(fields)[-2:] == ["inner.path", "inner.lr"]
    assert text_names(fields.items()) == {"name", "label", "names", "mode", "inner.path"}
    scalars = {name: kind for name, field in fields.items() if (kind := scalar_kind(field))}
    assert scalars == {"count": "an integer", "switch": SWITCH, "inner.lr": "a number"}
    assert scalar_kind(fields["counts"], in_lists=True) == "an integer"
    assert [name for name, field in fields.items() if is_optional(field)] == ["label", "count"]
    assert described(fields["mode"]) == "what is done (a, b)"
    assert described(fields["inner.lr"]) == "(>\N{NO-BREAK SPACE}0, ≤\N{NO-BREAK SPACE}1)"


class Lists(StrictModel):
    sizes: tuple[int, ...] | None = None
    counts: list[int] | None = None
    rates: list[float] | None = None
    switches: list[bool] | None = None


@pytest.mark.parametrize(
    "wrong", [{"sizes": [3.0]}, {"counts": [1, True]}, {"rates": ["1"]}, {"switches": [1]}]
)
def test_in_lists_too_a_number_of_another_type_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        validate(Lists, wrong)
    assert [it.parameter for it in caught.value.data["problems"]] == list(wrong)
    right = {"sizes": None, "counts": [1, 2], "rates": [1, 0.5], "switches": [True]}
    assert validate(Lists, right).counts == [1, 2]


@pytest.mark.parametrize("text", LIKE_NUMBERS)
@pytest.mark.parametrize("name", ["run_id", "runs", "sweep", "experiment", "run", "dataset"])
def test_text_stays_text(name: str, text: str) -> None:
    assert read_parameters([f"{name}={text}"]) == {name: text}


@pytest.mark.parametrize("text", LIKE_NUMBERS)
def test_text_of_grids_stays_text(text: str) -> None:
    block = parse_block({"dataset": f"{text},x", "fit": {"targets": [text]}, "seed": "0:2"})
    assert block.values == {"dataset": [text, "x"], "fit.targets": [text], "seed": range(2)}


def test_other_values_are_numbers_and_switches() -> None:
    given = [
        "seed=007,fit.lr=1e-3",
        "fit.warm_start=off,fit.batches_per_epoch=null, objective.gain=.5",
    ]
    assert read_parameters(given) == {
        "seed": 7,
        "fit": {"lr": 0.001, "warm_start": False, "batches_per_epoch": None},
        "objective": {"gain": 0.5},
    }
    assert read_parameters(["run_id=null"]) == {"run_id": None}
    rungs = read_parameters(["objective.rungs=[3,9,27],seed=1"])
    assert rungs == {"objective": {"rungs": "[3,9,27]"}, "seed": 1}
    assert read_parameters({"seed": 3}) == {"seed": 3}  # of a file of --config


@pytest.mark.parametrize(
    "given", [["seed=1,seed=2"], ["seed=1", "seed=1"], ["fit.lr=1,fit.lr=2"], ["fit=1,fit.lr=2"]]
)
def test_a_parameter_given_twice_is_refused(given: list[str]) -> None:
    with pytest.raises(ParameterError):
        read_parameters(given)
