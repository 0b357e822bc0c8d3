"""``python -m cost.latency``: by how much timings of one network differ, and what they state.

Each timing is made in a fresh process, since some of what differs does so by process. The
conditions come in turn, so that the hours of the day are the same for all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optiproxy_nas.measuring.latency import measure_latency
from optiproxy_nas.measuring.latency_settings import LatencySettings
from optiproxy_nas.networks import build_network
from optiproxy_nas.problems.mnist1d import build

CONDITIONS = {"alone": 0, "beside a training": 1, "beside two": 2}  # trainings beside it
CELL = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|"
    "+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"
)


def signals(width: int, kernel: int, stages: int) -> nn.Module:
    """A network of the shipped problem."""
    stage = {"width": width, "kernel": kernel, "activation": "relu", "norm": "batch"}
    stage |= {"halve": "no", "skip": True}
    chosen = {
        f"{name}_{place}": value for place in range(1, stages + 1) for name, value in stage.items()
    }
    return build({"stages": stages, "head": "flatten", "dropout": 0.1, **chosen})


def networks() -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Networks from a twentieth of a millisecond to ten."""
    torch.manual_seed(0)
    yield "one convolution", signals(8, 3, 1), torch.randn(1, 1, 40)
    yield "four stages", signals(32, 7, 4), torch.randn(1, 1, 40)
    cells = build_network(CELL, "nb201", channels=8, cells=1)
    yield "cells of NAS-Bench-201", cells, torch.randn(1, 3, 32, 32)


def timing() -> None:
    """Time each network in this process, and print a line of JSON for each."""
    settings = LatencySettings.model_validate({"runtime": sys.argv[2]})
    for name, model, example in networks():
        cpu = time.process_time()
        found = measure_latency(model, example, settings)
        line = {"network": name, "cpu": time.process_time() - cpu, **found._asdict()}
        print(json.dumps({**line, "precision": found.precision}), flush=True)


def training() -> None:
    """Train a network until the process that wants it has ended."""
    parent = os.getppid()
    torch.set_num_threads(1)
    model = signals(32, 5, 3).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    examples, labels = torch.randn(4000, 1, 40), torch.randint(0, 10, (4000,))
    while os.getppid() == parent:
        for rows in np.array_split(np.random.default_rng(0).permutation(4000), 40):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(examples[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()


@contextmanager
def beside(count: int) -> Iterator[None]:
    """Run trainings meanwhile."""
    command = [sys.executable, "-m", "cost.latency", "training"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    time.sleep(6 if count else 0)  # until they train
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def collect(path: Path, rounds: int, runtime: str) -> None:
    """Append the timings of fresh processes to a file."""
    for _ in range(rounds):
        for condition, count in CONDITIONS.items():
            with beside(count):
                command = [sys.executable, "-m", "cost.latency", "timing", runtime]
                done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
            with path.open("a") as file:
                for line in done.stdout.splitlines():
                    row = {"condition": condition, **json.loads(line)}
                    file.write(json.dumps(row) + "\n")


def agreement(rows: list[dict[str, Any]], value: str, interval: str) -> float:
    """The share of ordered pairs in which the second value is in the first one's interval."""
    pairs = [
        first[interval][0] <= second[value] <= first[interval][1]
        for first, second in permutations(rows, 2)
    ]
    return float(np.mean(pairs))


def table(path: Path) -> None:
    """Print what the timings of a file say, as Markdown."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    values = "median ms | sd | agree | 90 % quantile ms | sd | agree"
    print(f"| network | condition | timings | {values} | stated | seconds | load |")
    print("|---" * 2 + "|---:" * 10 + "|")
    for name in dict.fromkeys(row["network"] for row in rows):
        for condition in (*CONDITIONS, "all together"):
            found = [row for row in rows if row["network"] == name]
            if condition in CONDITIONS:
                found = [row for row in found if row["condition"] == condition]
            cells = [name, condition, str(len(found))]
            for value in ("median", "quantile"):
                timings = np.array([row[f"{value}_ms"] for row in found])
                agree = agreement(found, f"{value}_ms", f"{value}_interval")
                spread = np.std(np.log(timings), ddof=1)
                cells += [f"{np.median(timings):.3g}", f"{spread:.1%}", f"{agree:.0%}"]
            for key, style in (("precision", ".0%"), ("seconds", ".1f"), ("load", ".0f")):
                cells.append(format(float(np.median(np.array([row[key] for row in found]))), style))
            print(f"| {' | '.join(cells)} |")


def main() -> None:
    """``collect FILE ROUNDS RUNTIME``, ``table FILE``; what these start."""
    task = sys.argv[1]
    if task == "collect":
        collect(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    elif task == "table":
        table(Path(sys.argv[2]))
    elif task == "timing":
        timing()
    else:
        training()


if __name__ == "__main__":
    main()
