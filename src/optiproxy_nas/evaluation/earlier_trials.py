"""What a trial takes from the complete trials before it: the shorter training that it continues."""

from __future__ import annotations

from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.jobs import folder_name
from optiproxy_nas.objectives.base import Objective


class EarlierTrials:
    """The complete trials of a search so far.

    Args:
        objective: of the search.
    """

    def __init__(self, objective: Objective) -> None:
        self._continuing = {it.epochs: it.continues for it in objective.fidelities}
        self._full_epochs = max(self._continuing, default=None)
        self._shorter: dict[str, dict[int, Request]] = {}  # by architecture, and by epochs

    def add(self, request: Request, outcome: Outcome) -> None:
        """Add a trial that this search has trained, and that is complete."""
        if request.epochs is not None:
            self._shorter.setdefault(request.architecture, {})[request.epochs] = request

    def prepared(self, request: Request) -> Request:
        """Return a request with what it takes from the trials so far.

        Where its fidelity continues a shorter training, it has the folder and the seed of the
        architecture's longest one, so that it finds the checkpoint and goes on as one training.
        """
        if (epochs := request.epochs) is None:
            return request
        request = request._replace(full_epochs=self._full_epochs)
        if (before := self._continued(request.architecture, epochs)) is None:
            return request
        return request._replace(folder=folder_name(before.number, before.folder), seed=before.seed)

    def _continued(self, architecture: str, epochs: int) -> Request | None:
        """Return the longest training that one of an architecture for ``epochs`` goes on from."""
        trained = self._shorter.get(architecture, {})
        shorter = [fewer for fewer in trained if fewer < epochs]
        return trained[max(shorter)] if shorter and self._continuing.get(epochs) else None
