"""Verify a crate: what holds of it, without our data, a search or torch."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optiproxy_nas.core.code_digest import package_digest
from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.proof import crate_reading, verify
from optiproxy_nas.proof.crate_reading import Refused
from optiproxy_nas.proof.signature import check_signature
from optiproxy_nas.proof.verify import (
    FAILED,
    NOT_CHECKED,
    OK,
    Check,
    Findings,
    Unchecked,
    run_check,
)


def verify_crate(
    crate: Path,
    key: Path | None = None,
    chain: tuple[Path, ...] = (),
    digest: str | None = None,
) -> list[Check]:
    """Return every check of a crate, in the order of the table.

    Args:
        crate: its folder.
        key: PEM file of the public key of whoever should have signed it.
        chain: in place of the key: certificates that are trusted.
        digest: SHA-256 that its ``SHA256SUMS`` should have, as its author states it; 64
            hexadecimal digits.

    Raises:
        DataError: there is no such folder, or it is no crate; there is no such key.
        ParameterError: the digest is none; a key and a chain were given; model-signing is needed
            and is not installed.
    """
    if not (crate / crate_reading.METADATA).is_file():
        raise DataError(
            f"{str(crate)!r} is no crate: it has no {crate_reading.METADATA}. "
            "'kedro export RUN_ID' writes one.",
            path=str(crate),
        )
    crate = crate.resolve()  # model-signing takes no link
    checks = [] if digest is None else [_digest(crate, digest)]
    checks += [check_signature(crate, key, chain), *verify.checks_of(crate), _checker(crate)]
    states = {check.name: check.state for check in checks}
    are_as_listed = states["digests"] == states["completeness"] == OK
    for name, find in (("description", _misdescribed), ("archive", compare_archive)):
        if are_as_listed:
            checks.append(run_check(name, find, crate))
        else:  # what is not as listed is not parsed
            checks.append(Check(name, NOT_CHECKED, "a file is not the one that was written"))
    return [*checks, Check("search", NOT_CHECKED, _how_to_repeat(crate))]


def failed(checks: list[Check]) -> bool:
    """Return whether a check failed."""
    return any(check.state == FAILED for check in checks)


def _how_to_repeat(crate: Path) -> str:
    """Return who repeats the search of a crate, which verifying does not."""
    try:
        is_of_python = crate_reading.manifest_of(crate)["pipeline"] == crate_reading.PYTHON
    except (Refused, KeyError, TypeError, AttributeError):
        is_of_python = False
    return (
        "it was called from Python: call it again"
        if is_of_python
        else "kedro audit CRATE repeats it"
    )


def _digest(crate: Path, digest: str) -> Check:
    """Compare the digest that stands for all files with the one that the user was given.

    Raises:
        ParameterError: that is no SHA-256.
    """
    if len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef"):
        raise ParameterError(
            f"{digest!r} is no SHA-256: 64 hexadecimal digits, as kedro export and verify.py "
            "print them.",
            digest=digest,
        )
    found = crate_reading.identity_of(crate)
    if found == digest.lower():
        return Check("digest", OK, "it is the crate whose digest was given")
    return Check(
        "digest", FAILED, f"it is another crate than the one whose digest was given: {found}"
    )


def _checker(crate: Path) -> Check:
    """Compare ``verify.py`` and what it imports with ours, which alone are run."""
    ours = [Path(__file__).with_name(name) for name in crate_reading.CHECKERS]
    theirs = [crate / path.name for path in ours]
    if missing := [path.name for path in theirs if not crate_reading.is_file(path)]:
        return Check("verify.py", FAILED, f"{missing[0]} is missing")
    if [path.read_bytes() for path in theirs] == [path.read_bytes() for path in ours]:
        return Check("verify.py", OK, "it is the one of this version")
    if _is_of_this_version(crate):
        return Check("verify.py", FAILED, "it is not the one of the version that wrote it")
    return Check("verify.py", NOT_CHECKED, "it is of another version, or edited; do not run it")


def _is_of_this_version(crate: Path) -> bool:
    """Return whether the run of a crate says that it is of the code that runs here."""
    try:
        return _is_of_this_code(crate_reading.manifest_of(crate))
    except (Refused, KeyError, TypeError, AttributeError):
        return False


def _is_of_this_code(manifest: dict[str, Any]) -> bool:
    return bool(manifest["code"]["sha256"] == package_digest())


def _misdescribed(crate: Path) -> Findings:
    """Compare metadata and page with those that are made of manifest, pipeline and data cards."""
    from optiproxy_nas.proof.description import cards_of, description_of, statement_of

    manifest = crate_reading.manifest_of(crate)
    made = description_of(crate, crate_reading.manifest_path_of(crate), statement_of(crate))
    metadata = crate_reading.read_json(crate / crate_reading.METADATA)
    wrong = [] if metadata == made.metadata else [_first_difference(metadata, made.metadata)]
    if (crate / crate_reading.PREVIEW).read_bytes() != made.page:
        wrong.append(f"{crate_reading.PREVIEW} is not the page that the manifest gives")
    if wrong and not _is_of_this_version(crate):
        raise Unchecked("another version of optiproxy-nas wrote it, whose words may be others")
    yield from wrong
    for path in cards_of(crate):
        yield from _wrong_in_card(path, manifest)
    return "metadata and page are those of manifest, pipeline and data cards"


def _first_difference(metadata: Any, made: dict[str, Any]) -> str:
    found = {str(entity.get("@id")): entity for entity in metadata["@graph"]}
    for entity in made["@graph"]:
        stated = found.pop(entity["@id"], {})
        for name in sorted(entity.keys() | stated.keys()):
            if entity.get(name) != stated.get(name):
                return f"{name} of {entity['@id']} is not what the manifest gives"
    return f"{', '.join(sorted(found)[:1]) or 'its order'} is of no file of the run"


def _wrong_in_card(path: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Compare a data card with the manifest, with its Croissant card, and with what we publish."""
    from optiproxy_nas.benchmarks.source_registry import SOURCES, get_source
    from optiproxy_nas.benchmarks.table_digests import SHIPPED
    from optiproxy_nas.proof.croissant import croissant_of
    from optiproxy_nas.proof.description import CROISSANT

    card = crate_reading.read_json(path)
    if card["table_sha256"] != manifest["data"]["table_sha256"]:
        yield f"{path.name} is the card of another table"
    shipped = SHIPPED.get(str(manifest["data"].get("source")), card["table_sha256"])
    if shipped != card["table_sha256"] and _is_of_this_code(manifest):
        yield f"{path.name} is of another table than that of the published files"
    if (croissant := path.with_suffix(CROISSANT)).is_file():
        stated = crate_reading.read_json(croissant)
        (table,) = stated["distribution"]
        if stated != croissant_of(card, table["name"], table["sha256"]):
            yield f"{croissant.name} is not made of the data card"
    for part in card["parts"]:
        if part["source"] not in SOURCES:  # of a plug-in, which is not imported for that
            continue
        publication = get_source(part["source"]).publication
        pinned = {file.name: file.sha256 for file in publication.files}
        of_part = (part["version"], part["licence"], part["homepage"])
        if of_part != (publication.version, publication.licence, publication.homepage) or any(
            pinned.get(file["name"], file["sha256"]) not in (file["sha256"], None)
            for file in part["files"]
        ):
            yield f"{path.name} states of {part['source']} what its publication does not"


