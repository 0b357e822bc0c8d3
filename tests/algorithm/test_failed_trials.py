"""Failed trials as evidence: where others failed, the proxy expects little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas import Space, search
from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.pending import archive_targets, failed_targets
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.proxies.targets import are_broken
from optiproxy_nas.spaces.nb201 import NASBench201

WIDE = Space(
    {"depth": [1, 2, 3, 4, 5, 6], "width": [16, 32, 64, 128, 256], "lr": [1, 2, 3, 4]}, name="wide"
)


def test_a_failed_trial_is_believed_a_quantile_of_the_archive(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    parameters = make_parameters(preset="default", fit={"failed": 0.5})
    failed = steps.initial_batch(nb201, parameters).head(3)
    targets = torch.tensor([[1.0, 5.0, 2.0], [0.0, 1.0, torch.nan]])
    found = failed_targets(nb201, failed, parameters, targets)
    assert found is not None
    codes, believed = found
    assert torch.equal(codes, codes_of(nb201, failed))
    assert believed[0].tolist() == [2.0] * 3
    assert believed[1].isnan().all()  # of another metric nothing is known
    ignoring = make_parameters(preset="default", fit={"failed": None})
    assert failed_targets(nb201, failed, ignoring, targets) is None
    assert failed_targets(nb201, failed.head(0), parameters, targets) is None
    assert failed_targets(nb201, None, parameters, targets) is None


@pytest.mark.heavy
@pytest.mark.parametrize("seed", [1000, 1001])
def test_what_fails_for_a_reason_is_soon_left_alone(seed: int) -> None:
    def train(network: Any) -> Any:
        if network["depth"] * network["width"] > 256:
            raise MemoryError("out of memory")
        return network["depth"] * network["width"] / 64 - (network["lr"] - 2) ** 2

    failures = []
    for believed in (None, 0.25):
        result = search(
            space=WIDE, evaluate=train, budget=40, seed=seed, fit={"failed": believed},
            gradient={"epochs": 1, "groups": 2}, failures={"in_a_row": None, "share": None},
        )  # fmt: skip
        failures.append(sum(trial.state == "failed" for trial in result.trials))
        if believed is not None:
            assert result.best_value == 4.0
    assert failures[1] < failures[0]


def test_a_value_far_below_all_others_is_a_failed_one(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    parameters = make_parameters(preset="default")
    batch = steps.initial_batch(nb201, parameters)
    values = [50.0 + row for row in range(len(batch) - 1)] + [-1e9]
    archive = steps.update_archive(batch.assign(value=values), parameters)
    targets = archive_targets(archive, parameters)[0]
    assert float(targets[-1]) == pytest.approx(float(targets[:-1].quantile(0.25)))
    ensemble = make_parameters(preset="ensemble")
    assert int(archive_targets(archive, ensemble)[0].argmin()) == len(batch) - 1
    # Neither 10 % accuracy beside 90, nor anything where most are alike.
    assert not are_broken(np.array([10.0, 10.0, 90.0, 91.0, 91.5, 91.6])).any()
    assert not are_broken(np.array([0.0, 5.0, 5.0, 5.0, 5.0, 5.0])).any()
    assert not are_broken(np.full(4, 7.0)).any()


@pytest.mark.parametrize(
    ("values", "broken"),
    [
        ([50.0, 51.0, -1e9], 1),
        ([50.0, 51.0, 52.0, -1e9], 1),
        ([50.0, 51.0, 52.0, 53.0, 54.0, -1e9, -1e9, -2e9, np.finfo(np.float64).min], 4),
        ([50.0, -1e9], 0),  # which of the two is it?
        ([10.0, 10.0, 90.0, 91.0], 0),
        ([10.0, 91.0, 91.001], 0),
        ([7.0], 0),
    ],
)
def test_few_values_and_many_broken_ones_are_told_apart(values: Any, broken: int) -> None:
    found = are_broken(np.array(values))
    assert found.sum() == broken
    assert found[len(values) - broken :].all()


def test_what_failed_on_an_upper_rung_says_nothing_of_the_lowest(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    rungs = {"name": "multi_fidelity", "rungs": [2, 4, 8], "low_first": 6, "step_epochs": 12}
    parameters = make_parameters(objective=rungs, budget=52, fit={"failed": 0.25})
    batch = steps.initial_batch(nb201, parameters)
    targets = torch.arange(18.0).view(3, 6)
    failed = batch.head(3).assign(epochs=[2, 4, 8])
    found = failed_targets(nb201, failed, parameters, targets)
    assert found is not None
    codes, believed = found
    assert torch.equal(codes, codes_of(nb201, failed.head(1)))
    assert believed.shape == (3, 1)
    assert failed_targets(nb201, failed.tail(2), parameters, targets) is None


def test_a_broken_value_of_an_upper_rung_says_nothing_of_the_lowest(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    rungs = {"name": "multi_fidelity", "rungs": [2, 4, 8], "low_first": 6, "step_epochs": 12}
    parameters = make_parameters(objective=rungs, budget=52, fit={"failed": 0.25})
    batch = steps.initial_batch(nb201, parameters)
    low = steps.update_archive(batch.assign(value=np.arange(50.0, 50.0 + len(batch))), parameters)
    raised = low.tail(3).assign(epochs=4, value=[90.0, 91.0, -1e9])
    archive = pd.concat([low, raised], ignore_index=True)
    assert are_broken(archive["value"].to_numpy())[-1]
    targets = archive_targets(archive, parameters)
    assert targets[0, -3:].isnan().all()
    assert torch.isfinite(targets[0, :-3]).all()
