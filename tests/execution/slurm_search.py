"""A search by SLURM, as a command: python slurm_search.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from slurm_trainings import train_network

from optiproxy_nas import SearchResult, search


def run(folder: Path) -> SearchResult:
    return search(
        space={"depth": [1, 2, 3], "width": [16, 32]},
        evaluate=train_network,
        budget=4,
        method="random_search",
        workers=2,
        executor="slurm",
        journal=folder / "search.jsonl",
        evaluation={"slurm": {"time": 60, "poll_seconds": 0.2}},
    )


if __name__ == "__main__":
    run(Path(sys.argv[1]))
