"""More than two rungs: which there are, what each costs, what is raised, what may be deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from optiproxy_nas import Problem, Space, Target, search
from optiproxy_nas.algorithm.archive import codes_of, extend, make_batch
from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.selection import select_queries
from optiproxy_nas.core.errors import BudgetError, ParameterError
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.base import Training
from optiproxy_nas.objectives.rungs import Rungs, default_rungs
from tiny_space import TinySpace

SPACE = TinySpace()
CELLS = torch.cartesian_prod(*(torch.arange(n) for n in (3, 3, 2, 2, 2)))  # [72, 5]
PROBLEM = Training(None, continues=True)
RUNGS = st.sets(st.integers(1, 60), min_size=2, max_size=4).map(sorted).map(tuple)


def objective_of(*rungs: Any, **settings: Any) -> Any:
    given = {"rungs": rungs or (3, 9, 27), "low_first": 1, "step_epochs": 60, "share": 1.0}
    return resolve_objective({"name": "multi_fidelity", **given, **settings}, PROBLEM)


def archive_of(objective: Any, *rows: Any) -> Any:
    """D of rows (cell, epochs, value)."""
    cells, epochs, values = zip(*rows, strict=True)
    columns = objective.price.fidelity_columns(np.array(epochs))
    batch = make_batch(SPACE, CELLS[list(cells)], 0, **columns)
    return extend(None, batch.assign(value=np.array(values, float)), objective)


def scores(count: int) -> Any:
    """Normal scores of ranks 1 to count: targets named "rank"."""
    return norm.ppf((np.arange(count) + 0.5) / count)


# Which rungs there are.


@pytest.mark.parametrize("given", [[1, 3, 9], (np.int64(1), np.int32(3), 9), "1;3;9"])
def test_whole_numbers_of_any_type_are_rungs(given: Any) -> None:
    found: Any = resolve_objective({"name": "multi_fidelity", "rungs": given}, PROBLEM)
    assert found.rungs == (1, 3, 9)
    assert all(type(rung) is int for rung in found.rungs)
    pair: Any = resolve_objective({"name": "multi_fidelity", "low_epochs": 1, "full_epochs": 9})
    assert pair.rungs == (1, 9)


@pytest.mark.parametrize("pair", [(1.0, 9), (1, 9.0), (1.0, 9.0)])
def test_so_is_an_epoch_that_is_no_whole_number(pair: Any) -> None:
    given = dict(zip(("low_epochs", "full_epochs"), pair, strict=True))
    with pytest.raises(ParameterError, match="an integer is needed"):
        resolve_objective({"name": "multi_fidelity", **given})


@pytest.mark.parametrize(
    "given", [[1.0, 3.0], [1.5, 3, 9], [True, 3], [1, "x"], [1, float("inf")], [1, None]]
)
def test_what_is_no_rung_is_refused_by_its_name(given: Any) -> None:
    with pytest.raises(ParameterError, match="rungs"):
        resolve_objective({"name": "multi_fidelity", "rungs": given}, PROBLEM)


@given(RUNGS)
def test_rungs_survive_storing_and_pairs_have_two_spellings(rungs: Any) -> None:
    found = objective_of(*rungs)
    assert found.rungs == rungs
    assert (found.low_epochs, found.full_epochs) == (rungs[0], rungs[-1])
    stored = json.loads(json.dumps(found.model_dump(mode="json")))
    assert resolve_objective(stored) == found
    if len(rungs) == 2:
        assert not {"rungs", "unit", "share"} & set(stored)
        given = {"low_epochs": rungs[0], "full_epochs": rungs[1], "low_first": 1}
        given |= {"name": "multi_fidelity", "step_epochs": 60, "continues": True}
        assert resolve_objective(given) == found
    text = resolve_objective({**stored, "rungs": ";".join(map(str, rungs))})
    assert text == found


@given(st.integers(2, 300))
def test_a_full_training_alone_gives_a_search_that_a_user_can_pay(full: Any) -> None:
    found: Any = resolve_objective({"name": "multi_fidelity", "full_epochs": full}, PROBLEM)
    assert found.rungs == default_rungs(full)
    assert found.rungs[-1] == full
    assert all(rung >= 1 for rung in found.rungs)
    assert found.continues
    assert found.step_epochs <= 2 * full
    least = found.price.least_budget(found.price.initial_sample(30))
    assert least <= 9 * full


def test_default_rungs_are_about_a_ninth_a_third_and_all() -> None:
    found = {full: default_rungs(full) for full in (2, 4, 5, 10, 27, 100)}
    assert found == {
        2: (1, 2), 4: (1, 4), 5: (1, 2, 5), 10: (1, 3, 10), 27: (3, 9, 27), 100: (11, 33, 100),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "needs to know how long a full training of the problem is"),
        ({"full_epochs": 1}, r"\[1\]: at least two are needed"),
        ({"rungs": [9]}, "at least two are needed"),
        ({"rungs": [9, 3]}, "3 comes after 9"),
        ({"rungs": [3, 9, 9]}, "9 comes after 9"),
        ({"rungs": [0, 9]}, "the lowest is 0"),
        ({"rungs": [3, 9, 27], "full_epochs": 30}, "full_epochs = 30, but objective.rungs"),
        ({"rungs": [3, 9, 27], "step_epochs": 20}, r"\(20\) is below full training \(27 epochs\)"),
        ({"rungs": "3;nine"}, "rungs = '3;nine'"),
        ({"rungs": [1.5, 9]}, "whole numbers"),
    ],
)
def test_what_is_no_ladder_is_refused_in_one_message(given: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        resolve_objective({"name": "multi_fidelity", **given}, PROBLEM)
    assert caught.value.message.count("\n") == 0


def test_a_budget_that_ends_without_an_answer_is_refused_in_the_unit() -> None:
    with pytest.raises(BudgetError, match=r"40 percent is too small.*rungs = \[11, 33, 100\]"):
        search(
            space="nb201",
            objective={"name": "multi_fidelity", "rungs": [11, 33, 100], "unit": "percent"},
            evaluate=lambda architecture, percent: 1.0,
            budget=40,
        )


# What is charged.


@given(RUNGS, st.booleans(), st.integers(1, 20), st.floats(0.1, 1))
def test_costs_add_up_to_the_rung_that_was_reached(
    rungs: Any, continues: Any, first: Any, share: Any
) -> None:
    ladder = Rungs(rungs, continues, first, share)
    assert sum(ladder.costs) == (rungs[-1] if continues else sum(rungs))
    assert all(cost > 0 for cost in ladder.costs)
    assert ladder.steps_to_answer(2, max(rungs[-1], 1)) >= 1


@given(RUNGS, st.integers(0, 300), st.data())
def test_a_step_raises_no_more_than_it_pays_and_what_waits(
    rungs: Any, allowance: Any, data: Any
) -> None:
    ladder = Rungs(rungs, data.draw(st.booleans()), 3, 1.0)
    top = len(rungs) - 1
    waiting = data.draw(st.lists(st.integers(0, 9), min_size=top, max_size=top))
    counts = ladder.spread(allowance, waiting)
    assert all(0 <= count <= there for count, there in zip(counts, waiting, strict=True))
    spent = sum(n * cost for n, cost in zip(counts, ladder.costs[1:], strict=True))
    assert spent <= allowance
    if waiting[-1] and allowance >= ladder.costs[-1]:
        assert counts[-1] >= 1


def test_each_rung_below_gets_a_third_of_a_step_of_three_rungs() -> None:
    ladder = Rungs((3, 9, 27), True, 1, 1.0)
    assert ladder.spread(54, [9, 9]) == [3, 1]  # 18 + 18, and 18 are left for six new ones
    assert ladder.spread(42, [9, 0]) == [4, 0]
    assert ladder.spread(18, [9, 9]) == [0, 1]  # whatever else: one to full training
    assert Rungs((3, 27), True, 1, 1.0).spread(48, [9]) == [2]


SMALL: dict[str, Any] = {
    "initial_samples": 6,
    "proxy": {"hidden": 8, "layers": 1, "members": 2},
    "fit": {"epochs": 3, "first_epochs": 3},
    "gradient": {"groups": 4, "epochs": 2},
    "selection": {"samples": 24},
}


@pytest.mark.parametrize("continues", [True, False])
def test_a_search_charges_each_architecture_once_a_rung(continues: bool) -> None:
    asked = []

    def evaluate(architecture: str, epochs: int) -> Any:
        asked.append((architecture, epochs))
        return float(sum(map(ord, architecture)) % 97 + epochs)

    result = search(
        space="nb201",
        evaluate=evaluate,
        objective={"name": "multi_fidelity", "full_epochs": 9, "continues": continues},
        budget=90,
        **SMALL,
    )
    archive = result.archive
    assert len(set(asked)) == len(asked) == len(archive)
    assert archive["cost"].sum() <= 90
    assert set(archive["epochs"]) == {1, 3, 9}
    paid = archive.groupby("architecture").agg(cost=("cost", "sum"), epochs=("epochs", list))
    for cost, epochs in paid.itertuples(index=False):
        assert epochs == [1, 3, 9][: len(epochs)]  # rung by rung
        assert cost == (epochs[-1] if continues else sum(epochs))
    assert result.best_value == archive.loc[archive["epochs"] == 9, "value"].max()


def test_first_looks_follow_a_small_space_but_where_they_are_given() -> None:
    def low_first(**settings: Any) -> Any:
        objective = {"name": "multi_fidelity", "full_epochs": 27, **settings}
        run = {"space": {"choices": {"a": [1, 2, 3], "b": [1, 2, 3]}}, "seed": 0, "budget": 200}
        found: Any = resolve_method({**run, "objective": objective}).objective
        return found.low_first

    assert low_first() == 4
    assert [low_first(low_first=given) for given in (2, 6, 9)] == [2, 6, 9]
    with pytest.raises(ParameterError):
        low_first(low_first=10)


class Noted(Problem):
    """Counts the epochs that each folder had, and what was trained on top of them."""

    space = Space({"a": [1, 2, 3, 4], "b": [1, 2, 3, 4], "c": [0, 1]})
    target = Target("score")
    amount = 0  # of training

    def evaluate(self, trial: Any) -> Any:
        file = trial.folder / "epochs"
        before = int(file.read_text()) if file.exists() else 0
        file.write_text(str(trial.epochs))
        Noted.amount += trial.epochs - before
        return trial.architecture["a"] + trial.architecture["b"] - 10.0 / trial.epochs


def test_what_another_search_trained_is_raised_at_the_price_of_all_that_is_trained() -> None:
    Noted.amount = 0
    before = pd.DataFrame(
        [
            {"a": a, "b": b, "c": 0, "epochs": 3, "value": a + b - 10 / 3}
            for a, b in product((2, 3, 4), (2, 3, 4))
        ]
    )
    objective = {"name": "multi_fidelity", "rungs": [3, 9, 27], "low_first": 6}
    result = search(problem=Noted(), objective=objective, budget=110, initial=before, **SMALL)
    charged = result.archive.iloc[len(before) :]
    raised = charged[charged["architecture"].isin(result.archive["architecture"][: len(before)])]
    assert (raised["epochs"] == 9).any()
    assert set(raised.loc[raised["epochs"] == 9, "cost"]) == {9}
    assert set(raised.loc[raised["epochs"] == 27, "cost"]) <= {18}
    assert Noted.amount == charged["cost"].sum() <= 110


def test_a_small_space_is_used_up_and_still_raised() -> None:
    result = search(
        space={"depth": [1, 2, 3], "width": [16, 32, 64]},
        evaluate=lambda network, epochs: network["depth"] * network["width"] + epochs,
        objective={"name": "multi_fidelity", "full_epochs": 9, "continues": True},
        budget=72,
        **{**SMALL, "initial_samples": 3},
    )
    archive = result.archive
    objective: Any = result.parameters.objective
    assert objective.low_first == 4
    assert (archive["epochs"] == 1).sum() == 9  # each architecture
    assert archive["cost"].sum() <= 72
    assert result.best_value == 3 * 64 + 9


# What the rungs say about each other.


def test_targets_are_dealt_out_anew_at_each_rung() -> None:
    objective = objective_of()
    low = [(cell, 3, 10.0 * cell) for cell in range(5)]
    middle = [(4, 9, 60.0), (3, 9, 80.0), (2, 9, 70.0)]  # ranks 5, 4, 3 below; 1, 3, 2 here
    archive = archive_of(objective, *low, *middle, (3, 27, 85.0), (2, 27, 90.0))
    targets = objective.task.targets(archive, "rank").numpy()
    below = scores(5)
    assert targets[0, :5] == pytest.approx(below, abs=1e-6)
    at_middle = np.array([below[2], below[4], below[3]])  # of cells 4, 3, 2
    assert targets[1, 5:8] == pytest.approx(at_middle - below[[4, 3, 2]], abs=1e-6)
    # Of the two that are trained fully, cell 2 turned out better: it has what cell 3 had.
    assert targets[2, 8:] == pytest.approx([below[3] - below[4], below[4] - below[3]], abs=1e-6)
    assert np.isnan(targets).sum() == 3 * 10 - 5 - 3 - 2


def promoted(objective: Any, archive: Any, allowance: Any, opinion: Any, excluded: Any = ()) -> Any:
    """(cell, rung that is reached) of the promotions; ``opinion`` [R] of each cell, in order."""
    names = {name: cell for cell, name in enumerate(SPACE.to_string(CELLS))}

    def predict(rows: Any) -> Any:
        cells = [names[name] for name in archive["architecture"].iloc[rows]]
        return torch.tensor([opinion])[:, cells].transpose(1, 2)

    rows = objective.task.promotions(archive, predict, "rank", allowance, excluded)
    reached = objective.price.promotion_columns(archive.iloc[rows])["epochs"].tolist()
    return [
        (names[name], to)
        for name, to in zip(archive["architecture"].iloc[rows], reached, strict=True)
    ]


def test_the_best_predicted_at_each_rung_is_raised() -> None:
    objective = objective_of(measured=0.0)
    rows = [(cell, 3, 1.0) for cell in range(4)] + [(0, 9, 5.0), (1, 9, 6.0)]
    archive = archive_of(objective, *rows)
    opinion = [(0.0, 0.0, 0.3), (0.0, 0.0, 0.1), (0.2, 0.0, 0.0), (0.0, 0.4, 0.0)]
    assert promoted(objective, archive, 54, opinion) == [(0, 27), (3, 9), (2, 9)]
    assert promoted(objective, archive, 17, opinion) == [(3, 9), (2, 9)]
    once = [(0.0, 0.0, 0.3), (0.4, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.4, 0.0)]  # each head counts
    assert promoted(objective, archive, 54, once) == [(1, 27), (2, 9), (3, 9)]
    out = [SPACE.to_string(CELLS[:1])[0], SPACE.to_string(CELLS[3:4])[0]]
    assert promoted(objective, archive, 54, opinion, out) == [(1, 27), (2, 9)]
    assert promoted(objective_of(low_first=5), archive, 42, opinion) == []


def test_a_middle_rung_waits_for_as_much_money_as_the_lowest() -> None:
    objective = objective_of(low_first=6, measured=0.0)
    low = [(cell, 3, 1.0) for cell in range(6)]
    one, two = archive_of(objective, *low, (0, 9, 1.0)), [(0, 9, 1.0), (1, 9, 1.0)]
    opinion = [(0.0, 0.0, 0.0)] * 6
    assert {to for _, to in promoted(objective, one, 60, opinion)} == {9}
    both = archive_of(objective, *low, *two)
    assert (0, 27) in promoted(objective, both, 60, opinion)


def test_predictions_of_a_promotion_are_of_the_rung_that_it_reaches() -> None:
    objective = objective_of()
    low = [(cell, 3, 10.0 * cell) for cell in range(5)]
    middle = [(cell, 9, 50.0 + 10 * cell) for cell in (2, 3, 4)]
    archive = archive_of(objective, *low, *middle)
    at = float(scores(5)[3])  # the target of 80 after 9 epochs
    predictions = torch.tensor([[[at, at], [0.0, 9.0], [7.0, 0.0]]])  # one member, rows 0 and 7
    found = objective.task.raised(predictions, np.array([0, 7]), archive, "rank")["predicted"]
    assert found[0] == pytest.approx(80, abs=2.0)  # heads 0 and 1; the line is not quite exact
    assert np.isnan(found[1])  # nothing is trained fully yet


# What may be deleted.


def test_what_was_ended_early_is_never_raised() -> None:
    objective = objective_of(measured=0.0, low_first=4)
    rows = [(cell, 3, float(cell)) for cell in range(4)] + [(3, 9, 5.0)]
    archive = archive_of(objective, *rows).assign(stopped=[False, False, True, False, True])
    assert objective.promotable(archive).tolist() == [True, True, False, False, False]
    assert promoted(objective, archive, 30, [(float(cell), 0.0, 0.0) for cell in range(4)]) == [
        (1, 9),
        (0, 9),
    ]
    assert not np.isnan(objective.task.targets(archive, "rank").numpy()[0, :4]).any()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30), st.floats(0.1, 1))
def test_what_falls_out_of_the_best_share_stays_out(values: Any, share: Any) -> None:
    objective = objective_of(share=share, low_first=4)
    rows = [(cell, 3, float(value)) for cell, value in enumerate(values)]
    archive = archive_of(objective, *rows)
    masks = [objective.promotable(archive.iloc[:count]) for count in range(len(archive) + 1)]
    for before, after in pairwise(masks):
        assert not (after[:-1] & ~before).any()
        assert after.sum() == min(len(after), int(np.ceil(share * max(len(after), 4))))
    if share == 1:
        assert masks[-1].all()


def test_only_promotable_rows_are_raised_and_raised_ones_are_not_promotable() -> None:
    objective = objective_of(share=0.4, low_first=5, measured=0.0)
    low = [(cell, 3, float(cell)) for cell in range(5)]
    archive = archive_of(objective, *low)
    assert objective.promotable(archive).tolist() == [False, False, False, True, True]
    opinion = [(9.0, 0.0, 0.0)] * 3 + [(0.0, 0.0, 0.0)] * 2
    assert promoted(objective, archive, 60, opinion) == [(3, 9), (4, 9)]
    grown = archive_of(objective, *low, (3, 9, 2.0), (4, 9, 1.0), (4, 27, 3.0))
    assert objective.promotable(grown).tolist() == [False] * 5 + [True, False, False]


def test_objectives_without_rungs_promote_nothing() -> None:
    archive = pd.DataFrame({"architecture": ["a", "b"], "value": [1.0, 2.0]})
    assert not resolve_objective("accuracy").promotable(archive).any()


def test_a_step_of_three_rungs_is_a_batch_of_all_of_them(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    objective = objective_of(measured=0.0)
    rows = [(cell, 3, 1.0) for cell in range(4)] + [(0, 9, 5.0), (1, 9, 6.0)]
    archive = archive_of(objective, *rows)
    pool = Pool(CELLS[10:], torch.zeros(62).long(), 0, 0, 1)
    stream = torch.Generator().manual_seed(0)
    parameters = make_parameters().model_copy(update={"objective": objective})
    batch = select_queries(
        SPACE, pool, lambda codes: torch.zeros(1, 3, len(codes)), archive, parameters, 54, 1, stream
    )
    assert batch["epochs"].tolist() == [27, 9, 9, 3, 3, 3, 3, 3, 3, 3, 3]
    assert batch["cost"].tolist() == [18, 6, 6, 3, 3, 3, 3, 3, 3, 3, 3]
    grown = extend(archive, batch.assign(value=1.0), objective)
    charged = objective.price.identities(SPACE, grown, codes_of(SPACE, grown))
    assert len(set(charged)) == len(charged)
