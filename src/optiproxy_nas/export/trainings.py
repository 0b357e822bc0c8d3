"""The networks that the trials of a search have left in their folders."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from optiproxy_nas.core.errors import DataError, OptiProxyError, message_of, one_line
from optiproxy_nas.core.random_streams import seeded_globals
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.trial_folders import KEPT
from optiproxy_nas.execution.jobs import trial_folder
from optiproxy_nas.problems import Problem, RunningTrial
from optiproxy_nas.problems.latency import answer_latency
from optiproxy_nas.spaces import get_space

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


@dataclass(frozen=True)
class Trainings:
    """What trained the trials of a search, and where their folders are.

    Attributes:
        problem: of the search.
        folder: in which each trial has one of its own.
        data: the datasets of the problem by name.
        device: that they were trained on.
    """

    problem: Problem
    folder: Path
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    device: str = "cpu"

    def has_files(self, request: Request) -> bool:
        """Return whether a training's folder has more than output and latency."""
        folder = trial_folder(self.folder, request.number, request.folder)
        return folder.is_dir() and any(path.name not in KEPT for path in folder.iterdir())

    def network(self, request: Request) -> nn.Module:
        """Return the network that a training left, on the CPU, in eval mode.

        Raises:
            DataError: its folder was taken away, or its checkpoint cannot be loaded.
        """
        folder = trial_folder(self.folder, request.number, request.folder)
        if not folder.is_dir():
            raise DataError(
                f"The folder {str(folder)!r} of trial {request.number} is not there: this search "
                "did not train it, or its folder was taken away. search(..., journal=path) keeps "
                "the folders beside the journal; search(..., export=folder) exports before they "
                "are taken away.",
                path=str(folder),
            )
        trial = RunningTrial(
            number=request.number,
            architecture=get_space(self.problem.space).architecture(request.architecture),
            folder=folder,
            attempt=request.attempt,
            seed=request.seed,
            epochs=request.epochs,
            full_epochs=request.full_epochs,
            data=self.data,
        )
        name = type(self.problem).__name__
        try:
            with seeded_globals(request.seed):
                model = self.problem.trained(trial)
        except Exception as error:  # a user's code can raise anything
            if not self.has_files(request):
                raise DataError(
                    f"There is nothing in the folder {str(folder)!r} of trial {request.number}: it "
                    "left nothing, or what it left was deleted when the search needed it no more. "
                    'evaluation={"keep": "all"} deletes nothing.',
                    path=str(folder),
                ) from error
            if isinstance(error, OptiProxyError):
                raise
            raise DataError(
                f"{name}.trained of trial {request.number} raises {type(error).__name__}: "
                f"{one_line(error)}.",
                path=str(folder),
            ) from error
        if not isinstance(model, nn.Module):
            raise DataError(
                f"{name}.trained gave {type(model).__name__}; it must give a torch.nn.Module.",
                path=str(folder),
            )
        return model.to("cpu").eval()

    def latency(self, request: Request, searched: Mapping[str, float]) -> dict[str, Any]:
        """Measure the network that a training left once more, now that the search is over.

        Args:
            request: of the training.
            searched: metrics of the answer in the search, or their means.

        Returns:
            What :func:`~optiproxy_nas.problems.latency.answer_latency` does; empty where it cannot
            be measured, after a warning, or the network cannot be had, which its export tells.
        """
        if self.problem.latency is None:
            return {}
        try:
            model = self.network(request)
        except Exception:  # a user's code can raise anything
            return {}
        try:
            return answer_latency(self.problem, model, self.device, searched)
        except Exception as error:  # a user's network can raise anything
            _log.warning("The answer's latency is not measured once more: %s", message_of(error))
            return {}
