"""``python -m benchmarks``: CPU seconds, memory and overhead of a search, on one core.

Every figure is measured in a fresh process, so that imports and earlier searches do not count.
"""

from __future__ import annotations

import json
import subprocess
import sys

MEASURE = [sys.executable, "-m", "benchmarks.measure"]


def measure(*arguments: str) -> dict[str, float]:
    """One measurement in its own process."""
    done = subprocess.run([*MEASURE, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"measurement {' '.join(arguments)} failed:\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Print the three tables."""
    print("A whole search(...) call, CIFAR-10, one core, seed 1000, embedded source")
    head = f"{'preset':10}{'queries':>8}{'CPU s':>8}{'MB':>7}"
    print(f"{head}   share of fit / search / sample / select")
    for preset, budget in (("default", 100), ("paper", 100)):
        row = measure("search", preset, str(budget))
        shares = " / ".join(f"{row[part]:.0%}" for part in ("fit", "search", "sample", "select"))
        print(f"{preset:10}{budget:8d}{row['cpu']:8.2f}{row['megabytes']:7.0f}   {shares}")
    print("\nCost against queries, default preset (exactly linear if the last column stays level)")
    print(f"{'queries':>8}{'CPU s':>8}{'MB':>7}{'ms/query':>10}")
    for budget in (100, 200, 500, 1000):
        row = measure("search", "default", str(budget))
        each = 1000 * row["cpu"] / budget
        print(f"{budget:8d}{row['cpu']:8.2f}{row['megabytes']:7.0f}{each:10.1f}")
    print("\nThe same search as a Kedro run in one process (CPU s, second run)")
    print(f"{'MLflow':8}{'run':>8}{'search':>8}{'report':>8}{'Kedro, MLflow':>15}")
    for tracking in ("off", "on"):
        row = measure("kedro", tracking)
        over = row["run"] - row["search"] - row["report"]
        print(f"{tracking:8}{row['run']:8.2f}{row['search']:8.2f}{row['report']:8.2f}{over:15.2f}")


if __name__ == "__main__":
    main()
