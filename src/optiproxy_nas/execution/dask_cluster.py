"""A Dask cluster as its driver sees it: its workers, and which of them may run jobs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution.dask_client import connected, within
from optiproxy_nas.execution.jobs import reason_of

if TYPE_CHECKING:
    from optiproxy_nas.execution.dask_worker import Run

TIMEOUT = 10.0  # seconds until a scheduler that cannot be reached is given up
INSPECTION = 30.0  # seconds in which the workers that are there have said what they are
REFRESH = 1.0  # seconds between two questions to the scheduler
SILENT = 30  # of these without a sign of life, after which a worker gets no further job
GPU = "GPU"  # the resource that a worker with GPUs may declare: dask worker --resources "GPU=1"
_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class Worker(NamedTuple):
    """A Dask worker: how many jobs it takes, its last sign of life, and the look that saw that."""

    room: int
    last_seen: float
    look: int


class Cluster:
    """A cluster of the settings' scheduler, or one of this machine; ``with`` connects to it.

    Args:
        settings: of the trainings.
        on_news: is called, in another thread, when a task is over.

    Attributes:
        address: of the scheduler.
        workers: by their addresses.
        look: how often the scheduler has said which these are.
    """

    def __init__(self, settings: EvaluationSettings, on_news: Callable[[], None]) -> None:
        self._settings, self._on_news = settings, on_news
        self._stack = ExitStack()
        self._over = threading.Event()
        self._refused: dict[str, str] = {}
        self._uses_gpus = False
        self.workers: dict[str, Worker] = {}
        self.look = self._last_full = 0

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            ParameterError: ``distributed`` is not installed, or the scheduler cannot be reached.
            EvaluationError: no cluster could be started on this machine.
        """
        with ExitStack() as stack:
            client = connected(self._settings.scheduler, self._settings.workers, TIMEOUT)
            self._client = stack.enter_context(client)
            self.address = str(self._client.scheduler.address)
            while self.is_connected and not self.look:
                self._refresh()
            threading.Thread(target=self._watch, daemon=True).start()
            stack.callback(self._over.set)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # the scheduler has gone
            self._stack.close()

    @property
    def is_connected(self) -> bool:
        """Whether the scheduler is there, as far as is seen."""
        return bool(self._client.status == "running")

    @property
    def has_gone(self) -> bool:
        """Whether the scheduler could not be reached again."""
        return self._client.status in {"closing", "closed"}

    @property
    def has_silent(self) -> bool:
        """Whether some worker gives no signs of life."""
        return any(self.look - worker.look >= SILENT for worker in self.workers.values())

    def inspected(self, run: Run, needs_one_kind: bool) -> Run:
        """Return a run that is bound to machines which can run its jobs.

        Args:
            run: of an executor.
            needs_one_kind: whether its jobs may run on one kind of machine only.

        Raises:
            ParameterError: no worker can run its jobs, or they are of several kinds.
        """
        from optiproxy_nas.execution.dask_worker import inspect

        kinds: dict[str, int] = {}
        for address, found in self._answers(inspect, run).items():
            if isinstance(found, Exception):
                self.refuse(address, f"it cannot import {run.package} ({reason_of(found)})")
            elif found.refusal:
                self.refuse(address, found.refusal)
            else:
                kinds[found.machine] = kinds.get(found.machine, 0) + 1
        if refusal := self.refusal():
            raise ParameterError(f"No worker of the Dask cluster can run trials: {refusal}.")
        if not needs_one_kind:
            return run
        if len(kinds) > 1 or not (kinds or run.machine):
            text = "; ".join(f"{count} of {kind}" for kind, count in kinds.items())
            raise ParameterError(
                "A bound on a measured latency holds for one kind of machine, and the workers of "
                f"the Dask cluster are {text or 'not there yet'}. Name one as evaluation.machine: "
                "a part of its name that the others do not have.",
                kinds=list(kinds),
            )
        return run._replace(machine=next(iter(kinds), run.machine))

    def submit(
        self, function: Callable[..., Any], *arguments: Any, key: str, places: list[str] | None
    ) -> Any:
        """Return the future of a task, or None where the scheduler has gone.

        Args:
            function: of the task.
            arguments: of the function.
            key: of the task, in no other one's.
            places: addresses of the workers that may run it; None: all.
        """
        try:
            future = self._client.submit(
                function,
                *arguments,
                key=key,
                pure=False,
                retries=0,
                workers=places,
                resources={GPU: 1} if self._uses_gpus else None,
            )
        except Exception:
            return None
        future.add_done_callback(lambda _: self._on_news())
        return future

    def room(self, limit: int) -> int:
        """Return how many jobs can run at the same time, at least 1 and at most ``limit``."""
        return max(1, min(limit, sum(self.workers[address].room for address in self._fit())))

    def places(self, taken: Mapping[str, int]) -> list[str] | None:
        """Return the workers that can take a job; None: all of them.

        Args:
            taken: jobs by worker that Dask does not know of.
        """
        fit = self._fit()
        free = [address for address in fit if self.workers[address].room > taken.get(address, 0)]
        return None if len(free) == len(self.workers) else free

    def refuse(self, address: str, why: str) -> None:
        """Give a worker no more jobs, and say so."""
        if address not in self._refused:
            _log.warning("The Dask worker %s gets no trials: %s.", address, why)
        self._refused[address] = why

    def refusal(self) -> str:
        """Return why no worker can run jobs; "" where one can, or there are none."""
        whys = [self._refused.get(address, "") for address in self.workers]
        return whys[0] if whys and all(whys) else ""

    def say_if_empty(self, waiting: int) -> None:
        """Say once that trials wait for a worker, where there has been none for a while."""
        if self.workers:
            self._last_full = self.look
        elif self.look - self._last_full == SILENT:
            self._last_full -= 1
            _log.warning("The Dask cluster has no worker: %d trials wait for one.", waiting)

    def _fit(self) -> list[str]:
        """Return the workers that may run jobs and give signs of life."""
        return [
            address
            for address, worker in self.workers.items()
            if address not in self._refused and self.look - worker.look < SILENT
        ]

    def _answers(self, function: Callable[..., Any], *arguments: Any) -> Mapping[str, Any]:
        """Return what a function gives in each worker, beside its tasks; nothing if one hangs."""
        try:
            run = partial(self._client.run, function, *arguments, on_error="return")
            answers: Mapping[str, Any] = within(INSPECTION, run)
        except OSError:
            return {}
        return answers

    def _watch(self) -> None:
        """Ask for the workers again and again; a scheduler that hangs must not halt the search."""
        while not self._over.wait(REFRESH):
            with suppress(Exception):
                self._refresh()

    def _refresh(self) -> None:
        facts = self._client.scheduler_info(n_workers=-1)
        found: Mapping[str, Any] = facts.get("workers", {})
        if not self.is_connected or len(found) != facts.get("n_workers", len(found)):
            return  # Dask's own refreshing, which leaves the workers out, came in between
        device = self._settings.device
        has_gpus = any(GPU in worker["resources"] for worker in found.values())
        self._uses_gpus = has_gpus and device != "cpu"
        look, workers = self.look + 1, {}
        for address, worker in found.items():
            room = int(worker["nthreads"]) if worker["status"] == "running" else 0
            if self._uses_gpus:
                room = min(room, int(worker["resources"].get(GPU, 0)))
            seen, before = float(worker["last_seen"]), self.workers.get(address)
            is_still = before is not None and before.last_seen == seen
            since = before.look if before is not None and is_still else look
            workers[address] = Worker(room, seen, since)
        self.workers, self.look = workers, look
