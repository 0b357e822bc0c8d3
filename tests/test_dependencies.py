"""The bill of materials: complete, with a licence for each part."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cost.dependencies import bill, installed, table
from cost.vulnerabilities import audit

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def made() -> Any:
    return bill()


def test_all_that_is_needed_is_listed_once_with_version_and_licence(made: Any) -> None:
    names = [part["name"] for part in made["components"]]
    assert len(names) == len(set(names)) > 100
    needed = [Requirement(line) for line in metadata.requires("optiproxy-nas") or ()]
    plain = {canonicalize_name(it.name) for it in needed if it.marker is None}
    assert plain <= set(names)
    assert {"jinja2", "torch", "alembic"} <= set(names)  # alembic: of MLflow
    for part in made["components"]:
        assert part["version"] == metadata.version(part["name"])
        assert part["licenses"][0]["license"]["name"]


def test_every_reference_is_to_a_part(made: Any) -> None:
    known = {part["bom-ref"] for part in made["components"]} | {"optiproxy-nas"}
    assert {it["ref"] for it in made["dependencies"]} == known
    assert all(set(it["dependsOn"]) <= known for it in made["dependencies"])


def test_the_table_has_a_row_for_each() -> None:
    assert len(table().splitlines()) == len(installed()) + 1  # two of the head, less the package


VULNERABLE = {"name": "jinja2", "version": "2.0", "vulns": [{"id": "X-1", "fix_versions": ["3.1"]}]}
SOUND = {"name": "click", "version": "8.0", "vulns": []}


@pytest.mark.parametrize(
    ("packages", "is_clean", "line"),
    [
        ([SOUND], True, "1 packages, 0 vulnerabilities"),
        ([SOUND, VULNERABLE], False, "jinja2 2.0: X-1, mended in 3.1"),
        ([{"name": "click", "skip_reason": "not found"}], True, "skipped: its service"),
        (None, True, "skipped: no answer"),
    ],
)
def test_a_published_vulnerability_fails_and_a_service_that_fails_does_not(
    tmp_path: Path, packages: list[object] | None, is_clean: bool, line: str
) -> None:
    answer = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\necho '{answer}'\necho 'no answer' >&2\nexit 1\n")
    program.chmod(0o755)
    found = audit(program)
    assert found[0] is is_clean
    assert line in found[1]


def test_without_pip_audit_nothing_is_audited(tmp_path: Path) -> None:
    is_clean, report = audit(tmp_path / "none")
    assert is_clean
    assert "skipped" in report
