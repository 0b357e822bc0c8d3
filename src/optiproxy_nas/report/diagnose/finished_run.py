"""A finished search run, as it was stored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.core.random_streams import one_thread
from optiproxy_nas.proxies.fit import load_proxy, predict
from optiproxy_nas.spaces.base import SearchSpace

Tensors = dict[str, Tensor]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class FinishedRun(NamedTuple):
    """What a run left, by step 1..S where there is one of each step."""

    run_id: str
    parameters: SearchParameters
    archive: pd.DataFrame  # D, one row a query
    weights: dict[int, Tensors]  # θ*
    logits: dict[int, Tensors]  # (α, β) after the search epochs
    traces: dict[int, Tensors]  # of the search epochs
    benchmark: Benchmark  # what the run's queries were answered from

    @property
    def steps(self) -> list[int]:
        """1..S."""
        return sorted(self.weights)

    def known_to(self, step: int) -> pd.DataFrame:
        """The archive that the step's proxy was fitted on."""
        return self.archive[self.archive["step"] < step]


class Prediction(NamedTuple):
    """What one step's proxy says of n architectures."""

    mean: Floats  # [n] mean of the members in the units of the targets: ranks by it have no ties
    value: Floats  # [n] the same in the units of the value, as the archive's "predicted" is
    others: dict[str, Floats]  # metric -> [n], of the other heads, where the objective tells them


@one_thread()
def predict_at(space: SearchSpace, run: FinishedRun, step: int, codes: Tensor) -> Prediction:
    """Predictions of the proxy of ``step`` for codes [n, L].

    Raises:
        ProxyError: a prediction is not finite.
    """
    parameters = run.parameters
    objective = parameters.objective
    proxy = load_proxy(space, parameters.proxy, run.weights[step], objective.heads)
    predictions = predict(proxy, space.encode(codes))  # [E, H, n]
    told = objective.predicted(predictions, run.known_to(step), parameters.fit.targets)
    others = {m: told[f"predicted_{m}"] for m in objective.columns if f"predicted_{m}" in told}
    return Prediction(predictions[:, 0].double().mean(0).numpy(), told["predicted"], others)


def archive_codes(space: SearchSpace, run: FinishedRun) -> Tensor:
    """Codes [n, L] of the archive."""
    return codes_of(space, run.archive)
