"""``kedro export`` and ``kedro verify``: what a crate holds, and that no edit of it passes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import rocrate
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kedro_runs import command, enter, sha256, sign, tree, without_pictures

from cost.trust.edits import change as edit
from cost.trust.edits import described_anew, sums_anew
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.proof import crate_reading
from optiproxy_nas.proof.crate_reading import SIGNATURE, SUMS
from optiproxy_nas.proof.description import description_of, statement_of
from optiproxy_nas.proof.signature import Signer, check_signature
from optiproxy_nas.proof.verification import verify_crate
from optiproxy_nas.proof.verify import FAILED, NOT_CHECKED, OK
from optiproxy_nas.runs import code_identity

METADATA = crate_reading.METADATA


def write_key(folder: Path, name: str) -> Path:
    """Write NAME.key and NAME.pub, as PEM; return the private one."""
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    private = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.key").write_bytes(private)
    (folder / f"{name}.pub").write_bytes(key.public_key().public_bytes(encoding, public))
    return folder / f"{name}.key"


@pytest.fixture(scope="session")
def signed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed crate of the run "reference", beside its keys and those of someone else."""
    pytest.importorskip("model_signing")
    folder = tmp_path_factory.mktemp("crates")
    key = write_key(folder, "ours")
    write_key(folder, "theirs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(template, monkeypatch)
        crate = folder / "reference.crate"
        result = command(template, "export", "reference", "--out", str(crate), "--sign", str(key))
    assert result.exit_code == 0, result.output
    return crate


@pytest.fixture
def crate(signed: Path, tmp_path: Path) -> Path:
    """A copy of the signed crate, to be tampered with."""
    return shutil.copytree(signed, tmp_path / "reference.crate")


def states(crate: Path, key: Path | None = None) -> dict[str, str]:
    return {check.name: check.state for check in verify_crate(crate, key)}


def test_all_that_can_be_checked_holds(signed: Path) -> None:
    found = states(signed, signed.parent / "ours.pub")
    unchecked = {"journal", "search"}  # a table answered; nothing is run
    assert {name for name, state in found.items() if state != OK} == unchecked
    result = command(Path(), "verify", str(signed), "--key", str(signed.parent / "ours.pub"))
    assert result.exit_code == 0, result.output
    *_, verified, rest = result.output.splitlines()
    assert verified.startswith("VERIFIED: ")
    assert not any(name in verified for name in unchecked)
    assert rest.endswith(": journal, search")


def test_its_own_script_needs_no_package(signed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(signed / "verify.py")],
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VERIFIED" in done.stdout
    assert not (signed / "__pycache__").exists()


def test_the_key_of_another_does_not_hold(signed: Path) -> None:
    assert states(signed, signed.parent / "theirs.pub")["signature"] == FAILED


def test_an_encrypted_key_signs_with_its_password_only(crate: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    encrypted = serialization.BestAvailableEncryption(b"word")
    path, of_public = tmp_path / "it.key", tmp_path / "it.pub"
    path.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encrypted))
    of_public.write_bytes(key.public_key().public_bytes(encoding, public))
    with pytest.raises(ParameterError, match="cannot be signed"):
        Signer(path).sign(crate)
    Signer(path, "word").sign(crate)
    assert states(crate, of_public)["signature"] == OK


def test_the_signature_names_what_was_changed_after_it(crate: Path, signed: Path) -> None:
    (crate / "more").touch()
    (crate / SUMS).unlink()
    (crate / METADATA).write_text("{}")
    row = check_signature(crate, signed.parent / "ours.pub")
    assert row.state == FAILED
    assert {text.split()[0] for text in (row.why, *row.more)} == {"more", SUMS, METADATA}


def test_without_a_key_the_signature_is_not_checked(signed: Path) -> None:
    assert states(signed)["signature"] == NOT_CHECKED


def test_a_crate_that_lost_its_signature_does_not_hold(crate: Path, signed: Path) -> None:
    (crate / SIGNATURE).unlink()
    assert states(crate, signed.parent / "ours.pub")["signature"] == FAILED


