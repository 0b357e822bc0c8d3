"""Made-up evaluations for objectives, on any of the two spaces, and archives of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from optiproxy_nas.algorithm.archive import extend, make_batch
from optiproxy_nas.evaluation.batch import evaluate_trials
from optiproxy_nas.evaluation.function_evaluator import Batched, batched


def worth(space: Any, architectures: Any, seed: int = 0) -> Any:
    """A made-up number of each architecture, about 0 to 1, from its operations and edges."""
    stream = torch.Generator().manual_seed(seed)
    weights = torch.rand(space.num_nodes, len(space.operations), generator=stream)
    edges = torch.rand(space.num_edges, generator=stream)
    encoding = space.encode(space.from_string(list(architectures)))
    total = (encoding.operations * weights).sum((-1, -2)) + encoding.edges @ edges
    return (total / (space.num_nodes + space.num_edges)).double().numpy()


class MadeUp(Batched):
    """Value 50 to 90 and ``latency_ms`` 2 to 10, which rise together; ``size_mb`` does not, and
    ``some_fail_ms`` is infinite for about a third.

    What an ordinary objective asks for is the value alone (``columns`` empty).
    """

    def __init__(self, space: Any, *columns: Any) -> None:
        super().__init__(self._answer)
        self.space, self.columns = space, columns
        self.calls: list[Any] = []

    def _answer(self, architectures: Any) -> Any:
        self.calls.append(list(architectures))
        told = self.all(architectures)
        return (
            {name: told[name] for name in ("value", *self.columns)}
            if self.columns
            else (told["value"])
        )

    def all(self, architectures: Any) -> Any:
        one, two = worth(self.space, architectures), worth(self.space, architectures, 1)
        return {
            "value": 50 + 40 * one,
            "latency_ms": 2 + 6 * one + 2 * two,
            "size_mb": 1.0 + two,
            "some_fail_ms": np.where(10 * two % 1 > 0.7, np.inf, 1 + one),
        }


def archive_of(
    space: Any, objective: Any, sizes: Any = (8, 5, 5), seed: int = 0, **columns: Any
) -> Any:
    """An archive in steps 0, 1, ... of the given sizes, made-up values; ``columns`` override."""
    codes = space.random(3 * sum(sizes), torch.Generator().manual_seed(seed)).unique(dim=0)
    codes = codes[torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))]
    evaluate = MadeUp(space, "latency_ms", "size_mb", "some_fail_ms")
    archive, start = None, 0
    for step, size in enumerate(sizes):
        batch = make_batch(space, codes[start : start + size], step)
        told = evaluate(batch["architecture"])
        told |= {
            name: np.asarray(values, dtype=np.float64)[start : start + size]
            for name, values in columns.items()
        }
        ask = (lambda names, t=told: t) if objective.columns else (lambda names, t=told: t["value"])
        rows, _ = evaluate_trials(objective, batch, batched(ask))
        archive = extend(archive, rows, objective)
        start += size
    assert isinstance(archive, pd.DataFrame)
    return archive
