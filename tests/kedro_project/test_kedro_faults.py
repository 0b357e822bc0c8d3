"""Full disks, second processes, broken proxies and bad data: one message, and nothing half done."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import nan_proxy
import pandas as pd
import pytest
from kedro.runner import ParallelRunner, ThreadRunner
from kedro.runner.task import Task
from kedro_runs import (
    TINY_ARGUMENT,
    Killed,
    archive,
    artifact,
    assert_history,
    command,
    die_at,
    history,
    manifest,
    mlflow_run,
    partial_files,
    resume,
    run,
    search_digests,
    sign,
    tree,
)

from ingested import Ingested
from optiproxy_nas.core.errors import OptiProxyError, ProxyError, RunLockedError
from optiproxy_nas.pipelines import search
from optiproxy_nas.pipelines.active_run import ActiveRun
from optiproxy_nas.runs.datasets import TensorsDataset
from optiproxy_nas.runs.tracking import MlflowTracker

SEARCH = ("run", "--pipeline=nb201_search")


def one_message(result: Any) -> Any:
    """The message of a command that failed as it should."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert result.output.count("Error: ") == 1
    return result.output.partition("Error: ")[2]


def disk_full(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The disk fills up while tensors are saved to ``name`` (a part of the path)."""
    real = TensorsDataset.save

    def save(self: Any, data: Any) -> None:
        if name in str(self._path):
            self._path.write_bytes(b"as much as there was room for")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        real(self, data)

    monkeypatch.setattr(TensorsDataset, "save", save)


@pytest.mark.parametrize("name", ["step_01/proxy", "step_02/candidates"])
def test_full_disk_then_resume(
    tracked: Path, reference: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as patch:
        disk_full(patch, name)
        result = command(tracked, *SEARCH, f"--params=run_id=r,{TINY_ARGUMENT}")
    message = one_message(result)
    assert "No space left on device" in message
    assert name in message
    assert manifest(tracked, "r")["status"] == "failed"
    assert "No space left on device" in manifest(tracked, "r")["error"]
    client, found = mlflow_run(tracked, "r")
    assert found.info.status == "FAILED"
    assert partial_files(tracked) == []

    result = command(tracked, "run", "--resume", "r")
    assert result.exit_code == 0, result.output
    assert search_digests(tracked, "r") == reference
    record = manifest(tracked, "r")
    assert record["status"] == "finished"
    assert "error" not in record
    client, found = mlflow_run(tracked, "r")
    assert found.info.status == "FINISHED"
    assert_history(client, found.info.run_id, "validation_accuracy", archive(tracked, "r")["value"])
    entropy = history(client, found.info.run_id, "step/entropy")
    assert [step for step, _ in entropy] == [1, 2]
    assert "error" not in found.data.tags


def test_disk_too_full_for_the_manifest_as_well(
    quick: Path, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.write_bytes

    def write_bytes(self: Any, data: Any) -> Any:
        if (quick / "data" / "06_models" / "r" / "step_02").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return real(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        result = command(quick, *SEARCH, f"--params=run_id=r,tracking=off,{TINY_ARGUMENT}")
    assert "No space left on device" in one_message(result)
    resume(quick, run_id="r")
    assert search_digests(quick, "r") == reference


@pytest.mark.parametrize("runner", [ThreadRunner, ParallelRunner])
def test_full_disk_under_other_runners(
    quick: Path, reference: Any, monkeypatch: pytest.MonkeyPatch, runner: Any
) -> None:
    with monkeypatch.context() as patch:
        disk_full(patch, "step_02/logits")
        with pytest.raises(Exception, match="No space left on device"):
            run(quick, runner=runner(max_workers=2), run_id="r")
    assert manifest(quick, "r")["status"] == "failed"
    assert partial_files(quick) == []
    resume(quick, run_id="r")
    assert search_digests(quick, "r") == reference


def interrupt_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = Task.execute

    def execute(self: Any) -> Any:
        if self.node.name == name:
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(Task, "execute", execute)


def test_interrupted_by_the_user_who_cannot_wait(
    tracked: Path, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further interrupts do not end what closes the run."""
    with monkeypatch.context() as patch:
        interrupt_at(patch, "step_02.select")
        for close in ("tag", "end"):
            interrupt_before(patch, MlflowTracker, close)
        interrupt_before(patch, ActiveRun, "close")
        result = command(tracked, *SEARCH, f"--params=run_id=r,{TINY_ARGUMENT}")
    assert result.exit_code == 130
    assert "Interrupted. Go on with: kedro run --resume r" in result.output
    assert "Traceback" not in result.output
    assert manifest(tracked, "r")["status"] == "failed"
    assert mlflow_run(tracked, "r")[1].info.status == "KILLED"
    with monkeypatch.context() as patch:  # the search is over, and MLflow has not all of it
        patch.setattr(MlflowTracker, "log_artifacts", interrupted)
        result = command(tracked, "run", "--resume", "r")
    assert "Interrupted. Go on with: kedro run --resume r" in result.output
    assert manifest(tracked, "r")["status"] == "finished"
    assert manifest(tracked, "r")["mlflow_owed"]
    assert command(tracked, "run", "--resume", "r").exit_code == 0
    assert search_digests(tracked, "r") == reference
    assert mlflow_run(tracked, "r")[1].info.status == "FINISHED"


def interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def interrupt_before(patch: Any, kind: Any, name: str) -> None:
    """Have the process told to end, in several ways, whenever a method is called."""
    real = getattr(kind, name)

    def method(*arguments: Any) -> Any:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
            signal.raise_signal(number)
        return real(*arguments)

    patch.setattr(kind, name, method)


def test_killed_before_the_id_of_its_mlflow_run_is_recorded(
    tracked: Path, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on with the run that the store has, and leaves none open."""
    real = MlflowTracker.start

    def start(self: Any, *arguments: Any) -> None:
        real(self, *arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(MlflowTracker, "start", start)
        with pytest.raises(Killed) as killed:
            run(tracked, run_id="r", tracking=True)
        traceback.clear_frames(killed.tb)  # which hold the lock of the run
    assert manifest(tracked, "r")["mlflow_run_id"] is None
    resume(tracked, run_id="r", tracking=True)
    assert search_digests(tracked, "r") == reference
    _, found = mlflow_run(tracked, "r")
    assert found.info.status == "FINISHED"
    assert found.info.run_id == manifest(tracked, "r")["mlflow_run_id"]


def test_a_second_process_on_the_same_run_is_refused(quick: Path, reference: Any) -> None:
    folder = quick / "data" / "08_reporting" / "r"
    folder.mkdir(parents=True)
    holder: Any = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import filelock, sys, time; lock = filelock.FileLock(sys.argv[1]); lock.acquire();"
            "print('held', flush=True); time.sleep(600)",
            str(folder / ".lock"),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunLockedError, match="working on run 'r'"):
            run(quick, run_id="r")
        result = command(quick, *SEARCH, f"--params=run_id=r,tracking=off,{TINY_ARGUMENT}")
        assert "Another process is working on run 'r'" in one_message(result)
        assert [path.name for path in folder.iterdir()] == [".lock"]
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    run(quick, run_id="r")  # a dead process holds nothing
    assert search_digests(quick, "r") == reference


@pytest.mark.parametrize(
    ("proxy", "message"),
    [("NanInSecondStep", "not finite"), ("DivergesInSecondStep", "diverged in step 2")],
)
def test_a_proxy_that_breaks(
    tracked: Path, reference: Any, monkeypatch: pytest.MonkeyPatch, proxy: str, message: str
) -> None:
    monkeypatch.setattr(nan_proxy._CountsFits, "fits", 0)
    monkeypatch.setattr(getattr(nan_proxy, proxy), "fits", 0)
    with pytest.raises(ProxyError, match=message):
        run(tracked, run_id="r", tracking=True, proxy={"name": f"nan_proxy:{proxy}"})
    assert manifest(tracked, "r")["status"] == "failed"
    assert "ProxyError" in manifest(tracked, "r")["error"]
    client, found = mlflow_run(tracked, "r")
    assert found.info.status == "FAILED"
    assert "not finite" in found.data.tags["error"]
    so_far = archive(tracked, "r", step=1)
    assert len(so_far) == 11
    assert not (tracked / "data" / "07_model_output" / "r" / "step_02" / "archive.parquet").exists()
    steps = [step for step, _ in history(client, found.info.run_id, "validation_accuracy")]
    assert steps == list(range(1, 12))


def test_a_proxy_that_breaks_by_command(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nan_proxy.NanInSecondStep, "fits", 0)
    arguments = f"run_id=r,tracking=off,proxy.name=nan_proxy:NanInSecondStep,{TINY_ARGUMENT}"
    result = command(quick, *SEARCH, f"--params={arguments}")
    assert "not finite" in one_message(result)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import pooch

    def download(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", download)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("fault", ["missing", "truncated", "another file"])
def test_bad_files_of_a_source(
    tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    name = "nb201_cifar10-valid_val_test_v1_0.pickle"
    folder = tmp_path / "copies" / "nb201"
    folder.mkdir(parents=True)
    if fault != "missing":
        size = 1000 if fault == "truncated" else 2_194_204
        (folder / name).write_bytes(b"\x80" * size)
    monkeypatch.setenv("OPTIPROXY_DATA_DIR", str(folder.parent))
    result = command(tracked, *SEARCH, f"--params=run_id=r,source=v1_0,{TINY_ARGUMENT}")
    message = one_message(result)
    expected = {
        "missing": f"{name} of source 'v1_0'",
        "truncated": f"{name} is shorter than the pinned file (1000 of 2194204 bytes)",
        "another file": f"{name} is not the published file",
    }
    assert expected[fault] in message
    assert "ef417539808724f56097fca1bdbf9a82f17bf5508fd327d00685321fd25d0dc0" in message
    assert not (tracked / "data" / "08_reporting" / "r").exists()  # there is nothing to go on with
    assert not list((tracked / "data" / "03_primary" / "nb201").glob("v1_0*"))


def test_good_files_of_a_source(quick: Path, ingested: Ingested) -> None:
    if not os.environ.get("OPTIPROXY_DATA_DIR"):
        pytest.skip("OPTIPROXY_DATA_DIR is not set: no v1.0 pickles here")
    ingested.put(quick, "v1_0")
    record = run(quick, run_id="r", source="v1_0")
    assert record["data"]["source"] == "v1_0"
    assert record["result"]["test_accuracy"] > 0


def test_an_edited_table_is_refused(quick: Path) -> None:
    path = quick / "data" / "03_primary" / "nb201" / "embedded.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = command(quick, *SEARCH, f"--params=run_id=r,tracking=off,{TINY_ARGUMENT}")
    assert "embedded.parquet is not the file that was written" in one_message(result)


def test_a_table_without_its_card_is_ingested_again(quick: Path, reference: Any) -> None:
    folder = quick / "data" / "03_primary" / "nb201"
    (folder / "embedded.json").unlink()
    run(quick, run_id="r")
    assert (folder / "embedded.json").exists()
    assert search_digests(quick, "r") == reference


def test_a_half_written_table_is_not_taken_for_one(quick: Path, reference: Any) -> None:
    """An ingest killed before its rename leaves a partial file and a digest."""
    folder = quick / "data" / "03_primary" / "nb201"
    table = folder / "embedded.parquet"
    (folder / ".partial-1-embedded.parquet").write_bytes(table.read_bytes()[:1000])
    table.unlink()
    run(quick, run_id="r")
    assert search_digests(quick, "r") == reference


def test_data_layer_that_is_a_file(quick: Path) -> None:
    folder = quick / "data" / "08_reporting"
    shutil.rmtree(folder)
    folder.write_text("not a folder")
    before = tree(quick)
    result = command(quick, *SEARCH, f"--params=run_id=r,{TINY_ARGUMENT}")
    assert "Cannot write to the data directory" in one_message(result)
    assert tree(quick) == before


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_data_directory_that_cannot_be_written(
    quick: Path, monkeypatch: pytest.MonkeyPatch, code: Any
) -> None:
    real = Path.mkdir

    def mkdir(self: Any, *arguments: Any, **options: Any) -> Any:
        if (quick / "data") in self.parents:
            raise OSError(code, os.strerror(code), str(self))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    before = tree(quick)
    result = command(quick, *SEARCH, f"--params=run_id=r,{TINY_ARGUMENT}")
    message = one_message(result)
    assert "Cannot write to the data directory" in message
    assert os.strerror(code) in message
    assert tree(quick) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_data_directory_without_permission(quick: Path) -> None:
    folder = quick / "data" / "08_reporting"
    folder.chmod(0o500)
    try:
        result = command(quick, *SEARCH, f"--params=run_id=r,{TINY_ARGUMENT}")
        assert "Cannot write to the data directory" in one_message(result)
    finally:
        folder.chmod(0o700)


def test_one_layer_that_cannot_be_written(
    quick: Path, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found out only when the first proxy is stored: still one message, and it can go on."""
    real = Path.mkdir

    def mkdir(self: Any, *arguments: Any, **options: Any) -> Any:
        if (quick / "data" / "06_models") in self.parents:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        return real(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", mkdir)
        result = command(quick, *SEARCH, f"--params=run_id=r,tracking=off,{TINY_ARGUMENT}")
    assert "Read-only file system" in one_message(result)
    resume(quick, run_id="r")
    assert search_digests(quick, "r") == reference


def test_a_manifest_that_is_not_readable(finished: Path) -> None:
    path = finished / "data" / "08_reporting" / "reference" / "manifest.json"
    path.write_text(path.read_text()[:100])
    for arguments in (("run", "--resume", "reference"), ("audit", "reference")):
        assert "is not a readable manifest" in one_message(command(finished, *arguments))


def test_an_archive_forged_in_all_its_records_is_not_searched_on(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file and digest that agree, but rows that contradict each other: refused by the fit."""
    with monkeypatch.context() as patch:
        die_at(patch, "step_02.fit_proxy")
        with pytest.raises(Killed):
            run(quick, run_id="r")
    folder = quick / "data" / "07_model_output" / "r" / "step_01" / "archive.parquet"
    (file,) = (path for path in folder.rglob("archive.parquet") if path.is_file())
    table: Any = pd.read_parquet(file)
    table.loc[3, "architecture"] = table.loc[4, "architecture"]
    table.to_parquet(file)
    sign(file)
    with pytest.raises(OptiProxyError, match="Not a valid archive"):
        resume(quick, run_id="r")


def test_every_step_is_tracked_beyond_the_digits_of_their_names(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As step_99 and step_100, so step_9 and step_10: the last is not the last by the alphabet."""
    monkeypatch.setattr(search, "step_name", "step_{}".format)
    monkeypatch.setattr(search, "create_pipeline", search.create_pipeline.__wrapped__)
    budget = 12
    run(
        tracked,
        run_id="r",
        tracking=True,
        budget=budget,
        initial_samples=2,
        proxy={"hidden": 2, "layers": 1, "members": 1},
        fit={"epochs": 1, "first_epochs": 1},
        gradient={"epochs": 1, "groups": 1},
        selection={"batch": 1, "samples": 5},
    )
    assert "step_10.archive" in manifest(tracked, "r")["artifacts"]
    client, found = mlflow_run(tracked, "r")
    for metric in ("validation_accuracy", "regret"):
        steps = [step for step, _ in history(client, found.info.run_id, metric)]
        assert steps == list(range(1, budget + 1)), metric
    copy = client.download_artifacts(found.info.run_id, "archive.parquet")
    assert len(pd.read_parquet(copy)) == budget
    assert json.loads(artifact(tracked, "r", "report.summary").read_text())["queries"] == budget


def test_mlflow_broken_at_the_start_leaves_a_failed_run_that_can_go_on(
    quick: Path, reference: Any
) -> None:
    (quick / "mlflow.db").write_bytes(b"not a database, " * 100)
    result = command(quick, *SEARCH, f"--params=run_id=r,{TINY_ARGUMENT}")
    assert result.exit_code == 1
    assert manifest(quick, "r")["status"] == "failed"
    resume(quick, run_id="r")
    assert search_digests(quick, "r") == reference
