"""What a person sees of a run: a bar of what was spent, and the summary at its end."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from optiproxy_nas.algorithm.alarms import AlarmLog
from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.core.numbers import value_text
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.batch import evaluated_rows
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.status import Status, charge_of, journal_note
from optiproxy_nas.evaluation.stop_rules import WarnOfWideEpsilon
from optiproxy_nas.presets import misfit
from optiproxy_nas.problems import VALUE
from optiproxy_nas.report.terminal import terminal_summary

_STATUS_FORMAT = (
    "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
)
# What a run does after its last query, by how the names of nodes begin.
_PHASES = {
    "confirm.": "training the best again",
    "report.": "drawing the report",
    "export": "exporting the best model",
}


class RunProgress:
    """A bar on standard error; what there is to say at the end goes to standard output.

    Args:
        parameters: of the run.
        target: the metric that it maximises.
        quiet: show and say nothing.
        as_json: print the summary as JSON at the end, also of a quiet run.
    """

    def __init__(
        self, parameters: RunParameters, target: str, quiet: bool, as_json: bool = False
    ) -> None:
        self._as_json = as_json
        self._objective = parameters.objective
        self._target = target
        self._quiet = quiet
        self._bar = tqdm(
            total=parameters.budget,
            desc=self._objective.price.unit,
            file=sys.stderr,
            disable=quiet,
            miniters=1,  # a training may last for hours
        )
        self._best, self._failed = math.nan, pd.DataFrame()
        self._has_complete = False  # trials, of which none may be eligible
        self._earlier = 0  # what the trainings of the journal were charged
        self._wide_epsilon = WarnOfWideEpsilon(parameters)
        self._alarms: AlarmLog | None = None
        if isinstance(parameters, SearchParameters):
            self._alarms = AlarmLog(parameters.groups, parameters.alarms)

    def trainings_begin(self, earlier: Sequence[tuple[Request, Outcome]], workers: int) -> None:
        """Begin with what the journal has, and say which workers are awaited.

        Args:
            earlier: the attempts in the journal.
            workers: that start; 0: this process trains.
        """
        for request, outcome in earlier:
            self._take_best(request, outcome)
        charged = sum(charge_of(request, self._objective) for request, _ in earlier)
        self._earlier = min(charged, int(self._bar.total or 0))
        if not self._quiet and earlier:
            self._bar.write(journal_note(len(earlier)), file=sys.stderr)
        if not self._quiet and workers and self._earlier < (self._bar.total or 0):
            noun = "worker" if workers == 1 else "workers"
            line = f"Starting {workers} {noun}; the bar moves when a training has ended."
            self._bar.write(line, file=sys.stderr)
        # The pace is that of this session.
        self._bar.initial = self._bar.n = self._bar.last_print_n = self._earlier
        self._show(self._best_text)
        self._bar.refresh()

    def trial_ended(self, request: Request, outcome: Outcome) -> None:
        """Show a trial of a problem; :meth:`update` tells what its batch was charged in the end."""
        value = outcome.metrics.get(VALUE)
        ended = "failed" if value is None else value_text(self._target, value)
        repeat = f"confirmation {request.repeat} of " if request.repeat else ""
        self._take_best(request, outcome)
        self._show(self._best_text, self._failures, f"{repeat}trial {request.number}: {ended}")
        charged = charge_of(request, self._objective)
        self._bar.update(min(charged, (self._bar.total or 0) - self._bar.n))

    def step_ended(self, numbers: Mapping[str, Any]) -> None:
        """Warn of what a step's numbers raise for the first time."""
        if self._alarms is not None and not self._quiet:
            self._alarms.look(numbers)

    def node_began(self, name: str) -> None:
        """Show what goes on once all is spent: the last phases take longer than a query."""
        for start, phase in _PHASES.items():
            if name.startswith(start) and self._bar.n >= (self._bar.total or 0):
                self._bar.bar_format = _STATUS_FORMAT.replace("<{remaining}", "")
                self._show(self._best_text, self._failures, phase)
                self._bar.refresh()

    def _take_best(self, request: Request, outcome: Outcome) -> None:
        """Count a trial that has ended, before its batch is over."""
        if outcome.error or request.repeat:
            return
        batch = pd.DataFrame({"architecture": [request.architecture], "epochs": [request.epochs]})
        row = evaluated_rows(self._objective, batch, [outcome.metrics], [outcome.stopped])
        order, self._has_complete = self._objective.order, True
        self._best = float(order.better(self._best, order.best(row)[0]))

    @property
    def _best_text(self) -> str:
        if not math.isnan(self._best):
            return f"best {value_text(self._target, self._best)}"
        if not self._has_complete:
            return ""
        return "none fully trained yet" if self._objective.fidelities else "none feasible yet"

    @property
    def _failures(self) -> str:
        return f"{len(self._failed)} failed" if len(self._failed) else ""

    def show_status(self, status: Status) -> None:
        """Show an asynchronous search: what is spent, and how busy its workers are."""
        self._bar.bar_format = _STATUS_FORMAT
        self._best, self._has_complete = status.best, status.complete > 0
        none_yet = self._best_text if math.isnan(status.best) else ""
        self._show(status.text(self._target), none_yet)
        self._bar.update(status.spent_on_ended - self._bar.n)
        if sys.stderr.isatty():  # a file gets a line where something was spent
            self._bar.refresh()

    def update(self, archive: pd.DataFrame | None, failed: pd.DataFrame | None) -> None:
        """Show what all trials up to now were charged, and the best value so far.

        Args:
            archive: the complete trials; None: as before.
            failed: the failed ones; None: as before.
        """
        self._failed = self._failed if failed is None else failed
        if archive is None:
            return
        if not self._quiet:
            self._wide_epsilon.look(archive)
        self._best, self._has_complete = float(archive["best"].iloc[-1]), True
        self._show(self._best_text, self._failures)
        charged = int(self._objective.price.costs(archive).sum())
        charged += int(self._objective.price.costs(self._failed).sum()) if len(self._failed) else 0
        self._bar.update(max(charged, self._earlier) - self._bar.n)

    def _show(self, *parts: str) -> None:
        self._bar.set_postfix_str(", ".join(filter(None, parts)), refresh=False)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def say_end(self, summary: Mapping[str, Any] | None, folder: Path, **facts: Any) -> None:
        """Print what the run found and where its files lie.

        Args:
            summary: of the search; None where it did not come to its end.
            folder: of the run's reports.
            **facts: more for the summary, ``wall_seconds`` (or, of a run that went on,
                ``resumed_seconds``: of this session), ``mlflow_command``, which shows it in MLflow,
                and ``model``, the path of the exported answer.
        """
        if summary is None or (self._quiet and not self._as_json):
            return
        facts["artifacts"] = os.path.relpath(folder)
        if (page := folder / "report.html").exists():
            facts["page"] = os.path.relpath(page)
        found = {**summary, **facts}
        as_text = json.dumps(found, indent=1) if self._as_json else terminal_summary(found)
        print(as_text, flush=True)


def say_misfit(parameters: RunParameters, quiet: bool) -> None:
    """Print a note where another preset was made for the run's objective or space."""
    if (note := misfit(parameters)) and not quiet:
        print(f"Note: {note}", file=sys.stderr, flush=True)
