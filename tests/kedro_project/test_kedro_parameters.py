"""A wrong parameter: one message that helps, exit code 1, and nothing created."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from kedro_runs import command, tree

from optiproxy_nas.commands.run_options import IMPORTANT
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.methods import METHODS
from optiproxy_nas.objectives import OBJECTIVES
from optiproxy_nas.pipelines import run_hooks
from optiproxy_nas.pipelines.parameter_fields import SYMBOLS, search_fields
from optiproxy_nas.presets import load_preset
from optiproxy_nas.runs import run_names

UNKNOWN = [
    ("budgett=50", "Unknown parameter 'budgett'. Did you mean 'budget'?"),
    ("bugdet=50", "Did you mean 'budget'?"),
    ("trackin=off", "Unknown parameter 'trackin'. Did you mean 'tracking'?"),
    ("runid=a", "Unknown parameter 'runid'. Did you mean 'run_id'?"),
    ("proxy.hiden=8", "Unknown parameter 'proxy.hiden'. Did you mean 'hidden'?"),
    ("gradient.epoch=5", "Did you mean 'epochs'?"),
    ("selection.bacth=5", "Did you mean 'batch'?"),
    ("fit.learning_rate=1", "Unknown parameter 'fit.learning_rate'."),
    ("dataset=cifar1O", "Did you mean 'cifar10'? Allowed: cifar10, cifar100, imagenet16-120."),
    ("source=embeded", "Did you mean 'embedded'? Sources of nb201: embedded, v1_0, "),
    ("source=nb301_yaho", "Did you mean 'nb301_yahpo'? Sources of nb201: embedded, v1_0, "),
    ("preset=papr", "Unknown preset 'papr'. Did you mean 'paper'? Allowed: "),
    ("proxy.name=gnc", "Unknown proxy 'gnc'. Did you mean 'gcn'?"),
    ("proxy.name=no.such.module:Proxy", "no.such.module"),
    ("space=nb21", "Did you mean 'nb201'?"),
    ("benchmark=nb21", "Did you mean 'nb201'?"),
    ("fit.targets=rnk", "Did you mean 'rank'?"),
]
WRONG = [
    ("budget=ten", "'budget' = 'ten'"),
    ("budget=16.5", "'budget' = 16.5"),
    ("seed=-1", "'seed' = -1"),
    ("seed=", "'seed'"),
    ("proxy.hidden=wide", "'proxy.hidden' = 'wide'"),
    ("proxy=mlp", "'proxy' = 'mlp'"),
    ("fit.lr=-0.1", "'fit.lr' = -0.1"),
    ("fit.lr=nan", "'fit.lr' = 'nan'"),
    ("fit.warm_start=perhaps", "'fit.warm_start' = 'perhaps'"),
    ("selection.acquisition=best", "'selection.acquisition' = 'best'"),
    ("budget=5", "budget of 5 queries is too small: with these settings the initial sample"),
    ("budget=15626", "larger than the space, which has 15625"),
    ("initial_samples=1", "'initial_samples' = 1"),
    ("selection.samples=50,gradient.groups=51", "K = 51 is greater than selection.samples Q = 50"),
    ("selection.samples=50,selection.batch=51", "B = 51 is greater than selection.samples Q = 50"),
    ("gradient.min_temperature=2", "min_temperature (2.0) is above base_temperature"),
    ("space=nb101", "is of search space nb201, not nb101"),
    ("benchmark=nb301", "of benchmark nb201, not nb301. Sources of nb301: nb301_yahpo, nb301_pa"),
    ("source=nb101_table", "of benchmark nb101, not nb201. Sources of nb201: embedded, v1_0, "),
    ("seed=on", "'seed' = True: an integer is needed"),
    ("seed=1,seed=2", "'seed' is given twice in --params, '1' and '2'"),
    ("proxy.hidden=8,proxy.hidden=8", "'proxy.hidden' is given twice"),
    ("proxy=mlp,proxy.hidden=8", "'proxy' and a part of it, 'proxy.hidden', are both given"),
    ("dataset=", "'dataset' = ''"),
    ("dataset=1e3", "Unknown dataset '1e3' of source 'embedded'"),
    ("tracking=maybe", "'tracking' = 'maybe': on or off"),
    ("resume=true", "'resume' is not for --params"),
    ("pipeline=ingest", "'pipeline' is not for --params"),
    ("run_id=a/b", "'run_id' = 'a/b' names files or folders"),
    ("run_id=..", "'run_id' = '..'"),
    ("run_id=.hidden", "'run_id'"),
    ("run_id=a\\b", "'run_id'"),
    ("run_id=" + "r" * 101, "at most 100"),
    ("space=os:abort", "it must be a class"),
    ("run_id=sweeps", "'run_id' = 'sweeps' is a folder of data that holds other things"),
    ("stop_regret=0.2", "'stop_regret' = 0.2: it has parts: stop_regret.epsilon, stop_regret.conf"),
    ("stop_regret.epsilo=1", "'stop_regret.epsilo'. Did you mean 'epsilon'?"),
]


@pytest.fixture(autouse=True)
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not refused fails at once, instead of searching."""

    def begin(*_: Any) -> None:
        raise AssertionError("the run began")

    monkeypatch.setattr(run_hooks, "RunRecord", begin)


