"""A bare project of a user, made by ``kedro new``: our pipelines beside the user's own."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.framework.session import KedroSession, session
from kedro_runs import TINY_ARGUMENT, command, enter, forked, manifest, without_pictures
from tiny_problem import trainings, with_data

from optiproxy_nas import read_journal
from optiproxy_nas.pipelines.configuration import CONF  # type: ignore[attr-defined]

SETTINGS = """\
from optiproxy_nas.settings import (
    CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS, CONTEXT_CLASS, HOOKS, SESSION_CLASS
)
"""
REGISTRY = """\
from kedro.framework.project import find_pipelines
from kedro.pipeline import Node, Pipeline

from optiproxy_nas.pipelines import own_pipelines, search_pipeline


def double(x, sweep):
    return 2 * x + sweep["a"]


def register_pipelines():
    pipelines = find_pipelines(raise_errors=True)
    pipelines["mine"] = Pipeline([Node(double, ["params:x", "params:sweep"], "step_00.archive")])
    pipelines["__default__"] = sum(pipelines.values())
    pipelines |= own_pipelines("voyage.widths:Widths")
    problem = {"name": "voyage.widths:Widths", "dies_at": 9, "how": "kill", "crashes_at": 12}
    pipelines["nas"] = search_pipeline(problem)
    made = Pipeline([Node(double, ["params:x", "params:sweep"], "doubled")])
    pipelines["whole"] = made + search_pipeline(problem)
    return pipelines
"""
# Names that mean something else to our pipelines, and must not be refused.
PARAMETERS = "x: 3\nseed: of the user\nbudget: {train: 4}\nsweep: {a: 5}\nquiet: {b: 1}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The project that ``kedro new`` makes, with what a user writes into it."""
    folder = tmp_path_factory.mktemp("user")
    options = ["--name=voyage", "--tools=none", "--example=no", "--telemetry=no"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DO_NOT_TRACK", "1")  # kedro-telemetry tells of the making of projects, too
        process, shown = forked(folder, "new", *options)
        process.join()
    assert process.exitcode == 0, shown.read_text()
    project = with_data(folder / "voyage")
    package = project / "src" / "voyage"
    shutil.copy(Path(__file__).with_name("tiny_problem.py"), package / "widths.py")
    (package / "settings.py").write_text(SETTINGS)
    (package / "cli.py").write_text("from optiproxy_nas.cli import cli\n")
    (package / "pipeline_registry.py").write_text(REGISTRY)
    (project / "conf" / "base" / "parameters.yml").write_text(PARAMETERS + "fuel: {litres: 5}\n")
    (project / "conf" / "local" / "parameters.yml").write_text("fuel: {gallons: 1}\n")
    return project


@pytest.fixture
def project(made: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Work in it, and forget its modules afterwards."""
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    without_pictures(monkeypatch)
    yield enter(made, monkeypatch)
    for name in [name for name in sys.modules if name.partition(".")[0] == "voyage"]:
        del sys.modules[name]


def test_a_run_that_is_killed_goes_on_and_is_audited(project: Any) -> None:
    """SIGKILL in a training in the main process; the others are trained in a worker process, one
    of which crashes. The pipeline goes by a name of the user's."""
    params = f"--params={TINY_ARGUMENT},evaluation.executor=serial,run_id=r,tracking=off"
    process, shown = forked(project, "run", "--pipeline=nas", params)
    process.join()
    assert process.exitcode == -signal.SIGKILL, shown.read_text()
    journal = project / "data" / "07_model_output" / "r" / "journal.jsonl"
    assert len(read_journal(journal)) == 9

    result = command(project, "run", "--resume", "r")
    assert result.exit_code == 0, result.output
    assert "Test score" in result.output
    assert trainings(project, "r") == 17
    made = manifest(project, "r")
    assert made["pipeline"] == "nas"
    trials = read_journal(journal).set_index("number")
    assert len(trials) == 16
    assert "SIGSEGV" in trials["error"][12]
    assert made["result"]["failed_trials"] == (trials["error"] != "").sum()
    written = project / "data" / "07_model_output" / "r" / "trials" / "0015" / "output.txt"
    assert "training" in written.read_text()
    page = (project / "data" / "08_reporting" / "r" / "report.html").read_text(encoding="utf-8")
    assert 'href="../../07_model_output/r/trials/0015/output.txt"' in page

    result = command(project, "audit", "r")
    assert result.exit_code == 0, result.output


def test_what_a_project_with_a_problem_needs_is_there(project: Any) -> None:
    lines = command(project, "parameters", "--pipeline=own_search").output
    assert "voyage.widths:Widths" in lines
    assert "evaluation.timeout" in lines
    assert "\nsource " not in lines
    result = command(project, "run", "--pipeline=compare", "--params=runs=r")
    assert result.exit_code == 1  # there is no store
    assert "MLflow" in result.output
    assert "own_diagnose" in command(project, "run", "--pipeline=own_diagnos").output


def test_what_would_not_keep_a_run_is_refused(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "is run by itself" in command(project, "run", "--pipeline=whole").output
    monkeypatch.setattr(session, "_register_hooks", lambda *_: None)
    result = command(project, "run", "--pipeline=nas", "--params=run_id=h,tracking=off")
    assert "HOOKS = (*HOOKS" in result.output
    assert not (project / "data" / "08_reporting" / "h").exists()


def test_the_users_own_pipelines_are_as_without_us(project: Any) -> None:
    before = set((project / "data").rglob("*"))
    result = command(project, "run")  # the default one
    assert result.exit_code == 0, result.output
    with KedroSession.create(project) as session:
        assert isinstance(session, KedroSession)
        context = session.load_context()
    # As Kedro alone does it, conf/local replaces a whole name.
    assert context.params == yaml.safe_load(PARAMETERS) | {"fuel": {"gallons": 1}}
    assert set(context.config_loader["catalog"]) == {"signals"}
    assert set((project / "data").rglob("*")) == before


def test_the_files_of_the_package_are_those_of_the_checkout() -> None:
    checkout = Path(__file__).parents[2] / "conf" / "base"
    assert CONF.resolve() == checkout.resolve()
    assert (CONF / "catalog_search.yml").is_file()


def test_the_package_has_the_catalog_and_parameters_of_a_new_project(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = pytest.importorskip("setuptools.config.pyprojecttoml")
    from setuptools import Distribution

    root = CONF.resolve().parents[1]
    monkeypatch.chdir(root)
    distribution = Distribution()
    config.apply_configuration(distribution, "pyproject.toml", ignore_option_errors=True)
    distribution.include_package_data = False  # which would ask what git has
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    (found,) = (files for package, _, _, files in build.data_files if package == "optiproxy_nas")
    base = {path.name for path in (root / "conf" / "base").glob("*.yml")}
    shipped = {Path(name).name for name in found if name.startswith("conf/")}
    assert shipped == {name for name in base if name != "parameters.yml"}
    assert "catalog_own_search.yml" in shipped
