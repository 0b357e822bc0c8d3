"""Give what is none, where little is allowed: one clear message, or the same result."""

from __future__ import annotations

import datetime
import json
import os
import resource
import shutil
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Self

import kedro.io.core

from cost.trust.misuse import odd_files, of_commands, of_python
from cost.trust.processes import forked
from cost.trust.projects import RUN, TINY, command, copy_of, digest, manifest
from optiproxy_nas.core.errors import OptiProxyError
from optiproxy_nas.evaluation import journal
from optiproxy_nas.runs import manifest as manifests

SECONDS = 60  # that a refusal may take, and a small run
LONGEST = 2000  # characters of a message
NOBODY = 65534
SEARCH = ("run", f"--params=run_id=h,tracking=off,{TINY}")
METHODS = ("run", "--pipeline=nb201_methods", "--params=run_id=h,tracking=off,budget=12")


class Late(BaseException):
    """A call took too long; no reader takes it for a file that cannot be read."""


class Trial(NamedTuple):
    """A case, and what is wrong with how it ended."""

    what: str
    wrong: str


class Hostile:
    """Hostile inputs and surroundings, of copies of a project."""

    def __init__(self, folder: Path, templates: Mapping[str, Path]) -> None:
        self._folder, self._templates = folder, templates
        folder.mkdir(parents=True)
        self._odd = odd_files(folder / "odd")
        self._project = copy_of(templates["run"], folder / "project")
        self._log = folder / "log"
        self.inputs = list(of_commands(self._odd))

    def in_python(self, every: int = 1) -> list[Trial]:
        """Call each function of one process, which must raise an error of ours and go on."""
        answers = self._folder / "answers.jsonl"

        def call() -> int:
            with answers.open("w", buffering=1) as file:
                for what, call in [*of_python(self._odd).items()][::every]:
                    file.write(json.dumps([what, _refusal(call)]) + "\n")
            return 0

        code = forked(call, self._log)
        found = [Trial(*json.loads(line)) for line in answers.read_text().splitlines()]
        if code:
            found.append(Trial("the call after these", f"ended with {code}: {self._said()}"))
        return found

    def by_command(self, what: str) -> Trial:
        """Call the command line, which must refuse, say why, and leave nothing."""
        before = sorted(self._project.rglob("*"))
        code = self._command(self._project, of_commands(self._odd)[what])
        wrong = "" if code > 0 else _ending(code)
        if not wrong and sorted(self._project.rglob("*")) != before:
            wrong = "it left something"
        return Trial(what, wrong or _unclear(self._said()))

    def surroundings(self) -> dict[str, Callable[[], Trial]]:
        """Return what a run meets, by name: it is refused, or ends as any other."""
        limits = {
            "24 open files": (resource.RLIMIT_NOFILE, 24),
            "files of 20,000 bytes": (resource.RLIMIT_FSIZE, 20_000),
            "3 GB of address space": (resource.RLIMIT_AS, 3 * 10**9),
        }
        names = ('it\'s "quoted" $(x) `y`', "Ünïcode \u202e naïve", "x" * 200, "a\nb", "%s {y} #z")
        found: dict[str, Callable[[], Trial]] = {
            **{
                what: partial(self._run, what, partial(_limit, *limit))
                for what, limit in limits.items()
            },
            **{
                f"a folder named {name[:20]!r}": partial(self._run, name, name=name)
                for name in names
            },
            "output that is closed": partial(self._run, "output that is closed", _close_output),
            "a clock set back by a year": self._clock,
            "a resume, the clock set back": partial(self._clock, True),
        }
        if os.geteuid() == 0:
            found["another user, whose project it is not"] = partial(
                self._run, "another user", _be_nobody
            )
        return found

    def _run(self, what: str, prepare: Callable[[], None] | None = None, name: str = "") -> Trial:
        """Run a small search there, in a project of this name."""
        place = self._folder / "places" / (name or "project")
        project = copy_of(self._templates["table"], place)
        self._folder.chmod(0o755)
        code = self._command(project, METHODS, prepare)
        wrong = self._ended_well(project) if code == 0 else _ending(code) if code < 0 else ""
        if code > 0 and prepare is not _close_output:
            wrong = _unclear(self._said())
        shutil.rmtree(project)
        return Trial(f"a run in a folder named {name[:20]!r}" if name else what, wrong)

    def _clock(self, is_resumed: bool = False) -> Trial:
        """Run, or go on with a run that has lost its archive, while the clock shows last year."""
        project = copy_of(self._templates["table"], self._folder / "places" / "clock")
        arguments: tuple[str, ...] = SEARCH
        if is_resumed:
            self._command(project, SEARCH)
            shutil.rmtree(max((project / "data" / "07_model_output" / "h").glob("step_*/archive*")))
            arguments = ("run", "--resume", "h")
        code = self._command(project, arguments, _set_back)
        wrong = self._said()[-300:]
        if code == 0:
            as_usual = _archive(self._templates["run"], RUN) == _archive(project, "h")
            wrong = "" if as_usual else "it found something else"
        shutil.rmtree(project)
        return Trial("a resume, the clock set back" if is_resumed else "a clock set back", wrong)

    def _ended_well(self, project: Path) -> str:
        """Return in what a run differs from the same one elsewhere."""
        if not hasattr(self, "_archive"):
            usual = copy_of(self._templates["table"], self._folder / "usual")
            assert self._command(usual, METHODS) == 0, self._said()
            self._archive = _archive(usual, "h")
        facts = manifest(project, "h")
        if facts.get("status") != "finished":
            return f"exit code 0, and the run is {facts.get('status')}"
        return "" if _archive(project, "h") == self._archive else "it found something else"

    def _command(
        self, project: Path, arguments: tuple[str, ...], prepare: Callable[[], None] | None = None
    ) -> int:
        def call() -> int:
            if prepare is not None:
                prepare()
            return command(project, *arguments)

        self._log.unlink(missing_ok=True)
        return forked(call, self._log, 3 * SECONDS)

    def _said(self) -> str:
        return self._log.read_text(errors="replace")


