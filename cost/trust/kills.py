"""Kill what writes at system calls drawn at random, let it go on, and compare the ends."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cost.trust.processes import forked, start, wait
from cost.trust.projects import copy_of
from cost.trust.subjects import Subject, subjects
from cost.trust.system_calls import Fault, Traced, traced
from cost.trust.trainings import NOTES

EFFECTS = ("killed before", "killed after", "killed halfway", "EIO", "ENOSPC", "disk full")
ONLY_KILLED = ("unlink", "truncate")  # calls that no full disk refuses: killed, or EIO
STARTS = 6  # after a fault, so often is it called until it ends
AGAIN = 1 / 4  # of the cases are killed once more when they go on


class Reference(NamedTuple):
    """What nobody killed.

    Attributes:
        calls: of writing, by kind.
        outcome: what two of them have in common.
    """

    calls: Counter[str]
    outcome: dict[str, str]


class Kill(NamedTuple):
    """A case, and what became of it."""

    number: int
    subject: str
    faults: list[str]
    starts: int
    wrong: list[str]
    seconds: float  # of the CPU


class Kills:
    """Cases of killed writes.

    Args:
        folder: in which the folder of each case lies.
        templates: as of :func:`cost.trust.projects.templates`.
        keep: whether that of a case stays in which something is wrong.
    """

    def __init__(self, folder: Path, templates: Mapping[str, Path], keep: bool = False) -> None:
        self._folder, self._templates, self._keep = folder, templates, keep
        self._subjects = subjects()
        self._references: dict[str, Reference] = {}

    def cases(self, numbers: Sequence[int], jobs: int, only: str = "") -> list[Kill]:
        """Return what became of many cases, of which some run at a time."""
        for name in [only] if only else self._subjects:
            self._reference(name)
        records = [self._folder / f"cases-{job}.jsonl" for job in range(jobs)]
        processes = []
        for job, record in enumerate(records):
            log = record.with_suffix(".log")
            body = partial(self._append, numbers[job::jobs], only, record)
            processes.append(start(body, log))
        assert [wait(process) for process in processes] == [0] * jobs, "see the logs"
        lines = [line for record in records for line in record.read_text().splitlines()]
        return sorted(Kill(*json.loads(line)) for line in lines)

    def _append(self, numbers: Sequence[int], only: str, record: Path) -> int:
        with record.open("a", buffering=1) as file:
            for number in numbers:
                file.write(json.dumps(self.case(number, only)) + "\n")
        return 0

    def case(self, number: int, only: str = "") -> Kill:
        """Kill what the number draws; what it draws stays the same while the code does."""
        draw = random.Random(f"kill {number}")
        weights = [subject.weight for subject in self._subjects.values()]
        (name,) = [only] if only else draw.choices(list(self._subjects), weights)
        reference = self._reference(name)
        before = _cpu(os.times())
        faults = [self._fault(draw, reference.calls)]
        if draw.random() < AGAIN:
            faults.append(self._fault(draw, reference.calls))
        folder = self._new_folder(f"{number:04d}", self._subjects[name])
        struck, starts, wrong = self._call(folder, self._subjects[name], faults)
        if not wrong:
            wrong = [*self._differences(folder, name), *_lost(folder, 2 * len(struck))]
        if not (wrong and self._keep):
            shutil.rmtree(folder.parent)
        return Kill(number, name, struck, starts, wrong, round(_cpu(os.times()) - before, 2))

    def _fault(self, draw: random.Random, calls: Counter[str]) -> Fault:
        kind = draw.choice(sorted(calls))
        effects = EFFECTS[:4] if kind in ONLY_KILLED else EFFECTS
        return Fault(kind, draw.randrange(calls[kind]), draw.choice(effects))

    def _call(
        self, folder: Path, subject: Subject, faults: list[Fault]
    ) -> tuple[list[str], int, list[str]]:
        """Call with the faults, then undisturbed until it ends; return what is wrong with that."""
        log, struck = folder.parent / "log", []
        wrong: list[str] = []
        for fault in faults:
            done = self._traced(folder, subject, fault)
            if done.struck:
                place = os.path.relpath(done.struck, folder)
                struck.append(f"{fault.effect} at {fault.kind} {fault.place} of {place}")
            if done.code > 0:
                wrong += _unclear(log)
        for attempt in range(STARTS):
            log.write_text("")
            if forked(partial(subject.call, folder), log) == 0:
                return struck, attempt + 1, wrong
        last = " ".join(log.read_text(errors="replace").split())[-300:]
        return struck, STARTS, [*wrong, f"it does not come to an end: {last}"]

    def _traced(self, folder: Path, subject: Subject, fault: Fault | None) -> Traced:
        log = folder.parent / "log"
        log.write_text("")
        return traced(partial(subject.call, folder), folder, log, fault)

    def _differences(self, folder: Path, name: str) -> Iterator[str]:
        """Yield what is wrong with what has ended, and what differs from what nobody killed."""
        found, wrong = self._checked(folder, self._subjects[name])
        yield from wrong
        for what, value in self._reference(name).outcome.items():
            if found.get(what) != value:
                yield f"{what} is {found.get(what)!r:.200}, undisturbed {value!r:.200}"

    def _checked(self, folder: Path, subject: Subject) -> tuple[dict[str, str], list[str]]:
        """Return outcome and faults of a folder, found in a process of its own."""
        answer = folder.parent / "checked.json"

        def check() -> int:
            facts = [subject.outcome(folder), list(subject.wrong(folder))]
            answer.write_text(json.dumps(facts))
            return 0

        answer.unlink(missing_ok=True)
        if forked(check, folder.parent / "log"):
            return {}, [f"it cannot be checked: {(folder.parent / 'log').read_text()[-500:]}"]
        outcome, wrong = json.loads(answer.read_text())
        return outcome, wrong

    def _reference(self, name: str) -> Reference:
        if name not in self._references:
            subject, outcomes = self._subjects[name], []
            calls: Counter[str] = Counter()
            for again in ("first", "second"):
                folder = self._new_folder(f"{again}-{name.replace(' ', '-')}", subject)
                done = self._traced(folder, subject, None)
                log = (folder.parent / "log").read_text(errors="replace")
                assert done.code == 0, f"{name}, undisturbed, ends with {done.code}: {log}"
                calls = Counter(done.calls)
                outcome, wrong = self._checked(folder, subject)
                assert not wrong, f"{name}, undisturbed: {wrong}"
                outcomes.append(outcome)
                shutil.rmtree(folder.parent)
            first, second = outcomes
            same = {what: it for what, it in first.items() if second.get(what) == it}
            assert len(same) > 1, f"{name}: nothing of two runs is the same"
            self._references[name] = Reference(calls, same)
        return self._references[name]

    def _new_folder(self, name: str, subject: Subject) -> Path:
        """Make the folder of a case: of a project, or an empty one."""
        folder = self._folder / name / "work"
        os.environ[NOTES] = str(folder.parent / "notes")
        os.environ["TMPDIR"] = str(folder / "tmp")
        tempfile.tempdir = None
        if subject.template == "nothing":
            folder.mkdir(parents=True)
        else:
            copy_of(self._templates[subject.template], folder)
        (folder / "tmp").mkdir(exist_ok=True)
        return folder


def _unclear(log: Path) -> Iterator[str]:
    """Yield what a command that failed should have said in another way."""
    text = log.read_text(errors="replace")
    if "Traceback" in text:
        yield f"a traceback: {text[text.index('Traceback') :][-600:]}"
    elif "Error: " not in text and "failed" not in text:
        yield f"it ended without a message: {text[-300:]}"


def _lost(folder: Path, most: int) -> Iterator[str]:
    """Yield whether more was trained again than was under way at the faults."""
    notes = folder.parent / "notes"
    if notes.exists():
        trained = Counter(notes.read_text().splitlines())
        notes.unlink()
        again = sum(trained.values()) - len(trained)
        if again > most:
            yield f"{again} trainings were repeated, where {most} were under way"


def _cpu(times: os.times_result) -> float:
    return times.user + times.system + times.children_user + times.children_system
