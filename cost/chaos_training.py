"""The training of :mod:`cost.chaos`: it notes when it begins and ends, outside of every journal."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

FOLDER = "OPTIPROXY_CHAOS"  # environment variable: the folder of the run, and the mark of its jobs
NOTES = "notes.jsonl"
HANGS, RAISES, DIES = 0, 1, 2  # of 24 kinds of networks


def train(network: dict[str, Any]) -> float:
    """Return a value that no other training gives."""
    digest = hashlib.sha256(json.dumps(network, sort_keys=True).encode()).digest()
    run = time.time_ns() * 10**6 % 10**15 + os.getpid() % 10**6
    value = digest[0] + run / 10**16
    note("begun", run)
    kind = digest[1] % 24
    if kind == RAISES:
        raise ValueError("this network does not train")
    if kind == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60 if kind == HANGS else 0.05 + digest[2] / 512)
    note("ended", run, value)
    return value


def note(what: str, run: int, value: float | None = None) -> None:
    """Add a line by one write, so that a killed training leaves none or all of it."""
    line = json.dumps({"what": what, "run": run, "value": value, "time": time.time()})
    file = os.open(Path(os.environ[FOLDER]) / NOTES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)
