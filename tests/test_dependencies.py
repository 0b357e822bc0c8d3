"""The bill of materials: complete, with a licence for each part."""

from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cost.dependencies import bill, installed, table


@pytest.fixture(scope="module")
def made():
    return bill()


def test_all_that_is_needed_is_listed_once_with_version_and_licence(made):
    names = [part["name"] for part in made["components"]]
    assert len(names) == len(set(names)) > 100
    needed = [Requirement(line) for line in metadata.requires("optiproxy-nas") or ()]
    plain = {canonicalize_name(it.name) for it in needed if it.marker is None}
    assert plain <= set(names)
    assert {"jinja2", "torch", "alembic"} <= set(names)  # alembic: of MLflow
    for part in made["components"]:
        assert part["version"] == metadata.version(part["name"])
        assert part["licenses"][0]["license"]["name"]


def test_every_reference_is_to_a_part(made):
    known = {part["bom-ref"] for part in made["components"]} | {"optiproxy-nas"}
    assert {it["ref"] for it in made["dependencies"]} == known
    assert all(set(it["dependsOn"]) <= known for it in made["dependencies"])


def test_the_table_has_a_row_for_each():
    assert len(table().splitlines()) == len(installed()) + 1  # two of the head, less the package
