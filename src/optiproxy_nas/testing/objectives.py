"""What every objective must keep to: its settings, order, price, proxy's task and reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.archive import check_archive, extend
from optiproxy_nas.algorithm.budget import allowance, number_of_steps
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.steps import initial_batch
from optiproxy_nas.core.mappings import merge
from optiproxy_nas.evaluation.batch import evaluate_trials
from optiproxy_nas.evaluation.function_evaluator import Evaluate, as_evaluator
from optiproxy_nas.evaluation.loop import run_method, run_search
from optiproxy_nas.methods import build_method
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.base import COLUMNS, Objective
from optiproxy_nas.presets import load_preset
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.testing import objective_parts
from optiproxy_nas.testing.determinism import global_randomness_untouched, plain, pure
from optiproxy_nas.testing.objective_parts import BATCH

_INITIAL, _STEPS = 8, 3
_SMALL: dict[str, Any] = {
    "initial_samples": _INITIAL,
    "proxy": {"name": "mlp", "hidden": 8, "layers": 2, "members": 3},
    "fit": {"epochs": 4, "first_epochs": 4},
    "gradient": {"groups": 4, "epochs": 3},
    "selection": {"batch": BATCH, "samples": 60, "skip_twins": False},
}


def check_objective(
    objective: str | Mapping[str, Any], space: SearchSpace, evaluate: Evaluate, seed: int = 0
) -> None:
    """Assert that an objective can be searched for, repeated, resumed and reported.

    Args:
        objective: its registered name or import path ``package.module:Class``, or a mapping of
            that ``name`` and settings.
        space: what to search; of at least 40 architectures.
        evaluate: what a user would give to ``search`` with this objective; it gives the same answer
            to the same question. Best one that makes some answers eligible and some not.
        seed: of the searches.

    Raises:
        AssertionError: which promise is broken.
    """
    built = _check_settings(objective)
    parameters = _parameters(space, built, seed)
    with global_randomness_untouched():
        sample = _check_columns(space, evaluate, parameters)
        objective_parts.check_targets(sample, built)
        archive = _check_search(space, evaluate, parameters)
        objective_parts.check_targets(archive, built)
        objective_parts.check_order(archive, built)
        objective_parts.check_price(space, archive, built)
        objective_parts.check_promotable(archive, built)
        objective_parts.check_score(space, archive, parameters)
        objective_parts.check_selection(space, archive, parameters)
        _check_reports(archive, built)
        _check_baseline(space, evaluate, built)
        _check_scraps(space, evaluate, parameters)


def _check_settings(objective: str | Mapping[str, Any]) -> Objective:
    built = resolve_objective(objective)  # refuses what is none
    settings = built.model_dump(mode="json")
    stored = json.loads(json.dumps(settings))
    assert stored == settings, "settings: are not what is stored of them as JSON"
    again = resolve_objective(stored)
    assert again == built, "settings: do not survive storing as JSON"
    assert again.model_dump(mode="json") == stored, "settings: do not survive storing as JSON"
    taken = {name for name in built.columns if name in COLUMNS or name.startswith("code_")}
    assert not taken, f"columns: {sorted(taken)} are every archive's"
    missing = {*built.metrics} | ({"epochs"} if built.fidelities else set())
    assert missing <= set(built.columns), f"columns: {sorted(missing)} are not all declared"
    assert isinstance(built.task.heads, int), "heads: not an integer"
    assert built.task.heads >= 1, "heads: less than one"
    assert built.price.unit.strip(), "unit: says nothing"
    return built


def _parameters(space: SearchSpace, built: Objective, seed: int) -> SearchParameters:
    budget = built.price.initial_cost(_INITIAL) + _STEPS * built.price.step_cost(BATCH)
    labels = dict.fromkeys(("benchmark", "source", "dataset"), "checked")
    values = {**labels, "space": space.name, "preset": "default", "seed": seed, "budget": budget}
    return SearchParameters.model_validate(
        {**merge(load_preset("default"), _SMALL), **values, "objective": built}
    )


def _check_columns(
    space: SearchSpace, evaluate: Evaluate, parameters: SearchParameters
) -> pd.DataFrame:
    """Check what follows from an answer; return the initial sample as an archive."""
    built = parameters.objective
    batch = initial_batch(space, parameters)
    evaluated, _ = evaluate_trials(built, batch, as_evaluator(evaluate, space))
    answered = evaluated[[*batch, "value", *built.metrics]]
    derived = pure("derived_columns", built.derived_columns, answered)
    assert set(derived) <= set(built.columns), f"derived_columns: {sorted(derived)}, not declared"
    some = built.derived_columns(answered.iloc[2:5].reset_index(drop=True))
    for name, values in derived.items():
        assert np.array_equal(np.asarray(values)[2:5], np.asarray(some[name]), equal_nan=True), (
            "derived_columns: of a row depend on the rest of the batch"
        )
    return extend(None, evaluated, built)


def _check_search(
    space: SearchSpace, evaluate: Evaluate, parameters: SearchParameters
) -> pd.DataFrame:
    """Run a whole small search twice; check what is asked, charged and stored."""
    built = parameters.objective
    archive = run_search(space, evaluate, parameters).archive
    again = run_search(space, evaluate, parameters).archive
    assert plain(archive) == plain(again), "two searches with the same seed differ"
    codes = [f"code_{i}" for i in range(space.code_length)]
    expected = [*COLUMNS, *built.columns, *codes]
    assert list(archive) == expected, f"archive: columns {list(archive)}, not {expected}"
    for name, kind in built.columns.items():
        assert archive[name].dtype == np.dtype(kind), f"column {name}: {archive[name].dtype}"
    check_archive(space, archive, built)
    assert number_of_steps(parameters) == _STEPS, "step_cost, initial_cost: not the steps expected"
    for step in range(1, _STEPS + 1):
        before, batch = archive[archive["step"] < step], archive[archive["step"] == step]
        spent = int(built.price.costs(batch).sum())
        assert spent <= allowance(parameters, before, step), f"step {step} spent too much"
    left, unit = parameters.budget - int(built.price.costs(archive).sum()), built.price.unit
    assert 0 <= left < built.price.full_cost, f"{left} {unit} are left of {parameters.budget}"
    return archive


def _check_reports(archive: pd.DataFrame, built: Objective) -> None:
    reports = {"summary": pure("summary", built.summary, archive)}
    for step in range(1, _STEPS + 1):
        rows = archive[archive["step"] <= step]
        batch = rows[rows["step"] == step]
        reports[f"diagnose, step {step}"] = pure("diagnose", partial(built.diagnose, batch), rows)
    for name, report in reports.items():
        try:
            json.dumps(report, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"{name}: cannot be stored as JSON ({error})") from error


def _check_baseline(space: SearchSpace, evaluate: Evaluate, built: Objective) -> None:
    """Check that a baseline can make full trials."""
    budget = 6 * built.price.full_cost
    method = build_method("random_search", space, {}, budget, 0)
    archive, _ = run_method(space, evaluate, method, budget, objective=built)
    assert len(archive) == 6, f"full_columns, full_cost: {len(archive)} queries for the cost of 6"
    check_archive(space, archive, built)
    none = extend(None, archive.iloc[:0], built)
    assert len(built.order.best(none)) == 0, "best: an empty archive"


def _check_scraps(space: SearchSpace, evaluate: Evaluate, parameters: SearchParameters) -> None:
    """Check budgets that leave the last step next to nothing."""
    price = parameters.objective.price
    for more in (1, price.full_cost - 1):
        budget = parameters.budget + more
        try:
            odd = run_search(space, evaluate, parameters.model_copy(update={"budget": budget}))
        except Exception as error:
            raise AssertionError(
                f"promotions: a budget of {budget} {price.unit}, which leaves the last step "
                f"little, fails: {type(error).__name__}: {error}"
            ) from error
        spent = int(price.costs(odd.archive).sum())
        assert spent <= budget, f"{spent} {price.unit} were spent of {budget}"
