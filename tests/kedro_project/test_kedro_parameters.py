"""A wrong parameter: one message that helps, exit code 1, and nothing created."""

import pytest
from kedro_runs import command, tree

from optiproxy_nas.pipelines import run_hooks

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
    ("preset=papr", "Unknown preset 'papr'. Did you mean 'paper'? Allowed: default, hardware, "),
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
    ("proxy=mlp,proxy.hidden=8", "'proxy.hidden' and a part of it are both given"),
    ("dataset=", "Unknown dataset of source 'embedded' ''"),
    ("dataset=1e3", "Unknown dataset of source 'embedded' '1e3'"),
    ("tracking=maybe", "'tracking' = 'maybe': on or off"),
    ("resume=true", "'resume' is not for --params"),
    ("pipeline=ingest", "'pipeline' is not for --params"),
    ("run_id=a/b", "'run_id' = 'a/b' names files or folders"),
    ("run_id=..", "'run_id' = '..'"),
    ("run_id=.hidden", "'run_id'"),
    ("run_id=a\\b", "'run_id'"),
    ("run_id=" + "r" * 101, "at most 100"),
    ("run_id=sweeps", "'run_id' = 'sweeps' is a folder of its own"),
]


@pytest.fixture(autouse=True)
def no_run(monkeypatch):
    """Whatever is not refused fails at once, instead of searching."""

    def begin(*_):
        raise AssertionError("the run began")

    monkeypatch.setattr(run_hooks, "RunRecord", begin)


@pytest.mark.parametrize(("argument", "message"), UNKNOWN + WRONG, ids=lambda x: x[:40])
def test_refused_before_anything_is_created(project, argument, message):
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


@pytest.mark.parametrize(
    "option",
    ["--pipeline=nb201_serch", "--pipelines=nb201_serch"],
)
def test_an_unknown_pipeline_is_named(project, option):
    before = tree(project)
    result = command(project, "run", option)
    assert result.exit_code == 1
    assert "Unknown pipeline 'nb201_serch'. Did you mean 'nb201_search'?" in result.output
    assert "ingest" in result.output
    assert tree(project) == before


def test_what_is_right_begins(project, monkeypatch):
    """The fixture above can tell: this run would begin."""
    monkeypatch.setenv("OPTIPROXY_TRACEBACK", "1")
    result = command(project, "run", "--params=budget=20,proxy.hidden=8,tracking=off,run_id=a.b-c")
    assert isinstance(result.exception, AssertionError)


def test_two_pipelines_at_once_are_refused(project):
    result = command(project, "run", "--pipelines=nb201_search,ingest")
    assert result.exit_code == 1
    assert "One pipeline a run; nb201_search, ingest were asked for." in result.output


def test_an_unknown_parameter_of_ingest_is_refused(project):
    before = tree(project)
    result = command(project, "run", "--pipeline=ingest", "--params=sorce=v1_0")
    assert result.exit_code == 1
    assert "Did you mean 'source'?" in result.output
    assert tree(project) == before


def test_all_mistakes_are_told_at_once(project):
    result = command(project, "run", "--params=budgett=5,proxy.hiden=3,seed=-1")
    assert result.exit_code == 1
    for wrong in ("budgett", "proxy.hiden", "seed"):
        assert f"'{wrong}'" in result.output
