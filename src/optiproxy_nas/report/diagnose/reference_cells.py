"""Reference cells: those that a finished run is judged on, with values read after the search.

Of a run on a problem, its own trials: others would have to be trained.

All cells of the benchmark's table where it has one of a size that can be shown; random ones of a
larger table; and random architectures of the space, asked of the benchmark, where nothing can be
enumerated. Where cells are drawn, those that the run queried join them, and the best of the table.
"""

from __future__ import annotations

from collections.abc import Hashable, Set
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of, make_batch
from optiproxy_nas.core.arrays import Floats, Integers
from optiproxy_nas.core.random_streams import torch_generator
from optiproxy_nas.evaluation.batch import evaluate_trials
from optiproxy_nas.evaluation.benchmark_problem import evaluator_of, whole_table
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.spaces.base import SearchSpace

OF_TABLE = 20_000  # cells drawn of a larger table
OF_SPACE = 2_000  # architectures drawn where there is no table


class Cells(NamedTuple):
    """Cells of the run's dataset, as its objective sees them."""

    codes: Tensor  # [T, L]
    values: Floats  # [T] of the benchmark's target
    ranks: Integers  # [T] place in the objective's order, higher is better
    table: pd.DataFrame  # architecture, value and the metrics that the objective asks for
    drawn: int  # the first so many rows are all cells, or random ones; the rest joined them
    total: int  # cells of the benchmark's table; 0: it has none
    optimum: float | None  # the best value that an answer may have; None: nobody knows it

    @property
    def complete(self) -> bool:
        """Whether they are all that the benchmark has."""
        return self.drawn == self.total

    @property
    def description(self) -> str:
        """What they are, for a caption."""
        if not self.drawn:
            return "The trials of the run"
        if self.complete:
            return "All cells of the table"
        if self.total:
            return (
                f"{self.drawn:,} random cells of the {self.total:,} of the table, with the best "
                "one and those queried,"
            )
        return (
            f"{self.drawn:,} random architectures of the space, as there is no table of all, with "
            "those queried,"
        )


def cells_of(space: SearchSpace, run: SearchHistory) -> Cells:
    """Return the cells to judge a run on; the draw does not depend on the run."""
    objective = run.parameters.objective
    table = whole_table(objective, run.benchmark)
    total, optimum, best = 0, None, None
    if run.parameters.problem is not None:
        table = run.archive[["architecture", "value", *objective.columns]]
        codes, values = codes_of(space, run.archive), table["value"].to_numpy(np.float64)
        return Cells(codes, values, objective.order.ranks(table), table, 0, 0, None)
    if table is None:
        table = _ask(space, run, _random(space, OF_SPACE))
    else:
        total = len(table)
        eligible = objective.order.eligible(table)
        # NaN: no cell may be the answer.
        optimum = float(table["value"][eligible].max()) if eligible.any() else float("nan")
        if total > OF_TABLE:
            best = table.iloc[[objective.order.incumbent(table)]]
            draw = torch.randperm(total, generator=torch_generator(0, 0, "probe-cells"))
            table = table.iloc[draw[:OF_TABLE].sort().values.numpy()]
    codes, drawn = space.from_string(table["architecture"].tolist()), len(table)
    if drawn != total:
        more = [] if best is None else [space.from_string(best["architecture"].tolist())]
        joining = torch.cat([*more, codes_of(space, run.archive)])
        joining = _new(space, joining, set(space.identify(codes)))
        table = pd.concat([table, _ask(space, run, joining)], ignore_index=True)
        codes = torch.cat([codes, joining])
    values = table["value"].to_numpy(np.float64)
    return Cells(codes, values, objective.order.ranks(table), table, drawn, total, optimum)


def probe_rows(run: SearchHistory, space: SearchSpace, cells: Cells, count: int) -> Integers:
    """Return rows of at most ``count`` random cells, without those that the run queried.

    The draw does not depend on the run, so runs are judged on the same cells.

    Args:
        run: whose queries are left out.
        space: the search space.
        cells: of :func:`cells_of`.
        count: cells drawn.
    """
    order = torch.randperm(cells.drawn, generator=torch_generator(0, 0, "probe"))[:count]
    queried = set(space.identify(codes_of(space, run.archive)))
    drawn = space.identify(cells.codes[order])
    keep = [row for row, name in zip(order.tolist(), drawn, strict=True) if name not in queried]
    return torch.tensor(keep, dtype=torch.int64).numpy()


def _random(space: SearchSpace, count: int) -> Tensor:
    """Return random architectures [n, L], each once."""
    return _new(space, space.random(count, torch_generator(0, 0, "probe-cells")), set())


def _new(space: SearchSpace, codes: Tensor, names: Set[Hashable]) -> Tensor:
    """Return those of codes [n, L] that are not among ``names``, each once."""
    first: dict[Hashable, int] = {}
    for row, name in enumerate(space.identify(codes)):
        if name not in names:
            first.setdefault(name, row)
    return codes[list(first.values())]


def _ask(space: SearchSpace, run: SearchHistory, codes: Tensor) -> pd.DataFrame:
    """Return architecture, value and metrics of codes [n, L], asked as the search asked."""
    objective = run.parameters.objective
    batch = make_batch(space, codes, step=0)
    answered, _ = evaluate_trials(objective, batch, evaluator_of(objective, run.benchmark))
    return answered[["architecture", "value", *objective.columns]]
