"""Earlier runs that guide a search: read from results, journals, tables or functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.search_parameters import OWN_EVALUATION
from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.core.random_streams import isolated, torch_generator
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.evaluation.finished_run import FinishedRun
from optiproxy_nas.evaluation.initial import read_trials
from optiproxy_nas.evaluation.journal_file import is_journal, read_records
from optiproxy_nas.evaluation.journal_table import last_attempts
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.evaluation.trial_rows import trials_as_table
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.problems import VALUE
from optiproxy_nas.proxies.prior_mean import LARGEST
from optiproxy_nas.spaces.base import SearchSpace

# Functions of (architectures, space) -> numbers, without a training.
SCORES = Registry(
    "score without a training",
    {
        "parameters": "optiproxy_nas.evaluation.zero_cost:parameters_of",
        "flops": "optiproxy_nas.evaluation.zero_cost:flops_of",
    },
)
RUN, SCORE = "run", "score"  # kinds of earlier runs


@dataclass(frozen=True)
class EarlierRun:
    """An earlier run, whatever it was read from.

    Args:
        name: for messages and reports.
        trials: one row a trial: architecture (or a column a choice), value, and what else it has;
            ``error`` or ``state`` where trials failed.
        direction: of its value; "": as in the search that it guides.
        target: the metric that its value is; "": not said.
        space: its search space, for messages.
        choices: the names of its choices, of a declared space.
        dataset: what :func:`dataset_of` returns.
        finished: whether it came to its end.
        kind: ``run``, or ``score``.
    """

    name: str
    trials: pd.DataFrame = field(repr=False)
    direction: str = ""
    target: str = ""
    space: str = ""
    choices: frozenset[str] = frozenset()
    dataset: str = ""
    finished: bool = True
    kind: str = RUN


def read_sources(prior: Any, space: SearchSpace, seed: int) -> list[EarlierRun]:
    """Return the earlier runs of ``search(prior=...)``.

    Args:
        prior: a result, a table, trials, a path or a function; or a list of these.
        space: of the search, on whose architectures functions are computed.
        seed: of the search.

    Raises:
        DataError: a file cannot be read.
        ParameterError: something else.
    """
    is_one = isinstance(prior, (SearchRecord, FinishedRun, pd.DataFrame, str, Path))
    is_one = is_one or callable(prior) or _is_trials(prior)
    sources = [prior] if is_one or not isinstance(prior, Iterable) else list(prior)
    return [_read(source, place, space, seed) for place, source in enumerate(sources)]


def _is_trials(prior: Any) -> bool:
    return (
        isinstance(prior, Sequence)
        and len(prior) > 0
        and all(isinstance(trial, Trial) for trial in prior)
    )


def _read(source: Any, place: int, space: SearchSpace, seed: int) -> EarlierRun:
    """Return one earlier run; ``place`` numbers those that have no name."""
    if isinstance(source, EarlierRun):
        return source
    if isinstance(source, str) and not source.strip():
        raise ParameterError(f"prior has an empty name, {source!r}. Leave it out.")
    if isinstance(source, str) and is_score(source):
        return named_score(source, space, seed)
    if isinstance(source, str | Path):
        return read_file(Path(source))
    if isinstance(source, SearchRecord):
        return _of_record(source, _label(source.parameters.model_dump(mode="json")))
    if isinstance(source, FinishedRun):
        return of_finished(source)
    if isinstance(source, pd.DataFrame):
        return EarlierRun(f"table {place}", last_attempts(source))
    if _is_trials(source):
        return EarlierRun(f"trials {place}", trials_as_table(source))
    if callable(source):
        name = f"{getattr(source, '__module__', '')}:{getattr(source, '__qualname__', source)}"
        return score_run(name, source, space, seed)
    raise ParameterError(
        f"prior has {source!r:.200} ({type(source).__name__}): it takes results of searches, "
        "tables and lists of trials, paths of files of one of these, and functions that score "
        "architectures without training."
    )


def read_file(path: Path) -> EarlierRun:
    """Return the earlier run of a saved result, a journal or a table.

    Raises:
        DataError: there is no such file, or it is none of these.
    """
    if not path.exists():
        raise DataError(f"prior = {path}: there is no such file.", path=str(path))
    found = read_trials(path)
    name = path.name
    if isinstance(found, SearchRecord):
        return _of_record(found, name)
    header: Mapping[str, Any] = {}
    if path.is_file() and is_journal(path):
        header = read_records(path)[0] or {}
    facts = facts_of_parameters(header)
    return EarlierRun(name, found, target=str(header.get("target", "")), **facts)


def _of_record(record: SearchRecord, name: str) -> EarlierRun:
    facts = facts_of_parameters(record.parameters.model_dump(mode="json"))
    target = "" if record.target == VALUE else record.target
    table = trials_as_table(record.trials)
    return EarlierRun(name, table, target=target, finished=bool(record.stopped), **facts)


def of_finished(run: FinishedRun) -> EarlierRun:
    """Return the earlier run of one that was read back from a store."""
    failures = pd.DataFrame(run.summary.get("failures") or [], columns=["architecture", "error"])
    table = pd.concat([run.archive, failures], ignore_index=True)
    return EarlierRun(run.run_id, table, target=run.target, **facts_of_parameters(run.parameters))


def facts_of_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return direction, space and dataset that the parameters of a run say."""
    space = parameters.get("space")
    choices = space.get("choices", {}) if isinstance(space, Mapping) else {}
    name = space.get("name", "declared") if isinstance(space, Mapping) else space
    direction = (parameters.get("objective") or {}).get("direction", "maximize")
    facts = {"space": str(name or ""), "choices": frozenset(choices)}
    facts["dataset"] = dataset_of(parameters)
    return {**facts, "direction": direction if parameters else ""}


