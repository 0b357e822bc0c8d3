"""One measurement, printed as JSON; run by ``python -m cost`` in a process of its own."""

from __future__ import annotations

import contextlib
import functools
import json
import resource
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PARTS = {
    "fit_proxy": "fit",
    "search_logits": "search",
    "sample_candidates": "sample",
    "select_batch": "select",
}


def peak_megabytes() -> float:
    """Of this process; ``ru_maxrss`` would begin with that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak() -> None:
    """Let the peak begin anew from what is in use, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def timed(function: Any, seconds: dict[str, float], part: str) -> Any:
    """``function``, adding its CPU seconds to ``seconds[part]``."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[part] += time.process_time() - start

    return wrapper


# Space -> source and dataset.
SPACES = {
    "nb201": ("embedded", "cifar10"),
    "nb101": ("nb101_table", "cifar10"),
    "nb301": ("nb301_yahpo", "cifar10"),
    "nbnlp": ("nbnlp_surrogate", "ptb"),
}


def search(preset: str, budget: int, space: str = "nb201") -> dict[str, float]:
    """CPU seconds and megabytes of one ``search(...)`` call, imports excluded.

    On other spaces than NAS-Bench-201 without loading the benchmark, too, which may be large.
    """

    from optiproxy_nas import batched
    from optiproxy_nas import search as run
    from optiproxy_nas.algorithm import steps
    from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark

    seconds: dict[str, float] = defaultdict(float)
    for name, part in PARTS.items():
        setattr(steps, name, timed(getattr(steps, name), seconds, part))
    source, dataset = SPACES[space]
    given: dict[str, Any] = {}
    if space != "nb201":
        benchmark = load_benchmark(source, dataset)
        ask = functools.partial(benchmark.query, metric=benchmark.target)
        given = {"space": space, "evaluate": batched(ask)}
    forget_peak()
    before, start = peak_megabytes(), time.process_time()
    run(dataset, budget=budget, seed=1000, preset=preset, **given)
    cpu = time.process_time() - start
    shares = {part: seconds[part] / cpu for part in PARTS.values()}
    return {"cpu": cpu, "megabytes": peak_megabytes() - before, **shares}


def relaxed(space: str) -> dict[str, float]:
    """Numbers that one architecture holds, relaxed or not: (s_o, s_t), and its graph."""
    import torch

    from optiproxy_nas.spaces import get_space

    known = get_space(space)
    encoding = known.encode(known.random(1, torch.Generator().manual_seed(1000)))
    parts = {"encoding": encoding, "graph": known.graph(encoding)}
    counts = {name: sum(map(_numel, part)) for name, part in parts.items()}
    return {"nodes": known.num_nodes, "edges": known.num_edges, **counts}


def _numel(tensor: Any) -> int:
    return int(tensor.numel())


def empty_project(folder: Path) -> Path:
    """This project's configuration without any data."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    for settings in (".telemetry", "pyproject.toml"):
        shutil.copy(ROOT / settings, folder)
    (folder / "src").mkdir()
    return folder


def sweep(points: int) -> dict[str, float]:
    """Wall seconds of one sweep of default searches with one worker and with two.

    Also a point's wall seconds beside its search, MLflow on, with one worker.
    """
    from optiproxy_nas.sweeps import run_sweep

    def run(workers: int, seeds: str) -> Any:
        block = {"pipeline": "nb201_methods", "method": "optiproxy", "seed": seeds}
        return run_sweep(project, [block], workers=workers, progress=False)

    with tempfile.TemporaryDirectory() as folder:
        project = empty_project(Path(folder))
        run(1, "1000")  # ingest and the MLflow store
        one = run(1, f"1001:{1001 + points}")
        two = run(2, f"2001:{2001 + points}")
    return {
        "one": one.wall_seconds,
        "two": two.wall_seconds,
        "overhead": (one.wall_seconds - one.search_seconds) / points,
    }


def kedro(tracking: str) -> dict[str, float]:
    """CPU seconds of a Kedro run and of the plain search, in one process, both warmed up."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from optiproxy_nas import search as run
    from optiproxy_nas.pipelines import report_nodes
    from optiproxy_nas.pipelines import search as search_pipeline

    seconds: dict[str, float] = defaultdict(float)
    vars(search_pipeline)["report"] = timed(report_nodes.report, seconds, "report")
    with tempfile.TemporaryDirectory() as folder:
        project = empty_project(Path(folder))
        bootstrap_project(project)

        def session(seed: int) -> float:
            start = time.process_time()
            params = {"seed": seed, "tracking": tracking, "quiet": True}
            with KedroSession.create(project, runtime_params=params) as current:
                current.run(pipeline_names=["nb201_search"])  # type: ignore[call-arg]
            return time.process_time() - start

        session(1000)  # imports, ingest and the MLflow store
        seconds.clear()
        whole = session(1001)
    run("cifar10", seed=1000)
    start = time.process_time()
    run("cifar10", seed=1001)
    return {"run": whole, "search": time.process_time() - start, "report": seconds["report"]}


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    if kind == "search":
        measured = search(arguments[0], int(arguments[1]), *arguments[2:])
    elif kind == "relaxed":
        measured = relaxed(arguments[0])
    elif kind == "sweep":
        measured = sweep(int(arguments[0]))
    elif kind == "workers":
        from cost import workers

        measured = workers.measure(int(arguments[0]))
    else:
        measured = kedro(arguments[0])
    print(json.dumps(measured))
