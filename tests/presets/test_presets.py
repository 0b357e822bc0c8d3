"""Presets are parameter files; ``resolve`` checks everything before a query is spent."""

from __future__ import annotations

import copy
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel, ValidationError

from optiproxy_nas import presets
from optiproxy_nas.algorithm.budget import allowance, number_of_steps
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.errors import BudgetError, ParameterError, UnknownNameError
from optiproxy_nas.core.mappings import merge
from optiproxy_nas.methods import overrides_of, resolve_method
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.pipelines.registration import benchmark_pipelines
from optiproxy_nas.pipelines.run_parameters import resolve_run, split_run
from optiproxy_nas.presets import (
    load_preset,
    made_for,
    misfit,
    preset_for,
    preset_names,
)
from optiproxy_nas.runs.manifest import digest
from tiny_space import TinySpace

RUN = {
    "space": "nb201", "benchmark": "nb201", "source": "embedded", "dataset": "cifar10",
    "preset": "paper", "seed": 0, "budget": 100,
}  # fmt: skip


class Huge(TinySpace):
    size = 50_001


class Uncounted(TinySpace):
    size = None


def resolved(**overrides: Any) -> Any:
    return resolve_method(merge(RUN, overrides))


def test_stray_files_beside_the_presets_are_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = preset_names()
    shutil.copytree(Path(presets.__file__).parent, tmp_path / "presets")
    for name in ("._default.yml", ".#paper.yml", "default.yml~", "default (copy).yml", ".yml"):
        (tmp_path / "presets" / name).write_bytes(b"\x00\xff")
    monkeypatch.setattr(resources, "files", lambda _: tmp_path / "presets")
    assert preset_names() == before
    assert preset_for("nb201", "accuracy") == "default"


def test_paper_is_table_5() -> None:
    parameters = resolved()
    assert parameters.proxy.name == "gcn"
    assert parameters.proxy.hidden == 144  # gcn_hidden, linear_size
    assert parameters.proxy.layers == 2  # gcn_layers
    assert parameters.proxy.members == 1
    assert parameters.proxy.activation == "gelu"  # A.4
    fit = parameters.fit
    assert fit.batch_size == 7
    assert fit.lr == 0.001
    assert fit.epochs == 100  # model_epochs
    assert fit.ranking_coefficient == 0.2  # ranking_coe
    assert fit.ranking_margin == 0.1  # m
    assert fit.ranking_reduction == "sum"  # Eq. 5
    assert fit.lr_gamma == 0.9
    assert fit.lr_step == 10
    assert fit.lr_schedule == "exponential"  # lr_scheduler
    assert fit.first_epochs == fit.epochs
    assert fit.batches_per_epoch is None
    assert not fit.bootstrap


def test_paper_is_table_6() -> None:
    parameters = resolved()
    gradient, selection = parameters.gradient, parameters.selection
    assert gradient.base_temperature == 0.7
    assert gradient.min_temperature == 0.2
    assert gradient.lr_alpha == 0.02
    assert gradient.lr_beta == 0.001
    assert gradient.epochs == 300  # search_epochs
    assert gradient.o_epochs == gradient.t_epochs == 15
    assert gradient.groups == 5  # parallel_batch, K
    assert gradient.lhs_lower == 0.9
    assert gradient.lhs_range == 0.1
    assert selection.batch == 10  # num_sample
    assert parameters.initial_samples == 10  # num_sample_init
    assert number_of_steps(parameters) == 9  # search_steps, with the paper's 100 queries
    assert selection.samples / gradient.groups == 20  # verify_ratio, Q/K
    assert selection.exploration == 0  # Eq. 5 as printed
    assert selection.local_moves == 0
    assert selection.acquisition == "mean"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_resolves_and_names_each_parameter(name: Any) -> None:
    parameters = resolved(preset=name)
    open_at_run_time = {*RUN, "problem", "method", "objective", "failures", "confirm"}
    open_at_run_time |= {"alarms", "fit.failed", "stopping", "stop_regret", "evolution", "prior"}
    open_at_run_time |= {
        f"selection.{name}"
        for name in ("pending", "weight_noise", "uniform", "listed", "twin_noise")
    }
    open_at_run_time |= {f"gradient.{name}" for name in ("lr_gamma", "lr_step")}
    open_at_run_time |= {f"gradient.lhs_beta_{name}" for name in ("lower", "range")}
    given = load_preset(name)

    def walk(model: BaseModel, values: Any, path: Any = "") -> None:
        for field in type(model).model_fields:
            if f"{path}{field}" in open_at_run_time:
                continue
            assert field in values, f"{path}{field} is not in the preset"
            value = getattr(model, field)
            if isinstance(value, BaseModel):
                walk(value, values[field], f"{field}.")
            else:
                assert value == values[field]

    walk(parameters, given)


