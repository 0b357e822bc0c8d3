"""Objectives by name, by path, and with their settings: from values to an objective and back."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import MadeUp
from pydantic import Field

from changed_source import changed
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks import get_source
from optiproxy_nas.benchmarks.source_benchmark import SurrogateBenchmark
from optiproxy_nas.core.errors import (
    BudgetError,
    MetricUnavailableError,
    ObjectiveError,
    ParameterError,
    UnknownNameError,
)
from optiproxy_nas.evaluation.benchmark_problem import check_benchmark
from optiproxy_nas.evaluation.function_evaluator import batched
from optiproxy_nas.evaluation.loop import run_search
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.methods.typed_parameters import training_of
from optiproxy_nas.objectives import OBJECTIVES, resolve_objective, setting_names, settings_of
from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.objectives.base import Objective, ProxyTask
from optiproxy_nas.objectives.constrained import Constrained
from optiproxy_nas.spaces.nb201 import NASBench201

NEEDED = {"constrained": {"constraints": ["latency_ms <= 12"]}}


@dataclass(frozen=True)
class CautiousTask(ProxyTask):
    doubt: float

    def score(self, archive: Any, selection: Any) -> Any:
        return lambda p: p[:, 0].mean(0) - self.doubt * p[:, 0].var(0)


class Cautious(Objective):
    """A third party's: the lower confidence bound, and a column of its own."""

    doubt: float = Field(default=2.0, ge=0)

    @property
    def columns(self) -> Any:
        return {"length": "int64"}

    def derived_columns(self, evaluations: Any) -> Any:
        return {"length": evaluations["architecture"].str.len()}

    @property
    def task(self) -> CautiousTask:
        return CautiousTask(self.doubt)


PATH = f"{__name__}:Cautious"


@pytest.mark.parametrize("values", [None, {}, "accuracy", {"name": "accuracy"}])
def test_the_plain_objective_is_the_default(values: Any) -> None:
    assert resolve_objective(values).model_dump() == {"name": "accuracy", "direction": "maximize"}
    assert type(resolve_objective(values)) is Accuracy


