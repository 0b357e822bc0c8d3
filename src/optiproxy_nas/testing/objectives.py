"""What every objective must keep to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.archive import COLUMNS, check_archive, codes_of, extend, make_batch
from optiproxy_nas.algorithm.budget import allowance, number_of_steps
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.steps import initial_batch
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.core.mappings import merge
from optiproxy_nas.evaluation.loop import run_method, run_search
from optiproxy_nas.methods import build_method
from optiproxy_nas.objectives import OBJECTIVES, resolve_objective
from optiproxy_nas.objectives.base import Evaluate, Objective
from optiproxy_nas.presets import load_preset
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.testing.determinism import global_randomness_untouched, plain, pure
from optiproxy_nas.testing.objective_choices import (
    check_goodness,
    check_score,
    check_select,
    check_targets,
)

_INITIAL, _BATCH, _STEPS = 8, 4, 3
_SMALL: dict[str, Any] = {
    "initial_samples": _INITIAL,
    "proxy": {"name": "mlp", "hidden": 8, "layers": 2, "members": 3},
    "fit": {"epochs": 4, "first_epochs": 4},
    "gradient": {"groups": 4, "epochs": 3},
    "selection": {"batch": _BATCH, "samples": 60, "skip_twins": False},
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
        sample = _check_query(space, evaluate, parameters, built)
        check_targets(sample, built)
        archive = _check_search(space, evaluate, parameters, built)
        check_targets(archive, built)
        _check_costs(space, archive, built)
        check_goodness(archive, built)
        check_score(space, archive, built, parameters)
        check_select(space, archive, built, parameters)
        _check_reports(archive, built)
        _check_baseline(space, evaluate, built)
        _check_scraps(space, evaluate, parameters, built)


def _check_settings(objective: str | Mapping[str, Any]) -> Objective:
    kind = OBJECTIVES.load(objective if isinstance(objective, str) else objective["name"])
    assert isinstance(kind, type), "not a class"
    assert issubclass(kind, Objective), "not an Objective"
    built = resolve_objective(objective)
    settings = built.model_dump(mode="json")
    stored = json.loads(json.dumps(settings))
    assert stored == settings, "settings: are not what is stored of them as JSON"
    again = resolve_objective(stored)
    assert again == built, "settings: do not survive storing as JSON"
    assert again.model_dump(mode="json") == stored, "settings: do not survive storing as JSON"
    taken = {name for name in built.columns if name in COLUMNS or name.startswith("code_")}
    assert not taken, f"columns: {sorted(taken)} are every archive's"
    assert isinstance(built.heads, int), "heads: not an integer"
    assert built.heads >= 1, "heads: less than one"
    assert built.unit.strip(), "unit: says nothing"
    return built


def _parameters(space: SearchSpace, built: Objective, seed: int) -> SearchParameters:
    budget = built.initial_cost(_INITIAL) + _STEPS * built.step_cost(_BATCH)
    labels = dict.fromkeys(("benchmark", "source", "dataset"), "checked")
    values = {**labels, "space": space.name, "preset": "default", "seed": seed, "budget": budget}
    return SearchParameters.model_validate(
        {**merge(load_preset("default"), _SMALL), **values, "objective": built}
    )


def _check_search(
    space: SearchSpace, evaluate: Evaluate, parameters: SearchParameters, built: Objective
) -> pd.DataFrame:
    """A whole small search, twice: what is asked, charged and stored."""
    asked: list[Any] = []

    def watched(architectures: list[str], *more: Any) -> Any:
        asked.extend((name, *more) for name in architectures)
        return evaluate(architectures, *more)

    archive = run_search(space, watched, parameters).archive
    assert len(asked) == len(set(asked)) == len(archive), "a question was asked twice"
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
        spent = int(built.costs(batch).sum())
        assert spent <= allowance(parameters, before, step), f"select: step {step} spent too much"
    left = parameters.budget - int(built.costs(archive).sum())
    assert 0 <= left < built.price, f"{left} {built.unit} are left of {parameters.budget}"
    return archive


def _check_scraps(
    space: SearchSpace, evaluate: Evaluate, parameters: SearchParameters, built: Objective
) -> None:
    """Budgets that leave the last step next to nothing."""
    for more in (1, built.price - 1):
        budget = parameters.budget + more
        try:
            odd = run_search(space, evaluate, parameters.model_copy(update={"budget": budget}))
        except Exception as error:
            raise AssertionError(
                f"select: a budget of {budget} {built.unit}, which leaves the last step little, "
                f"fails: {type(error).__name__}: {error}"
            ) from error
        spent = int(built.costs(odd.archive).sum())
        assert spent <= budget, f"{spent} {built.unit} were spent of {budget}"


def _check_query(
    space: SearchSpace, evaluate: Evaluate, parameters: SearchParameters, built: Objective
) -> pd.DataFrame:
    """What is told of the initial sample; it, as an archive."""
    batch = initial_batch(space, parameters)
    told = pure("query", lambda table: built.query(table, evaluate), batch)
    assert told[list(batch)].equals(batch), "query: changes what the batch held"
    new = set(told) - set(batch)
    assert "value" in new, "query: gives no value"
    assert new <= {"value", *built.columns}, f"query: columns {sorted(new)}, not all declared"
    assert np.isfinite(told["value"].to_numpy(dtype=np.float64)).all(), "query: a value not finite"
    part = built.query(batch.iloc[2:5].reset_index(drop=True), evaluate)
    assert plain(part) == plain(told.iloc[2:5].reset_index(drop=True)), (
        "query: what is told of a row depends on the rest of the batch"
    )
    try:
        built.query(batch, lambda *_: None)
    except DataError:
        return extend(None, told, built)
    raise AssertionError("query: an evaluation that gives None does not raise DataError")


def _check_costs(space: SearchSpace, archive: pd.DataFrame, built: Objective) -> None:
    costs = pure("costs", built.costs, archive)
    assert costs.shape == (len(archive),), "costs: not one a row"
    assert costs.dtype == np.int64, f"costs: {costs.dtype}, not int64"
    assert (costs > 0).all(), "costs: a query that costs nothing"
    codes = codes_of(space, archive)
    identities = pure("identities", lambda table: built.identities(space, table, codes), archive)
    assert len(identities) == len(archive), "identities: not one a row"
    assert len(set(identities)) == len(archive), "identities: two queries of the archive are one"
    assert identities[3:6] == built.identities(space, archive.iloc[3:6], codes[3:6]), (
        "identities: depend on the rest of the table"
    )
    for count in (1, 5):
        for name, columns, price in (
            ("initial_queries", built.initial_queries, built.initial_cost(count)),
            ("whole_queries", built.whole_queries, count * built.price),
        ):
            batch = make_batch(space, codes[:count], 0).assign(**columns(count))
            cost = int(built.costs(batch).sum())
            assert cost == price, f"{name}: {count} cost {cost} by costs, {price} by its price"
    assert built.step_cost(_BATCH) >= 1, "step_cost: a step that may spend nothing"
    assert built.fewest(built.step_cost(_BATCH)) >= 1, "fewest: a step without candidates"
    whole = built.capacity(1000)
    assert whole >= 1000 * built.price, "capacity: whole queries of all cost more than all"


def _check_reports(archive: pd.DataFrame, built: Objective) -> None:
    for step in range(1, _STEPS + 1):
        known = archive[archive["step"] <= step]
        batch = known[known["step"] == step]
        told = pure("diagnose", partial(built.diagnose, batch), known)
        _storable("diagnose", told)
    _storable("summary", pure("summary", built.summary, archive))


def _check_baseline(space: SearchSpace, evaluate: Evaluate, built: Objective) -> None:
    """What a baseline is told of whole queries."""
    budget = 6 * built.price
    method = build_method("random_search", space, {}, budget, 0)
    archive, _ = run_method(space, evaluate, method, budget, objective=built)
    assert len(archive) == 6, f"whole_queries, price: {len(archive)} queries for the price of 6"
    check_archive(space, archive, built)
    none = extend(None, archive.iloc[:0], built)
    assert len(built.best(none)) == 0, "best: an empty archive"


def _storable(name: str, told: Mapping[str, Any]) -> None:
    try:
        json.dumps(told, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{name}: cannot be stored as JSON ({error})") from error