@pytest.mark.parametrize(("argument", "message"), UNKNOWN + WRONG, ids=lambda x: x[:40])
def test_refused_before_anything_is_created(project: Path, argument: Any, message: Any) -> None:
    before = tree(project)
    folders = sorted(project.rglob("*"))
    result = command(project, "run", "--pipeline=nb201_search", f"--params={argument}")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert message in result.output
    assert result.output.startswith("Error: ")
    assert result.output.count("Error: ") == 1
    assert "Traceback" not in result.output
    assert tree(project) == before
    assert sorted(project.rglob("*")) == folders


def test_a_preset_of_a_method_that_takes_none_is_refused(project: Path) -> None:
    before = tree(project)
    arguments = "method=random_search,preset=paper"
    result = command(project, "run", "--pipeline=nb201_methods", f"--params={arguments}")
    assert result.exit_code == 1
    assert "starts from no preset" in result.output
    result = command(project, "sweep", "--no-tracking", *arguments.split(","))
    assert result.exit_code == 1
    assert "starts from no preset" in result.output
    assert tree(project) == before


@pytest.mark.parametrize(
    "option",
    ["--pipeline=nb201_serch", "--pipelines=nb201_serch"],
)
def test_an_unknown_pipeline_is_named(project: Path, option: str) -> None:
    before = tree(project)
    result = command(project, "run", option)
    assert result.exit_code == 1
    assert "Unknown pipeline 'nb201_serch'. Did you mean 'nb201_search'?" in result.output
    assert "ingest" in result.output
    assert tree(project) == before


