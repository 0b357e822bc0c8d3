"""What a journal has of a search, in the order in which the search was asked and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.journal_lines import is_attempt, is_trial, outcome_of, request_of
from optiproxy_nas.evaluation.trials import Asked
from optiproxy_nas.execution.jobs import Key

AttemptEnded = tuple[Request, Outcome]  # an attempt at a trial, and what it gave


class Begun(NamedTuple):
    """An attempt has begun, and can be rejoined by a handle ("": it cannot)."""

    request: Request
    handle: str


class Retries(NamedTuple):
    """From here on a failed trial is tried again so many times; None: nobody wrote how many."""

    most: int | None


@dataclass
class History:
    """The lines of a journal that are of trials.

    Attributes:
        serial: results that do not say when the method was asked: they were told as a search tells
            them that asks once all trials before are over.
        events: what came then, in order.
        begun: attempts that had begun and not ended, in order.
        retries: how often a failed trial was tried again last; None: nobody wrote that.
    """

    serial: list[AttemptEnded] = field(default_factory=list)
    events: list[Asked | Retries | Begun | AttemptEnded] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)
    retries: int | None = None

    @property
    def is_ordered(self) -> bool:
        """Whether it says in which order the search was asked and told, of a part at least."""
        return bool(self.events)


def history_of(lines: Sequence[Mapping[str, Any]], target: str) -> History:
    """Return what the lines of a journal mean.

    Args:
        lines: below the header.
        target: name of the metric that is searched for.
    """
    marks = (place for place, line in enumerate(lines) if "ask" in line or _begins_order(line))
    first = next(marks, len(lines))
    before = [line for line in lines[:first] if is_trial(line)]
    history = History()
    if before and all("asked" in line for line in before):
        first = 0  # of ask and tell as it was: each result says how often the method was asked
    else:
        history.serial = [(request_of(line), outcome_of(line, target)) for line in before]
    begun: dict[Key, Begun] = {}
    asked = 0
    for place, line in enumerate(lines):
        is_ordered = place >= first
        if "ask" in line:
            history.events.append(Asked(line["wanted"]))
            asked += 1
        elif _begins_order(line):
            history.retries = line.get("retries", history.retries)
            history.events.append(Retries(line.get("retries")))
        elif "begun" in line:
            request = request_of({**line, "number": line["begun"]})
            begun[request.key] = Begun(request, line["handle"])
            if is_ordered and not request.repeat:
                history.events.append(begun[request.key])
        elif is_attempt(line):
            request = request_of(line)
            begun.pop(request.key, None)
            if is_ordered and not request.repeat:
                missing = line.get("asked", 0) - asked
                history.events += [Asked()] * missing
                asked += max(missing, 0)
                history.events.append((request, outcome_of(line, target)))
    history.begun = list(begun.values())
    return history


def _begins_order(line: Mapping[str, Any]) -> bool:
    return "asked" in line and not is_attempt(line)
