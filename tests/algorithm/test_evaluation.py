"""An evaluation that fails: what is known by then is not lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from optiproxy_nas.algorithm.archive import check_archive
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.api import search
from optiproxy_nas.core.errors import EvaluationError, ParameterError, SearchInterrupted
from optiproxy_nas.evaluation.function_evaluator import batched
from optiproxy_nas.evaluation.loop import run_search
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.spaces.nb201 import NASBench201

SMALL: dict[str, Any] = {"fit": {"epochs": 2, "first_epochs": 2}, "gradient": {"epochs": 2}}
FIDELITIES = {"name": "multi_fidelity", "low_first": 20, "continues": True}
BOUND = {"name": "constrained", "constraints": ["latency_ms < 6"]}


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_batch_that_fails_is_one_error_with_the_archive(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], call: int
) -> None:
    asked: list[list[str]] = []

    @batched
    def evaluate(names: Any) -> Any:
        asked.append(names)
        if len(asked) == call:
            raise RuntimeError("the cluster burns")
        return [float(len(asked))] * len(names)

    with pytest.raises(EvaluationError, match="the cluster burns") as caught:
        run_search(nb201, evaluate, make_parameters())
    before = [name for batch in asked[:-1] for name in batch]
    archive = caught.value.data["archive"]
    assert archive["architecture"].tolist() == before
    check_archive(nb201, archive, resolve_objective({"name": "accuracy"}))
    assert caught.value.data["architectures"] == asked[-1]
    trials = caught.value.data["trials"]
    assert [trial.architecture for trial in trials] == [*before, *asked[-1]]
    assert {trial.state for trial in trials[len(before) :]} == {"running"}
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("number", [1, 12])
@pytest.mark.parametrize("method", ["optiproxy", "random_search"])
def test_one_that_fails_keeps_all_others(method: str, number: int) -> None:
    count = iter(range(1, 15))

    def evaluate(name: str) -> int:
        if next(count) == number:
            raise MemoryError("out of memory")
        return len(set(name))

    small: dict[str, Any] = SMALL if method == "optiproxy" else {}
    result = search(evaluate=evaluate, budget=14, method=method, **small)
    (failed,) = (trial for trial in result.trials if trial.state == "failed")
    assert failed.number == number - 1
    assert failed.error == "MemoryError: out of memory"
    others = [trial.architecture for trial in result.trials if trial is not failed]
    assert result.archive["architecture"].tolist() == others
    assert len(others) == 13


@pytest.mark.parametrize("number", [1, 12])
@pytest.mark.parametrize("method", ["optiproxy", "random_search"])
def test_an_answer_that_cannot_be_used_keeps_what_came_before(method: str, number: int) -> None:
    answers: list[float] = []

    def evaluate(name: str) -> Any:
        answers.append(float(len(answers)))
        return answers[-1] if len(answers) < number else "much"

    small: dict[str, Any] = SMALL if method == "optiproxy" else {}
    with pytest.raises(EvaluationError, match="'much'") as caught:
        search(evaluate=evaluate, budget=14, method=method, **small)
    assert len(answers) == number
    assert caught.value.data["archive"]["value"].tolist() == answers[:-1]
    assert [trial.value for trial in caught.value.data["trials"]][:number] == [*answers[:-1], None]
    pd.testing.assert_frame_equal(caught.value.data["result"].archive, caught.value.data["archive"])


@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt])
def test_of_a_step_that_asks_twice_the_first_answer_is_kept(kind: Any) -> None:
    """A step of two fidelities trains new cells briefly, then promotes one."""
    asked: list[list[str]] = []

    def evaluate(names: Any, epochs: int) -> Any:
        if epochs == 200:
            raise kind("out of memory")
        asked.append(names)
        return [float(len(set(name))) for name in names]

    with pytest.raises((EvaluationError, SearchInterrupted)) as caught:
        search(
            evaluate=batched(evaluate),
            budget=1500,
            preset="low_fidelity",
            objective=FIDELITIES,
            **SMALL,
        )
    error = caught.value
    result = error.result if isinstance(error, SearchInterrupted) else vars(error)["data"]["result"]
    assert (result.archive["epochs"] == 12).all()
    told = [name for names in asked for name in names]
    assert result.archive["architecture"].tolist() == told
    assert len(asked) == 2  # the initial sample, and the new cells of the step
    open_trials = [trial for trial in result.trials if trial.state == "running"]
    assert [trial.epochs for trial in open_trials] == [200]  # the one that was promoted


@pytest.mark.parametrize("of_a_batch", [False, True])
def test_a_mapping_without_a_metric_keeps_the_columns_in_the_first_batch_too(
    of_a_batch: bool,
) -> None:
    def value_alone(names: Any) -> Any:
        return {"value": [1.0] * len(names)} if of_a_batch else {"value": 1.0}

    evaluate = batched(value_alone) if of_a_batch else value_alone
    with pytest.raises(
        EvaluationError, match=r"value, latency_ms.* it gave dict of value"
    ) as caught:
        search(evaluate=evaluate, budget=14, objective=BOUND)
    data = caught.value.data
    assert data["archive"].empty
    assert {"latency_ms", "violation"} <= set(data["archive"])


def test_the_record_of_a_search_names_what_answered_it() -> None:
    values: dict[str, Any] = {"budget": 12, "method": "random_search"}
    record = search("cifar100", **values).parameters
    assert (record.benchmark, record.source, record.dataset) == ("nb201", "embedded", "cifar100")
    record = search("mine", evaluate=lambda name: 1, **values).parameters
    assert (record.benchmark, record.source, record.dataset) == ("nb201", "custom", "mine")


@pytest.mark.parametrize(
    ("given", "message"),
    [({"dataset": 5}, "'dataset' = 5"), ({"preset": "nonsense"}, "Unknown preset 'nonsense'")],
)
def test_what_decides_nothing_is_checked_before_the_first_query(given: Any, message: str) -> None:
    asked: list[Any] = []
    with pytest.raises(ParameterError, match=message):
        search(evaluate=asked.append, budget=12, method="local_search", **given)
    assert not asked
