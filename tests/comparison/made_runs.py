"""Runs made up for comparisons: archives of a few queries with known best values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.evaluation.finished_run import FinishedRun, FoundRuns

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def cell(number: int) -> str:
    """The NB201 cell of a number."""
    names = [OPERATIONS[number // 5**i % 5] for i in range(6)]
    a, b, c, d, e, f = names
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def settings(values: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run by their dotted names, to be unpacked."""
    return values


def make_run(
    seed: int = 0,
    values: Any = (10.0, 30.0, 20.0, 40.0),
    *,
    table: str = "a" * 64,
    tags: dict[str, str] | None = None,
    optimum: float | None = 40.0,
    target: str | None = None,
    caution: str = "",
    **parameters: Any,
) -> FinishedRun:
    """A run whose queries had these values; the cell of a value is always the same."""
    values = np.asarray(values, dtype=float)
    settings = {
        "method": "optiproxy",
        "preset": "default",
        "space": "nb201",
        "benchmark": "nb201",
        "source": "embedded",
        "dataset": "cifar10",
        "budget": len(values),
        **parameters,
        "seed": seed,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    name = "-".join(
        str(settings.get(k, "")) for k in ("dataset", "method", "preset", "selection.batch", "seed")
    )
    archive = pd.DataFrame(
        {
            "order": np.arange(len(values)),
            "architecture": [cell(int(value * 10)) for value in values],
            "value": values,
        }
    )
    best = int(values.argmax())
    summary = {
        "optimum": optimum,
        "test_accuracy": float(values[best]) - 1,
        "best_architecture": archive["architecture"][best],
        **({"target": target, "caution": caution} if target else {}),
    }
    code_tags = {"code.sha256": "c" * 64, "git.commit": "d" * 40, "git.clean": "True"}
    return FinishedRun(
        name,
        nested(settings),
        summary,
        archive,
        table,
        {**code_tags, **(tags or {})},
        reference=f"ref-{name}",
    )


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """``{"fit.lr": 1}`` as a manifest has it: ``{"fit": {"lr": 1}}``."""
    parameters: dict[str, Any] = {}
    for name, value in settings.items():
        *sections, last = name.split(".")
        section = parameters
        for key in sections:
            section = section.setdefault(key, {})
        section[last] = value
    return parameters


def found(*runs: FinishedRun, **facts: Any) -> FoundRuns:
    return FoundRuns(runs, "made up", **facts)
