"""``python -m optiproxy_nas`` where there is no project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from optiproxy_nas import __main__ as packaged


def test_without_configuration_it_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(sys, "argv", ["optiproxy_nas", "--pipeline=nb201_search"])
    with pytest.raises(SystemExit, match="--conf-source=conf-optiproxy_nas"):
        packaged.main()


def test_it_is_kedro_run_and_says_nothing_else(tmp_path: Path) -> None:
    """Kedro tells of its default logging, and of telemetry, where there is no project."""
    done = subprocess.run(
        [sys.executable, "-m", "optiproxy_nas", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    assert "--conf-source" in done.stdout
    assert done.stderr == ""


def test_a_crate_of_a_search_from_python_leaves_logging_alone(tmp_path: Path) -> None:
    """Kedro configures logging when it is imported: it is not."""
    code = "import sys, optiproxy_nas.api.crate; sys.exit('kedro.framework.project' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0