def manifest_file(crate: Path) -> Path:
    return crate / "data" / "08_reporting" / "reference" / "manifest.json"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def last_archive(crate: Path) -> Path:
    return max((crate / "data" / "07_model_output").rglob("step_02/**/archive.parquet/*/*.parquet"))


def forge_archive(crate: Path) -> None:
    table = pd.read_parquet(last_archive(crate))
    table["value"] += 1.0
    table.to_parquet(last_archive(crate))
    sign(last_archive(crate))


def link(crate: Path) -> None:
    path = crate / "pipeline.json"
    path.rename(crate.parent / "elsewhere.json")
    path.symlink_to(crate.parent / "elsewhere.json")


TAMPERS: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "a file more": (lambda c: (c / "data" / "more.txt").write_text("x"), {"completeness"}),
    "a hidden file more": (lambda c: (c / ".gitignore").write_text("x"), {"completeness"}),
    "a file less": (lambda c: (c / "pipeline.json").unlink(), {"completeness"}),
    "a file renamed": (
        lambda c: (c / "pipeline.json").rename(c / "pipelines.json"),
        {"completeness"},
    ),
    "a link": (link, {"completeness"}),
    "a byte of the archive": (lambda c: flip(last_archive(c)), {"digests"}),
    "a byte of the page": (lambda c: flip(c / "ro-crate-preview.html"), {"digests"}),
    "a byte of verify.py": (lambda c: flip(c / "verify.py"), {"digests"}),
    "a byte of the signature": (lambda c: flip(c / SIGNATURE), set()),
    "a line of the sums": (
        lambda c: (c / SUMS).write_text((c / SUMS).read_text().partition("\n")[2]),
        {"completeness"},
    ),
    "sums of a file outside": (
        lambda c: (c / SUMS).write_text((c / SUMS).read_text() + f"{'0' * 64}  ../x\n"),
        {"digests"},
    ),
    "no sums": (lambda c: (c / SUMS).unlink(), {"digests", "completeness"}),
    "metadata that is no JSON": (lambda c: (c / METADATA).write_text("{"), {"digests", "metadata"}),
}


@pytest.mark.parametrize("name", TAMPERS)
def test_an_edit_is_found_also_without_the_key(name: str, crate: Path, signed: Path) -> None:
    tamper, expected = TAMPERS[name]
    tamper(crate)
    found = states(crate, signed.parent / "ours.pub")
    assert found["signature"] == FAILED
    assert expected <= {check for check, state in states(crate).items() if state == FAILED}


def card_file(crate: Path) -> Path:
    return crate / "data" / "03_primary" / "nb201" / "embedded.json"


def restated(name: str, value: str, what: str = "value") -> Callable[[Path], None]:
    """Return what states another value in the first entity of the metadata of such a name."""

    def tamper(crate: Path) -> None:
        def change(metadata: Any) -> None:
            entity = next(it for it in metadata["@graph"] if it["@id"].startswith(name))
            entity[what] = value

        edit(crate / METADATA, change)

    return tamper


def entry(**facts: Any) -> Callable[[Path], None]:
    """Return what edits entries of the manifest."""
    return lambda crate: edit(manifest_file(crate), lambda manifest: manifest.update(facts))


