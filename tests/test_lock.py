"""The file of hashes: each version of the constraints, with the hash of a file at least."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cost.lock import lock

ROOT = Path(__file__).parents[1]


def lines(text: str) -> Any:
    found = (re.sub(r"[_.]", "-", line.split(" ")[0].lower()) for line in text.splitlines())
    return {line for line in found if "==" in line}


def test_the_lock_has_each_version_of_the_constraints_with_a_hash() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert lines(text) == lines((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    entries = re.split(r"\n(?=\w)", text)[1:]
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_reports_of_several_systems_are_joined(tmp_path: Path) -> None:
    for number, version in enumerate(("1.0", "1.0+cpu")):
        part = {
            "metadata": {"name": "Some_Thing", "version": version},
            "download_info": {"archive_info": {"hashes": {"sha256": str(number) * 64}}},
        }
        (tmp_path / f"{number}.json").write_text(json.dumps({"install": [part]}))
    assert lock(sorted(tmp_path.iterdir())).endswith(
        f"some-thing==1.0 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{'1' * 64}\n"
    )
