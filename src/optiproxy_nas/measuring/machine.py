"""The machine that a latency is measured on, and the lock that keeps measurements apart."""

from __future__ import annotations

import logging
import os
import platform
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from optiproxy_nas.core.errors import DataError

SAID_AFTER = 30.0  # seconds of waiting for another measurement
_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class Machine(NamedTuple):
    """What decides a latency beside the network."""

    processor: str  # its model, as the system calls it
    cores: int  # that this process may use
    device: str  # of torch: cpu, or cuda:0 with the name of the GPU
    torch: str  # versions
    onnxruntime: str  # "" where it does not run the network


def machine(device: str = "cpu", runtime: str = "torch") -> Machine:
    """Return what this machine is.

    Args:
        device: of torch.
        runtime: ``torch`` or ``onnxruntime``.
    """
    import torch  # only where something is measured: a worker asks for its kind without it

    name = str(device)
    if torch.device(device).type == "cuda":
        name = f"{name} ({torch.cuda.get_device_name(device)})"
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    return Machine(
        processor=_processor(),
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        device=name,
        torch=str(torch.__version__),
        onnxruntime=metadata.version("onnxruntime") if runtime == "onnxruntime" else "",
    )


def kind_of_machine() -> str:
    """Return ``AMD EPYC 7763``, or ``AMD EPYC 7763 with NVIDIA H200``; without asking torch."""
    gpus = set()
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with suppress(OSError):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                name, _, model = line.partition(":")
                gpus |= {model.strip()} if name == "Model" else set()
    return " with ".join(filter(None, (_processor(), ", ".join(sorted(gpus)))))


def load() -> float:
    """Return how many processes have wanted a core in the last minute, or NaN."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return float("nan")


def user_file(name: str) -> Path:
    """Return the path of a file of this user on this machine, which no other user can put there.

    Its folder, in that for temporary files, is the user's alone; it is made.

    Raises:
        DataError: the folder is another user's, or cannot be made.
    """
    user = getattr(os, "getuid", lambda: "")()
    folder = Path(tempfile.gettempdir()) / f"optiproxy-{user}"
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if user != "" and not (stat.S_ISDIR(found.st_mode) and found.st_uid == user):
            raise DataError(
                f"{folder}, the folder of this user's locks on this machine, is another user's, or "
                "no folder. Have it removed, or set TMPDIR to a folder of yours.",
                path=str(folder),
            )
        if user != "" and found.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise DataError(
            f"{folder}, the folder of this user's locks on this machine, cannot be made: "
            f"{error.strerror}.",
            path=str(folder),
        ) from error
    return folder / name


@contextmanager
def only_measurement() -> Iterator[None]:
    """Wait until no other process of this machine and user measures, and keep them waiting.

    It may be entered again inside.
    """
    path = user_file("latency.lock")
    lock = FileLock(path, is_singleton=True)
    try:
        lock.acquire(timeout=SAID_AFTER)
    except Timeout:
        _log.warning(
            "Another process of this machine has been measuring a latency for %g s (it holds "
            "%s), and this one waits for it. Is it suspended, continue or end it.",
            SAID_AFTER,
            path,
        )
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _processor() -> str:
    """Return the model of the processor; what Python knows of it, where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
