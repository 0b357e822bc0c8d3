"""``python -m cost.vulnerabilities``: whether a pinned package has a published vulnerability.

It runs pip-audit on ``constraints.txt``. It ends with 1 where one is published; where pip-audit is
not installed, or its service does not answer, it says so and ends with 0: nothing was audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# Of an environment of its own, so that what it needs is not among what is pinned.
PROGRAM = Path(".venv") / "audit" / "bin" / "pip-audit"
PINNED = Path("constraints.txt")
SECONDS = 180.0  # that it may take
OPTIONS = ("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")


def audit(program: Path = PROGRAM, pinned: Path = PINNED) -> tuple[bool, str]:
    """Return whether nothing is published of the pinned packages, and the report.

    Args:
        program: pip-audit.
        pinned: a file of requirements, each with its version.
    """
    command = [str(program), "--requirement", str(pinned), *OPTIONS]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return True, f"pip-audit: skipped: {error}"
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):  # it prints nothing where its service failed
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        return True, f"pip-audit: skipped: {lines[-1][:300]}"
    found = [
        f"{package['name']} {package['version']}: {entry['id']}, mended in "
        f"{', '.join(entry['fix_versions']) or 'no version'}"
        for package in packages
        for entry in package.get("vulns", ())
    ]
    skipped = sum("skip_reason" in package for package in packages)
    if skipped == len(packages):
        return True, "pip-audit: skipped: its service has no package of these"
    counted = f"pip-audit: {len(packages) - skipped} packages, {len(found)} vulnerabilities"
    return not found, "\n".join([counted, *found])


if __name__ == "__main__":
    is_clean, report = audit()
    print(report)
    sys.exit(not is_clean)
