"""The same search gives the same bytes, however it is executed or interrupted."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.runner import ParallelRunner, ThreadRunner
from kedro_runs import (
    STEPS,
    Killed,
    archive,
    artifact,
    assert_history,
    die_at,
    digests,
    history,
    manifest,
    mlflow_run,
    partial_files,
    resume,
    run,
    run_files,
    search_digests,
)

from optiproxy_nas.evaluation.loop import run_search
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.pipelines.search import load_benchmark
from optiproxy_nas.runs import atomic_files
from optiproxy_nas.spaces import get_space
from waiting import wait_until


@pytest.mark.parametrize("runner", [ThreadRunner, ParallelRunner])
def test_runners_give_the_same_bytes(quick: Path, reference: Any, runner: Any) -> None:
    run(quick, runner=runner(max_workers=2), run_id="other")
    assert search_digests(quick, "other") == reference


@pytest.mark.parametrize("runner", [ThreadRunner, ParallelRunner])
def test_runners_give_the_same_mlflow_history(tracked: Path, runner: Any) -> None:
    """Worker processes report their metrics too."""
    run(tracked, runner=runner(max_workers=2), run_id="r", tracking=True)
    client, found = mlflow_run(tracked, "r")
    assert found.info.status == "FINISHED"
    values = archive(tracked, "r")["value"]
    assert_history(client, found.info.run_id, "validation_accuracy", values)
    for metric in ("step/entropy", "seconds/fit_proxy"):
        steps = [step for step, _ in history(client, found.info.run_id, metric)]
        assert steps == list(range(1, STEPS + 1)), metric


def test_a_repeated_run_gives_the_same_bytes_also_a_report_that_was_resumed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures, pages and summary too; what one process had in memory, the next reads from files."""
    run(project, run_id="r")
    assert artifact(project, "r", "report.best_cell").read_bytes()[:4] == b"\x89PNG"
    pictured = digests(project, "r")
    for path in run_files(project, "r"):  # as if it had not been run
        (project / path).unlink()
    work: Any = run
    for node in ("report.collect_diagnostics", "report.report"):
        with monkeypatch.context() as patch:
            die_at(patch, node)
            with pytest.raises(Killed):
                work(project, run_id="r")
        work = resume
    resume(project, run_id="r")
    assert digests(project, "r") == pictured


def test_another_seed_gives_another_archive(quick: Path, reference: Any) -> None:
    run(quick, run_id="other", seed=1)
    assert search_digests(quick, "other")["step_02.archive"] != reference["step_02.archive"]


def test_plain_python_gives_the_same_search(template: Path) -> None:
    parameters: Any = resolve_method(manifest(template, "reference")["parameters"])
    table = pd.read_parquet(template / "data" / "03_primary" / "nb201" / "embedded.parquet")
    _, evaluate = load_benchmark(table, b"", parameters)
    result = run_search(get_space("nb201"), evaluate, parameters)
    pd.testing.assert_frame_equal(result.archive, archive(template, "reference"), check_exact=True)
    stored = pd.read_csv(artifact(template, "reference", "report.diagnostics"))
    pd.testing.assert_frame_equal(result.diagnostics, stored)


def kill_at_rename(number: int, after: Any) -> None:
    """Let this process end by SIGKILL at its n-th rename: before it, or just after."""
    real, count = os.replace, 0

    def replace(source: Any, target: Any) -> None:
        nonlocal count
        count += 1
        if count == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target)
        if count == number and after:
            os.kill(os.getpid(), signal.SIGKILL)

    atomic_files.os.replace = replace  # type: ignore[attr-defined]


def in_child(work: Any) -> Any:
    """Do ``work`` in a forked process; the signal that ended it, or 0."""
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            work()
        finally:
            os._exit(0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status := os.waitpid(pid, 0)[1]) else 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_one_rename_after_another_and_resumed(
    quick: Path, template: Path, after: bool
) -> None:
    """Each process goes on with what the one before left, and dies six renames later than it."""

    def work() -> None:
        kill_at_rename(1 + 6 * killed, after)
        (resume if killed else run)(quick, run_id="reference")

    uninterrupted = digests(template, "reference")
    killed = 0
    while in_child(work) == signal.SIGKILL:
        killed += 1
    assert killed >= 5
    record = manifest(quick, "reference")
    assert record["status"] == "finished"
    assert digests(quick, "reference") == uninterrupted
    recorded = {name: facts["sha256"] for name, facts in record["artifacts"].items()}
    assert recorded == uninterrupted


def test_killed_after_one_node_after_another_with_whole_mlflow_history(
    tracked: Path, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each query is in MLflow's history once, wherever the processes died."""
    tracking: dict[str, Any] = {"run_id": "r", "tracking": True}
    work: Any = run
    for node in (
        "load_benchmark",
        "step_00.sample",
        "step_00.update_archive",
        "step_01.fit_proxy",
        "step_01.update_archive",
        "step_02.select",
        "step_02.diagnose",
        "report.summarise",
    ):
        with monkeypatch.context() as patch:
            die_at(patch, node, after=True)
            with pytest.raises(Killed):
                work(tracked, **tracking)
        assert manifest(tracked, "r")["status"] == "running"
        work = resume
    record = resume(tracked, **tracking)
    assert search_digests(tracked, "r") == reference
    client, found = mlflow_run(tracked, "r")
    assert found.info.status == "FINISHED"
    assert found.info.run_id == record["mlflow_run_id"]
    values = archive(tracked, "r")["value"]
    assert_history(client, found.info.run_id, "validation_accuracy", values)
    steps = [step for step, _ in history(client, found.info.run_id, "step/entropy")]
    assert steps == list(range(1, STEPS + 1))


def test_a_process_killed_and_resumed(quick: Path, reference: Any) -> None:
    """kill -9 of a search's process at a moment that nobody chose."""
    process = multiprocessing.get_context("fork").Process(
        target=run, args=(quick,), kwargs={"run_id": "r"}
    )
    process.start()
    folder = quick / "data" / "06_models" / "r"
    wait_until(lambda: folder.exists() or not process.is_alive(), tick=0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert manifest(quick, "r")["status"] == "running"
    resume(quick, run_id="r")
    assert search_digests(quick, "r") == reference
    assert partial_files(quick) == []
