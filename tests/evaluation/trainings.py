"""What a training may do to its process; a worker imports this module by its name."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from optiproxy_nas.execution.jobs import Job, Parent
from optiproxy_nas.problems import Problem, RunningTrial, Target

Report = Callable[[int, float], Any]


class Misbehaves:
    """A training that does what the architecture says."""

    def __init__(self, data: Any = None) -> None:
        self.data = data

    def __call__(self, job: Job, parent: Parent) -> Any:
        return getattr(self, job.architecture)(job, parent.report)

    def draws(self, job: Job, report: Report) -> Any:
        return random.random()

    def imports(self, job: Job, report: Report) -> Any:
        import numpy as np

        return float(np.random.rand())  # noqa: NPY002

    def uses_its_data(self, job: Job, report: Report) -> Any:
        return {"value": sum(self.data), "epochs": job.epochs, "device": job.device}

    def raises(self, job: Job, report: Report) -> Any:
        report(1, 0.25)
        raise ValueError("the first line\nand a second one")

    def needs_memory(self, job: Job, report: Report) -> Any:
        raise MemoryError

    def needs_gpu_memory(self, job: Job, report: Report) -> Any:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB\nand so on")

    def faults(self, job: Job, report: Report) -> Any:
        return ctypes.string_at(0)

    def is_killed(self, job: Job, report: Report) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    def leaves(self, job: Job, report: Report) -> Any:
        os._exit(0)

    def exits(self, job: Job, report: Report) -> Any:
        sys.exit("enough")

    def closes_descriptors(self, job: Job, report: Report) -> Any:
        os.closerange(0, 100)
        return 1.0

    def closes_its_output(self, job: Job, report: Report) -> Any:
        sys.stdout.close()
        os.close(2)
        return 1.0

    def hangs(self, job: Job, report: Report) -> Any:
        report(1, 0.5)
        report(2, 0.75)
        print(f"pid {subprocess.Popen(['sleep', '100'], start_new_session=True).pid}")
        time.sleep(100)

    def reports_without_end(self, job: Job, report: Report) -> Any:
        while True:
            report(1, 0.5)

    def ignores_signals(self, job: Job, report: Report) -> Any:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(100)

    def holds_the_lock(self, job: Job, report: Report) -> Any:
        ctypes.PyDLL(None).sleep(100)

    def forks_and_hangs(self, job: Job, report: Report) -> Any:
        print(f"pid {os.fork() or os.getpid()}", flush=True)
        time.sleep(100)

    def forks_and_faults(self, job: Job, report: Report) -> Any:
        said, says = os.pipe()
        if os.fork() == 0:
            print(f"pid {os.getpid()}", flush=True)
            os.write(says, b"pid")
            time.sleep(100)
        os.read(said, 3)
        os.abort()

    def forks_and_returns(self, job: Job, report: Report) -> Any:
        child = os.fork()
        report(1, 1.0)
        return float(child != 0)

    def prints(self, job: Job, report: Report) -> Any:
        print("by Python")
        print("as an error", file=sys.stderr)
        ctypes.CDLL(None).puts(b"by C")
        subprocess.run(["echo", "by a child"], check=True)
        return 1.0

    def prints_much(self, job: Job, report: Report) -> Any:
        for _ in range(100):
            print("x" * 99_999)
        return 1.0

    def gives_a_function(self, job: Job, report: Report) -> Any:
        return lambda: 1.0

    def gives_much(self, job: Job, report: Report) -> Any:
        return b"x" * 10_000_000

    def deletes_its_folder(self, job: Job, report: Report) -> Any:
        shutil.rmtree(job.folder)
        return 1.0

    def changes_its_process(self, job: Job, report: Report) -> Any:
        os.chdir("/")
        os.environ["CHANGED"] = "1"
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        return 1.0

    def looks_around(self, job: Job, report: Report) -> Any:
        time.sleep(0.15)
        ignored = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        return {"changed": "CHANGED" in os.environ, "root": os.getcwd() == "/", "ignored": ignored}

    def has_a_pool(self, job: Job, report: Report) -> Any:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return sum(pool.map(abs, [1, -2]))

    def kills_children(self, job: Job, report: Report) -> Any:
        ended = []
        for _ in range(20):
            if not (child := os.fork()):
                time.sleep(60)
                os._exit(0)
            os.kill(child, signal.SIGTERM)  # before it has begun
            ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return sum(code == -signal.SIGTERM for code in ended)

    def reads_input(self, job: Job, report: Report) -> Any:
        return float(input())


class NotImportable:
    """Cannot be unpickled: the worker fails before any training."""

    def __reduce__(self) -> Any:
        return _missing, ()


def _missing() -> Any:
    raise ModuleNotFoundError("No module named 'data_of_yesterday'")


class Dies:
    """The process dies while it is unpickled."""

    def __reduce__(self) -> Any:
        return os._exit, (7,)


class Draws(Problem):
    """A problem whose trainings end in another order than they begin; some fail."""

    space = "nb201"
    target = Target("loss", "minimize")
    datasets = ("offset",)

    def load(self) -> dict[str, Any]:
        return {"offset": 10.0}

    def evaluate(self, trial: RunningTrial) -> dict[str, float]:
        draw = random.random()
        time.sleep(0.03 * random.random())
        trial.report(1, draw)
        if draw < 0.2:
            raise ValueError(f"{draw} is\ntoo little")
        (trial.folder / "weights.txt").write_text(str(draw))
        return {"loss": trial.data["offset"] + draw, "left": trial.seconds_left}

    def test(self, trial: RunningTrial) -> dict[str, float]:
        return {"test": 2.0 + trial.data["offset"]}
