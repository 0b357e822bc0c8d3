"""``kedro evidence --smoke``: every section, from its searches to its tables, in miniature."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from kedro_runs import REPOSITORY, command, tree
from mlflow import MlflowClient

from coarse import coarse_pictures
from evidence import comparison, constrained_tables, fidelity_tables, workers
from evidence.regenerate import SECTIONS, choose
from evidence.sections import load_sections
from ingested import Ingested
from optiproxy_nas import sweeps
from optiproxy_nas.sweeps import run_sweep

PAGES = sorted({section.page for section in choose(REPOSITORY)})
MARKED = re.compile(r"<!-- ([\w-]+) -->\n(.*?)\n?<!-- end \1 -->", re.DOTALL)


@pytest.fixture
def documented(project: Path) -> Any:
    """A project with the documents, and the measurements that the costs come from."""
    for folder in ("docs", "cost", "evidence"):
        shutil.copytree(REPOSITORY / folder, project / folder, dirs_exist_ok=True)
    shutil.copy(REPOSITORY / "README.md", project)
    for page in (project / name for name in PAGES):
        page.write_text(MARKED.sub(r"<!-- \1 -->\n<!-- end \1 -->", page.read_text()))
    return project


def test_every_section_in_miniature(
    documented: Any, ingested: Ingested, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse_pictures(monkeypatch, comparison, constrained_tables, fidelity_tables, workers)
    data = "OPTIPROXY_DATA_DIR" in os.environ  # brief trainings, and the other search spaces
    if data:
        ingested.put(documented, "v1_0", "v1_0+schedule12", "nb301_yahpo")
    before = tree(documented)
    done = command(documented, "evidence", "--smoke", "--executor=serial", "--no-tracking")
    assert done.exit_code == 0, done.output
    folder = documented / "data" / "08_reporting" / "evidence_smoke"
    pages = [(folder / name).read_text() for name in PAGES if (folder / name).exists()]
    texts = dict(match for page in pages for match in MARKED.findall(page))
    sections = choose(REPOSITORY, smoke=True)
    left_out = tuple(section.name for section in sections if "left_out" in section.options)
    for section in sections:
        written = any(marker.startswith(section.name) for marker in texts)
        assert written or section.name in left_out, section.name
    assert {"nb101", "nlp", "ablation_spaces"} <= set(left_out)
    assert ("low_fidelity" in left_out) == ("nb301" in left_out) == (not data)
    empty = {marker for marker, text in texts.items() if "| --- |" not in text}
    # Tables of groups that are rendered as others of their section, and have no miniature.
    alike = ("memory-fidelity", "memory-hpobench", "memory-pairs")
    assert all(marker.startswith((*left_out, *alike)) for marker in empty), empty
    stored = {path.stem for path in (folder / "docs" / "evidence").iterdir()}
    measured = {"cost"}  # times are not stored
    assert stored == {section.name for section in sections} - measured - set(left_out)
    images = {path.name for path in folder.rglob("*.png")}
    assert images == {
        "baselines_best_so_far.png",
        "baselines_run_lengths.png",
        "hardware_best_so_far.png",
        *(f"workers_{kind}.png" for kind in ("numbers", "methods", "speed")),
        *(["low_fidelity_epochs.png"] if data else []),
        *(["nb301_best_so_far.png"] if data else []),
    }
    after = tree(documented)
    assert {path: after[path] for path in before} == before  # no document was touched


def test_searches_are_run_by_worker_processes_and_tracked(
    documented: Any, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the command does by itself; that workers do it alike is for the tests of sweeps."""
    asked = []

    def run_here(*args: Any, **options: Any) -> Any:
        asked.append((options["executor"], options["workers"]))
        return run_sweep(*args, **{**options, "executor": "serial"})

    monkeypatch.setattr(sweeps, "run_sweep", run_here)
    shutil.copy(empty_store, documented / "mlflow.db")
    done = command(documented, "evidence", "initial", "--smoke")
    assert done.exit_code == 0, done.output
    assert asked == [("processes", 2)]
    client = MlflowClient(tracking_uri=f"sqlite:///{documented}/mlflow.db")
    (experiment,) = (e for e in client.search_experiments() if e.name == "nb201_methods")
    statuses = [run.info.status for run in client.search_runs([experiment.experiment_id])]
    assert statuses == ["FINISHED"] * (2 + 1)  # the searches, and their sweep
    page = documented / "data" / "08_reporting" / "evidence_smoke" / "docs" / "results" / "parts.md"
    filled = {marker for marker, text in MARKED.findall(page.read_text()) if "| --- |" in text}
    assert filled
    assert all(marker.startswith("initial") for marker in filled)


