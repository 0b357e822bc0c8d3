"""docs/own-problem.md: its Python blocks run as they stand, but for their size."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from optiproxy_nas.problems.mnist1d import Mnist1d
from optiproxy_nas.problems.mnist1d_data import make_signals

pytestmark = pytest.mark.heavy

PAGE = Path(__file__).parents[2] / "docs" / "own-problem.md"
SMALLER = {
    "budget=40": "budget=10",
    "budget=45": "budget=10",
    "epochs=20": "epochs=1",
    'problem="mnist1d"': (
        'problem={"name": "mnist1d", "latency_seconds": 0.02}, '
        'data={"mnist1d": make_signals(count=100)}'
    ),
}
IN_PROCESS = (r"evaluation=\{[^}]*\}", "evaluation={}")  # a process imports torch for seconds


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_python_blocks_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that begins with a file's name is that file, and may be imported."""
    bounds = ["parameters <= 4000", "latency_p90_ms <= 1e6"]  # however busy the machine is
    monkeypatch.setattr(Mnist1d, "objective", {"name": "constrained", "constraints": bounds})
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, Any] = {"__name__": "page", "make_signals": make_signals}
    for block in blocks("python"):
        code = re.sub(*IN_PROCESS, block)
        for size, smaller in SMALLER.items():
            code = code.replace(size, smaller)
        if file := re.match(r"# (\w+)\.py\b", code):
            (tmp_path / f"{file[1]}.py").write_text(code, encoding="utf-8")
            monkeypatch.delitem(sys.modules, file[1], raising=False)
        else:
            exec(compile(code, PAGE.name, "exec"), names)
    assert 0 < names["result"].test["accuracy"] <= 100  # of the last block, in percent
