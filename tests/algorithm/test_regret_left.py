"""The probability that more than epsilon of regret is left, and the rule that ends a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas import Search, search
from optiproxy_nas.algorithm import regret_left as rule
from optiproxy_nas.algorithm.archive import extend, make_batch
from optiproxy_nas.algorithm.gaussian_posterior import Process
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.spaces import get_space

SPACE, PLAIN = get_space("nb201"), resolve_objective("accuracy")
QUICK: dict[str, Any] = {
    "budget": 30,
    "initial_samples": 6,
    "fit": {"first_epochs": 2, "epochs": 2},
    "gradient": {"epochs": 2, "groups": 2},
    "selection": {"samples": 10},
}


def worth(architecture: str) -> float:
    return float(architecture.count("conv_3x3") - architecture.count("pool"))


def archive_of(values: Any, objective: Any = PLAIN, **columns: Any) -> pd.DataFrame:
    codes = SPACE.random(len(values), torch.Generator().manual_seed(1))
    batch = make_batch(SPACE, codes, 0).assign(value=np.asarray(values, dtype=float), **columns)
    return extend(None, batch, objective)


def test_queries_count_since_the_best_was_within_epsilon() -> None:
    archive = archive_of([1.0, 5.0, 2.0, 5.1, 3.0])
    assert rule.queries_without_gain(archive, PLAIN, 0.2) == 3
    assert rule.queries_without_gain(archive, PLAIN, 0.05) == 1
    lowest = resolve_objective({"name": "accuracy", "direction": "minimize"})
    assert rule.queries_without_gain(archive_of([1.0, 5.0], lowest), lowest, 0.2) == 1


def test_a_larger_share_and_a_later_gain_leave_more_regret() -> None:
    assert rule.recalibrated(0.5, 20) > rule.recalibrated(0.1, 20) > rule.recalibrated(0.1, 40)
    assert 0 < rule.recalibrated(0.0, 500) < rule.recalibrated(1.0, 0) < 1


def test_a_process_without_data_nearby_has_its_prior_and_with_data_repeats_it() -> None:
    """Matérn-5/2 with noise: far from the data the mean is the constant, at the data the target."""
    inputs, targets = np.linspace(0, 1, 8)[:, None], np.sin(6 * np.linspace(0, 1, 8))
    process = Process.fit(inputs, targets)
    assert sum(hyper.weight for hyper in process.grid) == pytest.approx(1)
    at_data, far = process.exceedance(inputs, 0.0), process.exceedance(np.array([[50.0]]), 0.0)
    assert np.corrcoef(at_data, targets)[0, 1] > 0.9
    assert np.abs(far).max() < np.abs(at_data).max()
    drawn = process.maxima(inputs, 500, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(targets.max(), abs=0.3)


def test_the_probability_follows_from_the_archive_and_the_seed_alone() -> None:
    archive = archive_of([worth(text) for text in archive_of(range(12))["architecture"]])
    found = [rule.regret_left(SPACE, archive, PLAIN, 0.5, seed=3) for _ in range(2)]
    assert found[0] == found[1]
    assert rule.regret_left(SPACE, archive, PLAIN, 50.0, seed=3) <= found[0]
    turned = resolve_objective({"name": "accuracy", "direction": "minimize"})
    mirrored = archive_of(-archive["value"], turned)
    assert rule.regret_left(SPACE, mirrored, turned, 0.5, seed=3) == pytest.approx(found[0])


def test_trials_made_before_are_no_queries() -> None:
    archive = archive_of([9.0, *range(11)])
    late = rule.regret_left(SPACE, archive, PLAIN, 2.0, 0, given=12)
    assert late > rule.regret_left(SPACE, archive, PLAIN, 2.0, 0)


def test_nothing_eligible_leaves_all_regret() -> None:
    bounded = resolve_objective({"name": "constrained", "constraints": ["latency_ms <= 1"]})
    archive = archive_of([1.0, 2.0, 3.0], bounded, **broken(3))
    assert rule.regret_left(SPACE, archive, bounded, 0.5, 0) == 1.0


def broken(count: int) -> Any:
    return {"latency_ms": [5.0] * count, "violation": [4.0] * count, "feasibility": [0.0] * count}


@pytest.mark.heavy
def test_the_search_ends_with_the_reason_and_shows_each_step() -> None:
    stop = {"epsilon": 3.0, "confidence": 0.8}
    found = search(evaluate=worth, stop_regret=stop, **QUICK)
    assert "stop_regret" in found.stopped
    assert len(found.archive) < QUICK["budget"]
    left = found.diagnostics["regret_left"]
    assert (left.iloc[:-1] > 0.2).all()
    assert left.iloc[-1] <= 0.2
    again = search(evaluate=worth, stop_regret=stop, initial=found, **QUICK)
    pd.testing.assert_frame_equal(again.archive, found.archive)
    longer = search(evaluate=worth, initial=found, **QUICK)
    assert len(longer.archive) == QUICK["budget"]
    assert (
        longer.archive["architecture"]
        .iloc[: len(found.archive)]
        .equals(found.archive["architecture"])
    )


@pytest.mark.heavy
@pytest.mark.parametrize("way", ["initial", "journal"])
def test_a_rule_that_is_added_ends_a_search_only_after_all_that_was_made(
    way: str, tmp_path: Path
) -> None:
    asked = []

    def noted(architecture: str) -> float:
        asked.append(architecture)
        return worth(architecture)

    stop, run = {"epsilon": 3.0, "confidence": 0.8}, QUICK | {"budget": 20}
    place: dict[str, Any] = {"journal": tmp_path / "j.jsonl"} if way == "journal" else {}
    whole = search(evaluate=noted, **place, **run)
    place = place or {"initial": whole}
    longer = search(evaluate=noted, stop_regret=stop, **place, **QUICK)
    assert 20 <= len(longer.archive) == len(set(asked)) == len(asked) < QUICK["budget"]
    assert "stop_regret" in longer.stopped
    pd.testing.assert_frame_equal(longer.archive.iloc[:20], whole.archive)


def test_open_trials_do_not_end_a_search_that_is_asked_and_told() -> None:
    opened = Search(stop_regret={"epsilon": 3.0, "confidence": 0.8}, **QUICK)
    while trials := opened.ask(3):
        for trial in trials:
            opened.tell(trial, worth(trial.architecture))
    assert "stop_regret" in opened.done


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"stop_regret": {"epsilon": 0.0}}, "stop_regret.epsilon"),
        ({"stop_regret": {"epsilon": float("inf")}}, "stop_regret.epsilon"),
        ({"stop_regret": {"epsilon": 1.0, "confidence": 1.0}}, "stop_regret.confidence"),
        ({"stop_regret": {"epsilon": 1.0, "confidence": 0.0}}, "stop_regret.confidence"),
        ({"stop_regret": {"epsilon": 1.0}, "method": "random_search"}, "random_search"),
        ({"stop_regret": {"epsilon": 1.0}, "objective": "multi_fidelity"}, "multi_fidelity"),
    ],
)
def test_what_means_nothing_is_refused_before_the_first_trial(arguments: Any, name: str) -> None:
    asked: list[Any] = []
    with pytest.raises(ParameterError, match=name):
        search(evaluate=asked.append, **arguments)
    assert not asked
