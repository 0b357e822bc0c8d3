"""A search by SLURM, as a command: python slurm_search.py FOLDER. Nodes import its function."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from optiproxy_nas import SearchResult, search


def train(network: dict[str, Any]) -> float:
    """Note the training, and wait until there is a file "go"."""
    folder = Path(os.environ["SLURM_SEARCH"])
    with (folder / "trained").open("a") as file:
        file.write(f"{network['depth']} {network['width']}\n")
    while not (folder / "go").exists():
        time.sleep(0.02)
    return float(network["depth"] * network["width"])


def run(folder: Path) -> SearchResult:
    return search(
        space={"depth": [1, 2, 3], "width": [16, 32]},
        evaluate=train,
        budget=4,
        method="random_search",
        workers=2,
        executor="slurm",
        journal=folder / "search.jsonl",
        evaluation={"slurm": {"time": 60, "poll_seconds": 0.2}},
    )


if __name__ == "__main__":
    import slurm_search  # so that the function is of a module

    slurm_search.run(Path(sys.argv[1]))
