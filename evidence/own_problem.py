"""Methods on the shipped problems, really trained: ``python -m evidence.own_problem PROBLEM``.

Each search has a journal in data/08_reporting/own_problem: nothing is trained twice.
The table goes between the markers of the problem's page.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch

from evidence import table
from evidence.pages import update_page
from optiproxy_nas import search
from optiproxy_nas.problems.base import Problem
from optiproxy_nas.problems.digits_cells import DigitsCells
from optiproxy_nas.problems.mnist1d import Mnist1d
from optiproxy_nas.report.statistics import paired_difference

JOURNALS = Path("data") / "08_reporting" / "own_problem"
METHODS = ("optiproxy", "random_search", "tpe")
BUDGET = 40  # trainings of the search; what confirms comes on top, the same for all
CONFIRM = {"best": 3, "seeds": 3}


class Unmeasured(Mnist1d):
    """The problem under its bound on parameters alone.

    What a bound on latency rules out changes with the load of the machine, and so with the order in
    which methods are run.
    """

    objective: Mapping[str, Any] = {"name": "constrained", "constraints": ["parameters <= 4000"]}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.latency = None


class Example(NamedTuple):
    """A shipped problem, and the page whose table between the markers of a name it has."""

    problem: Callable[[], Problem]
    page: Path
    name: str
    preset: str  # of OptiProxy-NAS


EXAMPLES = {
    "mnist1d": Example(Unmeasured, Path("docs") / "own-problem.md", "own_problem", "large"),
    "digits_cells": Example(DigitsCells, Path("docs") / "digits.md", "digits", "ensemble"),
}


class Answer(NamedTuple):
    """What a search found, in percent: by ``single`` it became a candidate, by ``confirmed`` it was
    chosen, and the test had no part in either."""

    single: float
    confirmed: float
    test: float
    parameters: float


def run(name: str, method: str, seed: int, data: dict[str, Any], workers: int) -> Answer:
    """Search, and confirm the best by seeds that had no part in finding them."""
    start = "" if name == "mnist1d" else f"{name}-"
    result = search(
        problem=EXAMPLES[name].problem(),
        method=method,
        seed=seed,
        budget=BUDGET + CONFIRM["best"] * CONFIRM["seeds"],
        confirm=CONFIRM,
        data=data,
        preset=EXAMPLES[name].preset if method == "optiproxy" else None,
        journal=JOURNALS / f"{start}{method}-{seed}-confirmed.jsonl",
        evaluation={"executor": "processes", "workers": workers},
    )
    answer = result.confirmation.iloc[0]
    test = result.test["accuracy"]
    return Answer(*map(float, (answer["single"], answer["mean"], test, answer["parameters"])))


def rows_of(answers: dict[str, list[Answer]]) -> list[list[str]]:
    """Return a row a method: means over the seeds, the difference to the first, the worst seed."""
    first = next(iter(answers))
    rows = []
    for method, found in answers.items():
        confirmed = [answer.confirmed for answer in found]
        difference = paired_difference([answer.confirmed for answer in answers[first]], confirmed)
        rows.append(
            [
                method,
                table.number(fmean(answer.single for answer in found), 1),
                table.number(fmean(confirmed), 1),
                "reference" if method == first else table.difference(difference),
                table.number(fmean(answer.test for answer in found), 1),
                table.number(min(answer.test for answer in found), 1),
                table.number(fmean(answer.parameters for answer in found), 0),
            ]
        )
    return rows


def text_of(name: str, answers: dict[str, list[Answer]], seeds: int) -> str:
    """Return the table, and what its columns are."""
    head = [
        "method",
        "single value, %",
        "confirmed, %",
        "first row less this (95 % interval)",
        "test, %",
        "test of the worst seed, %",
        "parameters",
    ]
    note = (
        f"Means over the seeds 0 to {seeds - 1}, {BUDGET} trainings each. Single: the value of the "
        f"training that made the answer a candidate, which flatters. Confirmed: the mean of "
        f"{CONFIRM['seeds']} trainings by fresh seeds, by which the answer was chosen of "
        f"{CONFIRM['best']}; differences in pairs by seed. Test: of the answer's best "
        f"training, on the test data. Preset of optiproxy: `{EXAMPLES[name].preset}`. Written by "
        "`python -m evidence.own_problem "
        f"{name} --seeds {seeds} --methods {','.join(answers)}`."
    )
    return table.with_notes(table.markdown(head, rows_of(answers)), [note])


def main() -> None:
    """Run what is missing, and write the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("problem", choices=EXAMPLES)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--methods", default=",".join(METHODS))
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    torch.set_num_threads(1)  # as in the worker processes
    JOURNALS.mkdir(parents=True, exist_ok=True)
    example = EXAMPLES[chosen.problem]
    data = dict(example.problem().load())
    answers: dict[str, list[Answer]] = {}
    for seed in range(chosen.seeds):  # so that what there is has all methods
        for method in chosen.methods.split(","):
            answer = run(chosen.problem, method, seed, data, chosen.workers)
            answers.setdefault(method, []).append(answer)
            print(method, seed, answer, flush=True)
    text = text_of(chosen.problem, answers, chosen.seeds)
    update_page(example.page, example.page, {example.name: text})


if __name__ == "__main__":
    main()