@pytest.mark.parametrize(
    ("name", "batch", "initial", "budget", "candidates"),
    [
        ("published", 10, 10, 100, 40),
        ("published_cifar100", 5, 10, 100, 20),
        ("published_imagenet", 5, 10, 100, 20),
        ("published_nb101", 10, 10, 150, 40),
        ("published_nb301", 5, 5, 100, 200),
        ("published_nlp", 5, 5, 150, 50),
        ("published_hardware", 10, 20, 200, 30),
    ],
)
def test_published_presets_spend_the_published_budgets(
    name: Any, batch: Any, initial: Any, budget: Any, candidates: Any
) -> None:
    parameters = resolved(preset=name, budget=budget)
    assert parameters.selection.batch == batch
    assert parameters.initial_samples + batch * number_of_steps(parameters) == budget
    assert parameters.selection.samples == candidates * batch
    assert parameters.fit.first_epochs == parameters.fit.epochs
    assert parameters.fit.targets == "standardised"  # by the archive, never by the table


def test_a_preset_that_extends_another_has_its_values_but_for_its_own() -> None:
    base, task = load_preset("published"), load_preset("published_cifar100")
    assert "extends" not in task
    assert task["proxy"] == {**base["proxy"], "hidden": 128}
    assert task["selection"]["weight_noise"] == 0.3
    base["proxy"]["hidden"] = 1
    assert load_preset("published")["proxy"]["hidden"] == 144


@pytest.mark.parametrize("name", ["default", "paper"])
def test_settings_that_came_later_are_left_out_of_dumps_that_do_not_give_them(name: Any) -> None:
    parameters = resolved(preset=name)
    dumped = parameters.model_dump(mode="json")
    assert not {"lr_gamma", "lr_step", "lhs_beta_lower", "lhs_beta_range"} & {*dumped["gradient"]}
    assert "weight_noise" not in dumped["selection"]
    assert "evolution" not in dumped
    assert resolve_method(dumped) == parameters


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"gradient": {"lr_gamma": 1.0, "lhs_beta_lower": None}},
        {"selection": {"weight_noise": 0.0}, "evolution": {"generations": 3}},
    ],
)
def test_a_dump_read_over_its_preset_gives_the_same_parameters(given: Any) -> None:
    """Also where it turns off what the preset turns on."""
    parameters = resolved(preset="published_nb101", **given)
    assert resolve_method(parameters.model_dump(mode="json")) == parameters


def test_overrides_name_settings_that_the_preset_does_not() -> None:
    given = {"gradient": {"lr_gamma": 0.9}, "evolution": {"population": 7}}
    found = overrides_of(resolved(**given))
    assert "gradient.lr_gamma = 0.9 (1.0)" in found
    assert "evolution.population = 7 (none)" in found
    assert overrides_of(resolved(preset="published")) == []


def test_two_presets_are_there() -> None:
    assert {"default", "paper"} <= set(preset_names())


