from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.report.diagnose import proxy_gap as gap
from optiproxy_nas.report.diagnose.reference_cells import Cells, probe_rows
from optiproxy_nas.spaces.nb201 import NASBench201


def test_rank_agreement() -> None:
    values = np.arange(10.0)
    assert gap.rank_agreement(values, values) == pytest.approx(1)
    assert gap.rank_agreement(-values, values) == pytest.approx(-1)
    # One pair of neighbours exchanged: 44 pairs agree, 1 does not.
    swapped = values.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert gap.rank_agreement(swapped, values) == pytest.approx(43 / 45)
    assert math.isnan(gap.rank_agreement(np.ones(10), values))
    assert math.isnan(gap.rank_agreement(values[:4], values[:4]))


def test_the_top() -> None:
    values = np.array([1.0, 5.0, 3.0, 5.0, 2.0])
    assert gap.top_rows(values, 0.4).tolist() == [1, 3]
    assert gap.top_rows(values, 0.01).tolist() == [1]
    predicted = np.array([9.0, 8.0, 0.0, 0.0, 0.0])
    assert gap.top_recall(predicted, values, 0.4) == 0.5
    assert gap.top_recall(values, values, 0.4) == 1
    assert gap.favourite_regret(predicted, values) == 4
    assert gap.favourite_regret(values, values) == 0


@pytest.fixture(scope="module")
def judged(nb201: NASBench201, run: SearchHistory, cells: Cells) -> Any:
    return gap.judge(nb201, run, cells, 200)


def test_todays_predictions_are_those_that_the_run_stored(
    nb201: NASBench201, run: SearchHistory, judged: Any
) -> None:
    assert gap.reproduction_error(run, judged) < 1e-4
    for step in run.steps:
        batch = run.archive[run.archive["step"] == step]
        ours = gap.predict_at(nb201, run, step, codes_of(nb201, run.archive)[batch.index.tolist()])
        assert ours.value == pytest.approx(batch["predicted"].to_numpy(), abs=1e-4)


def test_the_probe_is_fixed_and_holds_no_query(
    nb201: NASBench201, run: SearchHistory, cells: Cells
) -> None:
    rows = probe_rows(run, nb201, cells, 2000)
    queried = set(nb201.identify(codes_of(nb201, run.archive)))
    assert len(set(rows.tolist())) == len(rows) >= 2000 - len(queried)
    assert not queried & set(nb201.identify(cells.codes[rows]))
    half = run._replace(archive=run.archive.head(8))
    more = probe_rows(half, nb201, cells, 2000).tolist()
    assert [row for row in more if row in set(rows.tolist())] == rows.tolist()


def test_the_archive_known_to_a_proxy_is_what_came_before(run: SearchHistory, judged: Any) -> None:
    for step, rows in judged.archive.groupby("step"):
        assert rows["known"].sum() == 8 + 5 * (step - 1)
        assert rows["query"].tolist() == list(range(1, 34))


def oracle(run: Any, judged: Any, sign: Any) -> Any:
    """As if every proxy had known the truth, or its opposite."""
    archive = judged.archive.assign(
        predicted=judged.archive["value"], predicted_target=sign * judged.archive["value"]
    )
    return judged._replace(archive=archive, probe=dict.fromkeys(run.steps, sign * judged.truth))


def test_numbers_of_a_perfect_proxy_and_of_its_opposite(run: SearchHistory, judged: Any) -> None:
    perfect = gap.gap_table(run, oracle(run, judged, 1), 10, 0.1)
    assert perfect["probe_kendall_tau"].to_numpy() == pytest.approx(1)
    assert perfect["probe_top_kendall_tau"].to_numpy() == pytest.approx(1)
    assert (perfect["probe_top_recall"] == 1).all()
    assert (perfect["probe_regret"] == 0).all()
    assert perfect["next_kendall_tau"].to_numpy() == pytest.approx(1)
    assert perfect["next_queries"].tolist() == [10, 10, 10, 10, 5]
    assert perfect["fitted_on"].tolist() == [8, 13, 18, 23, 28]
    assert perfect["queries"].tolist() == [13, 18, 23, 28, 33]
    wrong = gap.gap_table(run, oracle(run, judged, -1), 10, 0.1)
    assert wrong["probe_kendall_tau"].to_numpy() == pytest.approx(-1)
    assert (wrong["probe_top_recall"] == 0).all()
    assert wrong["probe_regret"].to_numpy() == pytest.approx(np.ptp(judged.truth))


def test_optimism_is_that_of_the_stored_predictions(run: SearchHistory, judged: Any) -> None:
    shifted = run._replace(archive=run.archive.assign(predicted=run.archive["value"] + 0.5))
    found = gap.gap_table(shifted, judged, 10, 0.1)
    assert found["optimism"].to_numpy() == pytest.approx(0.5)
    assert (found["batch_predicted"] - found["batch_value"]).to_numpy() == pytest.approx(0.5)
    # Each recent query as predicted before it, that is, in the right order here.
    assert found["recent_kendall_tau"].to_numpy() == pytest.approx(1)


def test_measuring_twice_gives_the_same(
    nb201: NASBench201, run: SearchHistory, cells: Cells, judged: Any
) -> None:
    again = gap.judge(nb201, run, cells, 200)
    pd.testing.assert_frame_equal(
        gap.gap_table(run, again, 10, 0.1), gap.gap_table(run, judged, 10, 0.1)
    )
