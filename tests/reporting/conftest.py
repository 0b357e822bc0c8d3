"""A made-up but realistic run: 20 random cells, then steps that get better and more certain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.report import RunData, figures_of
from optiproxy_nas.spaces.nb201 import NASBench201


def make_run(
    initial: int = 20, steps: int = 8, batch: int = 10, groups: int = 10, epochs: int = 60
) -> Any:
    space, rng = NASBench201(), np.random.default_rng(0)
    count = initial + steps * batch
    codes = space.random(count, torch.Generator().manual_seed(0)).numpy()
    step = np.repeat(np.arange(steps + 1), [initial] + [batch] * steps)
    # Later steps prefer convolutions, so their values rise; some cells fail at chance level.
    better = rng.random(codes.shape) < 0.75 * (step / max(steps, 1))[:, None] ** 0.5
    codes = np.where(better, rng.choice([2, 3, 3], codes.shape), codes)
    gain = np.array([-1.6, 0.2, 0.5, 1.1, -0.7])[codes].sum(1)
    value = np.where(gain < -4.2, 10.0, 85.2 + gain + rng.normal(0, 0.25, count))
    sd = np.where(step == 0, np.nan, 1.5 / np.maximum(step, 1))
    predicted = value + rng.normal(0, 1, count) * sd * 1.2 + np.where(value < 20, 70, 0)
    archive = pd.DataFrame(
        {
            "order": np.arange(count),
            "step": step,
            "architecture": space.to_string(torch.tensor(codes)),
        }
    )
    for column in range(6):
        archive[f"code_{column}"] = codes[:, column]
    archive["value"], archive["predicted"], archive["predicted_sd"] = value, predicted, sd
    archive["score"] = predicted + np.nan_to_num(sd)
    archive["group"] = np.where(step == 0, -1, rng.integers(0, groups, count))
    archive["best"] = archive["value"].cummax()

    traces: dict[int, dict[str, Any]] = {}
    for s in range(1, steps + 1):
        generator = torch.Generator().manual_seed(s)
        target = torch.randn(groups, 6, 5, generator=generator) + torch.tensor(
            [-1.0, 0, 0.3, 1, -1]
        )
        ramp = (
            torch.linspace(0, 1, epochs).reshape(-1, 1, 1, 1)
            if epochs > 1
            else torch.ones(1, 1, 1, 1)
        )
        p = torch.softmax(target * ramp * (1 + s / 2), -1)
        traces[s] = {
            "entropy": torch.special.entr(p).sum(-1).mean(-1),
            "temperature": torch.linspace(1, 0.1, epochs),
            "score": p.amax(-1).mean(-1),
            "probability": p.mean(1),
        }
    all_steps = np.arange(steps + 1)
    tau = np.where(
        all_steps == 0,
        np.nan,
        np.clip(0.3 + 0.05 * all_steps + rng.normal(0, 0.12, steps + 1), -1, 0.95),
    )
    diagnostics = pd.DataFrame(
        {
            "step": all_steps,
            "queries": initial + all_steps * batch,
            "best": archive.groupby("step")["best"].max().to_numpy(),
            "recent_kendall_tau": tau,
            "recent_spearman": np.clip(tau * 1.3, -1, 1),
            "entropy": 1.0,
            "temperature": 0.1,
            "duplicates_rejected": np.where(all_steps == 0, 0, rng.integers(0, 12, steps + 1)),
            "twins_rejected": np.where(all_steps == 0, 0, rng.integers(0, 25, steps + 1)),
        }
    )
    winner = int(value.argmax())
    best = archive["architecture"][winner]
    summary = {
        "run_id": "nb201-cifar10-s0-7f3a9c",
        "space": "nb201",
        "dataset": "cifar10",
        "source": "naslib",
        "preset": "paper",
        "seed": 0,
        "budget": count,
        "queries": count,
        "best_architecture": best,
        "best_drawing": space.draw(best),
        "validation_accuracy": float(value[winner]),
        "test_accuracy": float(value[winner]) + 2.7,
        "optimum": 91.61,
        "regret": 91.61 - float(value[winner]),
        "queries_to_best": winner + 1,
        "latency_ms": 17.3,
        "parameters_millions": 1.073,
        "training_seconds": 3 * 86400.0 + 7200,
        "something_new": {"a": [1, 2]},
    }
    return {
        "archive": archive,
        "traces": traces,
        "diagnostics": diagnostics,
        "summary": summary,
        "space": space,
    }


@pytest.fixture(scope="session")
def run() -> dict[str, Any]:
    return make_run()


@pytest.fixture(scope="session")
def make() -> Any:
    return make_run


@pytest.fixture(scope="session")
def draw_all() -> Any:
    """Draw all figures of an objective's run: id -> figure."""

    def draw(made: dict[str, Any]) -> dict[str, Any]:
        return {figure.id: figure.draw(RunData(**made)) for figure in figures_of(Accuracy())}

    return draw
