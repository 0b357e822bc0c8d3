"""Names of code in manifests and stores are imported only where somebody has allowed them."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from optiproxy_nas.core.errors import ParameterError, UntrustedNameError
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.runs.foreign_names import TRUSTED, refuse_foreign_names
from optiproxy_nas.runs.manifest import read_manifest
from optiproxy_nas.runs.mlflow_reader import SweepTables

PARAMETERS = {"space": "nb201", "method": "optiproxy", "source": "embedded", "seed": 0}
PLACES = [
    {"space": "os:abort"},
    {"method": "os:abort"},
    {"source": "embedded+os:abort"},
    {"proxy": {"name": "os:abort"}},
    {"objective": {"name": "os:abort"}},
    {"problem": "os:abort"},
    {"problem": {"name": "os:abort", "epochs": 3}},
    {"space": {"name": "mine", "choices": {"a": [1, 2]}, "constraint": "os:abort"}},
]


def write(folder: Any, parameters: Any, **facts: Any) -> None:
    path = folder / "mine" / "manifest.json"
    path.parent.mkdir(parents=True)
    lacking = {"run_id": "mine", "status": "failed", "artifacts": {}, "pipeline": "x", "data": {}}
    path.write_text(json.dumps({**lacking, "parameters": parameters, **facts}))


@pytest.fixture(autouse=True)
def nobody_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRUSTED)


@pytest.mark.parametrize("place", PLACES)
def test_a_manifest_that_names_foreign_code_is_refused(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, PARAMETERS | place)
    with pytest.raises(UntrustedNameError, match=f"{TRUSTED}=os ") as refused:
        read_manifest(tmp_path, "mine")
    assert "os:abort" in refused.value.data["names"][0]
    monkeypatch.setenv(TRUSTED, "elsewhere, os")
    assert read_manifest(tmp_path, "mine")["run_id"] == "mine"
    monkeypatch.delenv(TRUSTED)
    assert read_manifest(tmp_path, "mine", given=place)["run_id"] == "mine"


def test_an_executor_of_a_manifest_is_refused_but_no_scheduler(tmp_path: Path) -> None:
    write(tmp_path, PARAMETERS, evaluation={"executor": "os:abort"})
    with pytest.raises(UntrustedNameError):
        read_manifest(tmp_path, "mine")
    evaluation = {"executor": "dask", "scheduler": "tcp://10.0.0.1:8786"}
    write(other := tmp_path / "other", PARAMETERS, evaluation=evaluation)
    read_manifest(other, "mine")


def test_a_sweeps_table_that_names_foreign_code_is_refused() -> None:
    point = {"parameters": json.dumps({**PARAMETERS, "method": "os:abort"})}
    tables = SweepTables({"p": pd.DataFrame()}, {"p": point})
    with pytest.raises(UntrustedNameError):
        tables.read("p", "reference")


def test_code_of_the_project_and_of_this_package_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\npackage_name = 'mine'\n")
    for folder in ("src", "data"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"own_{folder}_code.py").write_text("raise SystemExit")
        monkeypatch.syspath_prepend(tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    for name in ("optiproxy_nas.spaces.nb201:NASBench201", "own_src_code:Space"):
        refuse_foreign_names({"space": name}, "x", {})
    with pytest.raises(UntrustedNameError):  # a file that came with a run
        refuse_foreign_names({"space": "own_data_code:Space"}, "x", {})
    assert not sys.modules.keys() & {"own_src_code", "own_data_code"}


def test_trust_in_one_module_is_none_in_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUSTED, "lab.spaces,one:Name")
    refuse_foreign_names({"space": "lab.spaces.big:Space", "method": "one:Name"}, "x", {})
    for name in ("lab.other:Space", "lab.spacesuit:Space", "one:Other"):
        with pytest.raises(UntrustedNameError):
            refuse_foreign_names({"space": name}, "x", {})


def test_what_a_module_has_imported_is_no_member_of_a_registry() -> None:
    with pytest.raises(ParameterError, match="os is a module"):
        Registry("space", {}).load("optiproxy_nas.execution.worker:os.abort")
