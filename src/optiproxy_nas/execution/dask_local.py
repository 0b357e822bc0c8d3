"""A Dask cluster of this machine, in a process that ends with the one that began it."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Any


def main(workers: int) -> None:
    """Start a cluster, print the address of its scheduler, and end it when the input ends."""
    distributed: Any = import_module("distributed")  # an extra
    with distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=0,  # jobs run in processes of their own
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # else its port may be taken
        silence_logs=logging.CRITICAL,
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
