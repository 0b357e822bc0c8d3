"""One run of :mod:`cost.chaos`: a search whose driver is started again whenever it has ended."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cost.chaos_training import FOLDER, train
from cost.trust.trainings import SMALL, SPACE
from optiproxy_nas import SearchInterrupted, search
from optiproxy_nas.core.errors import OptiProxyError

METHODS: dict[str, dict[str, Any]] = {
    "random_search": {},
    "regularized_evolution": {},
    "optiproxy": SMALL,
}
LONGEST = 240.0  # seconds of a run
DISTURBED = 5  # at most so often is a run disturbed


class Plan(NamedTuple):
    """What is searched, and how."""

    number: int
    executor: str
    method: str
    budget: int
    retries: int
    address: str = ""  # of a Dask scheduler


class Disturbance(NamedTuple):
    """What was done to a run, from when until things were up again."""

    kind: str
    begun: float
    ended: float


class Cluster:
    """A Dask scheduler and two workers, each started again when it has ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = (folder / "cluster.log").open("ab")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.address = f"tcp://127.0.0.1:{20000 + os.getpid() % 20000}"
        self.keep_up()

    @property
    def pids(self) -> dict[str, int]:
        return {role: process.pid for role, process in self._processes.items()}

    def keep_up(self) -> bool:
        """Start what has ended; return whether anything had."""
        has_ended = False
        for role in ("scheduler", "worker-1", "worker-2"):
            process = self._processes.get(role)
            if process is None or process.poll() is not None:
                self._processes[role], has_ended = self._start(role), True
        return has_ended

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._log.close()

    def _start(self, role: str) -> subprocess.Popen[bytes]:
        port = self.address.rpartition(":")[2]
        arguments = ["dask_scheduler", "--port", port, "--no-dashboard"]
        if role != "scheduler":
            arguments = ["dask_worker", self.address, "--nthreads", "1", "--no-dashboard"]
            arguments += ["--local-directory", str(self._folder / role)]
        command = [sys.executable, "-m", f"distributed.cli.{arguments[0]}", *arguments[1:]]
        environment = {**os.environ, FOLDER: str(self._folder)}
        return subprocess.Popen(
            command, env=environment, stdout=self._log, stderr=self._log, start_new_session=True
        )


