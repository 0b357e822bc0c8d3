"""Methods on the shipped problem, really trained: ``python -m evidence.own_problem``.

Each search has a journal in data/08_reporting/own_problem: nothing is trained twice.
The table goes between the markers of docs/own-problem.md.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch

from evidence import table
from evidence.pages import update_page
from optiproxy_nas import search
from optiproxy_nas.problems.base import RunningTrial
from optiproxy_nas.problems.mnist1d import Mnist1d

PAGE = Path("docs") / "own-problem.md"
JOURNALS = Path("data") / "08_reporting" / "own_problem"
METHODS = ("optiproxy", "tpe", "regularized_evolution", "random_search")
BUDGET = 40
FRESH_SEEDS = (2_000_001, 2_000_002, 2_000_003)  # none that a search gives its trials


class Answer(NamedTuple):
    """What a search found, in percent: ``value`` chose it, the others did not."""

    value: float
    retrained: float
    test: float
    parameters: float


def run(method: str, seed: int, data: dict[str, Any], workers: int) -> Answer:
    """Search, and train the answer again by seeds that had no part in choosing it."""
    result = search(
        problem="mnist1d",
        method=method,
        seed=seed,
        budget=BUDGET,
        data=data,
        journal=JOURNALS / f"{method}-{seed}.jsonl",
        evaluation={"isolation": "process", "workers": workers},
    )
    trained = [train(result.best.architecture, fresh, data) for fresh in FRESH_SEEDS]
    value = result.best_value if result.is_eligible else float("nan")
    return Answer(value, *(fmean(column) for column in zip(*trained, strict=True)))


def train(architecture: Any, seed: int, data: dict[str, Any]) -> tuple[float, float, float]:
    """Return the accuracy on validation and on test signals of one training, and its parameters."""
    with tempfile.TemporaryDirectory() as folder:
        trial = RunningTrial(0, architecture, Path(folder), seed=seed, data=data)
        metrics = Mnist1d().evaluate(trial)
        return metrics["accuracy"], Mnist1d().test(trial)["accuracy"], metrics["parameters"]


def rows_of(answers: dict[str, list[Answer]]) -> list[list[str]]:
    """Return a row a method: means over the seeds, and the worst seed."""
    return [
        [
            method,
            table.number(fmean(answer.value for answer in found), 1),
            table.number(fmean(answer.retrained for answer in found), 1),
            table.number(fmean(answer.test for answer in found), 1),
            table.number(min(answer.test for answer in found), 1),
            table.number(fmean(answer.parameters for answer in found), 0),
        ]
        for method, found in answers.items()
    ]


def text_of(answers: dict[str, list[Answer]], seeds: int) -> str:
    """Return the table, and what its columns are."""
    head = [
        "method",
        "its best value, %",
        "retrained, %",
        "test, %",
        "test of the worst seed, %",
        "parameters",
    ]
    note = (
        f"Means over the seeds 0 to {seeds - 1}, {BUDGET} trainings each. The value of a single "
        "training flatters: it is the highest of many. Retrained: the answer, trained again by "
        f"{len(FRESH_SEEDS)} fresh seeds; test: these on the test signals. Written by "
        f"`python -m evidence.own_problem --seeds {seeds} --methods {','.join(answers)}`."
    )
    return table.with_notes(table.markdown(head, rows_of(answers)), [note])


def main() -> None:
    """Run what is missing, and write the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--methods", default=",".join(METHODS))
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    torch.set_num_threads(1)  # as in the worker processes
    JOURNALS.mkdir(parents=True, exist_ok=True)
    data = dict(Mnist1d().load())
    answers: dict[str, list[Answer]] = {}
    for method in chosen.methods.split(","):
        for seed in range(chosen.seeds):
            answers.setdefault(method, []).append(run(method, seed, data, chosen.workers))
            print(method, seed, answers[method][-1], flush=True)
    update_page(PAGE, PAGE, {"own_problem": text_of(answers, chosen.seeds)})


if __name__ == "__main__":
    main()
