"""The folder of an exported answer: what is in it, writing it whole, and checking it.

``model.json`` has the SHA-256 of each other file but the model card, and of itself, so that an
edited file is found. The card is for people, who may add to it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.errors import (
    ArtifactError,
    DataError,
    OptiProxyError,
    ParameterError,
    message_of,
)
from optiproxy_nas.export.answer import FORMAT, Answer, model_card, search_facts
from optiproxy_nas.export.network import CHECK, GRAPH, WEIGHTS, NetworkFiles, network_files
from optiproxy_nas.export.trainings import Trainings
from optiproxy_nas.problems import Problem
from optiproxy_nas.problems.building import has_build
from optiproxy_nas.spaces import get_space

ARCHITECTURE, FACTS = "architecture.json", "model.json"
CARD, PAGE = "README.md", "model.html"  # the page is the card, as it was written
FILES = (ARCHITECTURE, WEIGHTS, GRAPH, CHECK, FACTS, CARD, PAGE)
_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
_ABSOLUTE = re.compile(r"(?<=')/[^'\n]+(?=')|(?<![\w.~:/])/[^\s/'\":,;]+/[^\s'\":,;]+")
_PARTIAL = ".partial-"  # how the name of a folder begins that is not whole yet


def export_answer(
    answer: Answer, trainings: Trainings | None, keep_going: bool = False
) -> dict[str, bytes]:
    """Return the files of an exported answer, content by name.

    Args:
        answer: of a search.
        trainings: that it is of; None: nothing was trained by a problem.
        keep_going: leave out a network that cannot be had, with a warning.

    Raises:
        OptiProxyError: the network cannot be had: its folder, its checkpoint, its weights.
    """
    space = get_space(answer.parameters.space)
    architecture = space.architecture(answer.request.architecture)
    if trainings is None and answer.parameters.problem is not None:
        raise DataError(
            "This result does not know where the trainings' folders are: it was loaded, copied, or "
            "asked and told. Call search(..., journal=path) again as it was called, which trains "
            "nothing twice, and export what it gives."
        )
    if trainings is None:
        reason = "no problem trained it, so there is no network."
    elif not has_build(trainings.problem):
        reason = f"{type(trainings.problem).__name__} has no method build."
    else:
        problem = trainings.problem
        try:
            model = trainings.network(answer.request)
            return _files(answer, architecture, network_files(problem, architecture, model))
        except Exception as error:  # a user's network can raise anything
            if not keep_going:
                raise
            reason = message_of(error)
            has_test = type(problem).test is not Problem.test
            # A test that failed has said why already, and of the same checkpoint.
            told = f"its {CARD} says why." if has_test and not answer.test else reason
            _log.warning("The answer is exported without its network: %s", told)
    return _files(answer, architecture, NetworkFiles({}, {WEIGHTS: reason}, {}))


def _files(answer: Answer, architecture: Any, network: NetworkFiles) -> dict[str, bytes]:
    """Return all files: those of the network, and what is said of the answer."""
    text = json.dumps(architecture, indent=1, ensure_ascii=False) + "\n"
    files = {ARCHITECTURE: text.encode(), **network.files}
    facts = {
        **answer.facts(),
        "network": network.facts,
        "missing": {name: without_folders(it) for name, it in network.missing.items()},
        "files": {name: _sha256(content) for name, content in files.items()},
    }
    facts["digest"] = _digest(facts)
    files[FACTS] = (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode()
    return {**files, CARD: model_card(text, facts).encode()}


def without_folders(text: str) -> str:
    """Return a text with the names of files in the place of their absolute paths."""
    return _ABSOLUTE.sub(lambda found: Path(found[0]).name, text)


def check_free(folder: Path) -> None:
    """Refuse a folder that cannot be written, since there is something.

    Raises:
        ParameterError: there is something in it, or a file of its name; or that is no name.
    """
    if "\0" in str(folder):
        raise ParameterError(f"{str(folder)!r:.200} is no name of a folder.", path=str(folder))
    try:
        if folder.is_dir() and not any(folder.iterdir()):
            return
        is_taken = folder.exists() or folder.is_symlink()
    except OSError as error:  # too long a name, no permission to look
        raise ParameterError(
            f"{str(folder)!r:.200} cannot be a new folder: {error.strerror}.", path=str(folder)
        ) from error
    if is_taken:
        raise ParameterError(
            f"There is something at {str(folder)!r} already, which an export does not write over. "
            "Remove it, or name another folder.",
            path=str(folder),
        )


def is_of_search(folder: Path, parameters: RunParameters) -> bool:
    """Return whether a folder holds an answer of the search, with its network if it trains any."""
    try:
        facts = read_facts(folder)
    except OptiProxyError:
        return False
    expected = {"problem": parameters.problem, "search": search_facts(parameters)}
    has_network = parameters.problem is None or WEIGHTS in facts["files"]
    return has_network and _agree(facts, expected)


def holds(folder: Path, answer: Answer) -> bool:
    """Return whether a folder holds an answer already; its latency may be another measurement."""
    facts = answer.facts()
    for name in ("latency", "versions"):
        facts.pop(name)
    return is_of_search(folder, answer.parameters) and _agree(read_facts(folder), facts)


def _agree(facts: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    as_read = json.loads(json.dumps(expected))
    return all(name in facts and facts[name] == it for name, it in as_read.items())


@contextmanager
def whole_folder(folder: Path, what: str = "folder", replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder of the same name, which is moved to its place at the end.

    So it is there whole or not at all.

    Args:
        folder: its path.
        what: it is called in messages.
        replace: write over an older one, which is taken away last.

    Raises:
        ParameterError: there is something at its path already.
        DataError: it cannot be written.
    """
    if not replace:
        check_free(folder)
    outer = folder.with_name(f"{_PARTIAL}{os.getpid()}-{folder.name}")
    partial, old = outer / folder.name, outer / ".old"
    try:
        partial.mkdir(parents=True)
        yield partial
        if folder.is_dir():
            folder.rename(old)
        partial.rename(folder)
    except OSError as error:
        raise DataError(
            f"The {what} {str(folder)!r} cannot be written: {error.strerror or error}.",
            path=str(folder),
        ) from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(outer, ignore_errors=True)


