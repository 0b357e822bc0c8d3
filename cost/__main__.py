"""``python -m cost``: CPU seconds, memory and overhead of a search and of a sweep.

Every figure is measured in a fresh process, so that imports and earlier searches do not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

MEASURE = [sys.executable, "-m", "cost.measure"]


def measure(*arguments: str) -> dict[str, float]:
    """One measurement in its own process."""
    done = subprocess.run(
        [*MEASURE, *arguments], capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        sys.exit(f"measurement {' '.join(arguments)} failed:\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Print the tables."""
    print("A whole search(...) call, CIFAR-10, one core, seed 1000, embedded source")
    head = f"{'preset':10}{'queries':>8}{'CPU s':>8}{'MB':>7}"
    print(f"{head}   share of fit / search / sample / select")
    for preset, budget in (("default", 100), ("ensemble", 100), ("paper", 100)):
        row = measure("search", preset, str(budget))
        shares = " / ".join(f"{row[part]:.0%}" for part in ("fit", "search", "sample", "select"))
        print(f"{preset:10}{budget:8d}{row['cpu']:8.2f}{row['megabytes']:7.0f}   {shares}")
    print("\nCost against queries, default preset (exactly linear if the last column stays level)")
    print(f"{'queries':>8}{'CPU s':>8}{'MB':>7}{'ms/query':>10}")
    for budget in (100, 200, 500, 1000):
        row = measure("search", "default", str(budget))
        each = 1000 * row["cpu"] / budget
        print(f"{budget:8d}{row['cpu']:8.2f}{row['megabytes']:7.0f}{each:10.1f}")
    print("\nNumbers that a relaxed architecture holds, of 4 bytes each; a step has K = 10 of them")
    print(f"{'space':8}{'nodes N':>9}{'edges E':>9}{'encoding':>10}{'graph':>8}")
    for space in ("nb201", "nb101", "nb301", "nbnlp"):
        row = measure("relaxed", space)
        sizes = f"{row['encoding']:10.0f}{row['graph']:8.0f}"
        print(f"{space:8}{row['nodes']:9.0f}{row['edges']:9.0f}{sizes}")
    if os.environ.get("OPTIPROXY_DATA_DIR"):
        print("\nOther spaces, default preset, without loading their benchmark")
        print(f"{'space':8}{'queries':>8}{'CPU s':>8}{'MB':>7}{'ms/query':>10}")
        for space, preset, budget in (
            ("nb101", "default", 100),
            ("nb301", "default", 100),
            ("nb301", "default", 1000),
            ("nbnlp", "default", 100),
        ):
            row = measure("search", preset, str(budget), space)
            each = 1000 * row["cpu"] / budget
            line = f"{space:8}{budget:8d}{row['cpu']:8.2f}{row['megabytes']:7.0f}{each:10.1f}"
            print(line)
    print("\nThe same search as a Kedro run in one process (CPU s, second run)")
    print(f"{'MLflow':8}{'run':>8}{'search':>8}{'report':>8}{'Kedro, MLflow':>15}")
    for tracking in ("off", "on"):
        row = measure("kedro", tracking)
        over = row["run"] - row["search"] - row["report"]
        print(f"{tracking:8}{row['run']:8.2f}{row['search']:8.2f}{row['report']:8.2f}{over:15.2f}")
    points = 12
    print(f"\nA sweep of {points} such searches, wall seconds, start of the workers included")
    row = measure("sweep", str(points))
    print(f"{'1 worker':>10}{'2 workers':>11}{'speed-up':>10}{'beside the search, a point':>28}")
    speed_up = row["one"] / row["two"]
    print(f"{row['one']:10.1f}{row['two']:11.1f}{speed_up:10.2f}{row['overhead']:28.2f}")


if __name__ == "__main__":
    main()