def test_the_list_names_every_section_and_runs_nothing(bare_project: Path) -> None:
    """With every row, whose parameters are checked; the miniatures above have fewer."""
    shutil.copytree(REPOSITORY / "evidence", bare_project / "evidence")
    before = tree(bare_project)
    sections = load_sections(REPOSITORY / SECTIONS)  # also those that are done only on request
    names = [section.name for section in sections]
    done = command(bare_project, "evidence", "--seeds=1", "--list", *names)
    assert done.exit_code == 0, done.output
    for section in sections:
        assert re.search(
            rf"^{section.name} +\d+ searches  {re.escape(section.title)}", done.output, re.M
        )
    assert tree(bare_project) == before  # nor ingests anything


def test_an_unknown_section_is_refused(documented: Any) -> None:
    done = command(documented, "evidence", "basellines")
    assert done.exit_code == 1
    assert "Did you mean 'baselines'?" in done.output


MADE = """
title: T
order: 1
render: variants
page: docs/made.md
common: {method: tpe, source: v1_0, dataset: cifar10, budget: 20}
budgets: [20]
rows: [{label: one, seeds: 0-1}]
options: {markers: {"": made}}
"""
STORED = """\
group,row,method,preset,setting,settings,dataset,objective,source,seed,budget,optimum,\
queries_to_optimum,trials,cpu_seconds,recent_kendall_tau,alarms,best_10,best_20,best_30,curve
,one,tpe,,,0123456789ab,cifar10,,v1_0,0,20,91.607,15,20,0.2,,,90,91.607,,1:90 15:91.607
,one,tpe,,,0123456789ab,cifar10,,v1_0,1,20,91.607,,20,0.2,,,89.5,90.5,,1:80 7:89.5 20:90.5
"""


def test_pages_are_written_from_stored_results_alone(bare_project: Path) -> None:
    """Without the table of a benchmark, and without a search."""
    shutil.copytree(REPOSITORY / "evidence", bare_project / "evidence")
    for path, text in (
        ("conf/base/evidence/made.yml", MADE),
        ("docs/evidence/made.csv", STORED),
        ("docs/made.md", "<!-- made -->\nold\n<!-- end made -->\n"),
    ):
        (bare_project / path).parent.mkdir(parents=True, exist_ok=True)
        (bare_project / path).write_text(text)
    done = command(bare_project, "evidence", "--from-stored")
    assert done.exit_code == 0, done.output
    page = (bare_project / "docs" / "made.md").read_text()
    assert "| one | 91.053 | reference | – | 50% (9% to 91%) | > 20 | 1.857 / 0.553 / – |" in page
    assert "cost: left out: its renderer measures time." in done.output
    done = command(bare_project, "evidence", "--from-stored", "cost")
    assert done.exit_code == 1
    assert "measures time. Run it: kedro evidence cost" in done.output
    assert command(bare_project, "evidence", "--from-stored", "--badge").exit_code == 2
    (bare_project / "docs" / "evidence" / "made.csv").write_text(STORED.replace("89.5", "89", 1))
    done = command(bare_project, "evidence", "--from-stored", "made")
    assert done.exit_code == 1
    assert "what does not follow from its curve" in done.output


def test_outside_a_checkout_there_is_none(project: Path) -> None:
    done = command(project, "evidence", "--list")
    assert done.exit_code == 1
    assert "no part of the installed package" in done.output