def test_what_is_right_begins(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixture above can tell: this run would begin."""
    monkeypatch.setenv("OPTIPROXY_TRACEBACK", "1")
    result = command(project, "run", "--params=budget=20,proxy.hidden=8,tracking=off,run_id=a.b-c")
    assert isinstance(result.exception, AssertionError)


def test_a_file_of_parameters_without_end_is_refused(project: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yml")
    result = command(project, "run", f"--config={tmp_path / 'pipe.yml'}")
    assert result.exit_code == 2
    assert "is no regular file" in result.output


def test_two_pipelines_at_once_are_refused(project: Path) -> None:
    result = command(project, "run", "--pipelines=nb201_search,ingest")
    assert result.exit_code == 1
    assert "One pipeline a run; nb201_search, ingest were asked for." in result.output


def test_an_unknown_parameter_of_ingest_is_refused(project: Path) -> None:
    before = tree(project)
    result = command(project, "run", "--pipeline=ingest", "--params=sorce=v1_0")
    assert result.exit_code == 1
    assert "Did you mean 'source'?" in result.output
    assert tree(project) == before


def test_all_mistakes_are_told_at_once(project: Path) -> None:
    result = command(project, "run", "--params=budgett=5,proxy.hiden=3,seed=-1")
    assert result.exit_code == 1
    for wrong in ("budgett", "proxy.hiden", "seed"):
        assert f"'{wrong}'" in result.output


def listed(project: Path, *options: Any) -> Any:
    """What ``kedro parameters`` lists: name -> its line."""
    result = command(project, "parameters", *options)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 100
    lines = [line for line in result.output.splitlines() if line and line[0] != " "]
    return {line.split()[0]: line for line in lines}


def test_all_parameters_of_a_pipeline_and_preset_are_listed(project: Path) -> None:
    (project / "conf" / "local" / "parameters.yml").write_text("seed: 7\n")
    lines = listed(project, "--pipeline=nb101_search", "--preset=paper")
    values, defaults = flatten(load_preset("paper")), flatten(load_preset("default"))
    for name, value in values.items():
        if not isinstance(value, bool) and value is not None:
            assert str(value) in lines[name].split()[1:]
            assert value == defaults[name] or str(defaults[name]) in lines[name]
    assert lines["seed"].split()[1:3] == ["7", "0"]
    assert lines["space"].split()[1] == "nb101"


def test_parameters_of_methods_and_of_pipelines_without_runs_are_listed(project: Path) -> None:
    lines = listed(project, "--method=tpe")
    assert "settings.startup" in lines
    assert "proxy.hidden" not in lines
    assert "objective.constraints" in listed(project, "--pipeline=hw_search")
    assert {"runs", "experiment", "sweep"} <= listed(project, "--pipeline=compare").keys()
    assert "collapse.patience" in listed(project, "--pipeline=nb201_diagnose")


@pytest.mark.parametrize(
    "options",
    [
        ["--pipeline=nb201_serch"],
        ["--preset=papr"],
        ["--method=tpx"],
        ["--pipeline=compare", "--preset=paper"],
        ["--pipeline=nb201_methods", "--method=tpe", "--preset=paper"],
    ],
)
def test_names_that_are_none_are_refused_in_the_list(project: Path, options: Any) -> None:
    result = command(project, "parameters", *options)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")


def test_symbols_of_the_paper_have_a_legend(project: Path) -> None:
    output = command(project, "parameters").output
    legend = output[output.index("Symbols of the paper") :]
    fields = search_fields(METHODS.load("optiproxy"), OBJECTIVES.load("accuracy"))
    for symbol in SYMBOLS:
        assert symbol.meaning in legend
        assert set(symbol.text.split(", ")) <= set(
            re.findall(r"\w+", str(fields[symbol.parameter].description))
        )
    assert "Symbols" not in command(project, "parameters", "--pipeline=compare").output


def test_every_parameter_says_what_it_is() -> None:
    methods, objectives = METHODS.load_all().values(), OBJECTIVES.load_all().values()
    fields: dict[Any, Any] = {}
    for method in methods:
        for objective in objectives:
            fields |= search_fields(method, objective)
            fields |= search_fields(method, objective, of_problem=True)
    assert [name for name, field in fields.items() if not field.description] == []
    assert fields.keys() >= IMPORTANT.keys()


def test_the_help_of_run_tells_the_parameters(project: Path) -> None:
    text = command(project, "run", "--help").output
    assert all(name in text for name in IMPORTANT)
    assert "kedro parameters" in text


@pytest.mark.parametrize("text", ["cifar10-tpe", "Möbius-large", "Öl", "a b/c", "Long" * 50, "ü"])
def test_a_run_id_that_is_not_given_is_one_that_may_be_given(text: Any) -> None:
    """Else the run could neither go on nor be audited."""
    name = f"{run_names.name_from(text)}-s0-20261130-044317-7a26"
    assert run_names.check_name("run_id", name) == name
    assert text != "cifar10-tpe" or name.startswith("cifar10-tpe-s0")
