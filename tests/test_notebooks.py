"""Every notebook runs from top to bottom."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
import pytest

from optiproxy_nas import presets
from optiproxy_nas.core.mappings import merge
from optiproxy_nas.problems.mnist1d import Mnist1d
from quick_kedro import quick_bootstrap as quick_bootstrap
from quick_kedro import quick_sessions as quick_sessions
from quick_stores import begin_with
from waiting import PATIENCE

BRIEF = {"epochs": 5, "first_epochs": 5}
SMALLER = {
    "range(1000, 1006)": "range(1000, 1002)",
    '"latency_seconds": 0.1': '"latency_seconds": 0.02',
}
NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


def _brief(read: Callable[[str], dict[str, Any]], name: str) -> dict[str, Any]:
    """A preset with brief fits and gradient searches."""
    return merge(read(name), {"fit": BRIEF, "gradient": {"epochs": 5}})


def run_cells(path: Path, empty_store: Path) -> None:
    """Run the cells of a notebook one after another, in less time; some must show something."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    begin_with(empty_store)
    vars(presets)["_read"] = partial(_brief, presets._read)
    bounds = ["parameters <= 4000", "latency_p90_ms <= 1e6"]  # however busy the machine is
    Mnist1d.objective = {"name": "constrained", "constraints": bounds}
    os.chdir(path.parent)
    shell = InteractiveShell.instance()
    shown = False
    for cell in nbformat.read(path, as_version=4).cells:  # type: ignore[no-untyped-call]
        if cell.cell_type == "code":
            code = cell.source
            for size, smaller in SMALLER.items():
                code = code.replace(size, smaller)
            with capture_output() as captured:  # type: ignore[no-untyped-call]
                result = shell.run_cell(code)  # type: ignore[no-untyped-call]
            result.raise_error()
            shown |= bool(captured.stdout or captured.outputs or result.result is not None)
    assert shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs(path: Path, empty_store: Path) -> None:
    """In a process of its own, which a fork spares the imports."""
    for name in ("IPython.core.interactiveshell", "IPython.utils.capture", "mlflow.store.db.utils"):
        import_module(name)
    context: Any = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    process = context.Process(target=run_cells, args=(path, empty_store))
    process.start()
    process.join(2 * PATIENCE)
    assert process.exitcode == 0
