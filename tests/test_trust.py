"""A sample of docs/trust.md: killed writers go on."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import pytest

from cost.trust.__main__ import main
from cost.trust.processes import forked
from cost.trust.system_calls import IS_POSSIBLE
from quick_stores import begin_with


@pytest.mark.skipif(not IS_POSSIBLE, reason="system calls are counted on Linux on x86-64 only")
def test_of_a_sample_of_killed_writers_nothing_is_lost_or_wrong(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    log = tmp_path / "log"
    code = forked(partial(_kill_a_sample, empty_store), log)
    assert code == 0, log.read_text(errors="replace")


def _kill_a_sample(empty_store: Path) -> int:
    """In a process of its own, which a fork spares the imports."""
    begin_with(empty_store)
    tempfile.tempdir = None  # that of the environment
    return main(["--quick", "--part", "kills"])
