"""Sweeps in an MLflow store: a parent run, the runs nested under it, earlier ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import UnknownNameError, unknown_name
from optiproxy_nas.runs.finished import PARENT, SWEEP, MlflowReader, is_sweep, own_id


class Sweeps:
    """The sweeps of some experiments.

    Args:
        search: (MLflow's condition, limit) -> runs, oldest first; with a limit, the latest ones.
        folder: where the project keeps the records of its sweeps.
    """

    def __init__(self, search: Callable[[str, int], list[Any]], folder: Path) -> None:
        self._search = search
        self._folder = folder

    def parents(self) -> list[Any]:
        """Return the parent runs of all sweeps, oldest first."""
        return [run for run in self._search(f"tags.{SWEEP} LIKE '%'", 0) if is_sweep(run)]

    def is_one(self, name: str) -> bool:
        """Return whether a sweep has this name, or its parent run this MLflow id."""
        return any(name in (run.data.tags[SWEEP], run.info.run_id) for run in self.parents())

    def runs(self, name: str, condition: str, reader: MlflowReader) -> tuple[list[Any], str]:
        """Return the runs of a sweep's grid that match, oldest first, and its parent's MLflow id.

        A name may have had other grids before. What had finished then and is in the grid belongs
        to an earlier parent; the rest of those is left out.

        Raises:
            UnknownNameError: no such sweep.
        """
        parent, others = self._parent(name)
        found = {own_id(run): run for run in self._children(parent, condition)}
        kept = reader.points(parent) if others else set()
        for other in others:
            for run in self._children(other, condition):
                if own_id(run) in kept and run.info.status == "FINISHED":
                    found.setdefault(own_id(run), run)
        return sorted(found.values(), key=lambda run: run.info.start_time), parent

    def _parent(self, name: str) -> tuple[str, list[str]]:
        """Return the parent run of a sweep's grid, and the others of its name, latest first.

        The project's own record says which; without one it is the latest of the name.
        """
        parents = self.parents()
        by_id = [run for run in parents if run.info.run_id == name]
        sweep = by_id[0].data.tags[SWEEP] if by_id else name
        ids = [str(run.info.run_id) for run in reversed(parents) if run.data.tags[SWEEP] == sweep]
        if not ids:
            raise self._unknown(name, parents)
        recorded = name if by_id else self._recorded(name)
        parent = recorded if recorded in ids else ids[0]
        return parent, [other for other in ids if other != parent]

    def _unknown(self, name: str, parents: list[Any]) -> UnknownNameError:
        """Return the error that lists all sweeps, and those that have nothing to compare."""
        names = {run.data.tags[SWEEP] for run in parents}
        finished = {run.data.tags[SWEEP] for run in parents if self._has_finished_runs(run)}
        error = unknown_name("sweep", name, names or {"(there is none in the store)"})
        note = ", ".join(sorted(names - finished))
        message = f"{error.message} No run has finished under: {note}." if note else error.message
        return UnknownNameError(message, **error.data)

    def _children(self, parent: str, condition: str, limit: int = 0) -> list[Any]:
        child = f"tags.`{PARENT}` = '{parent}'"
        return self._search(f"{child} AND {condition}" if condition else child, limit)

    def _has_finished_runs(self, parent: Any) -> bool:
        """Return whether a sweep has runs to compare.

        One that has finished may have found all its points done, and have none under it.
        """
        finished = "attributes.status = 'FINISHED'"
        return parent.info.status == "FINISHED" or bool(
            self._children(parent.info.run_id, finished, 1)
        )

    def _recorded(self, name: str) -> str:
        """Return the MLflow id of the parent run in the sweep's record, "" if there is none."""
        try:
            text = (self._folder / name / "sweep.json").read_text(encoding="utf-8")
            return str(json.loads(text)["mlflow_run_id"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
