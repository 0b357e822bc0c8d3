"""Verify a crate: what holds of it, without our data, a search or torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import DataError
from optiproxy_nas.proof import verify
from optiproxy_nas.proof.signature import check_signature
from optiproxy_nas.proof.verify import FAILED, NOT_CHECKED, OK, Check


def verify_crate(crate: Path, key: Path | None = None, chain: tuple[Path, ...] = ()) -> list[Check]:
    """Return every check of a crate, in the order of the table.

    Args:
        crate: its folder.
        key: PEM file of the public key of whoever should have signed it.
        chain: in place of the key: certificates that are trusted.

    Raises:
        DataError: there is no such folder, or it is no crate.
    """
    if not (crate / verify.METADATA).is_file():
        raise DataError(
            f"{str(crate)!r} is no crate: it has no {verify.METADATA}. 'kedro export RUN_ID' "
            "writes one.",
            path=str(crate),
        )
    checks = [check_signature(crate, key, chain), *verify.checks_of(crate), _checker(crate)]
    digests = next(check for check in checks if check.name == "digests")
    archive = Check("archive", NOT_CHECKED, "a file is not the one that was written")
    if digests.state == OK:  # what is not as listed is not parsed
        archive = _archive(crate)
    again = Check("search", NOT_CHECKED, "kedro audit CRATE repeats it")
    return [*checks, archive, again]


def failed(checks: list[Check]) -> bool:
    """Return whether a check failed."""
    return any(check.state == FAILED for check in checks)


def _checker(crate: Path) -> Check:
    """Compare ``verify.py`` of the crate with ours, which alone is run."""
    ours, theirs = Path(verify.__file__), crate / "verify.py"
    if not theirs.is_file() or theirs.is_symlink():
        return Check("verify.py", FAILED, "it is missing")
    if theirs.read_bytes() == ours.read_bytes():
        return Check("verify.py", OK, "it is the one of this version")
    return Check("verify.py", NOT_CHECKED, "it is of another version, or edited; do not run it")


def _archive(crate: Path) -> Check:
    """Compare the archive with the result that the manifest states."""
    try:
        from optiproxy_nas.core.bounded_files import read_parquet
    except ImportError:
        return Check("archive", NOT_CHECKED, "pandas is not installed")
    try:
        manifest = verify.manifest_of(crate)
        artifacts = manifest["artifacts"]
        names = [name for name in artifacts if name.endswith(".archive")]
        table = read_parquet(crate / artifacts[_last(names)]["path"])
        wrong = list(_differences(table, manifest["result"]))
    except Exception as error:  # of what a stranger wrote: of any kind
        return Check("archive", FAILED, f"it cannot be read: {type(error).__name__}")
    if wrong:
        return Check("archive", FAILED, "; ".join(wrong))
    return Check("archive", OK, f"{len(table)} queries; the best is the one that the result states")


def _last(names: list[str]) -> str:
    """Return the archive that holds all queries."""

    def step(name: str) -> int:
        number = name.partition(".")[0].removeprefix("step_")
        return int(number) if number.isdigit() else -1

    return max((name for name in names if name != "confirm.archive"), key=step)


def _differences(table: Any, result: dict[str, Any]) -> Iterator[str]:
    if len(table) != result["queries"]:
        yield f"{len(table)} queries, the result says {result['queries']}"
    best, target = result["best_architecture"], result["target"]
    rows = table[table["architecture"] == best]
    if rows.empty:
        yield f"it lacks the best architecture of the result, {best}"
        return
    stated = result.get(target)
    if stated is not None and result.get("confirmations") is None:
        found = [float(value) for value in rows["value"]]
        if not any(math.isclose(value, stated, rel_tol=1e-12) for value in found):
            yield f"the best has value {found[-1]} there, {stated} in the result"
