"""A finished search run, as it was stored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.benchmarks.tabular import TabularBenchmark
from optiproxy_nas.objectives import objective_of
from optiproxy_nas.parameters import SearchParameters
from optiproxy_nas.proxies.fit import load_proxy, predict
from optiproxy_nas.reproducibility import one_thread, torch_generator
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
    table: pd.DataFrame  # the tidy table that the run's queries were answered from

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
    value: Floats  # [n] the same in percent, as the archive's "predicted" is
    others: dict[str, Floats]  # metric -> [n], of the other heads, where the objective tells them


@one_thread()
def predict_at(space: SearchSpace, run: FinishedRun, step: int, codes: Tensor) -> Prediction:
    """Predictions of the proxy of ``step`` for codes [n, L].

    Raises:
        ProxyError: a prediction is not finite.
    """
    parameters = run.parameters
    objective = objective_of(parameters)
    proxy = load_proxy(space, parameters.proxy, run.weights[step], objective.heads)
    predictions = predict(proxy, space.encode(codes))  # [E, H, n]
    told = objective.predicted(predictions, run.known_to(step), parameters.fit.targets)
    others = {m: told[f"predicted_{m}"] for m in objective.columns if f"predicted_{m}" in told}
    return Prediction(predictions[:, 0].double().mean(0).numpy(), told["predicted"], others)


def archive_codes(space: SearchSpace, run: FinishedRun) -> Tensor:
    """Codes [n, L] of the archive."""
    return codes_of(space, run.archive)


class Cells(NamedTuple):
    """All cells of the run's dataset, as its objective sees them."""

    codes: Tensor  # [T, L]
    accuracy: Floats  # [T] validation accuracy, percent
    fitness: Floats  # [T] higher is better, also where the accuracy alone does not decide
    eligible: NDArray[np.bool_]  # [T] whether it may be the answer
    table: pd.DataFrame  # architecture, value and the metrics that the objective asks for

    @property
    def optimum(self) -> float:
        """The best value that an answer may have, percent; NaN where no cell may be one."""
        return float(self.accuracy[self.eligible].max()) if self.eligible.any() else float("nan")


def table_cells(space: SearchSpace, run: FinishedRun) -> Cells:
    """The table of the run, read now, after the search."""
    parameters = run.parameters
    objective = objective_of(parameters)
    table = objective.whole(TabularBenchmark(run.table, parameters.dataset, parameters.source))
    assert table is not None  # a run that was stored with its table has one
    return Cells(
        space.from_string(table["architecture"].tolist()),
        table["value"].to_numpy(np.float64),
        objective.fitness(table),
        objective.eligible(table),
        table,
    )


def probe_rows(run: FinishedRun, space: SearchSpace, codes: Tensor, count: int) -> Rows:
    """Rows of at most ``count`` random cells of the table, without those that the run queried.

    The draw does not depend on the run, so runs are judged on the same cells.

    Args:
        run: whose queries are left out.
        space: the search space.
        codes: the table's cells [T, L].
        count: cells drawn.
    """
    order = torch.randperm(len(codes), generator=torch_generator(0, 0, "probe"))[:count]
    queried = set(space.identify(archive_codes(space, run)))
    drawn = space.identify(codes[order])
    keep = [row for row, name in zip(order.tolist(), drawn, strict=True) if name not in queried]
    return torch.tensor(keep, dtype=torch.int64).numpy()
