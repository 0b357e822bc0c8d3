"""The result of a search, as a Python user or a notebook sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiproxy_nas.api.result_lines import answer_line, search_line, trials_line
from optiproxy_nas.core.numbers import metric_label
from optiproxy_nas.core.validation import path_of
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.spaces import get_space

if TYPE_CHECKING:
    from optiproxy_nas.api.result_views import ResultPlots
    from optiproxy_nas.evaluation.evaluator import Request
    from optiproxy_nas.export.trainings import Trainings


@dataclass(frozen=True, repr=False, eq=False)
class SearchResult(SearchRecord):
    """What a search found, and everything it did; ``print`` tells the answer."""

    trainings: Trainings | None = None  # of a problem, by ``search``; no part of a saved result

    def _has_files(self, request: Request) -> bool:
        return self.trainings is None or self.trainings.has_files(request)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: no problem, which may hold anything."""
        return {**vars(self), "trainings": None}

    def export(self, folder: str | Path) -> Path:
        """Write the answer into a new folder: architecture, weights, ONNX and a model card.

        Of a problem that builds no networks, a benchmark or a function, the folder has the
        architecture and the card. :func:`optiproxy_nas.load_model` loads the network of a folder.

        Args:
            folder: its path. Nothing is written over.

        Raises:
            ParameterError: it is no path, or there is something there.
            DataError: there is no complete trial, the answer's checkpoint cannot be loaded, or the
                folder cannot be written.
        """
        from optiproxy_nas.api.export import export_result  # its libraries are slow to import

        return export_result(self, self.trainings, path_of("folder", folder))

    def export_crate(
        self,
        folder: str | Path,
        journal: str | Path | None = None,
        key: str | Path | None = None,
        author: str | None = None,
    ) -> Path:
        """Write the search into a new folder that others can verify: a Provenance Run Crate.

        Args:
            folder: its path. Nothing is written over.
            journal: the search's, which then is in the crate.
            key: PEM file of an elliptic curve key to sign it with; needs the extra ``proof``.
            author: name of who made it; None: nobody's is in it.

        Raises:
            ParameterError: there is something at the path, ``journal`` is none, the key cannot be
                used, or the author is no line of text.
            ArtifactError: the journal is of another search.
            DataError: there is no complete trial, or the folder cannot be written.
        """
        from optiproxy_nas.api.crate import export_search  # its libraries are slow to import

        target = path_of("folder", folder).absolute()
        of_journal = None if journal is None else path_of("journal", journal)
        of_key = None if key is None else path_of("key", key)
        return export_search(self, target, of_journal, of_key, author)

    def export_trials(self, path: str | Path, to: str | None = None) -> Path:
        """Write all trials into a new file for other tools: an Optuna study, CSV, or JSON lines.

        A study opens in optuna-dashboard and by ``optuna.load_study``; one comes back by
        ``search(..., initial=study)``.

        Args:
            path: of the file: ``.db`` (a study in SQLite), ``.log`` (a study in Optuna's journal
                storage), ``.csv`` or ``.jsonl``. Nothing is written over.
            to: ``optuna``, ``csv`` or ``jsonl``; None: as the path ends.

        Raises:
            ParameterError: there is something at the path, or it says no format.
            DataError: the file cannot be written, or Optuna is not installed.
        """
        from optiproxy_nas.export.trial_files import format_of, write_trials

        target = path_of("path", path)
        parameters = self.parameters
        space, direction = get_space(parameters.space), parameters.objective.order.direction
        name = f"{parameters.label} {parameters.dataset} seed {parameters.seed}"
        to, metric = format_of(target, to), metric_label(self.target)
        return write_trials(target, to, self.to_frame(), space, direction, name, metric)

    @property
    def plot(self) -> ResultPlots:
        """Its figures: ``best_so_far()``, ``predictions()``, ``logits()``."""
        from optiproxy_nas.api.result_views import ResultPlots  # matplotlib is slow to import

        return ResultPlots(self)

    def __repr__(self) -> str:
        """Return what was searched, what was found, its other metrics, and how it went."""
        found = "" if self.archive.empty else f": {self.best.text}"
        metrics = [] if self.archive.empty else [", ".join(self.metric_lines)]
        lines = [
            f"best  {answer_line(self)}{found}",
            *filter(None, [*metrics, self.caution]),
            trials_line(self),
        ]
        return "\n  ".join([f"SearchResult of {search_line(self.parameters)}", *lines])

    def _repr_html_(self) -> str:
        """Return what notebooks show."""
        from optiproxy_nas.api.result_views import result_html  # matplotlib is slow to import

        return result_html(self)
