"""Nothing that is given to ``search`` is ignored: what it cannot use is refused, with the name."""

from __future__ import annotations

from typing import Any

import pytest

from optiproxy_nas import ParameterError, Search, search
from optiproxy_nas.evaluation.function_evaluator import Batched


class _Batched(Batched):
    def __repr__(self) -> str:
        return "batched"  # of the ids of tests, which are the same in each process


BATCHED = _Batched(len)
WRONG: list[dict[str, Any]] = [
    {"method": "random_search", "preset": "paper"},
    {"dataset": ""},
    {"source": ""},
    {"preset": ""},
    {"dataset": "", "evaluate": len},
    {"dataset": 5, "evaluate": len},
    {"budget": "20"},
    {"budget": True},
    {"seed": "0"},
    {"fit": {"lr": "0.1"}},
    {"method": "random_search", "settings": {"batch": "5"}},
    {"evaluate": 3},
    {"progress": "no"},
    {"space": "collections:OrderedDict"},
    {"space": "math:pi"},
    {"space": "ast:Constant", "evaluate": len},
    {"space": 3},
    {"space": ["nb201"]},
    {"proxy": {"name": "collections:OrderedDict"}},
    {"proxy": {"name": "math:sqrt"}},
    {"objective": "collections:OrderedDict"},
    {"objective": 0},
    {"objective": {"name": 3}},
    {"method": "collections:OrderedDict"},
    {"method": None},
    {"source": "collections:OrderedDict"},
    {"timeout": 3, "budgett": 5},
    {"timeout": "3"},
    {"workers": 2},
    {"workers": 0, "evaluate": len},
    {"workers": 10**9, "evaluate": len},
    {"workers": "2", "evaluate": len},
    {"workers": 2.0, "evaluate": len},
    {"evaluation": {"executor": "processes", "threads": 2.0}, "evaluate": len},
    {"budget": 20.0},
    {"seed": 0.0},
    {"workers": 2, "evaluate": BATCHED},
    {"workers": 2, "evaluate": len, "evaluation": {"workers": 3}},
    {"workers": 2, "evaluate": len, "evaluation": {"asynchronous": False}},
    {"workers": 2, "evaluate": len, "executor": "serial"},
    {"workers": 2, "evaluate": len, "executor": "process"},
    {"executor": "dask", "evaluate": len, "evaluation": {"executor": "processes"}},
    {"scheduler": "tcp://localhost:1", "evaluate": len, "executor": "processes"},
    {"target": True},
    {"patience": 0},
]


@pytest.mark.parametrize("arguments", WRONG, ids=str)
def test_what_cannot_be_used_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        search(**arguments)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"workers": 2.0}, "Parameter 'workers'"),
        ({"workers": 2, "executor": "serial"}, "workers = 2"),
        ({"evaluation": {"workers": 2.0}}, "Parameter 'evaluation.workers'"),
        ({"evaluation": {"timeout": "9"}}, "Parameter 'evaluation.timeout'"),
    ],
)
def test_a_refusal_names_what_was_given(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        search(evaluate=len, **arguments)
    assert caught.value.message.startswith(name)


def test_a_space_that_is_not_registered_gets_the_default(caplog: pytest.LogCaptureFixture) -> None:
    assert (
        Search(space="tiny_space:TinySpace", budget=10).parameters.model_dump()["preset"]
        == "default"
    )
    assert not caplog.records


@pytest.mark.parametrize("given", ["n_trials", "max_evals", "n_iter", "num_trials"])
def test_the_budgets_of_other_libraries_are_recognised(given: str) -> None:
    arguments: dict[str, Any] = {given: 20}
    with pytest.raises(ParameterError, match="Did you mean 'budget'"):
        search(evaluate=len, **arguments)


def test_what_is_allowed_are_all_arguments() -> None:
    for call, further in ((search, {"evaluate", "journal", "callbacks"}), (Search, set())):
        with pytest.raises(ParameterError) as caught:
            call(wrong=1)
        (problem,) = caught.value.data["problems"]
        assert {"budget", "initial", "direction", "proxy", *further} <= {*problem.allowed}
        assert ("evaluate" in problem.allowed) == (call is search)
