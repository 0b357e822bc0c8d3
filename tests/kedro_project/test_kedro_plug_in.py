"""A benchmark of an installed package: one reader file and one entry, and it has its pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.project import pipelines
from kedro_runs import TINY, copy_project, enter, run, without_pictures
from toy_benchmark import ENTRY, TOY

from optiproxy_nas import search
from optiproxy_nas.benchmarks.source_registry import SOURCES
from optiproxy_nas.core.errors import ParameterError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A project in an environment where a package brings the toy benchmark and a broken one."""
    metadata = tmp_path / "site" / "toys-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[optiproxy_nas.sources]\nbroken = no_such_module:SOURCE\n{ENTRY}\n"
    )
    data = tmp_path / "own" / TOY.name
    data.mkdir(parents=True)
    (data / "worth.json").write_text("[10.0, 5.0, 3.0, 2.0, 1.0]")
    monkeypatch.setenv("OPTIPROXY_DATA_DIR", str(data.parent))
    enter(copy_project(tmp_path / "project"), monkeypatch)
    monkeypatch.syspath_prepend(str(metadata.parent))
    without_pictures(monkeypatch)
    _forget_plug_ins()
    yield tmp_path / "project"
    _forget_plug_ins()


def _forget_plug_ins() -> None:
    """Have the entry points read again."""
    for name in ("plug_ins", "_claims"):
        vars(SOURCES).pop(name, None)


@pytest.mark.filterwarnings("ignore:The benchmark source 'broken'")
def test_a_benchmark_is_one_reader_and_one_entry(project: Any) -> None:
    assert {"toy_search", "toy_methods"} <= set(pipelines)

    settings = {name: value for name, value in TINY.items() if name != "budget"}
    made = run(project, pipeline="toy_search", settings=settings, run_id="r")
    assert made["parameters"]["budget"] == TOY.budget
    assert made["parameters"]["preset"] == "default"
    assert made["parameters"]["dataset"] == "blocks"
    assert made["result"]["queries"] == TOY.budget

    settings = {"method": "local_search", "budget": 40}
    made = run(project, pipeline="toy_methods", settings=settings, run_id="m")
    assert made["result"]["queries"] == 40

    assert search(space=TOY.space, method="random_search", budget=12).best_value <= 36.0


@pytest.mark.filterwarnings("ignore:The benchmark source 'broken'")
def test_a_broken_source_is_refused_by_name_only(project: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        run(project, source="broken", run_id="b")
    assert caught.value.data["path"] == "no_such_module:SOURCE"
