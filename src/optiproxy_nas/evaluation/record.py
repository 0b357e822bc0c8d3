"""The record of a search by any method: what it found, and everything it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.core.numbers import (
    confirmed_text,
    metric_name,
    significant,
    unit,
    value_text,
)
from optiproxy_nas.core.validation import whole_number
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.benchmark_problem import regret_of
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.incumbent import (
    COLUMNS,
    Confirmation,
    Incumbent,
    Training,
    facts_of,
    incumbent_of,
    incumbent_training,
)
from optiproxy_nas.evaluation.record_file import read_record, write_record
from optiproxy_nas.evaluation.trials import Event, Trial, column_of


@dataclass(frozen=True, repr=False, eq=False)
class SearchRecord:
    """What a search found, and everything it did; ``print`` tells the answer."""

    parameters: RunParameters
    archive: pd.DataFrame  # D, one row a complete trial, in the order told
    trials: tuple[Trial, ...]  # all of them, by number: failed and open ones too
    proposals: pd.DataFrame  # one row a proposal: trial, its row of D, whether it was charged
    diagnostics: pd.DataFrame  # one row a step
    # Of methods that keep them (``Method.records``):
    traces: Mapping[int, Tensors] = field(default_factory=dict)  # step -> trace of search epochs
    weights: Tensors = field(default_factory=dict)  # θ* of the last step
    logits: Tensors = field(default_factory=dict)  # (α*, β*) of the last step
    # Of a benchmark's search:
    target: str = "value"  # the metric that was searched for
    caution: str = ""  # what has to be told wherever its values are shown
    optimum: float | None = None  # the best eligible value of all, where a table tells it
    stopped: str = ""  # why the search ended; "" where it may go on
    events: tuple[Event, ...] = ()  # of ``AskTell.events``
    test: Mapping[str, float] = field(default_factory=dict)  # of the answer, by ``Problem.test``
    # One row a training that confirms (``confirmation.tabulate``); empty: there is none.
    confirmations: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def of(cls, search: AskTell, parameters: RunParameters, **facts: Any) -> Self:
        """Return the record of a search so far; ``facts`` are further fields."""
        records = dict(vars(search.records()))
        del records["steps"]  # a result has the last one
        record = cls(
            parameters,
            search.archive(),
            search.trials,
            search.proposals(),
            stopped=search.done,
            events=search.events,
            confirmations=search.confirmations,
            **records,
            **facts,
        )
        found = record._confirmation
        cautions = record.caution, found.caution if found else ""
        return replace(record, caution=" ".join(filter(None, cautions)))

    @property
    def best(self) -> Trial:
        """The answer: the best complete trial (the first, of equals), or the best confirmed one."""
        return self._complete[self._incumbent.place]

    @property
    def best_architecture(self) -> Any:
        """𝒜*: the architecture of the answer, a string, or a dict of a declared space."""
        return self.best.architecture

    @property
    def best_value(self) -> float:
        """f(𝒜*): the answer's value of ``target``, in that metric's unit; its confirmed mean."""
        return self._incumbent.value

    @property
    def confirmation(self) -> pd.DataFrame:
        """The candidates that were confirmed, one row each, best first; empty where none was.

        Columns: trial (its number), architecture, single (its value in the search), mean and sd of
        its confirmations (ddof 1; NaN of a single one), trainings (that succeeded), value_1,
        value_2, ... by seed (NaN where it failed), and the means of the other metrics.
        """
        found = self._confirmation
        return pd.DataFrame(columns=list(COLUMNS)) if found is None else found.table.copy()

    @property
    def is_eligible(self) -> bool:
        """Whether it is an answer: false where no feasible architecture was found."""
        return self._incumbent.is_eligible

    @property
    def answer_training(self) -> Training:
        """The training of the answer with the best value: that of its trial, or a confirmation."""
        best, trained, objective = self.best, self.confirmations, self.parameters.objective
        request = Request(
            *(best.number, 1, best.text, best.epochs, best.seed),
            folder=best.folder,
            full_epochs=objective.full_fidelity,
        )
        if len(trained):
            trained = trained[(trained["architecture"] == best.text) & (trained["error"] == "")]
        is_searched = best.charged or trained.empty  # else it has no folder
        searched = Training(request, best.metrics) if is_searched else None
        return incumbent_training(objective, searched, trained, self._has_files)

    @property
    def confirmed(self) -> dict[str, Any]:
        """Mean, sd (ddof 1; NaN of one) and values of the answer's confirmations; {}: none."""
        found = self._incumbent
        return {"mean": found.value, "sd": found.sd, "values": found.values} if found.values else {}

    @property
    def unit(self) -> str:
        """The unit of the values, "" where it is not known."""
        return unit(self.target)

    @property
    def regret(self) -> float | None:
        """How far the answer is from the optimum, at least 0; None where that is not known."""
        if self.optimum is None or self.archive.empty or not self.is_eligible:
            return None
        return regret_of(self.best_value, self.optimum)

    @property
    def failed(self) -> tuple[Trial, ...]:
        """The failed trials, by number."""
        return tuple(trial for trial in self.trials if trial.state == "failed")

    def top(self, count: int) -> list[Trial]:
        """Return the best complete trials by what each gave, best first; equal ones as told.

        Raises:
            ParameterError: ``count`` is no whole number from 0.
        """
        count = whole_number("count", count)
        ranks = self.parameters.objective.order.ranks(self.archive)
        rows = np.argsort(-ranks, kind="stable")[:count]
        return [self._complete[int(row)] for row in rows]

    def to_frame(self) -> pd.DataFrame:
        """Return all trials, one row each: number, architecture, state, metrics, seconds, ...

        A metric that is called like one of a trial's fields is "metrics.NAME".
        """
        names = [entry.name for entry in fields(Trial) if entry.name != "metrics"]
        rows = []
        for trial in self.trials:
            row = {name: getattr(trial, name) for name in names} | {"architecture": trial.text}
            rows.append(row | {column_of(name, row): it for name, it in trial.metrics.items()})
        frame = pd.DataFrame(rows, columns=None if rows else [*names, "value"])
        return frame if self.parameters.objective.fidelities else frame.drop(columns="epochs")

    def save(self, path: str | Path) -> Path:
        """Write the record to one file (a zip archive of JSON, parquet and safetensors).

        The file replaces another of its name, whole or not at all.

        Raises:
            DataError: it cannot be written there.
        """
        return write_record(Path(path), vars(self))

    @classmethod
    def load(cls, path: str | Path, trusted: bool = False) -> Self:
        """Read a record that :meth:`save` wrote.

        Args:
            path: of the file.
            trusted: whether plug-ins that it names as ``package.module:Class`` may be imported.

        Raises:
            DataError: it is no such file, or is damaged; or it names plug-ins, and is not trusted.
        """
        return cls(**read_record(Path(path), trusted))

    def __str__(self) -> str:
        """Return the answer, its value and what has to be known of that, in a line each."""
        if self.archive.empty:
            return f"No complete trial among {len(self.trials)}."
        value = value_text(self.target, self.best_value, self.optimum)
        value = f"{metric_name(self.target)} {value}{self.confirmed_text}"
        count = f"{len(self.archive) + len(self.failed)} queries"
        value = f"{value} after {count}" + (f", {len(self.failed)} failed" if self.failed else "")
        found = value if self.is_eligible else f"{value}, which is no answer: see is_eligible"
        lines = [self.best.text, found, *self.metric_lines, *self.test_lines, self.caution]
        return "\n".join(filter(None, lines))

    @property
    def confirmed_text(self) -> str:
        """What stands after a confirmed value: `` (mean of 2 confirmations, ...)``; else ""."""
        found = self._incumbent
        confirm = self.parameters.confirm
        facts = found.value, found.sd, found.single, len(found.values)
        text = confirmed_text(self.target, *facts, confirm.seeds if confirm else 0)
        return f" ({text})" if text else ""

    @property
    def answer_metrics(self) -> Mapping[str, float]:
        """What was measured of the answer, by name; the means of its confirmations."""
        found = self._confirmation
        return self.best.metrics if found is None or not found.places else found.means[0]

    @property
    def facts(self) -> dict[str, Any]:
        """What the objective says of the answer and the search; bounds by the confirmed means."""
        return facts_of(self.parameters.objective, self.archive, self._confirmation)

    @property
    def metric_lines(self) -> list[str]:
        """A line for each other metric of the answer: ``latency 3.714 ms (bound: < 4 ms)``."""
        bounds: dict[str, list[str]] = {}
        for constraint in self.facts.get("constraints", ()):
            metric, bound = constraint["constraint"].split(maxsplit=1)
            bounds.setdefault(metric, []).append(f"{bound} {unit(metric)}".rstrip())
        metrics = self.answer_metrics
        shown = {"value", self.target, self.target.rpartition(" [")[0], *bounds}
        others = [name for name, it in metrics.items() if name not in shown and it == it]
        return [
            f"{metric_name(name)} {significant(metrics[name], 4)} {unit(name)}".rstrip()
            + (f" (bound: {' and '.join(bounds[name])})" if name in bounds else "")
            for name in (*bounds, *others)
        ]

    @property
    def test_lines(self) -> list[str]:
        """A line for each metric of the test: ``test accuracy 93.10 %``.

        Where the answer is confirmed, the line says of which training that is: the best one.
        """
        repeat = self.answer_training.request.repeat if self.test and self.confirmed else None
        of = (
            ""
            if repeat is None
            else f" (of confirmation {repeat})"
            if repeat
            else " (of its trial)"
        )
        name = metric_name(self.target)
        labels = {metric: self.target if metric == name else metric for metric in self.test}
        return [
            f"test {metric_name(label)} {value_text(label, self.test[metric])}{of}"
            for metric, label in labels.items()
        ]

    def _has_files(self, request: Request) -> bool:
        """Return whether there is still something in the folder of a training, if that is known."""
        return True

    @cached_property
    def _confirmation(self) -> Confirmation | None:
        objective, settings = self.parameters.objective, self.parameters.confirm
        return Confirmation.of(objective, self.archive, settings, self.confirmations)

    @property
    def _incumbent(self) -> Incumbent:
        if self.archive.empty:
            raise DataError(f"There is no answer: none of {len(self.trials)} trials is complete.")
        return incumbent_of(self.parameters.objective, self.archive, self._confirmation)

    @property
    def _complete(self) -> dict[int, Trial]:
        """The complete trials by their row of the archive."""
        return {trial.order: trial for trial in self.trials if trial.order is not None}
