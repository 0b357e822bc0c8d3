"""A Dask cluster of this machine, in a process that ends with the one that began it."""

from __future__ import annotations

import logging
import sys


def main(workers: int) -> None:
    """Start a cluster, print the address of its scheduler, and end it when the input ends."""
    from distributed import LocalCluster  # an extra

    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=0,  # jobs run in processes of their own
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
