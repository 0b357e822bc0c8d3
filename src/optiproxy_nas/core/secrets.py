"""Secrets: recognized in texts, so that none of them is shown, stored or sent.

All errors of the project, manifests and other JSON files, reasons of failures, what trials print,
pages, what MLflow is told and log lines of the commands go through it. Hidden are the user and the
password in addresses, with a scheme or without; tokens of a usual form; what follows
``password=``; and the values of environment variables whose names say that they are secrets.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"
_SHORTEST = 6  # letters of a variable's value that is looked for in texts
_KEYS = "access|account|api|encryption|kaggle|private|secret|signing|storage"
_NOUNS = rf"pass(?:word|wd|phrase)|(?:{_KEYS})[_-]?key"  # a colon after one is enough
_WORDS = rf"{_NOUNS}|secret|token|credentials?"
# A name that is a secret's: WANDB_API_KEY, db.password; neither TOKENIZERS nor TOKEN_FILE.
_NAME = re.compile(
    rf"(?:{_WORDS}|(?<![a-z])(?:pw|pat)|[._-](?:pass|pwd|auth))(?:_id)?$", re.IGNORECASE
)
_ADDRESS = re.compile(
    # A password may have slashes. Lengths are bounded: no text takes time by its square.
    r"""://(?:[^\s/?#"'<>]{1,1000}|[^\s:/?#@"'<>]{0,99}:(?!\d+/)[^\s@"'<>]{1,200})@"""
)
# An address without its scheme, perhaps behind "//" or a driver's name, whose user may be an e-mail
# address; neither mailto:a@b, git@host:path, host:80/path, nor an image name:tag@sha256:...
_BARE_ADDRESS = re.compile(
    r"""(?:(?<=//)|(?<![\w/.@:%+-]))(?!mailto:|git@)[\w.%+-]{1,64}(?:@[\w.-]{1,64})?"""
    r""":(?![/\\]|\d+/)([^\s@"'<>,;]{1,200})@(?!sha\d)(?=[\w\[$])"""
)
_ASSIGNED = re.compile(
    rf"""((?:{_WORDS}|signature|\b(?:pwd|sig))["']?(?:=|:[ ]?(?=["'])|%3D)["']?"""
    rf"""|(?:{_NOUNS})[ ]?:[ ]|--(?:{_WORDS})[ ])[^\s"'&;,<>)}}\]]+"""
    r"""|(authorization["']?[ ]?[:=][ ]?["']?(?:(?:basic|bearer|token)[ ])?)[^\s"',;<>)}\]]+"""
    r"""|(\bbearer[ ])[\w.~+/=-]{8,}""",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|hf_\w{16,}|sk-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}|A[KS]IA[0-9A-Z]{16}|eyJ[\w-]{8,200}\.eyJ[\w-]{8,4000}\.[\w-]+"
    r"|AIza[\w-]{30,}|ya29\.[\w-]{10,}|dapi[0-9a-f]{32}|(?:npm|dckr_pat)_\w{16,}|pypi-[\w-]{16,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


def masked(text: str) -> str:
    """Return a text with ``***`` in the place of each secret in it."""
    return _masked(text, _of_environment())


def masked_values(value: Any) -> Any:
    """Return what JSON can write with every text in it masked; other values stay as they are."""
    return _masked_values(value, _of_environment())


def mask_file(path: Path) -> None:
    """Write a text file anew where it has a secret; one that cannot be read or written stays."""
    with suppress(OSError):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        if (hidden := masked(text)) != text:
            path.write_bytes(hidden.encode("utf-8", "surrogateescape"))


class MaskedRecord(logging.LogRecord):
    """A log line that is masked where it is shown; for ``logging.setLogRecordFactory``."""

    def getMessage(self) -> str:
        """Return the text of the line."""
        return masked(super().getMessage())


def masked_by_form(text: str) -> str:
    """Return a text without what looks like a secret; the environment is not asked.

    For templates, which are asked for thousands of texts that come of what was masked before.
    """
    return _masked(text, ())


def secrets_in(settings: Mapping[str, Any]) -> list[str]:
    """Return which settings of a flat mapping are secrets, by their names or as a text has one."""
    secrets = _of_environment()
    found = []
    for name, value in settings.items():
        texts = [text for text in _listed(value) if isinstance(text, str) and text]
        is_named = isinstance(value, str) and _NAME.search(name)
        if texts and (is_named or any(_masked(text, secrets) != text for text in texts)):
            found.append(name)
    return found


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _masked(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    if "://" in text and "@" in text:
        text = _ADDRESS.sub(f"://{HIDDEN}@", text)
    if ":" in text and "@" in text:
        text = _BARE_ADDRESS.sub(f"{HIDDEN}@", text)
    if any(sign in text for sign in "=: %"):
        text = _ASSIGNED.sub(lambda found: next(filter(None, found.groups())) + HIDDEN, text)
    return _TOKEN.sub(HIDDEN, text) if len(text) > _SHORTEST else text


def _masked_values(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return _masked(value, secrets)
    if isinstance(value, Mapping):
        return {key: _masked_values(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked_values(inner, secrets) for inner in value]
    return value


def _of_environment() -> tuple[str, ...]:
    """Return the secrets among this process's variables, the longest first."""
    found: set[str] = set()
    for name, value in os.environ.items():
        if _NAME.search(name):
            found.add(value)
        for address in re.findall(r"://[^\s/?#]+@", value) if "@" in value else ():
            user, _, password = address[3:-1].partition(":")
            found |= {password or user, unquote(password or user)}
        for password in _BARE_ADDRESS.findall(value) if "@" in value else ():
            found |= {password, unquote(password), password.rpartition(":")[2]}
    return tuple(sorted((it for it in found if len(it) >= _SHORTEST), key=len, reverse=True))
