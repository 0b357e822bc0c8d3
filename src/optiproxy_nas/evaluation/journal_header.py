"""The header of a journal: what tells it from the journal of another search."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.errors import JournalError
from optiproxy_nas.evaluation.comparable import (
    all_differences,
    difference_text,
    differences,
    facts_of,
)
from optiproxy_nas.evaluation.journal_file import DIGITS
from optiproxy_nas.evaluation.prior_table import digests_of_lines
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.problems import VALUE

# What journals of earlier versions do not have, nor those of every search.
_OPTIONAL = ("target_label", "evaluate", "code", "data")

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


def header_of(
    parameters: RunParameters,
    target: str = VALUE,
    initial: Sequence[Trial] = (),
    label: str = VALUE,
    identity: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what tells the journal of one search from that of another.

    Args:
        parameters: of the search; its budget and ``failures`` may change.
        target: name of the metric that is searched for, as the evaluation gives it.
        initial: trials that the search starts warm from.
        label: of the target, with its unit; ``value``: nobody says what it is.
        identity: of what evaluates (``identity.identity_of``).
    """
    header = {"target": target, **parameters.decisive, **(identity or {})}
    if label != VALUE:
        header["target_label"] = label
    if initial:
        facts = [[t.text, t.epochs, sorted(t.metrics.items()), t.error] for t in initial]
        header["initial"] = hashlib.sha256(repr(facts).encode()).hexdigest()[:DIGITS]
    return header


def check_header(recorded: Mapping[str, Any], header: Mapping[str, Any], path: Path) -> None:
    """Refuse the journal of another search; of one whose code was changed, say so.

    Raises:
        JournalError: in what it differs.
    """
    before, now = dict(recorded), dict(header)
    if "prior" in before and "prior" in now:  # a file of trials may be renamed
        before["prior"], now["prior"] = (digests_of_lines(it["prior"]) for it in (before, now))
    for name in _OPTIONAL:
        if before.get(name) is None or now.get(name) is None:
            before.pop(name, None)
            now.pop(name, None)
    is_other_code = before.pop("code", None) != now.pop("code", None)
    if found := all_differences(before, now):
        raise JournalError(
            f"The journal {str(path)!r} is of another search: {difference_text(found)}.",
            advice=f"Use another path{_advice(before, now, found, path)}.",
            path=str(path),
            names=list(found),
        )
    if is_other_code:
        _log.warning(
            "The code of the evaluation is not that with which the journal %s was begun: its "
            "answers are kept, the next ones are of other code. Use another path to begin anew.",
            path,
        )


def _advice(
    before: Mapping[str, Any], now: Mapping[str, Any], found: Mapping[str, Any], path: Path
) -> str:
    """Return how its trials can be used all the same, "" where their values are of other things."""
    if any(name.partition(".")[0] in ("data", "evaluate", "target") for name in found):
        return ""
    source, search = (facts_of(it, it.get("target_label", VALUE)) for it in (before, now))
    if differences(source, search):
        return ""
    return f"; initial={str(path)!r} starts warm from its trials"
