"""The parts of :mod:`cost.trust`, and the tables of what came of them."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cost.trust.crate_edits import FORGERIES
from cost.trust.hostile import Hostile, Trial
from cost.trust.kills import Kills
from cost.trust.tampers import Tamper, Tampers

KILLS, BYTES, WORDS = 200, 100, 50
QUICK_KILLS = ("search", "nb201_methods", "export")  # their first cases
QUICK = 4  # cases of each drawn part of a sample


class Part(NamedTuple):
    """A row of the table.

    Attributes:
        tried: what was done.
        times: how often.
        wrong: what was lost, wrong or accepted, a line each.
        seconds: of the CPU.
        by: what noticed it, or what else there is to say.
    """

    tried: str
    times: int
    wrong: list[str]
    seconds: float
    by: str


class Options(NamedTuple):
    """How much of a part is done.

    Attributes:
        quick: a sample.
        case: only the drawn case of this number.
        subject: of what is killed: only this one.
        jobs: so many cases are killed at a time.
    """

    quick: bool
    case: int | None
    subject: str
    jobs: int


Run = Callable[[Path, Mapping[str, Path], Options], list[Part]]


def kills(folder: Path, templates: Mapping[str, Path], options: Options) -> list[Part]:
    """Kill writers, and let them go on."""
    begun, trials = _cpu(), Kills(folder, templates, keep=True)
    if options.case is not None:
        done = [trials.case(options.case, options.subject)]
    elif options.quick:
        done = [trials.case(number, name) for number, name in enumerate(QUICK_KILLS)]
    else:
        done = trials.cases(range(KILLS), options.jobs, options.subject)
    wrong = [f"case {it.number} ({it.subject}; {it.faults}): {it.wrong}" for it in done if it.wrong]
    struck = [fault for it in done for fault in it.faults]
    effects = Counter("an error" if fault[0] in "Ed" else "killed" for fault in struck)
    by = ", ".join(f"{effect} {count}" for effect, count in effects.most_common())
    what = f"faults at system calls of writing, of {len({it.subject for it in done})} things"
    return [Part(what, len(struck), wrong, _cpu() - begun, by)]


def tampers(folder: Path, templates: Mapping[str, Path], options: Options) -> list[Part]:
    """Tamper with crates and runs."""
    begun, trials = _cpu(), Tampers(folder, templates)
    if options.case is not None:
        return [_noticed("the byte of one case", [trials.byte(options.case)], begun)]
    few = slice(None, QUICK if options.quick else None)
    parts = [_noticed("single bytes", map(trials.byte, range(BYTES)[few]), begun)]
    begun = _cpu()
    names = trials.structures()[:: 8 if options.quick else 1]
    parts.append(_noticed("edits of structure", map(trials.structure, names), begun))
    for is_signed in (False, True):
        key = "signed" if is_signed else "not signed"
        begun = _cpu()
        words = [trials.word(number, is_signed) for number in range(WORDS)[few]]
        what = f"words of a crate, all digests but the manifest's made anew, {key}"
        parts.append(_noticed(what, words, begun))
        begun = _cpu()
        forged = [trials.forgery(name, is_signed) for name in [*FORGERIES][few]]
        what = f"facts of the manifest, everything made anew, {key}"
        if is_signed:
            parts.append(_noticed(what, forged, begun))
        else:
            passed = sum(not tamper.found for tamper in forged)
            by = f"{passed} pass: nothing in a crate can contradict them"
            parts.append(Part(what, len(forged), [], _cpu() - begun, by))
    return parts


def hostile(folder: Path, templates: Mapping[str, Path], options: Options) -> list[Part]:
    """Give hostile inputs, and run in hostile surroundings."""
    begun, trials = _cpu(), Hostile(folder, templates)
    every = 8 if options.quick else 1
    parts = [_refused("calls of Python", trials.in_python(every), begun)]
    begun = _cpu()
    inputs = map(trials.by_command, trials.inputs[::every])
    parts.append(_refused("inputs of the command line", inputs, begun))
    begun = _cpu()
    met = [meet() for meet in [*trials.surroundings().values()][:: 6 if options.quick else 1]]
    parts.append(_refused("runs in odd surroundings", met, begun))
    return parts


def _refused(what: str, done: Iterable[Trial], begun: float) -> Part:
    tried = []
    for trial in done:
        tried.append(trial)
        if trial.wrong:
            print(*trial, sep=": ", file=sys.stderr, flush=True)
    wrong = [f"{it.what}: {it.wrong}" for it in tried if it.wrong]
    return Part(what, len(tried), wrong, _cpu() - begun, "")


def _noticed(what: str, done: Iterable[Tamper], begun: float) -> Part:
    tried = list(done)
    by = Counter(min(it.found, key=_order) for it in tried if it.found)
    wrong = [f"{it.what}: found by {it.found}" for it in tried if not it.is_caught]
    found = ", ".join(f"{name} {count}" for name, count in by.most_common())
    return Part(what, len(tried), wrong, _cpu() - begun, found)


def _order(check: str) -> int:
    """Return which of several checks is named: those that compare digests first."""
    first = ("signature", "digests", "completeness", "disk")
    return first.index(check) if check in first else len(first)


def table(parts: Sequence[Part]) -> str:
    """Return what was tried as a table, and what was wrong below it."""
    lines = [
        "| tried | how many | lost, wrong or accepted | noticed by | CPU s |",
        "|---|--:|--:|---|--:|",
    ]
    lines += [
        f"| {part.tried} | {part.times} | {len(part.wrong)} | {part.by} | {part.seconds:.0f} |"
        for part in parts
    ]
    return "\n".join([*lines, *(f"\n- {line}" for part in parts for line in part.wrong)])


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


PARTS: dict[str, Run] = {"kills": kills, "tampers": tampers, "hostile": hostile}