@pytest.mark.parametrize("name", OBJECTIVES)
def test_resolved_settings_are_complete_and_survive_storing(name: Any) -> None:
    resolved = resolve_objective({"name": name, **NEEDED.get(name, {})})
    dumped = resolved.model_dump(mode="json")
    # Later settings, which older dumps do not have; the first are those of two rungs.
    later = {"multi_fidelity": {"rungs", "unit", "share"}, "constrained": {"metric_scale"}}
    left_out = later.get(name, set())
    assert set(dumped) | left_out == {"name", *settings_of(name)}
    stored = json.loads(json.dumps(dumped))
    assert stored == dumped  # a run that goes on compares its parameters with the stored ones
    assert resolve_objective(stored) == resolved


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_is_given_is_not_changed(name: Any) -> None:
    given = {"name": name, **NEEDED.get(name, {})}
    kept = json.dumps(given)
    resolve_objective(given)
    assert json.dumps(given) == kept


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("accurracy", "Unknown objective 'accurracy'. Did you mean 'accuracy'"),
        ({"name": "constraint"}, "Unknown objective 'constraint'. Did you mean 'constrained'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(values: Any, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        resolve_objective(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "accuracy", "constraints": ["a < 1"]},
         "Settings of objective 'accuracy': Unknown parameter 'constraints'"),
        ({"constraints": ["a < 1"]}, "Settings of objective 'accuracy'.*'constraints'"),
        ({"name": "constrained", "mode": "paper", **NEEDED["constrained"]},
         "Unknown mode 'paper' of objective 'constrained'. Did you mean 'paper_weights'"),
        ({"name": "constrained"},
         "Settings of objective 'constrained': Parameter 'constraints' is missing"),
        ({"name": "constrained", "constraint": ["a < 1"]},
         "Unknown parameter 'constraint'. Did you mean 'constraints'"),
        ({"name": "constrained", "constraints": []}, "constraints is empty"),
        ({"name": "constrained", "constraints": None}, "constraints is empty"),
        ({"name": "constrained", "constraints": 7}, "cannot be read"),
        ({"name": "constrained", "constraints": ["a < -1"]}, "-1 is not a positive number"),
        ({"name": "constrained", "constraints": ["a < 1"], "noise": 0}, "'noise' = 0.*more than 0"),
        ({"name": "constrained", "constraints": ["a < 1"], "noise": float("nan")}, "noise.*finite"),
        ({"name": "constrained", "constraints": "a < 1", "initial_weight": 1.1}, "initial_weight"),
        ({"name": "multi_fidelity", "low_epochs": 200},
         "objective.low_epochs .200. is not below objective.full_epochs"),
        ({"name": PATH, "doubt": -1}, "Settings of objective '.*Cautious'.*'doubt' = -1"),
        ({"name": "no.such:Objective"}, "objective 'no.such:Objective' cannot be imported"),
        ({"name": f"{__name__}:Nothing"}, "cannot be imported"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused_with_the_objectives_name(values: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=f"(?s){message}"):
        resolve_objective(values)


def test_a_broken_plug_in_does_not_hide_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[optiproxy_nas.objectives]\nbad = no_such:It\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for cached in ("plug_ins", "_claims"):
        monkeypatch.delitem(vars(OBJECTIVES), cached, raising=False)
    try:
        with (
            pytest.warns(UserWarning, match="'bad'.*'broken'"),
            pytest.raises(ParameterError, match=r"'constraints' is a setting of.*'constrained'"),
        ):
            resolve_objective({"constraints": ["a < 1"]})
        with pytest.warns(UserWarning, match="'bad'.*'broken'"):
            assert "objective.low_epochs" in setting_names()
    finally:
        for cached in ("plug_ins", "_claims"):
            vars(OBJECTIVES).pop(cached, None)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_parts_are_built_once(name: Any) -> None:
    objective = resolve_objective({"name": name, **NEEDED.get(name, {})})
    for part in ("order", "price", "task"):
        assert getattr(objective, part) is getattr(objective, part)
    assert objective == resolve_objective(objective.model_dump())
    assert pickle.loads(pickle.dumps(objective)) == objective


def test_a_list_and_one_text_with_semicolons_are_the_same_setting() -> None:
    texts = "edgegpu_latency_ms < 4;parameters_millions <= 0.5"
    listed = resolve_objective({"name": "constrained", "constraints": texts.split(";")})
    assert resolve_objective({"name": "constrained", "constraints": texts}) == listed
    assert isinstance(listed, Constrained)
    assert listed.metrics == ("edgegpu_latency_ms", "parameters_millions")
    assert listed.task.heads == 3


def test_all_digits_of_a_bound_reach_the_search() -> None:
    values = {"name": "constrained", "constraints": ["parameters_millions < 0.123456789"]}
    once = resolve_objective(values)
    objective = resolve_objective(json.loads(json.dumps(once.model_dump())))
    assert objective.bounds[0].bound == 0.123456789


def test_presets_resolve_the_objective_before_any_query(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    parameters = make_parameters(objective={"name": PATH, "doubt": 1})
    assert parameters.model_dump()["objective"] == {
        "name": PATH,
        "direction": "maximize",
        "doubt": 1.0,
    }
    assert isinstance(parameters.objective, Cautious)
    assert make_parameters().objective == Accuracy()
    with pytest.raises(UnknownNameError, match="Did you mean 'accuracy'"):
        make_parameters(objective="acuracy")


def test_a_third_partys_objective_decides_the_search(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    archives = [
        run_search(nb201, MadeUp(nb201), make_parameters(objective=objective)).archive
        for objective in ("accuracy", PATH, {"name": PATH, "doubt": 9})
    ]
    plain, cautious, fearful = archives
    assert list(cautious) == [*list(plain)[:9], "length", *list(plain)[9:]]
    assert (cautious["length"] == cautious["architecture"].str.len()).all()
    assert plain["architecture"][:8].equals(cautious["architecture"][:8])
    assert not cautious["architecture"].equals(plain["architecture"])
    assert not cautious["architecture"].equals(fearful["architecture"])


@pytest.mark.parametrize("objective", [PATH, {"name": "constrained", "constraints": "m <= 3"}])
def test_baselines_take_any_objective(nb201: NASBench201, objective: Any) -> None:
    parameters = resolve_method(
        dict.fromkeys(("space", "benchmark"), "nb201")
        | {"source": "custom", "dataset": "custom", "method": "regularized_evolution"}
        | {"seed": 0, "budget": 40, "objective": objective}
    )

    @batched
    def evaluate(names: Any) -> Any:
        values = MadeUp(nb201)(names)
        plain = objective == PATH
        return values if plain else {"value": values, "m": np.where(values > 70, 4.0, 2.0)}

    result = run_search(nb201, evaluate, parameters)
    assert len(result.archive) == 40
    built = parameters.objective
    assert set(built.columns) <= set(result.archive)
    assert result.is_eligible
    if objective != PATH:
        assert result.best_value <= 70 < result.archive["value"].max()


def test_a_budget_is_checked_in_the_objectives_unit() -> None:
    run = {
        "space": "nb201", "benchmark": "nb201", "source": "s", "dataset": "cifar10", "seed": 0,
        "preset": "default",
        "objective": "multi_fidelity",
    }  # fmt: skip
    with pytest.raises(
        BudgetError, match=r"100 epochs is too small: .* cost 1240 epochs .*full_epochs = 200"
    ):
        resolve_method({**run, "budget": 100})
    assert resolve_method({**run, "budget": 3000}).budget == 3000


@pytest.mark.parametrize(
    ("source", "given", "full", "step", "continues"),
    [
        ("v1_0+schedule12", {}, 200, 224, False),
        ("custom", {}, 200, 224, False),
        ("custom", {"low_epochs": 12, "full_epochs": 100, "low_first": 80}, 100, 124, False),
        ("nb301_yahpo", {}, 98, 122, True),
        ("nb301_yahpo", {"step_epochs": 300}, 98, 300, True),
        ("nb301_yahpo", {"full_epochs": 90}, 90, 114, True),
        ("nb301_yahpo", {"continues": False}, 98, 122, False),
        ("nb101_full_tfrecord", {}, 108, 132, False),
    ],
)
def test_full_training_follows_the_source_where_it_is_not_given(
    source: str, given: Any, full: int, step: int, continues: bool
) -> None:
    found = resolve_objective({"name": "multi_fidelity", **given}, training_of(source))
    changed: dict[str, Any] = {"full_epochs": full, "step_epochs": step, "continues": continues}
    changed["rungs"] = (12, full)
    assert found == resolve_objective("multi_fidelity").model_copy(update=changed)


@pytest.mark.parametrize(
    ("epochs", "settings", "message"),
    [
        ((1, 2, 98), {}, r"low_epochs = 12: .*not after 12.* objective.low_epochs: 1, 2\.$"),
        ((12, 98), {"full_epochs": 200}, r"full_epochs = 200: .* after 98 epochs: objective\."
         r"full_epochs=98\.$"),
        ((12, 50, 98), {"full_epochs": 50}, r"full_epochs = 50, but .*full_epochs=98\.$"),
        ((98,), {}, "one fidelity, and this objective needs two"),
    ],
)  # fmt: skip
def test_fidelities_that_a_source_lacks_are_told_with_those_that_fit(
    epochs: Any, settings: Any, message: str
) -> None:
    known = changed(get_source("nb301_yahpo"), epochs=epochs)
    metrics = {known.contents.target: "percent"}
    benchmark = SurrogateBenchmark(known, "cifar10", lambda *_: np.empty(0), metrics)
    given = {"name": "multi_fidelity", "low_epochs": 12, "full_epochs": 98, **settings}
    with pytest.raises((MetricUnavailableError, ObjectiveError), match=message):
        check_benchmark(resolve_objective(given), benchmark)