# What is edited with its digests; the check that finds it although no digest does.
FORGERIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a parameter described": (restated("#parameter-value/seed", "7"), "parameters"),
    "how long a step took, described": (restated("#seconds/encode", "7"), "parameters"),
    "the commit described": (restated("#fact/git.commit", "0" * 40), "parameters"),
    "the commit": (entry(git={"commit": "0" * 40, "clean": True}), "manifest"),
    "the time": (entry(created="2020-01-01T00:00:00+00:00"), "manifest"),
    "the environment": (entry(environment={"python": "3.9"}), "manifest"),
    "the digest of itself": (
        lambda c: edit(manifest_file(c), lambda manifest: manifest.pop("manifest_sha256")),
        "manifest",
    ),
    "the seconds": (entry(seconds={}), "manifest"),
    "the MLflow run": (entry(mlflow_run_id="0" * 32), "manifest"),
    "the parameters": (entry(parameters={"seed": 1, "budget": 16}), "manifest"),
    "an artifact": (forge_archive, "manifest"),
    "the digest file of an artifact": (
        lambda c: last_archive(c).with_name(f"{last_archive(c).name}.sha256").write_text("0"),
        "manifest",
    ),
    "an artifact more": (
        lambda c: (last_archive(c).with_name("other.parquet")).write_text("x"),
        "manifest",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_with_its_digests_is_found(name: str, crate: Path, signed: Path) -> None:
    tamper, expected = FORGERIES[name]
    tamper(crate)
    described_anew(crate)
    found = states(crate, signed.parent / "ours.pub")
    assert found["digests"] == found["completeness"] == OK
    assert found[expected] == FAILED
    assert found["signature"] == FAILED


@pytest.mark.parametrize(
    "tamper",
    [
        restated("./", "another sentence", "description"),
        restated("#action/", "a step did this", "description"),
        lambda c: edit(c / "pipeline.json", lambda it: it["nodes"][0].update(function="m:f")),
        lambda c: flip(c / crate_reading.PREVIEW),
        lambda c: edit(card_file(c), lambda it: it["parts"][0].update(licence="none")),
    ],
    ids=["sentence", "step", "pipeline", "page", "card"],
)
def test_words_that_are_edited_with_their_digests_are_found(
    tamper: Callable[[Path], object], crate: Path
) -> None:
    """What describes a crate is made of its manifest, pipeline and data card."""
    tamper(crate)
    described_anew(crate)
    found = states(crate)
    assert found.pop("description") == FAILED
    assert FAILED not in found.values()


def test_a_script_that_checks_nothing_is_found(crate: Path) -> None:
    (crate / "verify.py").write_text("print('VERIFIED')")
    described_anew(crate)
    assert states(crate)["verify.py"] == FAILED


def test_a_pipe_in_place_of_a_file_ends_nothing(crate: Path, signed: Path) -> None:
    """It would be read without end."""
    for name in ("pipeline.json", SUMS, SIGNATURE):
        (crate / name).unlink()
        os.mkfifo(crate / name)
        found = states(crate, signed.parent / "ours.pub")
        assert found["signature"] == found["completeness"] == FAILED


def test_a_result_that_its_archive_does_not_have_is_found(crate: Path) -> None:
    """Every digest is written anew, also the manifest's own."""

    def change(manifest: Any) -> None:
        manifest["result"]["validation_accuracy"] = 99.0
        manifest["manifest_sha256"] = crate_reading.sealed_digest(manifest)

    edit(manifest_file(crate), change)
    described_anew(crate)
    assert states(crate)["archive"] == FAILED


def test_the_same_run_gives_the_same_bytes_without_a_signature(
    finished: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        assert (
            command(finished, "export", "reference", "--out", str(tmp_path / name)).exit_code == 0
        )
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert {path: digest for path, (digest, _) in one.items()} == {
        path: digest for path, (digest, _) in two.items()
    }
    metadata = (tmp_path / "one" / METADATA).read_text()
    assert str(tmp_path) not in metadata


def test_a_folder_that_is_taken_is_refused_and_nothing_is_left(
    finished: Path, tmp_path: Path
) -> None:
    target = tmp_path / "crates" / "taken"
    target.mkdir(parents=True)
    (target / "mine.txt").write_text("x")
    result = command(finished, "export", "reference", "--out", str(target))
    assert result.exit_code == 1
    assert [path.name for path in target.parent.iterdir()] == ["taken"]
    assert [path.name for path in target.iterdir()] == ["mine.txt"]


def test_a_damaged_run_is_not_exported(finished: Path, tmp_path: Path) -> None:
    folder = finished / "data" / "07_model_output" / "reference"
    flip(max(folder.rglob("archive.parquet/*/*.parquet")))
    result = command(finished, "export", "reference", "--out", str(tmp_path / "crate"))
    assert result.exit_code == 1
    assert not (tmp_path / "crate").exists()


def test_a_certificate_without_its_key_is_refused() -> None:
    result = command(Path(), "export", "r", "--certificate", "leaf.pem")
    assert result.exit_code == 2
    assert "--sign" in result.output


def test_what_is_no_crate_is_refused(tmp_path: Path) -> None:
    result = command(Path(), "verify", str(tmp_path))
    assert result.exit_code == 1
    assert "is no crate" in result.output


def test_the_search_is_repeated_from_the_crate_alone(
    signed: Path, bare_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a project without the run and without the table."""
    without_pictures(monkeypatch)
    result = command(bare_project, "audit", str(signed), "--key", str(signed.parent / "ours.pub"))
    assert result.exit_code == 0, result.output
    assert "AUDIT PASSED: 16 archive rows and " in result.output
    assert not list((bare_project / "data").rglob("reference"))


def test_a_forged_crate_is_not_repeated(crate: Path, bare_project: Path) -> None:
    flip(last_archive(crate))
    result = command(bare_project, "audit", str(crate))
    assert result.exit_code == 1
    assert "does not hold, so its search is not repeated" in result.output


def test_a_forgery_that_verify_cannot_find_does_not_repeat(
    crate: Path, bare_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archives, digests, manifest and metadata agree; nobody signed it."""
    without_pictures(monkeypatch)
    table: Any = pd.read_parquet(last_archive(crate))
    table.loc[3, "value"] -= 5.0
    table.to_parquet(last_archive(crate))
    sign(last_archive(crate))
    digest = sha256(last_archive(crate))

    def change(manifest: Any) -> None:
        manifest["artifacts"]["step_02.archive"]["sha256"] = digest
        manifest["manifest_sha256"] = crate_reading.sealed_digest(manifest)

    edit(manifest_file(crate), change)
    made = description_of(crate, crate_reading.manifest_path_of(crate), statement_of(crate))
    (crate / METADATA).write_text(json.dumps(made.metadata))
    (crate / crate_reading.PREVIEW).write_bytes(made.page)
    sums_anew(crate)
    assert FAILED not in states(crate).values()
    result = command(bare_project, "audit", str(crate))
    assert result.exit_code == 1
    assert "different: archive row 3" in result.output


def test_a_crate_of_other_code_is_refused_with_what_to_do(
    signed: Path, bare_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = code_identity._version
    monkeypatch.setattr(
        code_identity, "_version", lambda name: "0.0" if name == "scipy" else real(name)
    )
    result = command(bare_project, "audit", str(signed))
    assert result.exit_code == 1
    assert "libraries.scipy" in result.output
    assert "git worktree add ../audit" in result.output


VALIDATOR = Path(__file__).parent / "validate_crate.py"
PROFILES = ("process-run-crate", "workflow-run-crate", "provenance-run-crate")


def validated(crate: Path, profile: str) -> dict[str, list[str]]:
    """Run rocrate-validator by the Python that has it; return its REQUIRED issues by profile."""
    python = os.environ.get("ROCRATE_VALIDATOR")
    if not python:
        pytest.skip("ROCRATE_VALIDATOR names no Python that has roc-validator")
    context = Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld"
    done = subprocess.run(
        [python, str(VALIDATOR), str(context), str(crate), profile],
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    issues: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return issues


@pytest.mark.slow
def test_the_validator_finds_no_violation_of_what_is_required(signed: Path) -> None:
    for profile in PROFILES:
        assert validated(signed, profile) == {profile: []}


@pytest.mark.slow
def test_the_validator_finds_what_is_left_out(crate: Path) -> None:
    def change(metadata: Any) -> None:
        run = next(it for it in metadata["@graph"] if it["@id"] == "#organize")
        del run["instrument"]

    edit(crate / METADATA, change)
    assert validated(crate, "provenance-run-crate")["provenance-run-crate"]


def test_the_croissant_card_is_valid_and_reads_the_table(
    signed: Path, template: Path, tmp_path: Path
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    tables = Path("data") / "03_primary" / "nb201"
    for path in (
        signed / tables / "embedded.croissant.json",
        template / tables / "embedded.parquet",
    ):
        shutil.copy(path, tmp_path)
    dataset = mlcroissant.Dataset(jsonld=tmp_path / "embedded.croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    row = next(iter(dataset.records("rows")))
    assert row["rows/epochs"] == 200
