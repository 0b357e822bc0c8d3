"""Crates of strangers: no trick with files, links, names or digests lets a changed one hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cost.trust.edits import described_anew
from optiproxy_nas import ArtifactError, DataError, ParameterError, UntrustedNameError, search
from optiproxy_nas.proof import crate_audit, crate_reading, verify
from optiproxy_nas.proof.crate_audit import audit_crate
from optiproxy_nas.proof.crate_reading import METADATA, SIGNATURE, SUMS
from optiproxy_nas.proof.verification import _wrong_in_card, verify_crate
from optiproxy_nas.proof.verify import FAILED

Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crate that holds."""
    folder = tmp_path_factory.mktemp("crates")
    journal = folder / "search.jsonl"
    result = search(
        evaluate=lambda text: float(text.count("conv")),
        budget=6,
        method="random_search",
        journal=journal,
    )
    return result.export_crate(folder / "sound", journal=journal)


@pytest.fixture
def crate(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "sound")


def failed(crate: Path) -> set[str]:
    return {check.name for check in verify_crate(crate) if check.state == FAILED}


def edit_manifest(crate: Path, change: Callable[[Any], object]) -> None:
    """Edit the manifest, and write all digests anew, its own too."""
    path = crate / crate_reading.manifest_path_of(crate)
    manifest = json.loads(path.read_bytes())
    change(manifest)
    manifest["parameters_sha256"] = crate_reading.canonical_digest(manifest["parameters"])
    manifest["manifest_sha256"] = crate_reading.sealed_digest(manifest)
    path.write_text(json.dumps(manifest))
    metadata = json.loads((crate / METADATA).read_bytes())
    parameters, facts = crate_reading.flat(manifest["parameters"]), crate_reading.facts_of(manifest)
    for entity in metadata["@graph"]:
        name = entity.get("name")
        if entity["@id"].startswith("#parameter-value/") and name in parameters:
            entity["value"] = crate_reading.as_text(parameters[name])
        elif entity["@id"].startswith("#fact/"):
            entity["value"] = facts[name]
    (crate / METADATA).write_text(json.dumps(metadata))
    described_anew(crate)


def of_sums(change: Callable[[bytes], bytes]) -> Edit:
    return lambda crate: (crate / SUMS).write_bytes(change((crate / SUMS).read_bytes()))


def pipe(crate: Path, name: str) -> None:
    (crate / name).unlink()
    os.mkfifo(crate / name)


def artifact_at(path: str) -> Edit:
    def move(manifest: Any) -> None:
        manifest["artifacts"]["journal"]["path"] = path

    return lambda crate: edit_manifest(crate, move)


def more(name: str) -> Edit:
    """Return what adds a file to a crate that nothing in it has made, with its digests."""

    def add(crate: Path) -> None:
        (crate / name).parent.mkdir(parents=True, exist_ok=True)
        (crate / name).write_text("x")
        metadata = json.loads((crate / METADATA).read_bytes())
        metadata["@graph"].append({"@id": name, "@type": "File", "sha256": "", "contentSize": ""})
        (crate / METADATA).write_text(json.dumps(metadata))
        described_anew(crate)

    return add


TRICKS: dict[str, Edit] = {
    "another line end in the sums": of_sums(lambda text: text.replace(b"\n", b"\r", 1)),
    "Windows' line ends in the sums": of_sums(lambda text: text.replace(b"\n", b"\r\n")),
    "no line in the sums": of_sums(lambda text: b""),
    "an empty line more": of_sums(lambda text: text + b"\n"),
    "no end of the last line": of_sums(lambda text: text[:-1]),
    "lines in another order": of_sums(
        lambda text: b"".join(sorted(text.splitlines(keepends=True), reverse=True))
    ),
    "digests in capitals": of_sums(lambda text: text[:64].upper() + text[64:]),
    "a name that begins as what holds": lambda crate: (crate / "=x").write_text("x"),
    "a name that begins as what is not checked": lambda crate: (crate / "?x").write_text("x"),
    "a pipe for the sums": lambda crate: pipe(crate, SUMS),
    "a pipe for the page": lambda crate: pipe(crate, "ro-crate-preview.html"),
    "a link to the folder above": lambda crate: (crate / "data" / "up").symlink_to(crate.parent),
    "an artifact that never ends": artifact_at("/dev/zero"),
    "an artifact outside": artifact_at("../secret"),
    "code beside the data": more("src/evil.py"),
    "a crate in the crate": more("inner/ro-crate-metadata.json"),
    "a table beside the cards": more("data/03_primary/None/other.parquet"),
    "the run of another folder": lambda crate: edit_manifest(
        crate, lambda manifest: manifest.update(run_id="../../other")
    ),
}


