"""One search by several workers on a virtual clock: what it had found after each query, and when.

The answers and the seconds of a training are those of a benchmark. The search is the real one, by
the real driver; nothing but the trainings, and the time that they take, is simulated.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from optiproxy_nas import Search
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.benchmarks.source_registry import families, get_source
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.parameters import Direction
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.asynchronous import drive_asynchronously
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.loop import drive
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.execution.jobs import Job, Key, Parent
from optiproxy_nas.execution.virtual import Faults, VirtualExecutor, lognormal_seconds
from optiproxy_nas.methods import Proposals, Unavailable
from optiproxy_nas.objectives.base import Objective

SECONDS = "training_seconds"  # the metric of a benchmark


class Task(NamedTuple):
    """A benchmark as a task.

    Attributes:
        benchmark: that answers, and says how long each training takes.
        direction: of its target.
        best: the best value of all; NaN where the architectures cannot be listed.
    """

    benchmark: Benchmark
    direction: Direction
    best: float

    @property
    def sign(self) -> float:
        """1 where higher values are better, else -1."""
        return -1.0 if self.direction == "minimize" else 1.0


@lru_cache(maxsize=8)
def load_task(space: str, dataset: str) -> Task:
    """Return the task of a space's own benchmark.

    Raises:
        DataError: its file is not there.
    """
    source = get_source(families()[space].source)
    benchmark = load_benchmark(source.name, dataset)
    optimum = benchmark.optimum(benchmark.target)
    return Task(benchmark, source.contents.direction, math.nan if optimum is None else optimum[1])


class Cluster(NamedTuple):
    """The workers of a search.

    Attributes:
        workers: their number.
        crashes: share of trainings that fail.
        stragglers: share of trainings that take ten times as long.
        lognormal: median in seconds and sigma of log-normal times in the place of the benchmark's.
    """

    workers: int
    crashes: float = 0.0
    stragglers: float = 0.0
    lognormal: tuple[float, float] | None = None


class Simulated(NamedTuple):
    """What a search did.

    Attributes:
        best: the best value after each query that was over, failed ones too, [n]; NaN before the
            first answer.
        at: when that was, in virtual seconds, ascending, [n].
        busy: share of the workers' time with a training, until the last one began.
        failed: number of trainings that failed.
        cpu_seconds: that the simulation took.
    """

    best: Floats
    at: Floats
    busy: float
    failed: int
    cpu_seconds: float


def simulate(
    task: Task,
    arguments: Mapping[str, Any],
    cluster: Cluster,
    queries: int,
    seed: int,
    *,
    synchronous: bool = False,
    proposal_seconds: float = 0.0,
) -> Simulated:
    """Search a task by several workers.

    Args:
        task: that is searched.
        arguments: of the search, beside its task, budget and seed.
        cluster: the workers.
        queries: the budget.
        seed: of the search; with it differ the faults, and log-normal times.
        synchronous: evaluate a batch at a time, one architecture a worker, and wait for the last;
            otherwise a worker that becomes free gets the next architecture at once.
        proposal_seconds: virtual seconds that the method takes each time it is asked.
    """
    begun = time.process_time()
    if synchronous:
        selection = {**arguments.get("selection", {}), "batch": cluster.workers}
        arguments = {**arguments, "selection": selection}
    search = Search(
        space=task.benchmark.space,
        direction=task.direction,
        budget=queries,
        seed=seed,
        **arguments,
    )
    executor = executor_of(task, cluster, seed)
    evaluator = ClockEvaluator(executor)
    told: list[Trial] = []

    def note(search: AskTell, trial: Trial) -> None:
        told.append(trial)

    _charge(search, executor, proposal_seconds)
    if synchronous:
        drive(search, evaluator, [note])
    else:
        drive_asynchronously(search, evaluator, [note], in_thread=False, clock=lambda: executor.now)
    ends = {span.key[0]: span.ended for span in executor.spans}
    told.sort(key=lambda trial: ends[trial.number])  # of a batch by its order otherwise
    values = np.array([np.nan if t.state == "failed" else t.metrics["value"] for t in told])
    better = np.fmin if task.direction == "minimize" else np.fmax
    return Simulated(
        best=better.accumulate(values),
        at=np.array([ends[trial.number] for trial in told]),
        busy=executor.busy_share(max(span.begun for span in executor.spans)),
        failed=sum(trial.state == "failed" for trial in told),
        cpu_seconds=time.process_time() - begun,
    )


def executor_of(task: Task, cluster: Cluster, seed: int) -> VirtualExecutor:
    """Return the workers, who are answered by the task."""
    benchmark = task.benchmark

    def measured(job: Job, metric: str) -> float:
        return float(benchmark.query([job.architecture], metric)[0])

    def training(job: Job, parent: Parent) -> float:
        return measured(job, benchmark.target)

    def seconds(job: Job) -> float:
        return measured(job, SECONDS)

    times = seconds if cluster.lognormal is None else lognormal_seconds(*cluster.lognormal, seed)
    faults = Faults(cluster.crashes, cluster.stragglers)
    return VirtualExecutor(training, times, cluster.workers, seed, faults)


def _charge(search: AskTell, executor: VirtualExecutor, seconds: float) -> None:
    """Let virtual time pass whenever the method of a search is asked."""
    ask = search.method.ask

    def timed(unavailable: Unavailable) -> Proposals:
        executor.pass_until(executor.now + seconds)
        return ask(unavailable)

    search.method.ask = timed  # type: ignore[method-assign]


class ClockEvaluator(Evaluator):
    """Evaluates by workers on a virtual clock, a batch at once or one request after the other."""

    def __init__(self, executor: VirtualExecutor) -> None:
        self._executor = executor
        self._requests: dict[Key, Request] = {}

    @property
    def workers(self) -> int:  # type: ignore[override]
        """Trainings at the same time."""
        return self._executor.workers

    def submit(self, request: Request) -> str:
        """Take a request, which begins when a worker is free."""
        job = Job(
            request.number,
            request.attempt,
            request.architecture,
            request.epochs,
            request.seed,
            folder="",
            repeat=request.repeat,
        )
        self._requests[job.key] = request
        return self._executor.submit(job)

    def rejoin(self, request: Request, handle: str) -> bool:
        """Return that nothing runs of earlier."""
        return False

    def poll(
        self, objective: Objective, seconds: float | None = None
    ) -> list[tuple[Request, Outcome]]:
        """Return what has ended, after the clock has moved on to that."""
        found = []
        for ended in self._executor.poll(seconds):
            metrics = {} if ended.error else {"value": float(ended.answer)}
            outcome = Outcome(metrics, ended.error, ended.seconds)
            found.append((self._requests.pop(ended.job.key), outcome))
        return found

    def cancel(self, requests: Sequence[Request] | None = None) -> None:
        """End these requests, or all."""
        keys = None if requests is None else [request.key for request in requests]
        self._executor.cancel(keys)
        for key in list(self._requests) if keys is None else keys:
            self._requests.pop(key, None)

    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        """Evaluate a batch at once; the next one begins when the last of it has ended."""
        places = {request.key: place for place, request in enumerate(requests)}
        for request in requests:
            self.submit(request)
        while self._requests:
            for request, outcome in self.poll(objective):
                yield places[request.key], outcome
