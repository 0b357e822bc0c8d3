"""The adapter over NASLib's graph contract, against a small fake of it."""

from __future__ import annotations

from typing import Any

import pytest

from optiproxy_nas import search
from optiproxy_nas.benchmarks.readers.naslib import NASLibObjective
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError

CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|"
# By hand, from NASLib's conversions.py: edges (1,2) (1,3) (1,4) (2,3) (2,4) (3,4), operations
# skip_connect 0, none 1, nor_conv_3x3 2, nor_conv_1x1 3, avg_pool_3x3 4.
INDICES = [2, 3, 1, 0, 4, 2]


class FakeGraph:
    """What ``NasBench201SearchSpace`` answers to; a spec may be set once, as there."""

    def __init__(self) -> None:
        self.spec: Any = None

    def set_spec(self, spec: Any) -> None:
        assert self.spec is None
        self.spec = spec

    def query(self, metric: str, dataset: Any, dataset_api: Any) -> Any:
        assert metric == "val"
        return dataset_api[dataset][tuple(self.spec)]


class Convolutions(dict[str, Any]):
    """A data set in which a 3x3 convolution is worth more than a 1x1."""

    def __missing__(self, spec: Any) -> Any:
        return 50.0 + 5 * spec.count(2) + 2 * spec.count(3)


def test_specs_are_naslibs() -> None:
    api = {"cifar10": {tuple(INDICES): 90.0, (1,) * 6: 10.0}}
    objective = NASLibObjective("cifar10", api, FakeGraph, "val")
    nothing = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    assert [objective(CELL), objective(nothing)] == [90.0, 10.0]


@pytest.mark.heavy
def test_a_search_runs_on_it() -> None:
    objective = NASLibObjective("cifar10", {"cifar10": Convolutions()}, FakeGraph, "val")
    result = search(evaluate=objective, budget=40, seed=1000)
    assert result.best_value == 80.0


def test_an_invalid_cell_is_refused() -> None:
    with pytest.raises(InvalidArchitectureError):
        NASLibObjective("cifar10", {}, FakeGraph, "val")("|none~0|")


def test_without_naslib_the_message_says_what_to_do() -> None:
    with pytest.raises(DataError, match="source=naslib"):
        NASLibObjective("cifar10", {})(CELL)
