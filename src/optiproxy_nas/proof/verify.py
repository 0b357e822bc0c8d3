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
from collections.abc import Callable, Generator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

SUMS, SIGNATURE = "SHA256SUMS", "crate.sig"
METADATA, PREVIEW = "ro-crate-metadata.json", "ro-crate-preview.html"
WORKFLOW, CHECKER = "pipeline.json", "verify.py"
UNLISTED = (SUMS, SIGNATURE)  # which cannot list themselves
OK, FAILED, NOT_CHECKED = "OK", "FAILED", "not checked"
SHOWN = 4  # findings that a check names
BESIDE_JOURNAL = ("test.json", "latency.json")  # of the answer; no manifest lists them
MANIFEST = "data/08_reporting/{}/manifest.json"  # of a run id
PYTHON = "python"  # stands for the pipeline of a search that was called from Python
LONGEST = 256 * 1024 * 1024  # bytes of a file that is read as a whole
LEFT_OUT = {  # what kedro verify checks and this file does not
    "signature": "it needs model-signing: kedro verify CRATE --key PUBLIC",
    "description": "it needs the code of this version: kedro verify CRATE",
    "archive": "it needs a reader of Parquet: kedro verify CRATE",
}
SECONDS = "node_seconds."  # of the manifest, and of what the metadata says of a step
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


class Refused(Exception):
    """A file cannot be read as what it should be."""


class Unchecked(Exception):
    """A crate does not have what is checked."""


Findings = Generator[str, None, str]  # what is wrong, line by line; in the end, what holds


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            sha256.update(block)
    return sha256.hexdigest()


def canonical_digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form, as manifests have it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sealed_digest(manifest: dict[str, Any]) -> str:
    """Return the digest of a manifest without its entry ``manifest_sha256``."""
    return canonical_digest({k: v for k, v in manifest.items() if k != "manifest_sha256"})