def write_folder(folder: Path, files: Mapping[str, bytes], replace: bool = False) -> Path:
    """Write files, content by name, into a folder, as :func:`whole_folder` has it.

    Raises:
        ParameterError, DataError: as of it.
    """
    with whole_folder(folder, replace=replace) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
    return folder


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what ``model.json`` of an exported answer says, ``digest`` included, files checked.

    Raises:
        DataError: it is no such folder, is of another format, or lacks a file.
        ArtifactError: a file is not the one that was written.
    """
    path = folder / FACTS
    try:
        facts: dict[str, Any] = json.loads(path.read_bytes())
        recorded = facts["digest"]
        found = _digest({name: fact for name, fact in facts.items() if name != "digest"})
        files = {str(name): str(sha256) for name, sha256 in facts["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{str(folder)!r} is no exported model: {FACTS} is missing or is not one "
            f"({type(error).__name__}).",
            path=str(folder),
        ) from error
    missing: Any = facts.get("missing")
    is_whole = isinstance(missing, dict) and ARCHITECTURE in files and set(files) <= set(FILES)
    if is_whole and WEIGHTS not in missing:
        is_whole = WEIGHTS in files and (CHECK in files or CHECK in missing)
    if facts.get("format") != FORMAT:
        raise DataError(
            f"{str(folder)!r} is of format {facts.get('format')!r}, not {FORMAT}.", path=str(folder)
        )
    if not is_whole:
        raise DataError(
            f"{str(folder)!r} is no exported model: {FACTS} does not list {ARCHITECTURE}, "
            f"{WEIGHTS} and {CHECK}, or lists other files than those of an export.",
            path=str(folder),
        )
    if found != recorded:
        raise _edited(path, found, recorded)
    for name in FILES:
        if name in files:
            _check(folder / name, files[name])
    return facts


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of an exported answer, checked as by :func:`read_facts`.

    Raises:
        DataError, ArtifactError: as of :func:`read_facts`.
    """
    read_facts(folder)
    paths = [folder / name for name in FILES if (folder / name).exists()]
    return {path.name: _sha256(path.read_bytes()) for path in paths}


def _check(path: Path, recorded: str) -> None:
    try:
        found = _sha256(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{str(path)!r} is missing, or cannot be read: {error.strerror}.", path=str(path)
        ) from error
    if found != recorded:
        raise _edited(path, found, recorded)


def _edited(path: Path, found: str, recorded: str) -> ArtifactError:
    return ArtifactError(
        f"{str(path)!r} is not the file that was written: SHA-256 {found}, recorded {recorded}. It "
        "was edited or damaged. Restore it, or export again.",
        path=str(path),
        found=found,
        recorded=recorded,
    )


def _digest(facts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of facts in canonical form."""
    return _sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
