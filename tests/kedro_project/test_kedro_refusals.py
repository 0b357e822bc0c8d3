"""What the benchmark cannot answer, and settings of another objective: refused, nothing written."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kedro_runs import TINY_ARGUMENT, command, run, tree

from optiproxy_nas.benchmarks.source_registry import families
from optiproxy_nas.core.errors import OptiProxyError, ParameterError
from optiproxy_nas.core.mappings import merge
from optiproxy_nas.pipelines.configuration import resolve_parameters
from optiproxy_nas.runs.run_names import check_run_id
from optiproxy_nas.sweeps.planning import plan, raw_parameters

UNANSWERABLE = [
    ("hw_search", "objective.constraints=latency_ms < 1", "goes from 7.145 to 25.58"),
    ("hw_search", "objective.constraints=latency_ms <= 8;parameters_millions > 1.4", "all of them"),
    ("hw_search", "objective.constraints=latncy_ms < 9", "Did you mean 'latency_ms'"),
    (
        "hw_search",
        "objective.constraints=edgegpu_latency_ms < 4",
        "Source 'hw_nas_bench' holds it: join it, source=embedded+hw_nas_bench.",
    ),
    ("lowfi_search", "source=embedded", "after 200 epochs of training, not after 12"),
    (
        "nb201_methods",
        "method=random_search,objective.name=constrained,objective.constraints=latency_ms < 1",
        "goes from 7.145 to 25.58",
    ),
]

PLAIN = {"name": "accuracy", "direction": "maximize"}


@pytest.mark.parametrize(("pipeline", "params", "message"), UNANSWERABLE)
def test_what_the_table_cannot_answer_leaves_nothing_of_a_run(
    tracked: Path, pipeline: str, params: str, message: str
) -> None:
    """No manifest that resume and audit would take for a run, and no failed MLflow run."""
    before = tree(tracked)
    result = command(tracked, "run", f"--pipeline={pipeline}", f"--params=run_id=r,{params}")
    assert result.exit_code == 1
    assert message in result.output.replace("\n", " ").partition("Error: ")[2]
    assert tree(tracked) == before
    assert not (tracked / "data" / "08_reporting" / "r").exists()
    again = command(tracked, "audit", "r")
    assert "There is no run 'r'" in again.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--namespaces=step_01"], "which other nodes of the search make"),
        (["--from-nodes=step_01.update_archive"], "--resume RUN_ID"),
        (["--from-nodes=nowhere"], "does not contain nodes named ['nowhere']"),
        (["--params=method=tpe"], "--pipeline=nb201_methods"),
    ],
)
def test_a_part_that_cannot_run_is_told_how_it_could(
    quick: Path, options: Any, message: str
) -> None:
    result = command(quick, "run", f"--params=run_id=r,tracking=off,{TINY_ARGUMENT}", *options)
    assert result.exit_code == 1
    assert message in result.output.replace("\n", " ").partition("Error: ")[2]
    assert not (quick / "data" / "08_reporting" / "r").exists()


def test_points_that_the_table_cannot_answer_are_refused_together_before_any_runs(
    quick: Path,
) -> None:
    before = tree(quick)
    block = {
        "method": "random_search",
        "seed": "0:3",
        "budget": 12,
        "objective.name": "constrained",
        "objective.constraints": ["latency_ms <= 12", "latency_ms < 1", "edgegpu_latency_ms < 4"],
    }
    with pytest.raises(OptiProxyError) as caught:
        plan(quick, [block])
    first, second = caught.value.message.splitlines()
    assert first.startswith("No architecture keeps 'latency_ms < 1'")
    assert "objective.constraints=latency_ms < 1, and 2 more points" in first
    assert "source=embedded+hw_nas_bench" in second
    assert caught.value.data["refused"] == 2
    block["objective.constraints"] = "latency_ms < 1"
    result = command(quick, "sweep", "--no-tracking", *[f"{k}={v}" for k, v in block.items()])
    assert result.exit_code == 1
    assert result.output.startswith("Error: No architecture keeps 'latency_ms < 1'")
    assert tree(quick) == before


@pytest.mark.parametrize(
    ("pipeline", "given", "expected"),
    [
        ("hw_search", {"name": "accuracy"}, PLAIN),
        ("hw_search", {"name": "constrained", "mode": "paper_weights"}, ["latency_ms <= 12"]),
        ("hw_search", {"mode": "paper_weights"}, ["latency_ms <= 12"]),
        ("hw_search", "accuracy", PLAIN),
        ("lowfi_search", {"name": "accuracy"}, PLAIN),
    ],
)
def test_settings_of_the_section_give_way_to_another_objective(
    project: Path, pipeline: str, given: Any, expected: Any
) -> None:
    raw = merge(raw_parameters(project), {"pipeline": pipeline, "objective": given})
    objective = resolve_parameters(raw)["search"]["objective"]
    if isinstance(expected, list):
        assert objective["constraints"] == expected
        assert objective["mode"] == "paper_weights"
    else:
        assert objective == expected


def test_another_objective_than_the_section_s_runs_from_the_command_line(quick: Path) -> None:
    record = run(quick, pipeline="hw_search", run_id="r", objective={"name": "accuracy"})
    assert record["parameters"]["objective"] == PLAIN
    assert command(quick, "audit", "r").exit_code == 0


ELSEWHERE = [
    (
        "nb201_search",
        "objective.constraints=latency_ms<=12",
        "add objective.name=constrained, or leave it out. Pipeline hw_search has that objective.",
    ),
    ("hw_search", "objective.low_epochs=5", "add objective.name=multi_fidelity"),
    ("nb201_search", "constraints=latency_ms<=12", "Did you mean 'objective.constraints'?"),
    ("nb201_methods", "method=tpe,constraints=a<=12", "Did you mean 'objective.constraints'?"),
    ("nb201_search", "hidden=5", "Did you mean 'proxy.hidden'?"),
    ("nb201_search", "epochs=5", "Did you mean 'fit.epochs' or 'gradient.epochs'?"),
    ("hw_search", "objective.constraints=a<=12,b<=1", "a list is written with semicolons"),
    ("hw_search", "objective.constraints=a<=12, b <= 1", "'b <' is no parameter's name"),
    ("hw_search", "objective.constraints=a<12,b<1", "a list is written with semicolons"),
]


@pytest.mark.parametrize(("pipeline", "params", "message"), ELSEWHERE)
def test_a_setting_in_the_wrong_place_is_told_where_it_belongs(
    project: Path, pipeline: str, params: str, message: str
) -> None:
    result = command(project, "run", f"--pipeline={pipeline}", f"--params={params}")
    assert result.exit_code in (1, 2)  # Kedro's parser ends with 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_blanks_around_a_plus_are_no_part_of_a_source(project: Path) -> None:
    raw = raw_parameters(project)
    spaced = merge(raw, {"pipeline": "hw_search", "source": "v1_0 + hw_nas_bench"})
    resolved = resolve_parameters(spaced)
    assert resolved["search"]["source"] == resolved["source"] == "v1_0+hw_nas_bench"
    assert resolved["run"]["source"] == "v1_0+hw_nas_bench"
    spaced = merge(raw, {"pipeline": "ingest", "source": " v1_0 +hw_nas_bench"})
    resolved = resolve_parameters(spaced)
    assert resolved["source"] == resolved["run"]["source"] == "v1_0+hw_nas_bench"


def test_a_run_that_is_refused_by_its_table_still_ingests_and_then_runs(quick: Path) -> None:
    """The check comes after ingest: a missing table is made first."""
    folder = quick / "data" / "03_primary"
    for file in folder.rglob("embedded.*"):
        file.unlink()
    arguments = ("run", "--pipeline=hw_search")
    wrong = f"--params=run_id=r,tracking=off,{TINY_ARGUMENT},objective.constraints=latency_ms<1"
    assert command(quick, *arguments, wrong).exit_code == 1
    assert list(folder.rglob("embedded.parquet"))
    assert command(quick, *arguments, wrong.replace("<1", "<15")).exit_code == 0


def test_a_preset_of_another_objective_is_told_once_in_the_terminal(quick: Path) -> None:
    arguments = f"run_id=r,tracking=off,{TINY_ARGUMENT},preset=low_fidelity"
    result = command(quick, "run", "--pipeline=hw_search", f"--params={arguments}")
    assert result.exit_code == 0
    assert result.output.count("Note: Preset 'low_fidelity' was made for objective") == 1
    assert "there is preset=default." in result.output
    grid = [
        "preset=low_fidelity",
        "seed=0:2",
        "objective.name=constrained",
        "objective.constraints=latency_ms <= 15",
    ]
    grid += TINY_ARGUMENT.split(",")
    result = command(quick, "sweep", "--no-tracking", "--executor=serial", *grid)
    assert result.exit_code == 0, result.output
    assert result.output.count("Preset 'low_fidelity' was made for objective") == 1
    result = command(quick, "run", f"--params=run_id=s,tracking=off,{TINY_ARGUMENT}")
    assert result.exit_code == 0
    assert "was made for" not in result.output


def test_ingest_says_what_there_is_now(project: Path) -> None:
    result = command(project, "run", "--pipeline=ingest", "--params=source=embedded")
    assert result.exit_code == 0, result.output
    folder = project / "data" / "03_primary" / "nb201"
    card = json.loads((folder / "embedded.json").read_text())
    told = [line for line in result.output.splitlines() if line.startswith("Source ")]
    assert told == [
        "Source embedded: 46,875 rows of cifar10, cifar100, imagenet16-120 in "
        f"data/03_primary/nb201/embedded.parquet, SHA-256 of the table {card['table_sha256']}"
    ]


def test_ingest_says_that_a_model_answers_where_the_table_is_empty(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package: Any = ModuleType("nasbench301")
    package.load_ensemble = Path
    monkeypatch.setitem(sys.modules, "nasbench301", package)
    monkeypatch.setenv("OPTIPROXY_DATA_DIR", str(tmp_path / "own"))
    member = tmp_path / "own" / "nb301" / "nb_models_1.0" / "xgb_v1.0" / "member"
    member.mkdir(parents=True)
    for name in ("surrogate_model.model", "data_config.json", "model_config.json"):
        (member / name).write_text("{}")
    result = command(project, "run", "--pipeline=ingest", "--params=source=nb301_package")
    assert result.exit_code == 0, result.output
    path = Path("data") / "03_primary" / "nb301" / "nb301_package.model"
    model = (project / path).read_bytes()
    told = [line for line in result.output.splitlines() if line.startswith("Source ")]
    assert told == [
        "Source nb301_package: a model answers for cifar10 (its table has no rows), "
        f"{len(model)} bytes in {path}, SHA-256 of the model {hashlib.sha256(model).hexdigest()}"
    ]


def test_a_run_takes_no_folder_of_other_things(quick: Path) -> None:
    """Neither one that the catalog names, nor a benchmark's, nor one that has files already."""
    of_others = ("compare", "sweeps", "mnist1d.parquet", "hw_nas_bench", *families(), "NB101")
    for name in of_others:
        with pytest.raises(ParameterError, match="other things than runs"):
            check_run_id(name)
    assert check_run_id("nb101-1") == "nb101-1"
    notes = quick / "data" / "06_models" / "mine" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("of the user")
    before = tree(quick)
    for name, message in (("nb101", "other things than runs"), ("mine", "notes.txt already")):
        result = command(quick, "run", f"--params=run_id={name},tracking=off,{TINY_ARGUMENT}")
        assert result.exit_code == 1
        assert message in result.output.replace("\n", " ").partition("Error: ")[2]
    assert command(quick, "sweep", "--no-tracking", "run_id=nb101", "seed=0:2").exit_code
    assert tree(quick) == before