def _last(names: list[str]) -> str:
    """Return the archive that holds all queries."""

    def step(name: str) -> int:
        number = name.partition(".")[0].removeprefix("step_")
        return int(number) if number.isdigit() else -1

    return max((name for name in names if name != "confirm.archive"), key=step)


def compare_archive(crate: Path) -> Findings:
    """Compare the archive with the result that the manifest states, and with the journal."""
    from optiproxy_nas.core.bounded_files import read_parquet

    manifest = crate_reading.manifest_of(crate)
    artifacts, result = manifest["artifacts"], manifest["result"]
    names = [name for name in artifacts if name.endswith(".archive")]
    table = read_parquet(crate / artifacts[_last(names)]["path"])
    if len(table) != result["queries"]:
        yield f"{len(table)} queries, the result says {result['queries']}"
    best, target = result["best_architecture"], result["target"]
    rows = table[table["architecture"] == best]
    if rows.empty:
        yield f"it lacks the best architecture of the result, {best}"
        return ""
    stated = result.get(target)
    if stated is not None and result.get("confirmations") is None:
        found = [float(value) for value in rows["value"]]
        if not any(math.isclose(value, stated, rel_tol=1e-12) for value in found):
            yield f"the best has value {found[-1]} there, {stated} in the result"
    if "journal" in artifacts:
        of_python = manifest["pipeline"] == crate_reading.PYTHON
        yield from _unlike_journal(table, crate / artifacts["journal"]["path"], of_python)
    return f"{len(table)} queries; the best is the one that the result states"


def _unlike_journal(table: Any, journal: Path, of_python: bool) -> Iterator[str]:
    """Compare the values of an archive with the answers of which its journal tells.

    A search from Python may begin with trials of earlier searches, which no other can.
    """
    lines = [json.loads(line) for line in crate_reading.content_of(journal).splitlines()]
    target = lines[0]["search"]["target"]
    answers: dict[str, list[float]] = defaultdict(list)
    for line in lines[1:]:
        if target in line.get("metrics", {}) and not line.get("repeat", 0):
            answers[line["architecture"]].append(float(line["metrics"][target]))
    are_earlier = of_python
    for architecture, value in zip(table["architecture"], table["value"], strict=True):
        given = answers.get(architecture, [])
        if not given and not are_earlier:
            yield f"{architecture} was not answered in the journal"
        elif given and not any(math.isclose(value, it, rel_tol=1e-12) for it in given):
            yield f"{architecture} has value {value} there, {given[-1]} in the journal"
        are_earlier = are_earlier and not given
