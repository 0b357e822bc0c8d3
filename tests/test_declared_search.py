"""Searches of declared spaces: architectures are dicts, for every method and way in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas import Choice, Search, SearchResult, Space, batched, search
from optiproxy_nas.core.errors import DataError, ParameterError, UnknownNameError
from optiproxy_nas.evaluation.finished_run import FinishedRun
from optiproxy_nas.methods import METHODS
from optiproxy_nas.presets import preset_for
from optiproxy_nas.proxies import PROXIES
from optiproxy_nas.report import draw_cell
from optiproxy_nas.report.compare.groups import make_panels
from optiproxy_nas.runs.code_identity import software
from optiproxy_nas.spaces import get_space, space_label, space_parameter
from optiproxy_nas.testing import check_method, check_proxy

SPACE = Space(
    {
        "stages": [1, 2, 3],
        "lr": Choice([0.001, 0.003, 0.01], ordered=True),
        "width_1": Choice([16, 32, 64], ordered=True),
        "width_2": Choice([16, 32, 64], ordered=True, when={"stages": [2, 3]}),
        "norm": Choice(["batch", "none"], when={"stages": 3}),
    },
    name="nets",
)
QUICK: dict[str, Any] = {
    "fit": {"epochs": 3, "first_epochs": 5},
    "gradient": {"epochs": 2, "groups": 2},
    "selection": {"samples": 20},
    "proxy": {"hidden": 8, "members": 2},
}


def score(architecture: dict[str, Any]) -> float:
    widths = sum(architecture.get(f"width_{i}", 0) for i in (1, 2))
    rate: float = architecture["lr"]
    return float(widths / 10 - 1000 * abs(rate - 0.003) + ("norm" in architecture))


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_evaluates_dicts_of_the_choices_that_exist(method: str) -> None:
    seen: list[dict[str, Any]] = []

    def evaluate(architecture: dict[str, Any]) -> float:
        seen.append(architecture)
        return score(architecture)

    extra: dict[str, Any] = QUICK if method == "optiproxy" else {}
    result = search(space=SPACE, evaluate=evaluate, budget=24, method=method, **extra)
    assert [trial.architecture for trial in result.trials] == seen
    for architecture in seen:
        assert ("width_2" in architecture) == (architecture["stages"] >= 2)
        assert ("norm" in architecture) == (architecture["stages"] == 3)
    assert result.best_architecture == max(seen, key=score)
    assert str(result).startswith('{"stages": ')
    assert "of nets by" in repr(result)


def test_ask_and_tell_of_dicts() -> None:
    opened = Search(space=SPACE, budget=24, **QUICK)
    while trials := opened.ask(3):
        for trial in trials:
            assert json.loads(trial.text) == trial.architecture
            trial.architecture["lr"] = 0.0  # a user's own copy
            opened.tell(trial.number, score(json.loads(trial.text)))
    assert opened.result().best_architecture["lr"] > 0


def test_a_batched_evaluation_gets_a_list_of_dicts_and_the_search_is_the_same() -> None:
    one = search(space=SPACE, evaluate=score, budget=16, **QUICK)
    many = search(
        space=SPACE.declaration(), evaluate=batched(lambda all_: [*map(score, all_)]), budget=16,
        **QUICK,
    )  # fmt: skip
    pd.testing.assert_frame_equal(one.archive, many.archive)


@pytest.mark.heavy
def test_a_result_is_saved_read_and_gone_on_with(tmp_path: Path) -> None:
    whole = search(space=SPACE, evaluate=score, budget=20, **QUICK)
    part = search(space=SPACE, evaluate=score, budget=12, **QUICK)
    read = SearchResult.load(part.save(tmp_path / "part.zip"))
    assert read.trials == part.trials
    assert get_space(read.parameters.space) == SPACE
    assert read._repr_html_()
    on = search(space=SPACE, evaluate=score, budget=20, initial=read, **QUICK)
    pd.testing.assert_frame_equal(on.archive, whole.archive)


@pytest.mark.parametrize("kind", ["dicts", "json", "columns"])
def test_trials_to_start_from_are_dicts_texts_or_a_column_a_choice(
    kind: str, tmp_path: Path
) -> None:
    made = search(space=SPACE, evaluate=score, budget=9, method="random_search").trials
    values = [trial.value for trial in made]
    table = pd.DataFrame({"architecture": [t.architecture for t in made], "value": values})
    path = tmp_path / ("trials.json" if kind == "json" else "trials.csv")
    if kind == "json":
        table.to_json(path)
    elif kind == "columns":
        pd.DataFrame([t.architecture for t in made]).assign(value=np.array(values)).to_csv(
            path, index=False
        )
    initial = table if kind == "dicts" else path
    result = search(space=SPACE, evaluate=score, budget=12, initial=initial, **QUICK)
    assert [t.architecture for t in result.trials[:9]] == [t.architecture for t in made]


def test_a_table_without_architectures_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        search(space=SPACE, evaluate=score, initial=pd.DataFrame({"value": [1.0]}), budget=20)
    assert caught.value.data["missing"] == ["architecture"]


@pytest.mark.parametrize("name", list(PROXIES))
def test_a_proxy_does_without_a_graph_or_is_refused_before_any_trial(name: str) -> None:
    if name in ("mlp", "graph_mlp", "autoregressive_mlp") or name.startswith("gaussian"):
        check_proxy(PROXIES.load(name), SPACE)
        return
    with pytest.raises(ParameterError) as error:
        Search(space=SPACE, budget=20, proxy={"name": name})
    assert error.value.data == {"space": "nets"}


def test_a_space_is_named_by_its_declaration_whatever_it_was_given_as() -> None:
    declaration = SPACE.declaration()
    assert space_parameter(SPACE) == space_parameter(declaration) == declaration
    assert get_space(declaration) == SPACE
    assert get_space(SPACE) is SPACE
    assert space_parameter(get_space("nb201")) == "nb201"
    other = Space({**SPACE.choices, "extra": [1, 2]}, name="nets")
    assert space_label(declaration) != space_label(other.declaration())
    assert space_label(declaration).startswith("nets-")
    assert preset_for(SPACE, "accuracy") == preset_for(declaration, "accuracy")
    with pytest.raises(UnknownNameError) as caught:
        get_space({"choices": {"depth": {"optoins": [1, 2]}}})
    assert caught.value.data["suggestion"] == "options"


def fits(architecture: dict[str, Any]) -> bool:
    return bool(architecture["stages"] < 3 or architecture["width_1"] < 64)


def test_a_constraint_is_part_of_what_decides_a_search() -> None:
    bounded = Space(SPACE.choices, constraint=fits)
    result = search(space=bounded, evaluate=score, budget=20, **QUICK)
    assert all(fits(trial.architecture) for trial in result.trials)
    parameters = result.parameters.model_dump(mode="json")
    assert parameters["space"]["constraint"] == f"{__name__}:fits"
    assert f"{__name__}:fits" in software(parameters)["code"]["plugins"]


def test_an_architecture_without_a_graph_is_drawn_as_text() -> None:
    text = SPACE.to_string(SPACE.random(1, torch.Generator().manual_seed(0)))[0]
    (drawn,) = draw_cell(SPACE, text).texts
    assert drawn.get_text() == SPACE.draw(text)


def test_the_suite_of_methods_searches_a_declared_space() -> None:
    check_method("random_search", SPACE)


def test_runs_of_two_spaces_of_one_name_are_not_compared() -> None:
    declaration = SPACE.declaration()
    other = Space({**SPACE.choices, "extra": [1, 2]}, name="nets").declaration()
    same = [finished_run(seed, declaration) for seed in (0, 1)]
    (panel,) = make_panels(same)
    assert panel.space == space_label(declaration)
    with pytest.raises(ParameterError) as error:
        make_panels([*same, finished_run(0, other)])
    assert error.value.data["spaces"] == sorted(map(space_label, (declaration, other)))


def finished_run(seed: int, space: dict[str, Any]) -> FinishedRun:
    names = {"method": "random_search", "dataset": "made up", "space": space}
    archive = pd.DataFrame({"order": [0, 1], "architecture": ["a", "b"], "value": [1.0, 2.0]})
    return FinishedRun(f"run-{seed}", {**names, "seed": seed, "budget": 2}, {}, archive)


def test_a_space_that_is_smaller_than_the_initial_sample_is_searched_with_the_defaults() -> None:
    small = Space({"a": [1, 2, 3], "b": [1, 2, 3]})
    result = search(space=small, evaluate=lambda found: found["a"] * found["b"], budget=9)
    assert result.best_architecture == {"a": 3, "b": 3}
    assert result.parameters.model_dump()["initial_samples"] == 9
