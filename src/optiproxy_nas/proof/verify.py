"""Check the files of a run's crate by the standard library alone: python3 verify.py [CRATE]

It needs Python 3.9 or newer, no package, no data and no network, and runs nothing of the crate. It
compares each file with SHA256SUMS and with ro-crate-metadata.json, and the run's manifest with what
it lists. It cannot tell who wrote the crate: for that there is the signature (kedro verify --key).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

if __package__:
    from optiproxy_nas.proof import crate_reading
else:  # in a crate, or called by its path: beside this file, also for python3 -I
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    sys.dont_write_bytecode = True  # which would add files to the crate
    import crate_reading  # type: ignore[import-not-found,no-redef]

OK, FAILED, NOT_CHECKED = "OK", "FAILED", "not checked"
SHOWN = 4  # findings that a check names
LEFT_OUT = {  # what kedro verify checks and this file does not
    "signature": "it needs model-signing: kedro verify CRATE --key PUBLIC",
    "description": "it needs the code of this version: kedro verify CRATE",
    "archive": "it needs a reader of Parquet: kedro verify CRATE",
}
JOURNAL_END = len(', "digest": "0123456789abcdef"}\n')  # of each line of a journal


class Check(NamedTuple):
    """A row of the table.

    Attributes:
        name: what was checked.
        state: how it ended.
        why: what holds, or the first finding.
        more: the next findings, and how many there are beyond.
    """

    name: str
    state: str
    why: str
    more: tuple[str, ...] = ()


class Unchecked(Exception):
    """A crate does not have what is checked."""


Findings = Generator[str, None, str]  # what is wrong, line by line; in the end, what holds


def checks_of(crate: Path) -> list[Check]:
    """Return all checks that need the standard library only, in the order of the table."""
    return [
        run_check("digests", _digests, crate),
        run_check("completeness", _completeness, crate),
        run_check("metadata", _metadata, crate),
        run_check("manifest", _manifest, crate),
        run_check("parameters", _parameters, crate),
        run_check("journal", _journal, crate),
    ]


def run_check(name: str, find: Callable[[Path], Findings], crate: Path) -> Check:
    """Run a check: it yields what is wrong, and returns what holds where nothing is."""
    wrong, holds = [], ""
    lines = find(crate)
    try:
        while True:
            wrong.append(next(lines))
    except StopIteration as end:
        holds = end.value
    except Unchecked as error:
        return Check(name, NOT_CHECKED, str(error))
    except ImportError as error:
        return Check(name, NOT_CHECKED, f"{error.name} is not installed")
    except crate_reading.Refused as error:
        wrong.append(str(error))
    except Exception as error:  # of what a stranger wrote: of any kind
        wrong.append(
            f"it is not built as a crate of this project ({type(error).__name__}: {error})"
        )
    if wrong:
        return failure(name, wrong)
    return Check(name, OK, holds)


def failure(name: str, findings: list[str]) -> Check:
    """Return the row of a check that found something: its first findings."""
    more = [f"and {len(findings) - SHOWN} more"] if len(findings) > SHOWN else []
    return Check(name, FAILED, findings[0], (*findings[1:SHOWN], *more))


def _digests(crate: Path) -> Findings:
    sums = crate_reading.read_sums(crate)
    for path, recorded in sums.items():
        if not crate_reading.is_file(crate / path):
            yield f"{path} is missing, or is a link or no file"
        elif (found := crate_reading.digest_of(crate / path)) != recorded:
            yield f"{path} has SHA-256 {found[:12]}.., {crate_reading.SUMS} says {recorded[:12]}.."
    return f"{len(sums)} files have the SHA-256 of {crate_reading.SUMS}"


def _completeness(crate: Path) -> Findings:
    listed = set(crate_reading.read_sums(crate))
    files, others = crate_reading.files_of(crate)
    yield from (f"{path} is missing" for path in sorted(listed - files))
    yield from (
        f"{path} is not listed" for path in sorted(files - listed - set(crate_reading.UNLISTED))
    )
    yield from (f"{path} is a link or no file" for path in others)
    return f"{len(listed)} files listed, no other there"


def _metadata(crate: Path) -> Findings:
    entities = crate_reading.entities_of(crate)
    sums, described = crate_reading.read_sums(crate), set()
    for entity in entities.values():
        kinds = entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]]
        if "File" not in kinds or "://" in entity["@id"]:
            continue
        path = unquote(entity["@id"])
        described.add(path)
        if path not in sums:
            yield f"{path} is described and not listed"
        elif entity["sha256"] != sums[path]:
            yield f"{path} is described with another SHA-256"
        elif (crate / path).is_file() and int(entity["contentSize"]) != (
            crate / path
        ).stat().st_size:
            yield f"{path} is described with another size"
    yield from (
        f"{path} is not described"
        for path in sorted(set(sums) - described - {crate_reading.METADATA, crate_reading.PREVIEW})
    )
    return f"{len(described)} files described with the same SHA-256 and size"


def _manifest(crate: Path) -> Findings:
    manifest = crate_reading.manifest_of(crate)
    sums = crate_reading.read_sums(crate)
    if manifest.get("manifest_sha256") != crate_reading.sealed_digest(manifest):
        yield "the manifest does not have the digest that it states of itself"
    if crate_reading.canonical_digest(manifest["parameters"]) != manifest["parameters_sha256"]:
        yield "the parameters do not have the digest that the manifest states of them"
    for name, facts in manifest["artifacts"].items():
        if sums[facts["path"]] != facts["sha256"]:
            listed, recorded = sums[facts["path"]], facts["sha256"]
            yield f"{name} has SHA-256 {listed[:12]}.., the manifest says {recorded[:12]}.."
        beside = f"{facts['sha256']}  {PurePosixPath(facts['path']).name}\n".encode()
        digest = hashlib.sha256(beside).hexdigest()
        if sums.get(f"{facts['path']}.sha256", digest) != digest:
            yield f"the digest file of {name} states another one than the manifest"
    of_run = {facts["path"] for facts in manifest["artifacts"].values()}
    of_run |= {f"{path}.sha256" for path in of_run} | {crate_reading.manifest_path_of(crate)}
    if journal := manifest["artifacts"].get("journal"):
        folder = PurePosixPath(journal["path"]).parent
        of_run |= {str(folder / name) for name in crate_reading.BESIDE_JOURNAL}
    card = f"data/03_primary/{manifest['parameters'].get('benchmark')}/"
    card += str(manifest["data"].get("source"))
    of_run |= {
        f"{card}.json",
        f"{card}.croissant.json",
        crate_reading.METADATA,
        crate_reading.PREVIEW,
        crate_reading.WORKFLOW,
        *crate_reading.CHECKERS,
    }
    yield from (f"{path} is no artifact of the manifest" for path in sorted(sums.keys() - of_run))
    return f"{len(manifest['artifacts'])} artifacts as run {manifest['run_id']!r} left them"


def _parameters(crate: Path) -> Findings:
    manifest, entities = crate_reading.manifest_of(crate), crate_reading.entities_of(crate)
    parameters = {
        name: crate_reading.as_text(it)
        for name, it in crate_reading.flat(manifest["parameters"]).items()
    }
    run = entities["#run"]
    times = {"startTime": manifest["created"], "endTime": manifest["closed"]}
    seconds = {
        f"{crate_reading.SECONDS}{name}": crate_reading.as_text(it)
        for name, it in (manifest.get("node_seconds") or {}).items()
        if f"#action/{quote(name)}" in entities  # not what only some runs of a pipeline do
    }
    for recorded, stated in (
        (parameters, _stated(entities, "#parameter-value/", "name")),
        (times, {name: run[name] for name in times}),
        (crate_reading.facts_of(manifest), _stated(entities, "#fact/", "propertyID")),
        (seconds, _stated(entities, "#seconds/", "propertyID")),
    ):
        for name in sorted(recorded.keys() | stated.keys()):
            if recorded.get(name) != stated.get(name):
                yield (
                    f"{name} is {recorded.get(name)!r} in the manifest, {stated.get(name)!r} "
                    "described"
                )
    summary = manifest["artifacts"].get("report.summary")
    if (
        summary is not None
        and crate_reading.read_json(crate / summary["path"]) != manifest["result"]
    ):
        yield "the summary is not the result of the manifest"
    return f"{len(parameters)} parameters, times, code and result agree in all places"


def _stated(entities: dict[str, dict[str, Any]], prefix: str, key: str) -> dict[str, Any]:
    """Return name -> value of the entities whose id begins so."""
    return {it[key]: it["value"] for name, it in entities.items() if name.startswith(prefix)}


def _journal(crate: Path) -> Findings:
    manifest = crate_reading.manifest_of(crate)
    artifact = manifest["artifacts"].get("journal")
    if artifact is None:
        raise Unchecked("the run has no journal")
    lines = crate_reading.content_of(crate / artifact["path"]).splitlines(keepends=True)
    digest = ""
    for number, line in enumerate(lines, 1):
        body, tail = line[:-JOURNAL_END], line[-JOURNAL_END:]
        digest = hashlib.sha256(digest.encode() + body).hexdigest()[:16]
        if tail != f', "digest": "{digest}"}}\n'.encode():
            yield f"line {number} is not what was written, or one before it is missing"
            return ""
    header = crate_reading.flat(
        json.loads(lines[0], object_pairs_hook=crate_reading.unique)["search"]
    )
    parameters = crate_reading.flat(manifest["parameters"])
    for name in sorted(header.keys() & parameters.keys()):
        if crate_reading.as_text(header[name]) != crate_reading.as_text(parameters[name]):
            yield f"{name} is {header[name]!r} in the journal, {parameters[name]!r} in the manifest"
    return f"{len(lines)} lines in their chain, its parameters are those of the manifest"


def table_of(checks: list[Check]) -> str:
    """Return the checks as a table for a terminal, what was verified, and what was not."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.name:{width}}  {check.state:11}  {shown(check.why)}")
        lines += [" " * (width + 15) + shown(finding) for finding in check.more]
    failed = [check.name for check in checks if check.state == FAILED]
    if failed:
        verdict = f"VERIFICATION FAILED: {', '.join(failed)}"
    else:
        verdict = f"VERIFIED: {', '.join(check.name for check in checks if check.state == OK)}"
    unchecked = [check.name for check in checks if check.state == NOT_CHECKED]
    rest = [f"NOT CHECKED, reasons above: {', '.join(unchecked)}"] if unchecked else []
    return "\n".join([*lines, verdict, *rest])


def shown(text: str) -> str:
    """Return a text whose control characters are written out: no name of a file writes a line."""
    return "".join(it if it.isprintable() else ascii(it)[1:-1] for it in text)


def main() -> int:
    """Check the crate that this file lies in, or that is named; return the exit code."""
    crate = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent).resolve()
    unchecked = [Check(name, NOT_CHECKED, why) for name, why in LEFT_OUT.items()]
    checks = [*unchecked[:1], *checks_of(crate), *unchecked[1:]]
    head = f"Crate {crate_reading.identity_of(crate)} (SHA-256 of {crate_reading.SUMS})"
    text = f"{head}\n{table_of(checks)}"
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
    return int(any(check.state == FAILED for check in checks))


if __name__ == "__main__":
    raise SystemExit(main())