def test_the_crate_holds(sound: Path) -> None:
    assert failed(sound) == set()


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_is_found(name: str, crate: Path) -> None:
    TRICKS[name](crate)
    assert failed(crate)
    if "sums" in name:
        assert "digests" in failed(crate)


def test_no_source_of_a_card_is_imported(tmp_path: Path) -> None:
    part = {"source": "antigravity:fly", "version": "1", "licence": "x", "homepage": "x"}
    card = {"table_sha256": "0", "parts": [{**part, "files": []}]}
    (tmp_path / "card.json").write_text(json.dumps(card))
    wrong = _wrong_in_card(tmp_path / "card.json", {"data": {"table_sha256": "0"}})
    assert list(wrong) == []
    assert "antigravity" not in sys.modules


def test_a_signature_that_cannot_be_checked_with_the_key_is_no_success(
    crate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (crate / SIGNATURE).write_text("{}")
    for name in ("model_signing", "model_signing.verifying"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ParameterError, match="model-signing"):
        verify_crate(crate, key=crate / "verify.py")


def test_an_unreadable_folder_hides_nothing(crate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (crate / "hidden").mkdir()
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "hidden":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert failed(crate) == {"completeness"}


@pytest.mark.heavy
def test_names_of_files_write_nothing_to_the_terminal(crate: Path) -> None:
    (crate / "x\n\x1b[2J\u202eVERIFIED\n").write_text("x")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(crate / "verify.py")],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 1, done.stderr
    assert b"\x1b" not in done.stdout
    assert not any(line.startswith(b"VERIFIED") for line in done.stdout.splitlines())
    assert b"\\x1b[2J\\u202eVERIFIED" in done.stdout


def test_values_nested_without_end_are_a_failure_and_no_traceback(crate: Path) -> None:
    path = crate / crate_reading.manifest_path_of(crate)
    deep = '"created": ' + '{"a":' * 20_000 + "1" + "}" * 20_000 + ","
    path.write_text(path.read_text().replace('"created":', f'{deep} "was":', 1))
    described_anew(crate)
    assert "manifest" in failed(crate)


def test_an_audit_imports_no_name_of_a_crate(
    crate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that holds, since whoever sends it has made all of it."""
    monkeypatch.delenv("OPTIPROXY_TRUSTED")
    monkeypatch.setattr(crate_audit, "verify_crate", lambda *_: [])

    def edit(manifest: Any) -> None:
        manifest["pipeline"] = "nb201_search"
        manifest["parameters"]["method"] = "antigravity:fly"

    edit_manifest(crate, edit)
    with pytest.raises(UntrustedNameError):
        audit_crate(crate, tmp_path, lambda *_: None)
    assert "antigravity" not in sys.modules


def test_a_digest_that_was_given_is_of_this_crate_alone(crate: Path) -> None:
    digest = crate_reading.identity_of(crate)
    assert verify_crate(crate, digest=digest.upper())[0].state == verify.OK
    path = crate / crate_reading.manifest_path_of(crate)
    path.write_bytes(path.read_bytes() + b" ")
    described_anew(crate)  # without a signature, that would be another crate
    row = verify_crate(crate, digest=digest)[0]
    assert (row.name, row.state) == ("digest", FAILED)
    with pytest.raises(ArtifactError) as refused:
        audit_crate(crate, Path(), lambda *_: None, digest=digest)
    assert "digest" in refused.value.data["checks"]
    with pytest.raises(ParameterError):
        verify_crate(crate, digest=digest[:12])


def test_a_key_that_is_none_is_no_fault_of_the_crate(crate: Path, tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    (tmp_path / "it.pub").write_text("no key")
    with pytest.raises(DataError):
        verify_crate(crate, tmp_path / "it.pub")
    with pytest.raises(ParameterError):
        verify_crate(crate, tmp_path / "it.pub", (tmp_path / "root.pem",))


def test_line_ends_of_windows_are_called_so(crate: Path) -> None:
    sums = crate / SUMS
    sums.write_bytes(sums.read_bytes().replace(b"\n", b"\r\n"))
    assert "Windows" in next(it.why for it in verify_crate(crate) if it.name == "digests")


def test_of_many_findings_the_first_are_shown(crate: Path) -> None:
    for number in range(20):
        (crate / f"more-{number:02d}").touch()
    row = next(it for it in verify_crate(crate) if it.name == "completeness")
    assert row.state == FAILED
    assert len(row.more) < 10
    assert row.more[-1].endswith(f"{20 - len(row.more)} more")
