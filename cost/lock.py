"""``python -m cost.lock REPORT ...``: requirements with hashes, from reports of pip.

The report is pip's answer to what the index has of each version in ``constraints.txt``; nothing is
installed, and of wheels only the metadata is read::

    pip install --dry-run --ignore-installed --no-deps --report pip.json -r constraints.txt
    python -m cost.lock pip.json > requirements.lock

Reports of other systems and Python versions are given beside it; a file of each is listed.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

HEAD = """\
# What constraints.txt lists, with the SHA-256 of the files of each (python -m cost.lock):
#   pip install --require-hashes --no-deps -r requirements.lock
#   pip install --no-deps -e .
# For Linux on x86-64 and Python 3.11; other systems need reports of their own.
"""


def lock(reports: Iterable[Path]) -> str:
    """Return requirements with hashes of what reports of pip would install."""
    hashes: defaultdict[str, set[str]] = defaultdict(set)
    for report in reports:
        for part in json.loads(report.read_text(encoding="utf-8"))["install"]:
            facts, file = part["metadata"], part["download_info"]
            version = facts["version"].partition("+")[0]  # of a build, as torch's +cpu
            name = f"{facts['name'].lower().replace('_', '-')}=={version}"
            hashes[name].add(file["archive_info"]["hashes"]["sha256"])
    lines = (
        " \\\n    ".join([name, *(f"--hash=sha256:{it}" for it in sorted(hashes[name]))])
        for name in sorted(hashes)
    )
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(lock(map(Path, sys.argv[1:])), end="")
