"""An evaluation that fails: what is known by then is not lost."""

from __future__ import annotations

import numpy as np
import pytest

from optiproxy_nas.algorithm.archive import check_archive
from optiproxy_nas.api import search
from optiproxy_nas.core.errors import EvaluationError, ParameterError
from optiproxy_nas.evaluation.loop import run_search
from optiproxy_nas.objectives import resolve_objective

SMALL = {"fit": {"epochs": 2, "first_epochs": 2}, "gradient": {"epochs": 2}}
FIDELITIES = {"name": "multi_fidelity", "low_first": 20, "continues": True}
BOUND = {"name": "constrained", "constraints": ["latency_ms < 6"]}


@pytest.mark.parametrize("call", [1, 2, 3])
def test_what_fails_is_one_error_with_the_archive_whenever_it_fails(nb201, make_parameters, call):
    asked: list[list[str]] = []

    def evaluate(names):
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
    assert caught.value.data["answers"] == []
    assert f"after {len(before)} queries" in caught.value.message
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("method", ["optiproxy", "random_search"])
def test_answers_that_cannot_be_used_are_kept_as_they_came(method, call):
    answers: list[np.ndarray] = []

    def evaluate(names):
        answers.append(np.arange(len(names), dtype=float))
        if len(answers) == call:
            answers[-1][0] = np.nan
        return answers[-1]

    with pytest.raises(EvaluationError, match=r"data\['answers'\]") as caught:
        search(evaluate=evaluate, budget=14, method=method, **(SMALL if method[0] == "o" else {}))
    (kept,) = caught.value.data["answers"]
    assert kept["answer"] is answers[-1]
    assert kept["arguments"] == (caught.value.data["architectures"],)
    assert len(answers) == call


def test_of_a_step_that_asks_twice_the_first_answer_is_kept():
    """A step of two fidelities trains new cells briefly, then promotes one."""

    def evaluate(names, epochs):
        if epochs == 200:
            raise MemoryError("out of memory")
        return [float(len(set(name))) for name in names]

    with pytest.raises(EvaluationError, match="out of memory") as caught:
        search(evaluate=evaluate, budget=1500, preset="low_fidelity", objective=FIDELITIES, **SMALL)
    data = caught.value.data
    assert (data["archive"]["epochs"] == 12).all()
    assert len(data["archive"]) >= 20
    (kept,) = data["answers"]
    names, epochs = kept["arguments"]
    assert epochs == 12
    assert kept["answer"] == [float(len(set(name))) for name in names]
    assert len(data["architectures"]) == len(names) + 1  # and the one that was promoted


def test_a_mapping_without_a_metric_is_kept_in_the_first_batch_too():
    with pytest.raises(EvaluationError, match="columns value, latency_ms") as caught:
        search(evaluate=lambda names: {"value": [1.0] * len(names)}, budget=14, objective=BOUND)
    data = caught.value.data
    assert list(data["answers"][0]["answer"]) == ["value"]
    assert data["archive"].empty
    assert {"latency_ms", "violation"} <= set(data["archive"])


def test_the_record_of_a_search_names_what_answered_it():
    values = {"budget": 12, "method": "random_search"}
    record = search("cifar100", **values).parameters
    assert (record.benchmark, record.source, record.dataset) == ("nb201", "embedded", "cifar100")
    record = search("mine", evaluate=lambda names: [1.0] * len(names), **values).parameters
    assert (record.benchmark, record.source, record.dataset) == ("nb201", "custom", "mine")


@pytest.mark.parametrize(
    ("given", "message"),
    [({"dataset": 5}, "'dataset' = 5"), ({"preset": "nonsense"}, "Unknown preset 'nonsense'")],
)
def test_what_decides_nothing_is_checked_before_the_first_query(given, message):
    asked = []
    with pytest.raises(ParameterError, match=message):
        search(evaluate=asked.append, budget=12, method="local_search", **given)
    assert not asked
