"""``kedro audit``: passes on what is true, and names what is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro_runs import TINY, Killed, artifact, command, die_at, run, sign, tree

from ingested import Ingested
from optiproxy_nas import cli
from optiproxy_nas.benchmarks.table_digests import SHIPPED
from optiproxy_nas.benchmarks.tidy_table import table_digest
from optiproxy_nas.runs import audit as audits
from optiproxy_nas.runs import audit_checks, code_identity
from optiproxy_nas.runs import manifest as manifests
from optiproxy_nas.runs.atomic_files import write_json
from optiproxy_nas.runs.finished import StoredRun


def edit_manifest(project: Path, change: Any) -> None:
    path = project / "data" / "08_reporting" / "reference" / "manifest.json"
    facts = json.loads(path.read_text())
    change(facts)
    write_json(path, manifests.sealed(facts))


def test_passes_and_leaves_nothing_behind(finished: Path) -> None:
    before = tree(finished)
    result = command(finished, "audit", "reference")
    assert result.exit_code == 0, result.output
    assert "AUDIT PASSED: 16 archive rows and 37 artifacts compared" in result.output
    assert "0 damaged on disk, 0 different when run again" in result.output
    assert tree(finished) == before


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_names_the_artifacts_that_were_edited_or_are_gone(finished: Path, signed: bool) -> None:
    names = ["encoding", "report.best_so_far", "report.page", "step_01.proxy", "step_02.archive"]
    for name in names:
        file = artifact(finished, "reference", name)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        if signed:
            sign(file)
    artifact(finished, "reference", "step_01.archive").unlink()
    result = command(finished, "audit", "reference")
    assert result.exit_code == 1
    damaged = sorted(line for line in result.stdout.splitlines() if line.startswith("damaged: "))
    found = {**dict.fromkeys(names, "SHA-256"), "step_01.archive": "missing"}
    for (name, how), line in zip(sorted(found.items()), damaged, strict=True):
        assert line.startswith(f"damaged: {name}: {how}")
    assert "AUDIT FAILED" in result.output


def test_an_edit_that_is_signed_in_the_manifest_too_is_found(finished: Path) -> None:
    """Every record on disk agrees with the forged archive: the repeated search does not."""
    file = artifact(finished, "reference", "step_02.archive")
    table: Any = pd.read_parquet(file)
    table.loc[11, "value"] = table.loc[11, "value"] + 0.25
    table.to_parquet(file)
    sign(file)
    digest = file.with_name(file.name + ".sha256").read_text().split()[0]
    edit_manifest(
        finished, lambda facts: facts["artifacts"]["step_02.archive"].update(sha256=digest)
    )
    result = command(finished, "audit", "reference")
    assert result.exit_code == 1
    assert "0 damaged on disk" in result.output
    assert "different: archive row 11: " in result.output
    assert "different: step_02.archive: SHA-256" in result.output


@pytest.mark.parametrize(
    ("change", "first_row"), [({"seed": 1}, 0), ({"fit": {**TINY["fit"], "targets": "rank"}}, 6)]
)
def test_names_the_first_archive_row_that_differs(
    finished: Path, change: Any, first_row: int
) -> None:
    def edit(facts: Any) -> None:
        for key, value in change.items():
            if isinstance(value, dict):
                facts["parameters"][key] |= value
            else:
                facts["parameters"][key] = value

    edit_manifest(finished, edit)
    result = command(finished, "audit", "reference")
    assert result.exit_code == 1
    lines = [line for line in result.stdout.splitlines() if "archive row" in line]
    assert len(lines) == 2  # the row, and the verdict
    row = int(lines[0].removeprefix("different: archive row ").partition(":")[0])
    assert row == first_row if first_row == 0 else row >= first_row
    assert " then, " in lines[0]


def forge_table(project: Path, change: Any) -> None:
    """Edit the table, its card, and the digest files of both."""
    path = project / "data" / "03_primary" / "nb201" / "embedded.parquet"
    table = change(pd.read_parquet(path))
    table.to_parquet(path)
    sign(path)
    card_path = path.with_suffix(".json")
    card = json.loads(card_path.read_text()) | {"table_sha256": table_digest(table)}
    card_path.write_text(json.dumps(card))
    sign(card_path)


def test_other_data_is_named(finished: Path) -> None:
    forge_table(finished, lambda t: t.assign(validation_accuracy=100 - t["validation_accuracy"]))
    result = command(finished, "audit", "reference")
    assert result.exit_code == 1
    assert "different: data.table_sha256" in result.output
    assert "different: archive row 0" in result.output


def test_other_code_is_a_note(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_identity, "package_digest", lambda: "0" * 64)
    result = command(finished, "audit", "reference")
    assert result.exit_code == 0, result.output
    assert "note: code.sha256" in result.output


@pytest.mark.parametrize(
    "facts",
    [
        {"git": {"commit": "0" * 40, "clean": True}},
        {"created": "2020-01-01T00:00:00+00:00"},
        {"environment": {"python": "3.9", "platform": "none"}},
        {"seconds": {}},
        {"mlflow_run_id": "0" * 32},
        {"error": None},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_any_edited_entry_of_the_manifest_is_found(finished: Path, facts: Any) -> None:
    path = finished / "data" / "08_reporting" / "reference" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    assert list(audit_checks.edits(json.loads(path.read_text())))


def test_a_manifest_without_its_digest_is_found(finished: Path) -> None:
    facts = manifests.read_manifest(finished / "data" / "08_reporting", "reference")
    assert not list(audit_checks.edits(facts))
    del facts[manifests.SEAL]
    assert list(audit_checks.edits(facts))


def another_version(path: Path, time: Any) -> Any:
    """Copy a versioned file as the version of another time."""
    other = path.parent.with_name(time) / path.name
    other.parent.mkdir()
    return shutil.copy(path, other)


def test_files_that_no_manifest_lists_and_missing_digest_files_are_named(finished: Path) -> None:
    newer = artifact(finished, "reference", "step_02.archive")
    sign(another_version(newer, "2999-01-01T00.00.00.000Z"))
    another_version(newer, "2000-01-01T00.00.00.000Z")
    page = artifact(finished, "reference", "report.page")
    (page.parent / "more.html").write_text("x")
    page.with_name(page.name + ".sha256").unlink()
    facts = manifests.read_manifest(finished / "data" / "08_reporting", "reference")
    wrong, notes = audit_checks.strays(finished, facts)
    assert len(wrong) == 3  # the newer version, its digest file, and the page
    assert {line.partition(":")[0].rpartition("/")[2] for line in wrong} == {
        "more.html",
        "archive.parquet",
        "archive.parquet.sha256",
    }
    assert len(notes) == 1
    (missing,) = audit_checks.wrong_digest_files(finished, facts)
    assert missing.startswith("report.page")


def test_a_killed_run_s_older_version_with_its_digest_file_is_no_stray(finished: Path) -> None:
    """A node that was killed between two of its outputs makes the first one again."""
    newer = artifact(finished, "reference", "step_02.archive")
    sign(another_version(newer, "2000-01-01T00.00.00.000Z"))
    facts = manifests.read_manifest(finished / "data" / "08_reporting", "reference")
    wrong, notes = audit_checks.strays(finished, facts)
    assert not wrong
    assert len(notes) == 2


def edited_digest_file(file: Path) -> None:
    path = file.with_name(f"{file.name}.sha256")
    path.write_text(path.read_text().upper())


def replaced_by_a_link(file: Path) -> None:
    elsewhere = file.rename(file.parents[4] / "elsewhere")
    file.symlink_to(elsewhere)


@pytest.mark.parametrize("tamper", [edited_digest_file, replaced_by_a_link])
def test_edits_beside_an_artifact_whose_bytes_are_right_are_found(
    finished: Path, tamper: Any
) -> None:
    facts = manifests.read_manifest(finished / "data" / "08_reporting", "reference")
    assert audits.damage_of(finished, "reference", facts) == ([], [])
    tamper(artifact(finished, "reference", "step_02.archive"))
    assert audits.damage_of(finished, "reference", facts)[0]


def test_a_manifest_of_the_same_entries_in_another_layout_is_found(finished: Path) -> None:
    path = finished / "data" / "08_reporting" / "reference" / "manifest.json"
    path.write_text(path.read_text().replace("\n ", "\n\t"))
    facts = manifests.read_manifest(finished / "data" / "08_reporting", "reference")
    (line,) = audits.damage_of(finished, "reference", facts)[0]
    assert "laid out" in line


def test_a_forged_table_is_found_though_its_card_and_digests_agree(quick: Path) -> None:
    """The search is honest, on a table in which a mediocre cell has 99 %."""

    def forge(table: Any) -> Any:
        table.loc[7, "validation_accuracy"] = 99.0
        return table

    forge_table(quick, forge)
    run(quick, run_id="forged")
    facts = manifests.read_manifest(quick / "data" / "08_reporting", "forged")
    (wrong,), notes = audit_checks.wrong_table(quick, facts)
    assert "is not made of the files" in wrong
    assert not notes


def test_the_shipped_digest_is_that_of_the_table_that_ingest_makes(ingested: Ingested) -> None:
    assert table_digest(ingested.table("embedded")) == SHIPPED["embedded"]


def test_other_libraries_do_not_pass_although_all_is_the_same(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = code_identity._version
    monkeypatch.setattr(
        code_identity, "_version", lambda name: "0.0" if name == "scipy" else real(name)
    )
    result = command(finished, "audit", "reference")
    assert result.exit_code == 1
    assert "changed: libraries.scipy" in result.output
    assert "0 damaged on disk, 0 different when run again" in result.output


def test_an_unfinished_run_is_refused(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        die_at(patch, "encode")
        with pytest.raises(Killed):
            run(quick, run_id="r")
    before = tree(quick)
    result = command(quick, "audit", "r")
    assert result.exit_code == 1
    assert "Run 'r' is running, not finished" in result.output
    assert tree(quick) == before


def test_a_run_of_which_nothing_was_trained_is_not_audited_before_retrain_is_refused(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "audit_run", lambda *_: pytest.fail("the search was repeated"))
    result = command(finished, "audit", "reference", "--retrain", "3")
    assert result.exit_code == 1
    assert "nothing was trained" in result.output


def test_an_unknown_run_is_refused(finished: Path) -> None:
    result = command(finished, "audit", "refrence")
    assert result.exit_code == 1
    assert "There is no run 'refrence'" in result.output
    assert "Runs there: reference" in result.output


def test_a_run_of_the_user_survives_an_audit(finished: Path) -> None:
    """Whatever a user calls a run, an audit of another one does not delete it."""
    for folder in (finished / "data").glob("0*_*/reference"):
        shutil.copytree(folder, folder.with_name("reference.audit"))
    before = tree(finished)
    command(finished, "audit", "reference")
    after = tree(finished)
    assert {k: v for k, v in before.items() if "/reference.audit/" in k} == {
        k: v for k, v in after.items() if "/reference.audit/" in k
    }


def test_the_longest_run_id_can_be_audited(quick: Path) -> None:
    run_id = "r" * 100
    run(quick, run_id=run_id)
    result = command(quick, "audit", run_id)
    assert result.exit_code == 0, result.output


def test_the_last_archive_is_compared_beyond_a_hundred_steps() -> None:
    """Of step_99 and step_100, the last is not the last in alphabetical order."""
    names = ["step_99.archive", "step_100.archive", "step_02.archive", "report.summary"]
    assert manifests.last_archive(names) == "step_100.archive"


def test_the_first_archive_row_that_differs_is_named(tmp_path: Path) -> None:
    runs = []
    for name, last in (("old", 2.0), ("new", 3.0)):
        pd.DataFrame({"architecture": "a", "value": [1.0, last]}).to_parquet(tmp_path / name)
        runs.append(StoredRun(tmp_path, {"artifacts": {"result.archive": {"path": name}}}))
    found = audits._compare_archives(*runs)
    assert len(found) == 1
    assert found[0].startswith("archive row 1: ")


def test_a_byte_of_the_table_is_found_before_the_search_is_repeated(finished: Path) -> None:
    path = finished / "data" / "03_primary" / "nb201" / "embedded.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    facts = manifests.read_manifest(finished / "data" / "08_reporting", "reference")
    (wrong,), _ = audit_checks.wrong_table(finished, facts)
    assert "embedded.parquet is not the file that was written" in wrong
