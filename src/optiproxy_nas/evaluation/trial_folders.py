"""The folders of trials, emptied while a search goes on where nothing needs what is in them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.confirmation import candidates
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.execution.jobs import OUTPUT, folder_name
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems.latency import FILE

# In the folder of a trial: what it wrote, and on which machine it was measured, at which load.
KEPT = OUTPUT, FILE
_LEAST_KEPT = 5  # of the best: a search that goes on may confirm them
_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


def unneeded_folders(
    objective: Objective, archive: pd.DataFrame, requests: Iterable[Request], best: int = 1
) -> set[str]:
    """Return the names of the folders that no later part of a search needs.

    Needed is what open or failed trials left, which may be tried again; what a promotion may go on
    from; and what the best trials left: one of these is the answer, which is tested and exported,
    and a search that goes on may confirm others than before.

    Args:
        objective: of the search.
        archive: D.
        requests: of all trials that were begun.
        best: how many of the best are kept.
    """
    if archive.empty:
        return set()
    needed = np.zeros(len(archive), dtype=bool)
    if any(fidelity.continues for fidelity in objective.fidelities):
        needed |= objective.promotable(archive)
    needed[[objective.order.incumbent(archive), *candidates(objective, archive, best)]] = True
    epochs = archive["epochs"].tolist() if objective.fidelities else [None] * len(archive)
    rows = zip(archive["architecture"], epochs, strict=True)
    is_needed = dict(zip(rows, needed.tolist(), strict=True))
    folders: dict[str, bool] = {}
    for request in requests:
        name = folder_name(request.number, request.folder)
        needs = is_needed.get((request.architecture, request.epochs), True)
        folders[name] = folders.get(name, False) or needs
    return {name for name, needs in folders.items() if not needs}


class TrialFolders:
    """Empties the folders of trials that are not needed any more; a callback of a search.

    What a trial wrote to standard output and error stays, and what was measured of its latency. A
    folder that cannot be emptied is warned of, and left as it is.

    Args:
        folder: in which each trial has one of its own.
        parameters: of the search.
        settings: of its trainings.
    """

    def __init__(
        self, folder: Path, parameters: RunParameters, settings: EvaluationSettings
    ) -> None:
        self._folder, self._objective = folder, parameters.objective
        confirmed = 0 if parameters.confirm is None else parameters.confirm.best
        self._best = max(_LEAST_KEPT, confirmed)
        keep = settings.keep or ("promotable" if parameters.objective.fidelities else "all")
        self._keeps_all = keep == "all"
        self._emptied: set[str] = set()

    def __call__(self, search: AskTell, trial: Trial) -> None:
        """Empty what is not needed any more, after a trial of a search."""
        if not self._keeps_all:
            self.empty(search.archive(), search.requests)

    def empty(self, archive: pd.DataFrame, requests: Iterable[Request]) -> None:
        """Empty what is not needed any more; see :func:`unneeded_folders`."""
        if self._keeps_all:
            return
        unneeded = unneeded_folders(self._objective, archive, requests, self._best)
        for name in sorted(unneeded - self._emptied):
            self._emptied.add(name)
            try:
                _empty(self._folder / name)
            except OSError as error:
                _log.warning(
                    "The folder %s is not needed any more, and cannot be emptied: %s. "
                    'evaluation.keep = "all" leaves all as they are.',
                    self._folder / name,
                    error.strerror or error,
                )


def _empty(folder: Path) -> None:
    """Remove all that is in a folder but for what is kept; nothing where the folder is a link.

    Raises:
        OSError: something cannot be removed.
    """
    is_own = folder.is_dir() and not folder.is_symlink()
    for path in folder.iterdir() if is_own else ():
        if path.name in KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
