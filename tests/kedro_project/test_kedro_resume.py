"""Resume: only what would end as it began, and only what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.framework.session import session as kedro_session
from kedro_runs import (
    STEPS,
    TINY_ARGUMENT,
    Killed,
    archive,
    command,
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
    sha256,
    sign,
    tree,
)

from optiproxy_nas.algorithm import steps
from optiproxy_nas.benchmarks.tidy_table import table_digest
from optiproxy_nas.core.errors import ArtifactError, DataError, ResumeError
from optiproxy_nas.runs import code_identity, run_record
from optiproxy_nas.runs.manifest import ANCHOR, SEAL, sealed
from optiproxy_nas.runs.unsent_metrics import UnsentMetrics


@pytest.fixture
def unfinished(quick: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run "r" that died in its second step."""
    with monkeypatch.context() as patch:
        die_at(patch, "step_02.sample")
        with pytest.raises(Killed):
            run(quick, run_id="r")
    return quick


def run_data(project: Path) -> Any:
    return {name: facts for name, facts in tree(project).items() if "/r/" in name}


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"seed": 3}, "parameters.seed: 0 then, 3 now"),
        ({"fit": {"epochs": 6}}, "parameters.fit.epochs: 5 then, 6 now"),
        ({"dataset": "cifar100"}, "parameters.dataset: 'cifar10' then, 'cifar100' now"),
    ],
)
def test_refused_under_other_parameters(unfinished: Any, changed: Any, line: str) -> None:
    before = run_data(unfinished)
    with pytest.raises(ResumeError, match="cannot go on") as caught:
        resume(unfinished, run_id="r", **changed)
    assert line in caught.value.message
    assert run_data(unfinished) == before


