"""Entering a Kedro project once a process, and quietly: a sweep makes hundreds of sessions."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kedro.framework.startup import bootstrap_project

_LOUD = {
    "kedro": logging.WARNING,
    "kedro_viz": logging.ERROR,
    "distributed": logging.CRITICAL,  # what a worker's death means is told by the outcome
}
# Workers share the cores among themselves.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
_entered: set[Path] = set()


def enter_project(path: Path | str) -> Path:
    """Configure Kedro for a project, the first time; its absolute path."""
    project = Path(path).resolve()
    if project not in _entered:
        bootstrap_project(project)
        _entered.clear()  # Kedro is configured for one project at a time
        _entered.add(project)
    return project


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Without the lines of Kedro about every node and session, and of Dask about every worker."""
    before = {name: logging.getLogger(name).level for name in _LOUD}
    for name, level in _LOUD.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables of the processes that are started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