def _archive(project: Path, run_id: str) -> str:
    """Return the digest of the archive of a run."""
    artifacts = manifest(project, run_id)["artifacts"]
    return digest(project / artifacts[manifests.last_archive(artifacts)]["path"])


def _refusal(call: Callable[[], Any]) -> str:
    """Return what is wrong with how a call is refused."""

    def late(*_: object) -> None:
        raise Late(f"nothing after {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        return f"accepted: {call()!r:.100}"
    except OptiProxyError as error:
        return "" if 10 < len(error.message) < LONGEST else f"it says {error.message!r:.200}"
    except BaseException as error:
        return f"{type(error).__name__}: {error!s:.200}"
    finally:
        signal.alarm(0)


def _ending(code: int) -> str:
    return "accepted" if code == 0 else f"it hangs, or was killed ({code})"


def _unclear(said: str) -> str:
    """Return what is wrong with what a refused command says."""
    if "Traceback" in said:
        return f"a traceback: {said[-400:]}"
    if (count := said.count("Error: ")) != 1:
        return f"{count} messages: {said[-400:]!r}"
    message = said.partition("Error: ")[2]
    if any(ord(sign) < 32 and sign not in "\n\t" for sign in message):
        return f"control characters in {message[:200]!r}"
    return "" if len(message) < LONGEST else f"{len(message)} characters"


def _limit(kind: int, most: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(kind, (most, most))


def _be_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.environ["HOME"] = "/nonexistent"


def _close_output() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)
    os.dup2(writing, 2)


def _set_back() -> None:
    """Have Kedro, manifests and journals see last year."""

    class LastYear(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Self:
            return super().now(tz) - datetime.timedelta(days=365)

    modules: tuple[ModuleType, ...] = (kedro.io.core, manifests, journal)
    for module in modules:
        vars(module)["datetime"] = LastYear