def test_refused_under_other_code(unfinished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_data(unfinished)
    real, changed = code_identity.imported_code, "optiproxy_nas.algorithm.gradient"  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(code_identity, "imported_code", lambda r: {**real(r), changed: "0" * 16})
        with pytest.raises(ResumeError, match="cannot go on") as caught:
            resume(unfinished, run_id="r")
    (line,) = caught.value.data["differences"]
    assert line.startswith(f"code.modules.{changed}: ")
    assert run_data(unfinished) == before


def test_goes_on_under_other_code_that_no_search_imports(
    unfinished: Any, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_identity, "package_digest", lambda: "0" * 64)
    resume(unfinished, run_id="r")
    assert search_digests(unfinished, "r") == reference


def test_refused_under_other_libraries(unfinished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = code_identity._version

    def version(name: str) -> Any:
        return "9.9" if name == "torch" else real(name)

    monkeypatch.setattr(code_identity, "_version", version)
    with pytest.raises(ResumeError, match=r"libraries\.torch"):
        resume(unfinished, run_id="r")


def other_data(project: Path) -> None:
    """Another table, with the card and the digests that belong to it."""
    path = project / "data" / "03_primary" / "nb201" / "embedded.parquet"
    table = pd.read_parquet(path)
    table["validation_accuracy"] = 100 - table["validation_accuracy"]
    table.to_parquet(path)
    card = path.with_suffix(".json")
    card.write_text(
        json.dumps(json.loads(card.read_text()) | {"table_sha256": table_digest(table)})
    )
    sign(path)
    sign(card)


def test_refused_under_other_data(unfinished: Any) -> None:
    other_data(unfinished)
    with pytest.raises(ResumeError, match=r"data\.table_sha256"):
        resume(unfinished, run_id="r")


def test_a_table_that_its_card_does_not_describe_is_refused(unfinished: Any) -> None:
    card = unfinished / "data" / "03_primary" / "nb201" / "embedded.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"table_sha256": "0" * 64}))
    sign(card)
    with pytest.raises(DataError, match="not the one that its data card describes"):
        resume(unfinished, run_id="r")


def test_resumable_again_after_a_refusal(unfinished: Any, reference: Any) -> None:
    with pytest.raises(ResumeError):
        resume(unfinished, run_id="r", seed=3)
    resume(unfinished, run_id="r")
    assert search_digests(unfinished, "r") == reference


def test_resumable_again_after_a_refusal_for_other_data(unfinished: Any, reference: Any) -> None:
    layer = unfinished / "data" / "03_primary" / "nb201"
    kept = {path: path.read_bytes() for path in layer.iterdir()}
    other_data(unfinished)
    with pytest.raises(ResumeError):
        resume(unfinished, run_id="r")
    for path, content in kept.items():
        path.write_bytes(content)
    resume(unfinished, run_id="r")
    assert search_digests(unfinished, "r") == reference


def test_a_run_that_exists_is_not_begun_again(unfinished: Any) -> None:
    before = run_data(unfinished)
    with pytest.raises(ResumeError, match="exists already") as caught:
        run(unfinished, run_id="r")
    assert "kedro run --resume r" in caught.value.message
    assert run_data(unfinished) == before


def test_resume_of_an_unknown_run_lists_those_there_are(finished: Path) -> None:
    result = command(finished, "run", "--resume", "refrence")
    assert result.exit_code == 1
    assert "There is no run 'refrence'" in result.output
    assert "Runs there: reference" in result.output
    assert not (finished / "data" / "08_reporting" / "refrence").exists()


def test_resume_by_command_takes_the_parameters_of_the_run(unfinished: Any, reference: Any) -> None:
    result = command(unfinished, "run", "--resume", "r", "--params=tracking=off")
    assert result.exit_code == 0, result.output
    assert "Audit" in result.output
    assert search_digests(unfinished, "r") == reference
    assert manifest(unfinished, "r")["parameters"]["selection"]["batch"] == 5


def test_resume_by_command_refuses_other_parameters(unfinished: Any) -> None:
    result = command(unfinished, "run", "--resume", "r", "--params=tracking=off,seed=4")
    assert result.exit_code == 1
    assert "parameters.seed: 0 then, 4 now" in result.output


def test_resume_runs_only_what_is_missing(
    unfinished: Any, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_data(unfinished)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("run again")

    monkeypatch.setattr(steps, "initial_batch", refuse)
    monkeypatch.setattr(steps, "fit_proxy", refuse)
    resume(unfinished, run_id="r")
    assert search_digests(unfinished, "r") == reference
    after = run_data(unfinished)
    # The encoding is written again, to the same bytes: its node also makes the space in memory.
    written = ("manifest.json", ".lock", ".seconds.jsonl")
    kept = [n for n in before if not n.endswith(written) and "encod" not in n]
    assert len(kept) > 20
    assert {n: after[n] for n in kept} == {n: before[n] for n in kept}


def test_partial_files_are_ignored_and_cleaned(unfinished: Any, reference: Any) -> None:
    left = []
    for layer, name in (("07_model_output", "archive.parquet"), ("06_models", "proxy.safetensors")):
        folder = unfinished / "data" / layer / "r" / "step_02" / name / "2099-01-01T00.00.00.000Z"
        folder.mkdir(parents=True)
        left.append(folder / f".partial-1-{name}")
        left[-1].write_bytes(b"half a file")
        (folder / f"{name}.sha256").write_text("0" * 64)
    resume(unfinished, run_id="r")
    assert partial_files(unfinished) == []
    assert search_digests(unfinished, "r") == reference


def test_goes_on_with_the_clock_set_back(
    unfinished: Any, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kedro reads the version with the latest time in its name; half of a step is made again."""
    shutil.rmtree(unfinished / "data" / "06_models" / "r" / "step_01" / "logits.safetensors")
    earlier = "2001-01-01T00.00.00.000Z"
    monkeypatch.setattr(kedro_session, "generate_timestamp", lambda: earlier)
    monkeypatch.setattr(run_record, "now", lambda: "2001-01-01T00:00:00+00:00")
    resume(unfinished, run_id="r")
    assert list((unfinished / "data").rglob(f"r/*/*/{earlier}"))
    assert search_digests(unfinished, "r") == reference
    result = command(unfinished, "audit", "r")
    assert result.exit_code == 0, result.output


def test_a_stored_step_edited_before_the_resume_is_refused(unfinished: Any) -> None:
    folder = unfinished / "data" / "07_model_output" / "r" / "step_01" / "archive.parquet"
    (file,) = folder.rglob("archive.parquet")
    table = archive(unfinished, "r", step=1)
    table.loc[0, "value"] = 99.0
    table.to_parquet(file)
    before = manifest(unfinished, "r")
    result = command(unfinished, "run", "--resume", "r", "--params=tracking=off")
    assert result.exit_code == 1
    assert "is not the file that was written" in result.output
    assert "archive.parquet" in result.output
    assert manifest(unfinished, "r") == before


def forge(file: Path, **columns: Any) -> None:
    """Put a newer version of a table beside it, with a digest that is right."""
    newer = file.parents[1] / "2999-01-01T00.00.00.000Z" / file.name
    newer.parent.mkdir()
    pd.read_parquet(file).assign(**columns).to_parquet(newer)
    sign(newer)


def test_a_finished_run_that_is_damaged_stays_finished_and_can_be_audited(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished / "data" / "07_model_output" / "reference"
    (file,) = (folder / "step_01" / "archive.parquet").rglob("archive.parquet")
    recorded, content = manifest(finished, "reference"), file.read_bytes()

    def refused(what: Any) -> None:
        result = command(finished, "run", "--resume", "reference", "--params=tracking=off")
        assert result.exit_code == 1, what
        assert "archive.parquet" in result.output
        assert manifest(finished, "reference") == recorded, what

    file.write_bytes(content + b"x")
    refused("a file of other bytes")
    file.write_bytes(content)
    table = pd.read_parquet(file)
    table.assign(value=99.0).to_parquet(file)
    sign(file)
    refused("a file whose digest was written anew")
    file.write_bytes(content)
    sign(file)
    forge(file, value=99.0)
    refused("a newer version")
    shutil.rmtree(file.parents[1] / "2999-01-01T00.00.00.000Z")
    # What is to be made again fails.
    (candidates,) = (folder / "step_02" / "candidates.safetensors").rglob("candidates.safetensors")
    candidates.unlink()
    with monkeypatch.context() as patch:
        die_at(patch, "step_02.sample")
        with pytest.raises(Killed):
            resume(finished, run_id="reference")
    assert manifest(finished, "reference") == recorded


def test_a_forged_version_is_not_adopted_by_an_unfinished_run(unfinished: Any) -> None:
    folder = unfinished / "data" / "07_model_output" / "r" / "step_01" / "archive.parquet"
    (file,) = folder.rglob("archive.parquet")
    forge(file, value=99.0)
    before = manifest(unfinished, "r")
    with pytest.raises(ArtifactError):
        resume(unfinished, run_id="r")
    assert manifest(unfinished, "r") == before


def test_resume_of_a_finished_run_runs_nothing_and_changes_nothing(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kedro.runner.task import Task

    def execute(self: Any) -> None:
        raise AssertionError(f"{self.node.name} was run")

    monkeypatch.setattr(Task, "execute", execute)
    before = tree(finished)
    recorded = manifest(finished, "reference")
    resume(finished, run_id="reference")
    after = tree(finished)
    path = "data/08_reporting/reference/manifest.json"
    assert {k: v for k, v in after.items() if k != path} == {
        k: v for k, v in before.items() if k != path
    }
    assert manifest(finished, "reference") == recorded


def test_mlflow_gets_all_of_a_run_that_was_killed_and_whose_store_failed(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tracked, run_id="whole", tracking=True)
    whole, recorded = stored_in_mlflow(tracked, "whole"), manifest(tracked, "whole")
    resume(tracked, run_id="whole", tracking=True)  # adds nothing
    assert stored_in_mlflow(tracked, "whole") == whole
    assert manifest(tracked, "whole") == recorded
    with monkeypatch.context() as patch:
        die_at(patch, "step_01.sample")
        with pytest.raises(Killed):
            run(tracked, run_id="r", tracking=True)
    with monkeypatch.context() as patch:
        patch.setattr(UnsentMetrics, "send", refuse_to_send)
        resume(tracked, run_id="r", tracking=True)
    found = manifest(tracked, "r")
    assert (found["status"], found["mlflow_owed"]) == ("finished", True)
    resume(tracked, run_id="r", tracking=False)
    assert manifest(tracked, "r") == found
    resume(tracked, run_id="r", tracking=True)
    assert manifest(tracked, "r") == sealed({**found, "mlflow_owed": False})
    assert stored_in_mlflow(tracked, "r") == whole
    client, found = mlflow_run(tracked, "r")
    Path(client.download_artifacts(found.info.run_id, "archive.parquet")).unlink()
    resume(tracked, run_id="r", tracking=True)
    assert stored_in_mlflow(tracked, "r") == whole
    for metric, steps_ in whole[1].items():
        assert len(steps_) == len(set(steps_)), metric


def refuse_to_send(*_: Any) -> None:
    raise OSError("the store is away")


def stored_in_mlflow(project: Path, run_id: str) -> Any:
    """Status of a run, steps of each metric, and the artifacts; a tag has the manifest's digest."""
    client, found = mlflow_run(project, run_id)
    mlflow_id = found.info.run_id
    record = client.download_artifacts(mlflow_id, "manifest.json")
    written = project / "data" / "08_reporting" / run_id / "manifest.json"
    assert sha256(Path(record)) == sha256(written)
    assert found.data.tags[ANCHOR] == manifest(project, run_id)[SEAL]
    steps_of = {
        metric: [step for step, _ in history(client, mlflow_id, metric)]
        for metric in found.data.metrics
    }
    folders = ("", *(f"step_{step:02d}" for step in range(STEPS + 1)))
    files = [file.path for folder in folders for file in client.list_artifacts(mlflow_id, folder)]
    return found.info.status, steps_of, files, found.data.params


def test_a_finished_run_whose_artifact_was_deleted_is_completed(
    finished: Path, reference: Any
) -> None:
    before = digests(finished, "reference")
    folder = (
        finished / "data" / "07_model_output" / "reference" / "step_02" / "candidates.safetensors"
    )
    for file in folder.rglob("*.safetensors*"):
        if file.is_file():
            file.unlink()
    resume(finished, run_id="reference")
    assert search_digests(finished, "reference") == reference
    assert digests(finished, "reference").keys() == before.keys()


def test_a_run_that_only_went_part_of_the_way_is_not_called_finished(
    quick: Path, reference: Any
) -> None:
    arguments = ["--params=tracking=off,run_id=r," + TINY_ARGUMENT]
    result = command(quick, "run", "--to-nodes=step_01.update_archive", *arguments)
    assert result.exit_code == 0, result.output
    assert manifest(quick, "r")["status"] == "partial"
    assert "Audit" not in result.output
    assert any("step_01" in name for name in run_files(quick, "r"))
    assert not any("step_02" in name for name in run_files(quick, "r"))
    result = command(quick, "run", "--resume", "r", "--params=tracking=off")
    assert result.exit_code == 0, result.output
    assert search_digests(quick, "r") == reference


def test_a_run_that_was_killed_at_its_first_write_leaves_nothing(quick: Path) -> None:
    folder = quick / "data" / "08_reporting" / "r"
    folder.mkdir(parents=True)
    (folder / ".partial-1-manifest.json").write_bytes(b"{")
    run(quick, run_id="r")
    assert partial_files(quick) == []
