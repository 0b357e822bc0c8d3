"""Change what a run left, a byte or its structure: verify or audit must say so, and by what."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from cost.trust.crate_edits import CRATE_EDITS, FORGERIES, JOURNAL_EDITS, word
from cost.trust.edits import Edit, described_anew
from cost.trust.projects import OWN, RUN, command, copy_of, files_of, key_pair
from cost.trust.run_edits import RUN_EDITS
from optiproxy_nas.core.errors import OptiProxyError
from optiproxy_nas.proof.crate_reading import SIGNATURE
from optiproxy_nas.proof.signature import Signer
from optiproxy_nas.proof.verification import verify_crate
from optiproxy_nas.proof.verify import FAILED
from optiproxy_nas.runs.audit import damage_of
from optiproxy_nas.runs.manifest import read_manifest, reporting_folder

# What compares digests or signatures; the others may notice a byte by the nonsense that it makes.
BY_DIGEST = frozenset({"signature", "digests", "completeness", "disk"})


class Tamper(NamedTuple):
    """A case, and what found it.

    Attributes:
        kind: ``byte``, ``structure``, ``word`` or ``forgery``.
        what: was done to which file.
        found: names of the checks that failed; none: nobody noticed.
        expected: the check that must be among these; "": one that compares digests.
    """

    kind: str
    what: str
    found: list[str]
    expected: str

    @property
    def is_caught(self) -> bool:
        """Whether the check found it that should."""
        wanted = {self.expected} if self.expected else BY_DIGEST
        return bool(wanted & set(self.found))


class Tampers:
    """Crates and runs to be tampered with; they lie in one folder."""

    def __init__(self, folder: Path, templates: Mapping[str, Path]) -> None:
        self._folder, log = folder, folder / "log"
        folder.mkdir(parents=True)
        self._private, self._public = key_pair(folder, "ours")
        self._others, _ = key_pair(folder, "theirs")
        self._project = copy_of(templates["run"], folder / "project")
        with log.open("w") as file, redirect_stdout(file), redirect_stderr(file):
            for arguments in (
                (RUN, "--out", "../signed", "--sign", str(self._private)),
                (RUN, "--out", "../unsigned"),
                (OWN, "--out", "../journal"),
            ):
                assert command(self._project, "export", *arguments) == 0, log.read_text()

    def byte(self, number: int) -> Tamper:
        """Change the byte that a number draws, see what finds it, and change it back."""
        draw = random.Random(f"byte {number}")
        name = draw.choice(("signed", "unsigned", "journal", RUN, OWN))
        path = draw.choice([path for path in self._files(name) if path.stat().st_size])
        content = path.read_bytes()
        place, mask = draw.randrange(len(content)), draw.randrange(1, 256)
        path.write_bytes(content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :])
        try:
            found = self._found(name)
        finally:
            path.write_bytes(content)
        what = f"byte {place} of {os.path.relpath(path, self._folder)}"
        return Tamper("byte", what, found, "")

    def structures(self) -> list[str]:
        """Return the names of all edits of structure."""
        of_signature = ["signed by another key", "no signature", "a signature of another crate"]
        of_runs = [f"run: {name}" for name in RUN_EDITS]
        return [*of_signature, "no crate", *CRATE_EDITS, *JOURNAL_EDITS, *of_runs]

    def structure(self, name: str) -> Tamper:
        """Edit a copy of a crate or of the project, and see what finds it."""
        if name.startswith("run: "):
            edit, expected = RUN_EDITS[name.removeprefix("run: ")]
            return self._edited("structure", name, "project", edit, expected)
        if name in CRATE_EDITS:
            edit, expected = CRATE_EDITS[name]
            return self._edited("structure", name, "unsigned", edit, expected)
        if name in JOURNAL_EDITS:
            edit, expected = JOURNAL_EDITS[name]
            return self._edited("structure", name, "journal", edit, expected)
        edits: dict[str, tuple[Edit, str]] = {
            "signed by another key": (self._sign_by_another, "signature"),
            "no signature": (lambda crate: (crate / SIGNATURE).unlink(), "signature"),
            "a signature of another crate": (self._sign_another, "signature"),
            "no crate": (_empty, "refused"),
        }
        return self._edited("structure", name, "signed", *edits[name])

    def word(self, number: int, is_signed: bool) -> Tamper:
        """Edit one text of what describes a crate, with all digests but those of its manifest."""
        said = ""

        def edit(crate: Path) -> None:
            nonlocal said
            said = word(crate, random.Random(f"word {number}"))

        name, expected = ("signed", "signature") if is_signed else ("unsigned", "description")
        return self._edited("word", f"text {number}", name, edit, expected)._replace(what=said)

    def forgery(self, name: str, is_signed: bool) -> Tamper:
        """Forge an entry of a crate's manifest, and make all anew that follows from it."""
        edit = FORGERIES[name]
        if is_signed:
            return self._edited("forgery", name, "signed", edit, "signature")
        return self._edited("forgery", name, "unsigned", edit, "")

    def _files(self, name: str) -> list[Path]:
        if name not in (RUN, OWN):
            return list(files_of(self._folder / name))
        folders = (self._project / "data").glob(f"0*_*/{name}")
        files = [path for folder in folders for path in files_of(folder) if path.name != ".lock"]
        tables = [*files_of(self._project / "data" / "03_primary" / "nb201")] if name == RUN else []
        return [path for path in files if "trials" not in path.parts] + [
            path for path in tables if path.name.startswith(("embedded.parquet", "embedded.json"))
        ]

    def _found(self, name: str, folder: Path | None = None) -> list[str]:
        """Return the checks that fail of a crate or a run; ``refused``: it is none."""
        folder = folder or self._folder / name
        try:
            if name in (RUN, OWN, "project"):
                return self._found_in_run(name if name in (RUN, OWN) else RUN, folder)
            checks = verify_crate(folder, self._public if name == "signed" else None)
            return [check.name for check in checks if check.state == FAILED]
        except OptiProxyError:
            return ["refused"]

    def _found_in_run(self, run_id: str, folder: Path) -> list[str]:
        project = folder if folder.name == "copy" else self._project
        manifest = read_manifest(reporting_folder(project), run_id)
        return ["disk"] if damage_of(project, run_id, manifest)[0] else []

    def _edited(self, kind: str, what: str, name: str, edit: Edit, expected: str) -> Tamper:
        copy = copy_of(self._folder / name, self._folder / "copies" / "copy")
        try:
            edit(copy)
            found = self._found(name, copy)
        finally:
            shutil.rmtree(copy)
        return Tamper(kind, what, found, expected)

    def _sign_by_another(self, crate: Path) -> None:
        (crate / SIGNATURE).unlink()
        Signer(self._others).sign(crate)

    def _sign_another(self, crate: Path) -> None:
        (crate / "pipeline.json").write_text("{}")
        described_anew(crate)


def _empty(crate: Path) -> None:
    shutil.rmtree(crate)
    crate.mkdir()
