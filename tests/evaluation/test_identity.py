"""The identity of an evaluation: what a journal goes on with, what it warns of, what it refuses."""

from __future__ import annotations

import functools
import linecache
import pickle
import sys
import types
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from trained_problem import RUN, SPACE, Trained, error_of

from optiproxy_nas import JournalError, Problem, RunningTrial, batched, search
from optiproxy_nas.evaluation.identity import code_digest, digests_of, identity_of

TRAIN = """
import math
STEPS = 3
def scale(x):
    return math.sqrt(x)
def train(network):
    # a comment
    return scale(network["width"]) * STEPS
def unused(x):
    return 2
"""


def script(source: str, number: int) -> Any:
    """Return the function ``train`` of a cell of a notebook."""
    name = f"<cell {number}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), scope)
    return scope["train"]


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("# a comment", "# another one", False),
        ("def unused(x):\n    return 2", "", False),
        ("def train(network):", 'def train(network):\n    """Train."""', False),
        ("sqrt", "exp", True),
        ("STEPS = 3", "STEPS = 4", True),
        ('"width"', '"depth"', True),
    ],
)
def test_the_code_of_a_notebook_is_that_of_the_function_and_what_it_uses(
    old: str, new: str, differs: bool
) -> None:
    before, after = script(TRAIN, 0), script(TRAIN.replace(old, new), 1)
    assert (code_digest(before) != code_digest(after)) == differs


def test_the_code_of_a_module_is_the_module_and_of_a_closure_its_numbers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "my_training.py"

    def digest(source: str) -> str | None:
        path.write_text(source)
        sys.modules.pop("my_training", None)
        sys.path_importer_cache.clear()
        return code_digest(__import__("my_training").train)

    first = digest(TRAIN)
    assert digest(TRAIN.replace("# a comment", "# x")) == first
    assert digest(TRAIN.replace("return 2", "return 5")) != first

    def with_rate(rate: float) -> Any:
        return lambda network: rate

    assert code_digest(with_rate(0.1)) != code_digest(with_rate(0.2))
    assert code_digest(len) is None


def test_names_are_those_of_functions() -> None:
    name = f"{__name__}:test_names_are_those_of_functions"
    evaluate: Any
    for evaluate in (
        test_names_are_those_of_functions,
        batched(test_names_are_those_of_functions),
        functools.partial(cast(Any, test_names_are_those_of_functions), 1),
    ):
        assert identity_of(evaluate)["evaluate"] == name
    assert identity_of(types.SimpleNamespace())["evaluate"] == "types:SimpleNamespace"
    assert "evaluate" not in identity_of(Trained())


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(4.0),
        torch.ones(2, dtype=torch.bfloat16),
        {"x": [torch.arange(3), pd.DataFrame({"a": ["x", None]})], "y": {"b", "a"}},
        torch.utils.data.TensorDataset(torch.arange(3)),
        np.arange(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_equal_data_has_equal_digests(value: Any) -> None:
    copy = pickle.loads(pickle.dumps(value))
    assert digests_of({"x": value}) == digests_of({"x": copy})
    assert digests_of({"x": value})["x"] is not None
    assert digests_of({"x": value}) != digests_of({"x": [value]})


class Partition:
    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> str:
        return self.path.read_text()


def test_partitions_are_loaded_for_their_digest(tmp_path: Path) -> None:
    part = tmp_path / "part.txt"
    partitions = {"x": {"part": Partition(part).load}}
    part.write_text("1")
    before = digests_of(partitions)
    assert before == digests_of(partitions)
    part.write_text("2")
    assert digests_of(partitions) != before
    part.unlink()
    assert digests_of(partitions) == {"x": None}


def test_what_cannot_be_pickled_has_none_which_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert digests_of({"x": lambda: 1, "y": 1})["x"] is None
    assert [record.getMessage()[:8] for record in caplog.records] == ["x cannot"]
    assert digests_of({"x": torch.arange(3)}) != digests_of({"x": torch.arange(3) + 1})


class Reading(Trained):
    datasets = ("rows",)

    def load(self) -> dict[str, Any]:
        return {"rows": np.arange(3)}


def test_a_journal_of_other_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    search(problem=Reading(), journal=path, **RUN)
    again = Reading()
    search(problem=again, data={"rows": np.arange(3)}, journal=path, **RUN)
    assert again.trained == []
    with pytest.raises(JournalError) as caught:
        search(problem=Reading(), data={"rows": np.arange(4)}, journal=path, **RUN)
    assert caught.value.data["names"] == ["data.rows"]
    assert "initial=" not in caught.value.message


def another(network: dict[str, Any]) -> float:
    return 1.0


def test_a_journal_of_another_function_is_refused_and_of_changed_code_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jsonl"
    run = {"space": SPACE, "journal": path, **RUN}
    search(evaluate=script(TRAIN, 0), **run)
    search(evaluate=script(TRAIN.replace("# a", "# the"), 1), **run)
    assert not caplog.records
    search(evaluate=script(TRAIN.replace("sqrt", "exp"), 2), **run)
    assert len(caplog.records) == 1
    with pytest.raises(JournalError) as caught:
        search(evaluate=another, **run)
    assert caught.value.data["names"] == ["evaluate"]


@pytest.mark.parametrize("change", [{"direction": "minimize"}, {"seed": 4}])
def test_a_journal_advises_a_warm_start_only_from_comparable_values(
    change: Any, tmp_path: Path
) -> None:
    run = {"space": SPACE, "journal": tmp_path / "a.jsonl", "evaluate": error_of, **RUN}
    search(**run)
    with pytest.raises(JournalError) as caught:
        search(**{**run, **change})
    assert ("initial=" in caught.value.message) == ("seed" in change)


def test_reading_a_journal_without_an_identity_does_not_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr("optiproxy_nas.api.evaluation.identity_of", lambda *_: {})
        search(evaluate=another, space=SPACE, journal=path, **RUN)
    search(evaluate=error_of, space=SPACE, journal=Path(path), **RUN)


def test_the_class_of_a_problem_is_code_too() -> None:
    class Other(Problem):
        def evaluate(self, trial: RunningTrial) -> float:
            return 1.0

    assert identity_of(Other())["code"] == code_digest(Other)