class Run:
    """One search, from its first driver to its end."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.folder, self.journal = folder, folder / "search.jsonl"
        self.cluster = Cluster(folder) if plan.executor == "dask" else None
        self.plan = plan._replace(address=self.cluster.address) if self.cluster else plan
        self.disturbances: list[Disturbance] = []
        self.starts = 0
        self._random = random.Random(plan.number)
        self._driver = 0

    def finish(self) -> None:
        """Drive, disturb and start again, until the search has ended."""
        limit = time.monotonic() + LONGEST
        times = self._random.randint(1, DISTURBED)
        self._start()
        while (code := self._wait(self._random.uniform(0.3, 4.0) if times else LONGEST)) != 0:
            assert time.monotonic() < limit, "the search does not come to an end"
            if code is None and times:
                times -= 1
                self._disturb()
            elif code is None:
                raise AssertionError("the search hangs")

    def close(self) -> None:
        if self.cluster is not None:
            self.cluster.close()
        for pid in [self._driver, *self._marked()]:
            _signal(pid, signal.SIGKILL)

    def _start(self) -> None:
        self.starts += 1
        sys.stdout.flush()
        self._driver = os.fork()
        if not self._driver:
            _drive_and_exit(self.plan, self.folder)

    def replay(self) -> str:
        """Search again, with the whole journal; return the digest."""
        (self.folder / "digest").unlink()
        self._start()
        assert self._wait(LONGEST) == 0, "the replay hangs"
        return (self.folder / "digest").read_text()

    def _wait(self, seconds: float) -> int | None:
        """Wait for the driver; start it again where it fails. Return 0 at its end, None after."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if self.cluster is not None and self.cluster.keep_up():
                self._note_restart()  # a worker may end long after its scheduler
            pid, status = os.waitpid(self._driver, os.WNOHANG)
            if pid and os.waitstatus_to_exitcode(status) == 0:
                self._driver = 0
                return 0
            if pid:
                assert self.starts < 20, f"it has failed {self.starts} times: see {self.folder}"
                self._start()
                self._note_restart()
            time.sleep(0.02)
        return None

    def _note_restart(self) -> None:
        """Note that what was done last is not over yet."""
        if self.disturbances:
            self.disturbances[-1] = self.disturbances[-1]._replace(ended=time.time() + 3)

    def _disturb(self) -> None:
        kinds: dict[str, Callable[[], None]] = {
            "kill driver": lambda: _signal(self._driver, signal.SIGKILL),
            "kill worker": lambda: self._to_worker(signal.SIGKILL),
            "kill all": self._kill_all,
            "SIGTERM": lambda: _signal(self._driver, signal.SIGTERM),
            "Ctrl-C": lambda: _signal(self._driver, signal.SIGINT),
            "Ctrl-C twice": self._interrupt_twice,
            "pause driver": lambda: self._pause([self._driver]),
            "pause worker": lambda: self._pause(self._marked()[:1]),
        }
        if self.cluster is not None:
            scheduler = self.cluster.pids["scheduler"]
            kinds["kill scheduler"] = lambda: _signal(scheduler, signal.SIGKILL)
            kinds["pause scheduler"] = lambda: self._pause([scheduler])
        kind = self._random.choice(list(kinds))
        begun = time.time()
        kinds[kind]()
        self.disturbances.append(Disturbance(kind, begun, time.time()))

    def _to_worker(self, number: int) -> None:
        if pids := self._marked():
            _signal(self._random.choice(pids), number)

    def _kill_all(self) -> None:
        roles = self.cluster.pids.values() if self.cluster else ()
        for pid in [self._driver, *roles, *self._marked()]:
            _signal(pid, signal.SIGKILL)

    def _interrupt_twice(self) -> None:
        _signal(self._driver, signal.SIGINT)
        time.sleep(self._random.uniform(0.0, 0.5))
        _signal(self._driver, signal.SIGINT)

    def _pause(self, pids: list[int]) -> None:
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        time.sleep(1.5)
        for pid in pids:
            _signal(pid, signal.SIGCONT)

    def _marked(self) -> list[int]:
        """Return the processes below the driver or the cluster, in their order."""
        mark = f"{FOLDER}={self.folder}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        scheduler = self.cluster.pids["scheduler"] if self.cluster else 0
        return sorted(pid for pid in found if pid != scheduler)


def searched(plan: Plan, folder: Path) -> str:
    """Search, or go on with it; return a digest of the archive and the trials."""
    evaluation: dict[str, Any] = {"timeout": 4.0, "grace": 1.0}
    if plan.executor == "slurm":
        evaluation["slurm"] = {"cluster": "local", "time": 5, "poll_seconds": 0.5}
    result = search(
        space=SPACE,
        evaluate=train,
        budget=plan.budget,
        seed=plan.number,
        method=plan.method,
        journal=folder / "search.jsonl",
        workers=2,
        executor=plan.executor,
        scheduler=plan.address or None,
        evaluation=evaluation,
        failures={"retries": plan.retries, "in_a_row": None, "share": None},
        **METHODS[plan.method],
    )
    archive = result.archive
    assert not archive["architecture"].duplicated().any(), "an architecture is archived twice"
    trials = [(t.number, repr(t.architecture), t.value, t.error) for t in result.trials]
    text = archive.to_csv() + pd.DataFrame(trials).to_csv()
    return hashlib.sha256(text.encode()).hexdigest()


def _drive_and_exit(plan: Plan, folder: Path) -> None:
    """Be a driver: search in this forked process, and leave it."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with (folder / "driver.log").open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.environ[FOLDER] = str(folder)
        digest = searched(plan, folder)
        (folder / "digest").write_text(digest)
        code = 0
    except (OptiProxyError, SearchInterrupted) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        if code and not isinstance(sys.exception(), OptiProxyError | SearchInterrupted | None):
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _signal(pid: int, number: int) -> None:
    if pid > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
