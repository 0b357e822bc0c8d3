"""A sample of docs/trust.md: killed writers go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cost.trust.system_calls import IS_POSSIBLE


@pytest.mark.skipif(not IS_POSSIBLE, reason="system calls are counted on Linux on x86-64 only")
def test_of_a_sample_of_killed_writers_nothing_is_lost_or_wrong(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cost.trust", "--quick", "--part", "kills"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