def test_overrides_win_and_leave_their_siblings() -> None:
    base, over = {"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 5}, "c": {"z": 1}}
    kept = copy.deepcopy((base, over))
    assert merge(base, over) == {"a": {"x": 1, "y": 5}, "b": 3, "c": {"z": 1}}
    assert (base, over) == kept
    parameters = resolved(fit={"lr": 0.5})
    assert parameters.fit.lr == 0.5
    assert parameters.fit.epochs == 100
    assert resolved().fit.lr == 0.001


@pytest.mark.parametrize(
    ("overrides", "where", "near"),
    [
        ({"buget": 3}, "buget", "budget"),
        ({"fit": {"epoch": 3}}, "fit.epoch", "epochs"),
        ({"gradient": {"lr_aplha": 0.1}}, "gradient.lr_aplha", "lr_alpha"),
        ({"selection": {"bach": 3}}, "selection.bach", "batch"),
        ({"proxy": {"hiden": 3}}, "proxy.hiden", "hidden"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(overrides: Any, where: Any, near: Any) -> None:
    message = rf"Unknown parameter '{where}'\. Did you mean '{near}'\? Allowed here: .*{near}"
    with pytest.raises(ParameterError, match=message) as caught:
        resolved(**overrides)
    assert caught.value.data["errors"] == 1


def test_an_unknown_key_like_nothing_is_refused_with_the_list() -> None:
    with pytest.raises(
        ParameterError, match=r"Unknown parameter 'fit.zzz'\. Allowed here: batch_size"
    ):
        resolved(fit={"zzz": 1})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"budget": "many"}, "Parameter 'budget' = 'many'.*integer"),
        ({"budget": 10.5}, "Parameter 'budget' = 10.5.*integer"),
        ({"seed": -1}, "Parameter 'seed' = -1: it must be at least 0"),
        ({"fit": {"lr": "fast"}}, "Parameter 'fit.lr' = 'fast'.*number"),
        ({"fit": {"lr": 0}}, "'fit.lr' = 0: it must be more than 0"),
        ({"fit": {"lr": float("nan")}}, "'fit.lr' = nan.*finite"),
        ({"fit": {"lr_gamma": 1.5}}, "'fit.lr_gamma' = 1.5: it must be at most 1"),
        ({"fit": {"batch_size": 1}}, "'fit.batch_size' = 1"),
        ({"fit": None}, "Parameter 'fit' = None"),
        ({"proxy": "gcn"}, "Parameter 'proxy' = 'gcn'"),
        ({"initial_samples": 1}, "'initial_samples' = 1: it must be at least 2"),
        ({"gradient": {"noise": "gauss"}}, "'gradient.noise' = 'gauss'.*'logistic' or 'gumbel'"),
        ({"selection": {"acquisition": "best"}}, "'mean' or 'optimistic'"),
        ({"selection": {"exploration": 1.1}}, "'selection.exploration' = 1.1"),
        ({"selection": {"weight_noise": -0.3}}, "'selection.weight_noise' = -0.3"),
        ({"gradient": {"lr_gamma": 1.5}}, "'gradient.lr_gamma' = 1.5"),
        ({"gradient": {"lr_step": 0}}, "'gradient.lr_step' = 0"),
        ({"gradient": {"lhs_beta_range": 0.0}}, "'gradient.lhs_beta_range' = 0"),
        ({"gradient": {"base_temperature": 0.1}}, r"min_temperature \(0.2\) is above base"),
        ({"gradient": {"groups": 101}}, "K = 101 is greater than selection.samples Q = 100"),
        ({"selection": {"batch": 101}}, "B = 101 is greater than selection.samples Q = 100"),
    ],
)
def test_wrong_types_and_values_are_refused(overrides: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        resolved(**overrides)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        resolved(fit={"epoch": 3, "lr": -1}, seed="x")
    assert caught.value.data["errors"] == 3
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("missing", ["budget", "seed", "space"])
def test_what_is_missing_is_named(missing: Any) -> None:
    values = {key: value for key, value in RUN.items() if key != missing}
    with pytest.raises(ParameterError, match=f"Parameter '{missing}' is missing"):
        resolve_method(values)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"preset": "papr"}, "Unknown preset 'papr'. Did you mean 'paper'"),
        ({"proxy": {"name": "gnc"}}, "Unknown proxy 'gnc'. Did you mean 'gcn'"),
        ({"space": "nb2O1"}, "Unknown search space 'nb2O1'. Did you mean 'nb201'"),
        ({"fit": {"targets": "ranks"}}, "Unknown target 'ranks'. Did you mean 'rank'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(overrides: Any, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        resolved(**overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        {"space": "no.such:Space"},
        {"proxy": {"name": "no.such:Proxy"}},
    ],
)
def test_a_path_that_cannot_be_imported_is_refused_before_any_query(overrides: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        resolved(**overrides)
    assert caught.value.data["path"].startswith("no.such:")


def test_budgets_that_cannot_be_spent() -> None:
    with pytest.raises(
        BudgetError, match=r"9 queries is too small: .* the initial sample, .* cost 10"
    ):
        resolved(budget=9)
    with pytest.raises(BudgetError, match="has 15625 architectures") as caught:
        resolved(budget=15626)
    assert caught.value.data == {"budget": 15626, "size": 15625}
    assert resolved(budget=15625).budget == 15625
    assert number_of_steps(resolved(budget=10)) == 0


@pytest.mark.parametrize(
    ("budget", "steps", "batches"), [(30, 2, [10, 10]), (31, 3, [10, 10, 1]), (11, 1, [1])]
)
def test_steps_fill_the_budget(budget: Any, steps: Any, batches: Any) -> None:
    parameters = resolved(budget=budget)
    assert number_of_steps(parameters) == steps
    spent, granted = 10, []
    for step in range(1, steps + 1):
        granted.append(allowance(parameters, pd.DataFrame(index=range(spent)), step))
        spent += granted[-1]
    assert granted == batches


def test_parameters_are_frozen_and_equal_by_value() -> None:
    parameters = resolved()
    with pytest.raises(ValidationError):
        parameters.budget = 3
    with pytest.raises(ValidationError):
        parameters.fit.lr = 0.5
    assert parameters == resolved()
    assert digest(parameters.model_dump()) == digest(resolved().model_dump())
    assert SearchParameters.model_validate_json(parameters.model_dump_json()) == parameters


@pytest.mark.parametrize(
    ("preset", "objective", "better"),
    [
        ("default", "accuracy", None),
        ("hardware", "constrained", None),
        ("low_fidelity", "multi_fidelity", None),
        ("paper", "constrained", None),
        ("default", "constrained", None),
        ("low_fidelity", "constrained", "default"),
        ("hardware", "accuracy", "default"),
        ("default", "multi_fidelity", "low_fidelity"),
        ("declared_bounds", "accuracy", "default"),
    ],
)
def test_a_preset_that_was_made_for_another_objective_is_told(
    preset: Any, objective: Any, better: Any
) -> None:
    named = {"name": objective}
    if objective == "constrained":
        named["constraints"] = "a < 1"
    budget = 3000 if objective == "multi_fidelity" else 100
    parameters = resolve_method({**RUN, "preset": preset, "objective": named, "budget": budget})
    note = misfit(parameters)
    assert note == "" if better is None else f"there is preset={better}." in note


@pytest.mark.parametrize(
    ("space", "objective", "preset"),
    [
        ("nb201", "accuracy", "default"),
        ("nb101", "accuracy", "default"),
        ("nb301", "accuracy", "default"),
        ("nbnlp", "accuracy", "default"),
        ("nb201", "constrained", "default"),
        ("hwgpt", "constrained", "declared_bounds"),
        ("nb301", "constrained", "default"),  # tuned elsewhere, but for that
        ("nb201", "multi_fidelity", "low_fidelity"),
        ("nb301", "multi_fidelity", "rungs"),
        ("tiny_space:TinySpace", "multi_fidelity", "low_fidelity"),  # tuned elsewhere, but for that
        ("tiny_space:TinySpace", "accuracy", "default"),
        (f"{__name__}:Huge", "accuracy", "default"),
        (f"{__name__}:Uncounted", "accuracy", "default"),
        ("optiproxy_nas.spaces.nbnlp:NASBenchNLP", "accuracy", "default"),
        ("nb201", "mine", None),
    ],
)
def test_the_preset_that_was_tuned_for_an_objective_and_a_space(
    space: Any, objective: Any, preset: Any
) -> None:
    assert preset_for(space, objective) == preset


BOUNDED = {"name": "constrained", "constraints": ["latency_ms < 12"]}


def test_a_preset_may_differ_under_bounds() -> None:
    plain, bounded = resolved(preset="default"), resolved(preset="default", objective=BOUNDED)
    assert plain.selection.skip_twins
    assert not bounded.selection.skip_twins
    assert bounded.objective.metric_scale == "log"
    assert overrides_of(bounded) == []
    kept = resolved(preset="hardware", objective=BOUNDED)
    assert kept.objective.metric_scale == "linear"
    assert "metric_scale" not in kept.model_dump(mode="json")["objective"]


def test_a_preset_that_extends_another_says_what_differs_and_what_it_was_made_for() -> None:
    chosen = {
        "space": "hwgpt",
        "benchmark": "hwgpt",
        "dataset": "openwebtext",
        "source": "hwgpt_surrogate",
        "objective": BOUNDED,
    }
    base, extended = (resolved(preset=name, **chosen) for name in ("default", "declared_bounds"))
    assert (base.selection.optimism, extended.selection.optimism) == (1.0, 2.0)
    assert extended.objective.metric_scale == "ratio"
    assert extended.proxy == base.proxy
    assert made_for("declared_bounds") == {"constrained": ("declared spaces",)}


@pytest.mark.parametrize(
    ("objective", "preset"),
    [
        ({}, "default"),
        ({"name": "constrained", "constraints": ["train_seconds < 99"]}, "declared_bounds"),
    ],
)
def test_a_pipeline_of_a_benchmark_takes_the_preset_that_fits_the_objective(
    objective: Any, preset: Any
) -> None:
    section = benchmark_pipelines()["hpobench_search"].section
    given = {"objective": objective} if objective else {}
    run = split_run({})
    assert resolve_run({**section, **given}, run)["search"]["preset"] == preset


@pytest.mark.parametrize("scale", [None, "log", "linear"])
def test_what_is_given_under_bounds_wins_and_is_read_back(scale: Any) -> None:
    objective = {**BOUNDED, "metric_scale": scale} if scale else BOUNDED
    given = {"objective": objective, "selection": {"skip_twins": True}}
    parameters = resolved(preset="default", **given)
    assert parameters.selection.skip_twins
    assert parameters.objective.metric_scale == (scale or "log")
    assert resolve_method(parameters.model_dump(mode="json")) == parameters
    built = resolve_objective(objective)
    assert resolved(preset="default", **{**given, "objective": built}) == parameters


def test_a_preset_that_was_tuned_on_another_space_is_told() -> None:
    told = {"space": "nb301", "benchmark": "nb301", "source": "nb301_yahpo", "budget": 3000}
    run = {**RUN, **told, "preset": "low_fidelity", "objective": {"name": "multi_fidelity"}}
    note = misfit(resolve_method(run))
    assert note.startswith("Preset 'low_fidelity' was tuned on nb201; for space 'nb301' there is ")
    assert misfit(resolve_method({**run, "preset": "rungs"})) == ""


def test_every_preset_is_known_to_fit_something() -> None:
    others = {name for name in preset_names() if not made_for(name)}
    assert {name for name in others if not name.startswith("published")} == {
        "paper",
        "ensemble",
        "large",
        "nlp",
    }
