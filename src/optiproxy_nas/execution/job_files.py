"""Files by which a job on another machine is followed, also when what carried it has gone."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from optiproxy_nas.execution.encoding import end_fields, read_end, read_limited
from optiproxy_nas.execution.jobs import Ended, Job

DISK = 600.0  # seconds in which a shared disk that fails is tried again
CLAIM, ENDED = ".claim", ".ended"  # ends of the names of files
Result = TypeVar("Result")
_GIVEN_UP, _OVER = "given up", "over"  # in place of a claim's owner
_LONGEST = 1000  # characters of a claim


class Claim(NamedTuple):
    """Who runs a job; ``stamp`` changes while it gives signs of life."""

    owner: str
    stamp: int


class JobFiles:
    """The claim of one job, its beginning and its end, in a folder that worker and driver see.

    A worker claims a job before it begins, and touches the claim while the job runs. So of all
    workers that are handed the job, one runs it, once. The driver gives a job up by replacing the
    claim. A file is opened at each look, since a network disk is asked again only then.

    Args:
        folder: of the files; it exists.
        token: of the job, in no other one's.
    """

    def __init__(self, folder: Path, token: str) -> None:
        self._claim = folder / f"{token}{CLAIM}"
        self._begun = folder / f"{token}.begun"
        self._ended = folder / f"{token}{ENDED}"

    def claim(self, owner: str) -> bool:
        """Take the job, unless another has or it was given up; return whether it was taken.

        Raises:
            OSError: it cannot be written, and was not taken.
        """
        try:
            file = self._claim.open("x", encoding="utf-8")
        except FileExistsError:
            return False
        try:
            with file:
                file.write(owner)
        except OSError:  # the disk is full
            self.unclaim()
            raise
        return True

    def unclaim(self) -> None:
        """Take the claim back: the job has not begun, and another worker may."""
        self._claim.unlink(missing_ok=True)

    def obey(self) -> None:
        """Show that the job, which was given up, has ended."""
        with suppress(OSError):
            write_whole(self._claim, _OVER.encode())

    def begin(self) -> None:
        """Show that the job has begun: its worker process has imported what it needs."""
        with suppress(OSError):
            self._begun.touch()

    @property
    def has_begun(self) -> bool:
        """Whether the job has begun."""
        return os.path.exists(self._begun)  # False, too, where the disk does not say

    @property
    def has_ended(self) -> bool:
        """Whether the job has ended."""
        return os.path.exists(self._ended)

    @property
    def runs(self) -> bool:
        """Whether the job has begun and not ended."""
        return self.has_begun and not self.has_ended

    def give_sign(self) -> None:
        """Show that the job goes on."""
        with suppress(OSError):
            os.utime(self._claim)

    def is_given_up(self) -> bool:
        """Return whether nobody waits for the job any more, or its files were taken away."""
        try:
            claim = self.claimed()
        except OSError:  # the disk may be back at the next look
            return False
        return claim is None or claim.owner in {_GIVEN_UP, _OVER}

    def give_up(self) -> None:
        """Have the job end, where it runs, and not begin where it does not."""
        with suppress(OSError):
            write_whole(self._claim, _GIVEN_UP.encode())

    @property
    def is_ending(self) -> bool:
        """Whether the job, which was given up, has not ended yet, as far as is seen."""
        with suppress(OSError):
            claim = self.claimed()
            return claim is not None and claim.owner == _GIVEN_UP
        return False

    @property
    def may_be_claimed(self) -> bool:
        """Whether somebody has taken the job, or the disk does not say."""
        with suppress(OSError):
            return self.claimed() is not None
        return True

    def claimed(self) -> Claim | None:
        """Return who has taken the job; None where nobody has.

        Raises:
            OSError: the disk does not say.
        """
        try:
            with self._claim.open(encoding="utf-8", errors="replace") as file:
                return Claim(file.read(_LONGEST), os.fstat(file.fileno()).st_mtime_ns)
        except FileNotFoundError:
            return None

    def end(self, ended: Ended, **facts: Any) -> None:
        """Keep what became of the job, with further facts of JSON.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(self._ended, json.dumps({**end_fields(ended), **facts}).encode())

    def ended(self, job: Job) -> Ended | None:
        """Return what became of the job, where that is there."""
        content = self.end_content()
        return None if content is None else read_end(job, content)

    def end_content(self) -> bytes | None:
        """Return what was written of the end of the job, where that is there."""
        try:
            return read_limited(self._ended)
        except OSError:
            return None

    def remove(self) -> None:
        """Remove the files."""
        for path in (self._claim, self._begun, self._ended):
            path.unlink(missing_ok=True)


