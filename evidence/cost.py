"""What a search costs, beside the paper's figures; measured by ``python -m cost.measure``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from evidence import table
from evidence.collect import Evidence
from evidence.pages import Rendered
from evidence.sections import Section
from optiproxy_nas.core.errors import EvaluationError


def render(section: Section, evidence: Evidence) -> Rendered:
    """Text ``<name>``: CPU seconds and peak memory of the searches in ``options.searches``."""
    rows = []
    for preset, budget in section.options["searches"]:
        measured = measure_search(evidence.project, preset, budget)
        rows.append(
            [
                f"{preset} preset, measured here",
                str(budget),
                f"{measured['cpu']:.1f} CPU",
                f"{measured['megabytes']:.0f}",
            ]
        )
    quoted = section.options["quoted"]
    rows.append(
        ["quoted: the paper, section 3.5", "100", str(quoted["seconds"]), str(quoted["megabytes"])]
    )
    head = ["search", "queries", "seconds", "MB above imports"]
    return Rendered({section.name: table.markdown(head, rows)})


def measure_search(project: Path, preset: str, budget: int) -> dict[str, float]:
    """CPU seconds and megabytes of one search in a fresh process, imports excluded.

    Raises:
        EvaluationError: the measurement failed.
    """
    command = [sys.executable, "-m", "cost.measure", "search", preset, str(budget)]
    # cost/ is no part of the package: it lies beside conf/ in the checkout.
    done = subprocess.run(command, cwd=project, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise EvaluationError(f"{' '.join(command[1:])} failed: {done.stderr.strip()[-500:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result
