"""Searches whose processes are killed at random; ``python -m cost.chaos 100`` does more of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "dask", "slurm"])
def test_nothing_is_lost_or_counted_twice_whatever_is_killed(executor: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cost.chaos", "3", "--executor", executor]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["broken"] for row in rows[:-1]] == [""] * 3, done.stderr
    assert done.returncode == 0