class RunFolders:
    """The folders of all executors that ran the jobs of one search, one after the other.

    Those of earlier executors stay as they are until a job is submitted or rejoined: a process that
    ends before has decided nothing about what runs there.

    Args:
        folder: of these; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._name = folder, uuid.uuid4().hex[:12]
        self._earlier = [path for path in sorted(folder.glob("*")) if path.is_dir()]
        self._rejoined: set[str] = set()  # handles
        self._has_decided = self._has_given_up = False

    def open(self) -> Path:
        """Make the folder of this executor."""
        folder = self._folder / self._name
        folder.mkdir(parents=True)
        return folder

    def new_handle(self, job: Job) -> str:
        """Return a handle by which a later executor finds the files of a job."""
        return f"{self._name}/{_prefix(job)}{uuid.uuid4().hex}"

    def is_earlier(self, handle: str) -> bool:
        """Return whether a handle is of an earlier executor: no worker is handed its files now."""
        return handle.partition("/")[0] != self._name

    def files(self, handle: str) -> JobFiles:
        """Return the files of a job."""
        run, _, token = handle.partition("/")
        return JobFiles(self._folder / run, token)

    def earlier(self, job: Job, handle: str) -> JobFiles | None:
        """Return the files of a job of an earlier executor; None where there are none of it."""
        run, _, token = handle.partition("/")
        is_handle = run.isalnum() and token.replace("-", "").isalnum()
        if not (is_handle and token.startswith(_prefix(job)) and (self._folder / run).is_dir()):
            return None
        self._has_decided = True
        return self.files(handle)

    def keep(self, handle: str) -> None:
        """Note that a job of an earlier executor was rejoined."""
        self._rejoined.add(handle)

    def give_up_earlier(self) -> Iterator[JobFiles]:
        """Have the jobs end that earlier executors have left running, but for those rejoined.

        Yields:
            Each before it is given up; the first time alone.
        """
        self._has_decided = True
        for folder in [] if self._has_given_up else self._earlier:
            for claim in folder.glob(f"*{CLAIM}"):
                if f"{folder.name}/{claim.stem}" not in self._rejoined:
                    files = JobFiles(folder, claim.stem)
                    yield files
                    files.give_up()
        self._has_given_up = True

    def close(self, is_left: bool = False) -> None:
        """Remove the folders that are not needed any more: all, or none if what runs was left."""
        earlier = self._earlier if self._has_decided else []
        for folder in [] if is_left else (self._folder / self._name, *earlier):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # something else is in it
            self._folder.rmdir()


def _prefix(job: Job) -> str:
    return f"{job.number}-{job.repeat}-{job.attempt}-"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all, also after a power cut."""
    fresh = path.with_name(f".{os.getpid()}-{path.name}")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def patiently(use: Callable[[], Result]) -> Result:
    """Return what a function gives that uses the disk; where the disk fails it is called again.

    Raises:
        FileNotFoundError: the folder was taken away: nobody waits for what is written there.
        OSError: it has failed for :data:`DISK` seconds.
    """
    limit = time.monotonic() + DISK
    while True:
        try:
            return use()
        except FileNotFoundError:
            raise
        except OSError:
            if time.monotonic() >= limit:
                raise
            time.sleep(1.0)