def content_of(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        Refused: it is missing, a link or no file (a pipe has no end), or too long.
    """
    if not is_file(path) or path.stat().st_size > LONGEST:
        raise Refused(f"{path.name} is missing, is no file, or has more than {LONGEST} bytes")
    return path.read_bytes()


def is_file(path: Path) -> bool:
    """Return whether there is a file, which is no link."""
    return path.is_file() and not path.is_symlink()


def read_json(path: Path) -> Any:
    """Return the value of a JSON file, in which no key may stand twice.

    Raises:
        Refused: it cannot be read, or is not such a file.
    """
    try:
        return json.loads(content_of(path).decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path.name} is no readable JSON: {type(error).__name__}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def files_of(crate: Path) -> tuple[set[str], list[str]]:
    """Return the files of a folder, relative with "/", and what is neither file nor folder."""
    files, others = set(), []

    def unreadable(error: OSError) -> None:
        others.append(Path(error.filename).relative_to(crate).as_posix())

    for folder, folders, names in os.walk(crate, onerror=unreadable, followlinks=False):
        for name in [*folders, *names]:
            path = Path(folder) / name
            relative = path.relative_to(crate).as_posix()
            if is_file(path):
                files.add(relative)
            elif path.is_symlink() or not path.is_dir():
                others.append(relative)
    return files, sorted(others)


def read_sums(crate: Path) -> dict[str, str]:
    """Return path -> SHA-256 of the lines of ``SHA256SUMS``.

    Raises:
        Refused: it cannot be read, names a place outside of the crate, or is not as it is written:
            by one byte, or in another order.
    """
    content = content_of(crate / SUMS)
    if b"\r\n" in content:
        raise Refused(
            f"{SUMS} has line ends of Windows: what copied the crate changed its texts, as Git "
            "does where core.autocrlf is set; get it as it was written"
        )
    lines = content.decode("utf-8", "surrogateescape").split("\n")[:-1]
    found = {line[66:]: line[:64] for line in lines}
    if not found or written_sums(found) != content or not all(map(_can_be_listed, found)):
        raise Refused(f"{SUMS} is not as it was written")
    return found


def written_sums(sums: Mapping[str, str]) -> bytes:
    """Return the content of ``SHA256SUMS``, in the order of the paths."""
    lines = "".join(f"{sums[path]}  {path}\n" for path in sorted(sums))
    return lines.encode("utf-8", "surrogateescape")


def _can_be_listed(path: str) -> bool:
    pure = PurePosixPath(path)
    is_inside = path == pure.as_posix() and not pure.is_absolute() and ".." not in pure.parts
    return is_inside and path not in (*UNLISTED, ".")


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
    except Refused as error:
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
    sums = read_sums(crate)
    for path, recorded in sums.items():
        if not is_file(crate / path):
            yield f"{path} is missing, or is a link or no file"
        elif (found := digest_of(crate / path)) != recorded:
            yield f"{path} has SHA-256 {found[:12]}.., {SUMS} says {recorded[:12]}.."
    return f"{len(sums)} files have the SHA-256 of {SUMS}"


def _completeness(crate: Path) -> Findings:
    listed = set(read_sums(crate))
    files, others = files_of(crate)
    yield from (f"{path} is missing" for path in sorted(listed - files))
    yield from (f"{path} is not listed" for path in sorted(files - listed - set(UNLISTED)))
    yield from (f"{path} is a link or no file" for path in others)
    return f"{len(listed)} files listed, no other there"


def _metadata(crate: Path) -> Findings:
    entities = entities_of(crate)
    sums, described = read_sums(crate), set()
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
        f"{path} is not described" for path in sorted(set(sums) - described - {METADATA, PREVIEW})
    )
    return f"{len(described)} files described with the same SHA-256 and size"


def _manifest(crate: Path) -> Findings:
    manifest = manifest_of(crate)
    sums = read_sums(crate)
    if manifest.get("manifest_sha256") != sealed_digest(manifest):
        yield "the manifest does not have the digest that it states of itself"
    if canonical_digest(manifest["parameters"]) != manifest["parameters_sha256"]:
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
    of_run |= {f"{path}.sha256" for path in of_run} | {manifest_path_of(crate)}
    if journal := manifest["artifacts"].get("journal"):
        folder = PurePosixPath(journal["path"]).parent
        of_run |= {str(folder / name) for name in BESIDE_JOURNAL}
    card = f"data/03_primary/{manifest['parameters'].get('benchmark')}/"
    card += str(manifest["data"].get("source"))
    of_run |= {f"{card}.json", f"{card}.croissant.json", METADATA, PREVIEW, WORKFLOW, CHECKER}
    yield from (f"{path} is no artifact of the manifest" for path in sorted(sums.keys() - of_run))
    return f"{len(manifest['artifacts'])} artifacts as run {manifest['run_id']!r} left them"


def _parameters(crate: Path) -> Findings:
    manifest, entities = manifest_of(crate), entities_of(crate)
    parameters = {name: as_text(it) for name, it in flat(manifest["parameters"]).items()}
    run = entities["#run"]
    times = {"startTime": manifest["created"], "endTime": manifest["closed"]}
    seconds = {
        f"{SECONDS}{name}": as_text(it)
        for name, it in (manifest.get("node_seconds") or {}).items()
        if f"#action/{quote(name)}" in entities  # not what only some runs of a pipeline do
    }
    for recorded, stated in (
        (parameters, _stated(entities, "#parameter-value/", "name")),
        (times, {name: run[name] for name in times}),
        (facts_of(manifest), _stated(entities, "#fact/", "propertyID")),
        (seconds, _stated(entities, "#seconds/", "propertyID")),
    ):
        for name in sorted(recorded.keys() | stated.keys()):
            if recorded.get(name) != stated.get(name):
                yield (
                    f"{name} is {recorded.get(name)!r} in the manifest, {stated.get(name)!r} "
                    "described"
                )
    summary = manifest["artifacts"].get("report.summary")
    if summary is not None and read_json(crate / summary["path"]) != manifest["result"]:
        yield "the summary is not the result of the manifest"
    return f"{len(parameters)} parameters, times, code and result agree in all places"


def _stated(entities: dict[str, dict[str, Any]], prefix: str, key: str) -> dict[str, Any]:
    """Return name -> value of the entities whose id begins so."""
    return {it[key]: it["value"] for name, it in entities.items() if name.startswith(prefix)}


def _journal(crate: Path) -> Findings:
    manifest = manifest_of(crate)
    artifact = manifest["artifacts"].get("journal")
    if artifact is None:
        raise Unchecked("the run has no journal")
    lines = content_of(crate / artifact["path"]).splitlines(keepends=True)
    digest = ""
    for number, line in enumerate(lines, 1):
        body, tail = line[:-JOURNAL_END], line[-JOURNAL_END:]
        digest = hashlib.sha256(digest.encode() + body).hexdigest()[:16]
        if tail != f', "digest": "{digest}"}}\n'.encode():
            yield f"line {number} is not what was written, or one before it is missing"
            return ""
    header = flat(json.loads(lines[0], object_pairs_hook=_unique)["search"])
    parameters = flat(manifest["parameters"])
    for name in sorted(header.keys() & parameters.keys()):
        if as_text(header[name]) != as_text(parameters[name]):
            yield f"{name} is {header[name]!r} in the journal, {parameters[name]!r} in the manifest"
    return f"{len(lines)} lines in their chain, its parameters are those of the manifest"


def facts_of(manifest: dict[str, Any]) -> dict[str, str]:
    """Return what the crate states of a run beside its parameters, from the manifest."""
    names = (
        "run_id",
        "pipeline",
        "status",
        "parameters_sha256",
        "mlflow_run_id",
        "manifest_sha256",
    )
    facts = {name: manifest.get(name) for name in names}
    for group in ("git", "environment", "libraries", "data"):
        facts.update(flat(manifest.get(group) or {}, f"{group}."))
    code = manifest.get("code") or {}
    facts.update(
        {f"code.{name}": code.get(name) for name in ("version", "sha256", "search_sha256")}
    )
    facts["cpu"] = manifest.get("cpu")
    return {name: as_text(value) for name, value in facts.items() if value is not None}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted name; a list is a leaf."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            found.update(flat(inner, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = inner
    return found


def as_text(value: Any) -> str:
    """Return a value as the crate states it."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def entities_of(crate: Path) -> dict[str, dict[str, Any]]:
    """Return the entities of the metadata by their id.

    Raises:
        Refused: they cannot be read, or two have one id.
    """
    graph = read_json(crate / METADATA)["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    if len(entities) != len(graph):
        raise Refused(f"{METADATA} describes an entity twice")
    return entities


def manifest_path_of(crate: Path) -> str:
    """Return the path of the run's manifest in the crate."""
    return unquote(entities_of(crate)["#run"]["subjectOf"]["@id"])


def manifest_of(crate: Path) -> dict[str, Any]:
    """Return the manifest of the run, all of whose artifacts are in the crate.

    Raises:
        Refused: it cannot be read, or names files that are not listed.
    """
    path, sums = manifest_path_of(crate), read_sums(crate)
    manifest = read_json(crate / path) if path in sums else None
    if not isinstance(manifest, dict) or path != MANIFEST.format(manifest.get("run_id")):
        raise Refused(f"{path!r} is no manifest of the crate")
    for name, facts in manifest["artifacts"].items():
        if facts["path"] not in sums:
            raise Refused(f"artifact {name} is missing: {facts['path']!r} is not listed")
    return manifest


def identity_of(crate: Path) -> str:
    """Return the digest that stands for all files but the signature: that of ``SHA256SUMS``."""
    return digest_of(crate / SUMS) if is_file(crate / SUMS) else "none"


def table_of(checks: list[Check]) -> str:
    """Return the checks as a table for a terminal, and the verdict."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.name:{width}}  {check.state:11}  {shown(check.why)}")
        lines += [" " * (width + 15) + shown(finding) for finding in check.more]
    failed = [check.name for check in checks if check.state == FAILED]
    if failed:
        verdict = f"VERIFICATION FAILED: {', '.join(failed)}"
    else:
        unchecked = [check.name for check in checks if check.state == NOT_CHECKED]
        verdict = f"VERIFIED, but for {', '.join(unchecked)}" if unchecked else "VERIFIED"
    return "\n".join([*lines, verdict])


def shown(text: str) -> str:
    """Return a text whose control characters are written out: no name of a file writes a line."""
    return "".join(it if it.isprintable() else ascii(it)[1:-1] for it in text)


def main() -> int:
    """Check the crate that this file lies in, or that is named; return the exit code."""
    crate = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent).resolve()
    unchecked = [Check(name, NOT_CHECKED, why) for name, why in LEFT_OUT.items()]
    checks = [*unchecked[:1], *checks_of(crate), *unchecked[1:]]
    text = f"Crate {identity_of(crate)} (SHA-256 of {SUMS})\n{table_of(checks)}"
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
    return int(any(check.state == FAILED for check in checks))


if __name__ == "__main__":
    raise SystemExit(main())
