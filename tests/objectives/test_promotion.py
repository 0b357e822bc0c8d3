"""Two fidelities: pairs, targets, promotions and their prices, on archives small enough to reckon.

Cells of the tiny space by number, 0 to 71; a row of an archive is (cell, epochs, value).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import norm

from changed_source import changed
from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.archive import codes_of, extend, make_batch
from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.selection import select_queries
from optiproxy_nas.benchmarks.source_benchmark import SurrogateBenchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.core.errors import MetricUnavailableError, ObjectiveError
from optiproxy_nas.evaluation.benchmark_problem import check_benchmark
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.promotion import pairs_of
from optiproxy_nas.proxies.targets import TARGETS, make_targets
from tiny_space import TinySpace

pytestmark = pytest.mark.usefixtures("global_state")

SPACE = TinySpace()
CELLS = torch.cartesian_prod(*(torch.arange(n) for n in (3, 3, 2, 2, 2)))  # [72, 5]
LOW, FULL = 12, 200
NAN = float("nan")
BOTH = pytest.mark.parametrize(("continues", "price"), [(False, 200), (True, 188)])


def objective_of(**settings: Any) -> Any:
    return resolve_objective({"name": "multi_fidelity", "low_first": 1} | settings)


def archive_of(*rows: Any, objective: Any = None) -> Any:
    """D of rows (cell, epochs, value), each charged its epochs."""
    cells, epochs, values = zip(*rows, strict=True)
    batch = make_batch(SPACE, CELLS[list(cells)], 0, epochs=list(epochs), cost=list(epochs))
    return extend(None, batch.assign(value=np.array(values, float)), objective or objective_of())


def low_rows(*values: Any) -> Any:
    """Cells 0, 1, ... with these values after few epochs."""
    return [(cell, LOW, value) for cell, value in enumerate(values)]


def full_of(archive: Any) -> Any:
    return archive["epochs"].to_numpy() == FULL


def both_of(archive: Any) -> Any:
    """(row of the low value, row of the full one) of each cell that has both."""
    return pairs_of(archive, ~full_of(archive), full_of(archive))


def scores(*parts: Any) -> Any:
    """Normal scores of ranks 1, 2, ...: the targets named "rank", by hand."""
    count = len(parts)
    return norm.ppf([(part - 0.5) / count for part in parts])


def targets_of(archive: Any, name: str = "rank") -> Any:
    return objective_of().task.targets(archive, name).numpy()


def says(*members: Any) -> Any:
    """A proxy that says (low, correction) of each cell, by member: lists over cells 0, 1, ..."""
    told = torch.tensor(members)  # [E, cells, 2]
    number = {tuple(code): cell for cell, code in enumerate(CELLS.tolist())}

    def predict(codes: Any) -> Any:
        return told[:, [number[tuple(code)] for code in codes.tolist()]].transpose(1, 2)

    return predict


def promoted(archive: Any, predict: Any, count: int = 1, **settings: Any) -> Any:
    """The cells to be promoted, most promising first."""
    chosen = objective_of(**settings)
    codes = codes_of(SPACE, archive)
    predicted = lambda rows: predict(codes[rows])  # noqa: E731
    rows = chosen.task.promotions(archive, predicted, "rank", count * FULL)
    cells = {name: cell for cell, name in enumerate(SPACE.to_string(CELLS))}
    return [cells[name] for name in archive["architecture"].iloc[rows]]


# Pairs and targets.


def test_pairs_are_found_by_architecture() -> None:
    archive = archive_of(
        (7, LOW, 1.0), (3, LOW, 2.0), (3, FULL, 70.0), (5, LOW, 3.0), (9, FULL, 71.0),
        (7, FULL, 72.0),
    )  # fmt: skip
    assert both_of(archive).tolist() == [[1, 2], [0, 5]]


def test_without_both_there_is_no_pair() -> None:
    for rows in ([(0, LOW, 1.0), (1, FULL, 70.0)], low_rows(1.0, 2.0), [(4, FULL, 70.0)]):
        archive = archive_of(*rows)
        assert both_of(archive).shape == (0, 2)


@pytest.mark.parametrize("name", TARGETS)
def test_low_targets_are_those_of_the_low_rows_alone(name: Any) -> None:
    low = [50.0, 61.0, 55.0, 40.0]
    archive = archive_of(*low_rows(*low)[:2], (1, FULL, 99.0), *low_rows(*low)[2:], (0, FULL, 5.0))
    found = targets_of(archive, name)[0]
    expected = make_targets(np.array(low), name).numpy()
    np.testing.assert_array_equal(found[[0, 1, 3, 4]], expected)
    assert np.isnan(found[[2, 5]]).all()


def test_ranks_that_agree_need_no_correction() -> None:
    low = low_rows(10.0, 20.0, 30.0, 40.0, 50.0)
    archive = archive_of(*low, (1, FULL, 70.0), (4, FULL, 90.0), (0, FULL, 60.0), (2, FULL, 71.0))
    low_targets, correction = targets_of(archive)
    assert low_targets[:5] == pytest.approx(scores(1, 2, 3, 4, 5))
    assert correction.tolist() == pytest.approx([NAN] * 5 + [0.0] * 4, nan_ok=True)


@pytest.mark.parametrize(
    ("values", "final"),
    [  # of cells 1, 2, 4, 0, whose low values have ranks 2, 3, 5, 1 of five
        ((71.0, 70.0, 60.0, 90.0), (3, 2, 1, 5)),
        ((70.0, 60.0, 50.0, 90.0), (3, 2, 1, 5)),  # how far apart they are does not matter
        ((80.0, 70.0, 60.0, 90.0), (3, 2, 1, 5)),  # reversed: best low value, worst full one
        ((90.0, 71.0, 80.0, 60.0), (5, 2, 3, 1)),
    ],
)
def test_the_correction_leads_to_the_low_targets_dealt_out_by_full_value(
    values: Any, final: Any
) -> None:
    low = low_rows(10.0, 20.0, 30.0, 40.0, 50.0)
    cells, before = (1, 2, 4, 0), (2, 3, 5, 1)
    pairs = [(cell, FULL, value) for cell, value in zip(cells, values, strict=True)]
    correction = targets_of(archive_of(*low, *pairs))[1]
    by_rank = dict(zip(range(1, 6), scores(1, 2, 3, 4, 5), strict=True))
    expected = [by_rank[f] - by_rank[b] for f, b in zip(final, before, strict=True)]
    assert correction.tolist() == pytest.approx([NAN] * 5 + expected, nan_ok=True)


def test_the_least_promoted_cell_of_three_turns_out_best() -> None:
    """Numbers once without any formula: normal scores -1.150, -0.319, 0.319, 1.150 of four."""
    archive = archive_of(
        *low_rows(1.0, 2.0, 3.0, 4.0), (3, FULL, 60.0), (1, FULL, 80.0), (2, FULL, 70.0)
    )
    correction = targets_of(archive)[1, 4:]
    assert correction == pytest.approx([-0.3186 - 1.1503, 1.1503 + 0.3186, 0.0], abs=1e-4)


def test_no_correction_without_a_promotion() -> None:
    for rows in (low_rows(1.0, 2.0, 3.0), [*low_rows(1.0, 2.0), (5, FULL, 80.0)]):
        assert np.isnan(targets_of(archive_of(*rows))[1]).all()
    assert np.isnan(targets_of(archive_of((0, FULL, 70.0), (1, FULL, 80.0)))).all()
    alone = archive_of(*low_rows(1.0, 2.0, 3.0), (0, FULL, 99.0), (5, FULL, 80.0))
    assert targets_of(alone)[1, 3] == 0  # one cell is its own order
    assert np.isnan(targets_of(alone)[1, [0, 1, 2, 4]]).all()


MADE = st.lists(  # (low value, full value or None) of cells 0, 1, ...
    st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 10_000))),
    min_size=1,
    max_size=12,
)


def rows_of(made: Any, full: Any = float) -> Any:
    """Rows of ``MADE``, the full trainings behind, in another order than the low ones."""
    rows = low_rows(*(float(value) for value, _ in made))
    pairs = [(cell, FULL, full(value)) for cell, (_, value) in enumerate(made) if value is not None]
    return rows + pairs[::-1]


def distinct(made: Any) -> Any:
    known = [value for _, value in made if value is not None]
    return len(set(known)) == len(known)


@given(made=MADE, name=st.sampled_from(sorted(TARGETS)), data=st.data())
def test_targets_do_not_depend_on_the_order_of_rows(made: Any, name: Any, data: Any) -> None:
    assume(distinct(made))  # of equals, the first queried counts as the lesser
    rows = rows_of(made)
    order = data.draw(st.permutations(range(len(rows))))
    found = targets_of(archive_of(*(rows[row] for row in order)), name)
    expected = targets_of(archive_of(*rows), name)[:, order]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(made=MADE, name=st.sampled_from(sorted(TARGETS)))
def test_only_the_order_of_full_values_counts(made: Any, name: Any) -> None:
    expected = targets_of(archive_of(*rows_of(made)), name)
    for monotone in (lambda v: v / 7 - 300, lambda v: float(v) ** 3, lambda v: -1 / (v + 1)):
        np.testing.assert_array_equal(targets_of(archive_of(*rows_of(made, monotone)), name),
                                      expected)  # fmt: skip


@given(made=MADE, name=st.sampled_from(sorted(TARGETS)))
def test_final_targets_are_the_promoted_cells_low_ones_in_the_order_of_full_values(
    made: Any, name: Any
) -> None:
    archive = archive_of(*rows_of(made))
    low, correction = targets_of(archive, name)
    pairs = both_of(archive)
    known = [cell for cell, (_, value) in enumerate(made) if value is not None]
    assert sorted(pairs[:, 0]) == known
    final = low[pairs[:, 0]] + correction[pairs[:, 1]]
    np.testing.assert_allclose(np.sort(final), np.sort(low[known]), atol=1e-6)
    by_value = final[np.argsort(archive["value"].to_numpy()[pairs[:, 1]], kind="stable")]
    assert (np.diff(by_value) >= -1e-6).all()


# Which cells are promoted.

# Low targets of cells 0, 1, 2 with values 10, 20, 30 are -0.967, 0, 0.967.
THREE = low_rows(10.0, 20.0, 30.0)
OPINION = [(1.0, 0.0), (0.9, 0.0), (-1.2, 0.0)]


@pytest.mark.parametrize(
    ("measured", "order"),
    [
        (1.0, [2, 1, 0]),  # its own low value only
        (0.0, [0, 1, 2]),  # the proxy's only
        (0.5, [1, 0, 2]),  # 0.016, 0.45, -0.116
    ],
)
def test_the_order_of_promotion_follows_the_weight_of_what_was_measured(
    measured: float, order: Any
) -> None:
    archive = archive_of(*THREE)
    for count in (1, 2, 3, 5):
        assert promoted(archive, says(OPINION), count, measured=measured) == order[:count]


@pytest.mark.parametrize("measured", [0.0, 0.5, 1.0])
def test_the_correction_counts_in_full_whatever_the_weight(measured: float) -> None:
    opinion = [(1.0, 0.0), (0.9, 3.0), (-1.2, -3.0)]
    found = promoted(archive_of(*THREE), says(opinion), 3, measured=measured)
    assert found == [1, 0, 2]


def test_the_ensemble_is_averaged() -> None:
    one = [(9.0, 0.0), (0.0, 0.0), (0.0, 0.0)]
    two = [(-9.0, 0.0), (0.0, 1.0), (0.0, 4.0)]  # means 0, 0.5, 2
    assert promoted(archive_of(*THREE), says(one, two), 3, measured=0.0) == [2, 1, 0]


def test_equals_are_promoted_in_query_order() -> None:
    archive = archive_of((5, LOW, 10.0), (2, LOW, 10.0), (4, LOW, 10.0))
    assert promoted(archive, says([(0.0, 0.0)] * 6), 2) == [5, 2]


def test_no_promotion_before_there_are_enough_cells_or_where_it_cannot_be_paid() -> None:
    archive = archive_of(*THREE)
    assert promoted(archive, says(OPINION), low_first=4) == []
    assert promoted(archive, says(OPINION), low_first=3) == [1]
    assert promoted(archive, says(OPINION), count=0) == []
    assert promoted(archive_of(*THREE, (3, FULL, 80.0)), says(OPINION), low_first=4) == []
    # A promoted cell was trained briefly all the same.
    assert promoted(archive_of(*THREE, (1, FULL, 80.0)), says(OPINION), low_first=3) == [0]


def test_no_cell_is_promoted_twice() -> None:
    rows, left = list(THREE), [1, 0, 2]
    while left:
        assert promoted(archive_of(*rows), says(OPINION), 9) == left
        rows.append((left.pop(0), FULL, 80.0))
    assert promoted(archive_of(*rows), says(OPINION), 9) == []


def test_what_promotions_tell_changes_who_is_next(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    """A proxy is fitted: of equal low values, next is a cell like those that turned out well."""
    parameters = make_parameters(
        preset="low_fidelity", budget=2000,
        objective={"name": "multi_fidelity", "low_first": 8},
        proxy={"hidden": 8, "layers": 2, "members": 2}, fit={"first_epochs": 150, "lr": 0.05},
        selection={"batch": 2},
    )  # fmt: skip
    conv, pool = (torch.nonzero(CELLS[:, 0] == kind).flatten().tolist()[:8] for kind in (0, 1))
    # Both kinds have the same low values; three of each have been promoted, the best ones.
    low = [(cell, LOW, 50.0 + at) for kind in (conv, pool) for at, cell in enumerate(kind)]

    def next_of(good: Any, bad: Any) -> Any:
        pairs = [(cell, FULL, 90.0 + at) for at, cell in enumerate(good[-3:])]
        pairs += [(cell, FULL, 60.0 + at) for at, cell in enumerate(bad[-3:])]
        archive = archive_of(*low, *pairs)
        weights, _ = steps.fit_proxy(SPACE, archive, parameters, step=1)
        pool_of_one: dict[str, Any] = {"codes": CELLS[-1:], "group": torch.tensor([0])}
        pool_of_one |= dict.fromkeys(("duplicates", "twins", "draws", "rejected"), 0)
        parameters_now = parameters.model_copy(update={"budget": int(archive["cost"].sum()) + 224})
        batch = steps.select_batch(SPACE, pool_of_one, weights, archive, parameters_now, step=9)
        assert batch["epochs"].tolist() == [FULL, LOW]
        return SPACE.from_string([batch["architecture"][0]])[0, 0].item()

    assert next_of(conv, pool) == 0
    assert next_of(pool, conv) == 1


# What is charged.


def selected(
    objective: Any,
    archive: Any,
    parameters: Any,
    allowance: Any,
    new: int = 60,
    predict: Any = None,
) -> Any:
    """The batch of a step with ``new`` candidates, the last cells."""
    codes = CELLS[72 - new :] if new else CELLS[:0]
    pool = Pool(codes, torch.zeros(new).long(), 0, 0, 1)
    predict = predict or says([(cell / 72, 0.0) for cell in range(72)])
    stream = torch.Generator().manual_seed(0)
    parameters = parameters.model_copy(update={"objective": objective})
    return select_queries(SPACE, pool, predict, archive, parameters, allowance, 1, stream)


@BOTH
def test_what_a_promotion_costs(
    make_parameters: Callable[..., SearchParameters], continues: Any, price: Any
) -> None:
    objective = objective_of(continues=continues)
    archive = archive_of(*THREE)
    assert objective.price.promotion_columns(archive)["cost"].tolist() == [price] * 3
    batch = selected(objective, archive, make_parameters(), 224)
    new = {False: 2, True: 3}[continues]
    assert batch["epochs"].tolist() == [FULL] + [LOW] * new
    assert objective.price.costs(batch).tolist() == [price] + [LOW] * new
    assert batch["architecture"][0] == archive["architecture"][2]
    assert not set(batch["architecture"][1:]) & set(archive["architecture"])
    assert objective.price.initial_cost(3) == 3 * LOW
    assert objective.price.initial_columns(2)["cost"].tolist() == [LOW, LOW]
    assert objective.price.full_columns(1)["cost"].tolist() == [
        FULL
    ]  # a baseline's cell from nothing
    assert objective.price.capacity(72) == 72 * (price + LOW)


@BOTH
def test_no_promotion_that_the_step_cannot_pay(
    make_parameters: Callable[..., SearchParameters], continues: Any, price: Any
) -> None:
    objective = objective_of(continues=continues)
    for allowance, full in ((price - 1, 0), (price, 1), (2 * price - 1, 1), (2 * price, 2)):
        batch = selected(objective, archive_of(*THREE), make_parameters(), allowance)
        assert int((batch["epochs"] == FULL).sum()) == full


def test_a_promotion_has_a_prediction_of_its_value(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    fully = ((2, FULL, 60.0), (0, FULL, 70.0), (1, FULL, 80.0))
    archive = archive_of(*low_rows(1.0, 2.0, 3.0, 4.0), *fully)
    batch = selected(objective_of(), archive, make_parameters(fit={"targets": "rank"}), 224, 1)
    assert batch["epochs"].tolist() == [FULL, LOW]
    assert np.isfinite(batch["predicted"]).all()


def test_where_nothing_is_left_the_batch_is_empty_with_all_columns(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    archive = archive_of(*THREE)
    full = selected(objective_of(), archive, make_parameters(), 224)
    empty = selected(objective_of(), archive, make_parameters(), LOW, new=0)
    assert len(empty) == 0
    assert set(empty) == set(full)


def test_before_promotions_begin_a_step_buys_new_cells_only(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    objective = objective_of(low_first=4)
    batch = selected(objective, archive_of(*THREE), make_parameters(), 224)
    assert batch["cost"].tolist() == [LOW] * 18


def test_new_cells_are_chosen_by_the_final_value_and_told_with_the_low_one(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    """Of three candidates the second is best at first and the third in the end."""
    opinion = [(0.0, 0.0)] * 69 + [(-0.5, 0.0), (0.9, 0.0), (0.0, 1.5)]
    objective, parameters = objective_of(low_first=4), make_parameters(fit={"targets": "rank"})
    told = says(opinion, opinion)
    batch = selected(objective, archive_of(*THREE), parameters, 2 * LOW, 3, told)
    assert batch["architecture"].tolist() == SPACE.to_string(CELLS[[71, 70]])
    assert batch["score"].tolist() == pytest.approx([1.5, 0.9])
    # Percent after few epochs, which the query will tell: 20 at target 0, 30 at 0.967.
    expected = [20.0, 20 + 10 * 0.9 / scores(1, 2, 3)[2]]
    assert batch["predicted"].tolist() == pytest.approx(expected, rel=1e-5)


@given(
    allowance=st.integers(LOW, 1000),
    continues=st.booleans(),
    cells=st.integers(1, 11),
    new=st.integers(1, 60),
)
def test_a_step_spends_what_it_can_and_never_more(
    make_parameters: Callable[..., SearchParameters],
    allowance: Any,
    continues: Any,
    cells: Any,
    new: Any,
) -> None:
    objective = objective_of(continues=continues)
    archive = archive_of(*low_rows(*(float(cell) for cell in range(cells))))
    batch = selected(objective, archive, make_parameters(), allowance, new)
    left = allowance - objective.price.costs(batch).sum()
    assert left >= 0
    prices = dict(zip(batch["epochs"], batch["cost"], strict=True))
    assert prices.items() <= {LOW: LOW, FULL: 188 if continues else 200}.items()
    assert left < LOW or int((batch["epochs"] == LOW).sum()) == new
    grown = extend(archive, batch.assign(value=50.0), objective)
    charged = objective.price.identities(SPACE, grown, codes_of(SPACE, grown))
    assert len(set(charged)) == len(charged)


# What is the answer.


def test_the_answer_is_the_best_of_the_fully_trained_cells() -> None:
    objective = objective_of()
    archive = archive_of(
        (0, LOW, 95.0), (1, LOW, 20.0), (2, LOW, 99.0), (1, FULL, 70.0), (0, FULL, 60.0),
        (3, LOW, 90.0),
    )  # fmt: skip
    assert objective.order.incumbent(archive) == 3
    assert archive["best"].tolist() == pytest.approx([NAN, NAN, NAN, 70.0, 70.0, 70.0], nan_ok=True)
    assert objective.summary(archive) == {
        "spent_epochs": 4 * LOW + 2 * FULL, "low_queries": 4, "full_queries": 2,
    }  # fmt: skip
    assert (
        objective.order.incumbent(archive_of(*low_rows(1.0, 3.0, 2.0))) == 1
    )  # nearest to an answer


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 100)), min_size=1, max_size=20).filter(
        lambda rows: any(full for full, _ in rows)
    )
)
def test_no_low_value_is_ever_the_answer(rows: Any) -> None:
    archive = archive_of(
        *((cell, FULL if full else LOW, value) for cell, (full, value) in enumerate(rows))
    )
    answer = objective_of().order.incumbent(archive)
    assert rows[answer][0]
    assert rows[answer][1] == pytest.approx(max(value for full, value in rows if full))
    assert archive["best"].iloc[-1] == max(value for full, value in rows if full)


def test_agreement_of_the_fidelities_is_told_from_three_pairs_on() -> None:
    objective = objective_of()
    rows = low_rows(1.0, 2.0, 3.0, 9.0)
    pairs = [(2, FULL, 70.0), (1, FULL, 80.0), (0, FULL, 75.0)]  # ranks 3, 2, 1 and 1, 3, 2
    two, three = archive_of(*rows, *pairs[:2]), archive_of(*rows, *pairs)
    assert objective.diagnose(two.tail(1), two) == {
        "promoted": 1, "spent_epochs": 4 * LOW + 2 * FULL, "fidelity_spearman": None,
    }  # fmt: skip
    told = objective.diagnose(three.tail(3), three)
    assert told["promoted"] == 3
    assert told["fidelity_spearman"] == pytest.approx(-0.5)  # 1 - 6 (4 + 1 + 1) / (3 · 8)


def test_predicted_final_values_lie_on_the_line_through_the_pairs() -> None:
    """The three final targets are the low ones dealt out anew: ±0.967 and 0, at 60, 70, 80."""
    objective = objective_of()
    archive = archive_of(*THREE, (2, FULL, 60.0), (0, FULL, 70.0), (1, FULL, 80.0))
    top = scores(3, 2, 1)[0]
    predictions = torch.tensor([[[0.0, 0.5], [0.0, 0.5]], [[top, 0.5], [top, 0.5]]])  # [2, 2, 2]
    told = objective.task.predicted(predictions, archive, "rank")
    assert told["predicted"] == pytest.approx([70 + 10, 70 + 10 / top], rel=1e-5)
    assert told["predicted_sd"] == pytest.approx([20 / np.sqrt(2), 0.0], rel=1e-5, abs=1e-9)
    few = objective.task.predicted(predictions, archive.head(5), "rank")
    assert all(np.isnan(few[name]).all() for name in ("predicted", "predicted_sd"))


# Which fidelities there are.


def test_where_all_trials_have_one_target_nothing_is_predicted() -> None:
    objective = objective_of()
    low = [(cell, LOW, 50.0) for cell in range(3)]  # equal values have equal targets
    archive = archive_of(*low, (0, FULL, 60.0), (1, FULL, 70.0), (2, FULL, 80.0))
    told = objective.task.predicted(torch.zeros(1, 2, 4), archive, "rank")
    assert np.isnan(told["predicted"]).all()


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_what_a_new_trial_reveals_is_predicted_in_units(direction: str) -> None:
    objective = objective_of(direction=direction)
    archive = archive_of(*low_rows(50.0, 61.0, 55.0, 40.0), objective=objective)
    targets = objective.task.targets(archive, "rank").unsqueeze(0)  # a proxy that is right
    assert targets.dtype == torch.float32
    told = objective.task.revealed(targets, archive, "rank")
    assert told["predicted"] == pytest.approx([50.0, 61.0, 55.0, 40.0], abs=1e-3)


def benchmark_of(*epochs: Any, continues: bool = False) -> Any:
    known = changed(get_source("nb301_yahpo"), continues=continues, epochs=epochs)
    return SurrogateBenchmark(
        known, "cifar10", lambda *_: np.empty(0), {known.contents.target: "percent"}
    )


def test_fidelities_that_the_source_holds_do_not_raise() -> None:
    check_benchmark(objective_of(), benchmark_of(12, 200))
    check_benchmark(objective_of(low_epochs=5), benchmark_of(*range(1, 201)))
    check_benchmark(objective_of(continues=True), benchmark_of(12, 200, continues=True))
    # What could go on need not be charged so.
    check_benchmark(objective_of(), benchmark_of(12, 200, continues=True))


def test_training_that_cannot_go_on_is_not_charged_as_if_it_did() -> None:
    with pytest.raises(ObjectiveError, match=r"continues is on.* 12 epochs is a schedule of its"):
        check_benchmark(objective_of(continues=True), benchmark_of(12, 200))


def test_full_training_is_the_last_of_the_epochs() -> None:
    two, three = {"low_epochs": 12, "full_epochs": 100}, {"rungs": [12, 50, 100]}
    for settings, right in ((two, "objective.full_epochs=200"), (three, "last of .* must be 200")):
        with pytest.raises(ObjectiveError, match=rf"= 100, but .*{right}\.$"):
            check_benchmark(objective_of(**settings), benchmark_of(12, 50, 100, 200))


def test_long_curves_are_told_by_their_ends() -> None:
    settings = objective_of(low_epochs=150)
    held = [epoch for epoch in range(1, 201) if epoch != 150]
    with pytest.raises(MetricUnavailableError, match=r"low_epochs = 150: .*: 1 to 199\.$"):
        check_benchmark(settings, benchmark_of(*held))