def dataset_of(parameters: Mapping[str, Any]) -> str:
    """Return what two runs have in common whose data are the same; "": not given."""
    names = [parameters.get(name) for name in ("problem", "dataset")]
    given = [name for name in names if name is not None and name != OWN_EVALUATION]
    return json.dumps(given, sort_keys=True, default=str) if given else ""


def _label(parameters: Mapping[str, Any]) -> str:
    problem = parameters.get("problem")
    what = problem.get("name") if isinstance(problem, Mapping) else problem
    what = what or parameters.get("dataset")
    return f"{what}, {parameters.get('method')}, seed {parameters.get('seed')}"


def is_score(text: str) -> bool:
    """Return whether a text names a score: registered, or ``package.module:function``."""
    module, _, name = text.partition(":")
    is_path = bool(name) and all(part.isidentifier() for part in [*module.split("."), name])
    return text in SCORES or is_path


def named_score(name: str, space: SearchSpace, seed: int) -> EarlierRun:
    """Return the scores of a function that is registered, or named by its path."""
    function = SCORES.load(name)
    if name in SCORES:
        function = partial(function, space=space.name)
    return score_run(name, function, space, seed)


@isolated()
def score_run(name: str, function: Callable[..., Any], space: SearchSpace, seed: int) -> EarlierRun:
    """Return the scores of ``LARGEST`` random architectures as an earlier run: no training.

    Args:
        name: of the function.
        function: architectures (a list of what the space writes, or of dicts) -> as many numbers,
            of which a higher one promises a better architecture; not finite: it has none.
        space: of the search.
        seed: of the search; it draws the architectures.

    Raises:
        ParameterError: it gives something else.
    """
    codes = space.random(2 * LARGEST, torch_generator(seed, 0, "prior-scores"))
    texts = list(dict.fromkeys(space.to_string(codes)))[:LARGEST]
    try:
        given = function([space.architecture(text) for text in texts])
        values = np.asarray(list(given), dtype=np.float64)
    except Exception as error:  # of any function
        raise ParameterError(
            f"prior = {name} failed on {len(texts)} architectures, of which it is to return as "
            f"many numbers: {type(error).__name__}: {error}."
        ) from error
    if values.shape != (len(texts),):
        raise ParameterError(
            f"prior = {name} returned numbers of shape {list(values.shape)} for {len(texts)} "
            "architectures; one number each is needed."
        )
    table = pd.DataFrame({"architecture": texts, "value": values})
    table["error"] = np.where(np.isfinite(values), "", "no finite score")
    return EarlierRun(name, table, kind=SCORE, space=space.name)
