"""Exporting the answer of a search from Python."""

from __future__ import annotations

import logging
from pathlib import Path

from optiproxy_nas.core.errors import OptiProxyError
from optiproxy_nas.evaluation.identity import digests_of
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.export.answer import Answer
from optiproxy_nas.export.folder import check_free, export_answer, write_folder
from optiproxy_nas.export.trainings import Trainings
from optiproxy_nas.problems import VALUE

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


def export_result(result: SearchRecord, trainings: Trainings | None, folder: Path) -> Path:
    """Write the answer of a search into a new folder.

    Raises:
        OptiProxyError: as of :meth:`SearchResult.export`.
    """
    check_free(folder)
    return write_folder(folder, export_answer(answer_of(result, trainings), trainings))


def export_if_possible(result: SearchRecord, trainings: Trainings | None, folder: Path) -> None:
    """Write the answer of a search into a new folder; what fails is a warning.

    Where the network cannot be had, the folder has the architecture and a card that says why.
    """
    try:
        answer = answer_of(result, trainings)
        write_folder(folder, export_answer(answer, trainings, keep_going=True))
    except OptiProxyError as error:
        _log.warning("The answer was not exported: %s", error.message)


def answer_of(result: SearchRecord, trainings: Trainings | None) -> Answer:
    """Return the answer of a search, as it is exported.

    Raises:
        DataError: there is no complete trial.
    """
    training, confirmed = result.answer_training, result.confirmed
    if confirmed:
        confirmed["single"] = result.best.value
    return Answer(
        parameters=result.parameters,
        request=training.request,
        target=result.target,
        value=training.metrics[VALUE],
        metrics=training.metrics,
        test=result.test,
        constraints=result.facts.get("constraints", ()),
        is_eligible=result.is_eligible,
        confirmed=confirmed,
        data=digests_of(trainings.data) if trainings else {},
        latency=trainings.latency(training.request, result.answer_metrics) if trainings else {},
        caution=result.caution,
    )
