"""The record of a search by any method: what it found, and everything it did."""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from io import BytesIO
from pathlib import Path
from typing import Any, NotRequired, Self

import numpy as np
import pandas as pd
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from typing_extensions import TypedDict  # pydantic's need before Python 3.12

from optiproxy_nas.algorithm.archive import check_archive
from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import DataError, OptiProxyError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.core.numbers import metric_name, unit, value_text
from optiproxy_nas.core.validation import whole_number
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.benchmark_problem import regret_of
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.spaces import get_space

FORMAT = 1  # of saved files
_TABLES = ("archive", "proposals", "diagnostics")
_TENSORS = ("weights", "logits")
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    zipfile.BadZipFile,
    SafetensorError,
)
_PLUG_IN = re.compile(r"[\w.]+:\w+")


class _Saved(TypedDict):
    """What ``record.json`` of a saved record holds, beside its format."""

    parameters: dict[str, Any]
    target: str
    caution: str
    optimum: float | None
    stopped: str
    trials: tuple[Trial, ...]
    events: NotRequired[tuple[int | None, ...]]


_SAVED = TypeAdapter(_Saved)


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
    events: tuple[int | None, ...] = ()  # of ``AskTell.events``

    @classmethod
    def of(cls, search: AskTell, parameters: RunParameters, **facts: Any) -> Self:
        """Return the record of a search so far; ``facts`` are further fields."""
        return cls(
            parameters,
            search.archive(),
            search.trials,
            search.proposals(),
            stopped=search.done,
            events=search.events,
            **vars(search.records()),
            **facts,
        )

    @property
    def best(self) -> Trial:
        """The answer: the best complete trial (the first, of equals)."""
        return self._complete[self._incumbent]

    @property
    def best_architecture(self) -> str:
        """𝒜*: the architecture of the answer."""
        return str(self.archive["architecture"].iloc[self._incumbent])

    @property
    def best_value(self) -> float:
        """f(𝒜*): the answer's value of ``target``, in that metric's unit."""
        return float(self.archive["value"].iloc[self._incumbent])

    @property
    def is_eligible(self) -> bool:
        """Whether it is an answer: false where no feasible architecture was found."""
        return bool(self.parameters.objective.order.eligible(self.archive)[self._incumbent])

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
        """Return the best complete trials, best first; equal ones in the order told.

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
            row = {name: getattr(trial, name) for name in names}
            rows.append(row | {_column(name, row): it for name, it in trial.metrics.items()})
        frame = pd.DataFrame(rows, columns=None if rows else [*names, "value"])
        return frame if self.parameters.objective.fidelities else frame.drop(columns="epochs")

    def save(self, path: str | Path) -> Path:
        """Write the record to one file (a zip archive of JSON, parquet and safetensors).

        The file replaces another of its name, whole or not at all.
        """
        path = Path(path)
        facts = {
            "format": FORMAT,
            "parameters": self.parameters.model_dump(mode="json"),
            "target": self.target,
            "caution": self.caution,
            "optimum": self.optimum,
            "stopped": self.stopped,
            "trials": [asdict(trial) for trial in self.trials],
            "events": self.events,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
        try:
            with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
                archive.writestr("record.json", json.dumps(facts, indent=1))
                for name in _TABLES:
                    archive.writestr(f"{name}.parquet", getattr(self, name).to_parquet())
                archive.writestr("tensors.safetensors", save_tensors(dict(self._tensors())))
            os.replace(partial, path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
        return path

    @classmethod
    def load(cls, path: str | Path, trusted: bool = False) -> Self:
        """Read a record that :meth:`save` wrote.

        Args:
            path: of the file.
            trusted: whether plug-ins that it names as ``package.module:Class`` may be imported.

        Raises:
            DataError: it is no such file, or is damaged; or it names plug-ins, and is not trusted.
        """
        path = Path(path)
        try:
            with zipfile.ZipFile(path) as archive:
                _refuse_compressed(archive)
                facts = json.loads(archive.read("record.json"))
                tables: dict[str, Any] = {
                    name: pd.read_parquet(BytesIO(archive.read(f"{name}.parquet")))
                    for name in _TABLES
                }
                tensors = load_tensors(archive.read("tensors.safetensors"))
            if facts["format"] != FORMAT:
                raise DataError(f"{str(path)!r} is of format {facts['format']}, not {FORMAT}.")
            if not trusted:
                _refuse_plug_ins(path, facts["parameters"])
            saved = _SAVED.validate_python(facts)
            parameters = parameters_of(saved["parameters"])
            check_archive(get_space(parameters.space), tables["archive"], parameters.objective)
            _check_trials(saved["trials"], tables["archive"], saved.get("events", ()))
            return cls(
                parameters,
                trials=saved["trials"],
                target=saved["target"],
                caution=saved["caution"],
                optimum=saved["optimum"],
                stopped=saved["stopped"],
                events=saved.get("events", ()),
                **tables,
                **_nested(tensors),
            )
        except _UNREADABLE as error:
            reason = f"{type(error).__name__}: {error}"
        except OptiProxyError as error:
            if isinstance(error, DataError):
                raise
            reason = error.message
        raise DataError(
            f"{str(path)!r} is not the saved result of a search, or is damaged: {reason}",
            path=str(path),
        )

    def __str__(self) -> str:
        """Return the answer, its value and what has to be known of that, in a line each."""
        if self.archive.empty:
            return f"No complete trial among {len(self.trials)}."
        value = value_text(self.target, self.best_value, self.optimum)
        value = f"{metric_name(self.target)} {value} after {len(self.archive)} queries"
        found = value if self.is_eligible else f"{value}, which is no answer: see is_eligible"
        return "\n".join(filter(None, [self.best_architecture, found, self.caution]))

    @property
    def _incumbent(self) -> int:
        if self.archive.empty:
            raise DataError(f"There is no answer: none of {len(self.trials)} trials is complete.")
        return self.parameters.objective.order.incumbent(self.archive)

    @property
    def _complete(self) -> dict[int, Trial]:
        """The complete trials by their row of the archive."""
        return {trial.order: trial for trial in self.trials if trial.order is not None}

    def _tensors(self) -> Iterator[tuple[str, Any]]:
        for name in _TENSORS:
            for key, tensor in getattr(self, name).items():
                yield f"{name}/{key}", tensor.contiguous()
        for step, trace in self.traces.items():
            for key, tensor in trace.items():
                yield f"traces/{step}/{key}", tensor.contiguous()


def _column(metric: str, taken: Collection[str]) -> str:
    """Return the column of a metric: its name, but "metrics.state" where a trial has a state."""
    return f"metrics.{metric}" if metric in taken else metric


def _nested(tensors: Tensors) -> dict[str, Any]:
    """Return the tensors of a saved record by field."""
    found: dict[str, Any] = {name: {} for name in (*_TENSORS, "traces")}
    for path, tensor in tensors.items():
        name, _, key = path.partition("/")
        if name == "traces":
            step, _, key = key.partition("/")
            found["traces"].setdefault(int(step), {})[key] = tensor
        else:
            found[name][key] = tensor
    return found


def _refuse_compressed(archive: zipfile.ZipFile) -> None:
    """Refuse files whose parts are larger than the file, as :meth:`SearchRecord.save` makes none.

    Raises:
        BadZipFile: a part is compressed: a small file could fill the memory.
    """
    for part in archive.infolist():
        if part.compress_type != zipfile.ZIP_STORED or part.file_size > part.compress_size:
            raise zipfile.BadZipFile(f"its part {part.filename!r} is compressed")


def _check_trials(
    trials: Sequence[Trial], archive: pd.DataFrame, events: Sequence[int | None]
) -> None:
    """Check that the complete trials are the rows of an archive, and that the events are of trials.

    Raises:
        ValueError: they are not.
    """
    complete = [trial for trial in trials if trial.state == "complete"]
    rows = sorted((trial.order, trial.architecture, trial.value) for trial in complete)
    told = zip(range(len(archive)), archive["architecture"], archive["value"], strict=True)
    if rows != list(told) or [trial.number for trial in trials] != list(range(len(trials))):
        raise ValueError("its trials are not those of its archive")
    over = [event for event in events if event is not None]
    charged = {t.number for t in trials if t.charged and t.state in ("complete", "failed")}
    if over and (len(over) != len(charged) or set(over) != charged):
        raise ValueError("its events are not those of its trials")


def _refuse_plug_ins(path: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that name modules: reading them would import these."""
    named = [
        f"{name} = {value}"
        for name, value in flatten(parameters).items()
        if isinstance(value, str) and name != "dataset" and _PLUG_IN.fullmatch(value)
    ]
    if named:
        raise DataError(
            f"{str(path)!r} names plug-ins, which would be imported ({'; '.join(named)}). If you "
            "trust the file, load(path, trusted=True).",
            plug_ins=named,
        )
