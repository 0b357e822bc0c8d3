"""Exporting the answer of a search from Python."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.errors import OptiProxyError
from optiproxy_nas.core.validation import path_of
from optiproxy_nas.evaluation.identity import digests_of
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.export.answer import Answer
from optiproxy_nas.export.folder import (
    check_free,
    export_answer,
    holds,
    is_of_search,
    write_folder,
)
from optiproxy_nas.export.trainings import Trainings
from optiproxy_nas.problems import VALUE
from optiproxy_nas.report.documents import with_page

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


def export_result(result: SearchRecord, trainings: Trainings | None, folder: Path) -> Path:
    """Write the answer of a search into a new folder.

    Raises:
        OptiProxyError: as of :meth:`SearchResult.export`.
    """
    check_free(folder)
    files = export_answer(answer_of(result, trainings), trainings)
    return write_folder(folder, with_page(files))


def check_export(folder: Any, parameters: RunParameters, is_again: bool) -> Path:
    """Return the path of an export, which is refused before anything is trained if it is taken.

    Args:
        folder: as the user gives it.
        parameters: of the search.
        is_again: whether the search may have been called before, and have exported to it.

    Raises:
        ParameterError: it is no path, or there is something else there.
    """
    path = path_of("export", folder)
    if not (is_again and is_of_search(path, parameters)):
        check_free(path)
    return path


def export_if_possible(result: SearchRecord, trainings: Trainings | None, folder: Path) -> None:
    """Write the answer of a search into a new folder; what fails is a warning.

    A folder that holds this answer already stays as it is.
    Where the network cannot be had, the folder has the architecture and a card that says why.
    """
    try:
        if is_of_search(folder, result.parameters):
            if holds(folder, answer_of(result, trainings, is_measured=False)):
                return
            check_free(folder)
        answer = answer_of(result, trainings)
        write_folder(folder, with_page(export_answer(answer, trainings, keep_going=True)))
    except OptiProxyError as error:
        _log.warning("The answer was not exported: %s", error.message)


def answer_of(
    result: SearchRecord, trainings: Trainings | None, is_measured: bool = True
) -> Answer:
    """Return the answer of a search, as it is exported; its latency measured once more.

    Raises:
        DataError: there is no complete trial.
    """
    training, confirmed = result.answer_training, result.confirmed
    if confirmed:
        confirmed["single"] = result.best.value
    latency: dict[str, Any] = {}
    if trainings and is_measured:
        latency = trainings.latency(training.request, result.answer_metrics)
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
        latency=latency,
        caution=result.caution,
    )
