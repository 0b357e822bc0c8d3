"""Earlier runs that guide a search: read from results, journals, tables or functions.

Whatever they were read from, they end as one table, the prior's trials: one row a trial, with
columns ``run`` (from 0), ``name``, ``kind`` (``run``, or ``score`` of a zero-cost function),
``code_0`` ... (-1: unknown), ``value`` (in the direction of this search), metrics of its objective,
and ``error`` (of a failed trial, which has no value).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError, ParameterError
from optiproxy_nas.core.random_streams import isolated, torch_generator
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.evaluation.finished_run import FinishedRun
from optiproxy_nas.evaluation.initial import read_trials, trials_as_table
from optiproxy_nas.evaluation.journal_file import is_journal, read_records
from optiproxy_nas.evaluation.journal_table import last_attempts
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems import VALUE
from optiproxy_nas.proxies.prior_mean import LARGEST, UNKNOWN, EarlierTrials, fit_prior
from optiproxy_nas.proxies.targets import make_targets
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error

# Functions of (architectures, space) -> numbers, without a training.
SCORES = Registry(
    "score without a training",
    {
        "parameters": "optiproxy_nas.evaluation.zero_cost:parameters_of",
        "flops": "optiproxy_nas.evaluation.zero_cost:flops_of",
    },
)
MOST = 10  # runs that guide a search: more would cost more time than the search itself
RUN, SCORE = "run", "score"
Source = (
    SearchRecord | FinishedRun | pd.DataFrame | Sequence[Trial] | str | Path | Callable[..., Any]
)


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
        finished: whether it came to its end.
        kind: ``run``, or ``score``.
    """

    name: str
    trials: pd.DataFrame = field(repr=False)
    direction: str = ""
    target: str = ""
    space: str = ""
    choices: frozenset[str] = frozenset()
    finished: bool = True
    kind: str = RUN


def are_given(prior: Any) -> bool:
    """Return whether ``prior=`` names any earlier run."""
    return prior is not None and not (isinstance(prior, Sequence) and not prior)


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


def read_file(path: Path) -> EarlierRun:
    """Return the earlier run of a saved result, a journal or a table.

    Raises:
        DataError: there is no such file, or it is none of these.
    """
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
    """Return direction and space that the parameters of a run say."""
    space = parameters.get("space")
    choices = space.get("choices", {}) if isinstance(space, Mapping) else {}
    name = space.get("name", "declared") if isinstance(space, Mapping) else space
    direction = (parameters.get("objective") or {}).get("direction", "maximize")
    facts = {"space": str(name or ""), "choices": frozenset(choices)}
    return {**facts, "direction": direction if parameters else ""}


def _label(parameters: Mapping[str, Any]) -> str:
    problem = parameters.get("problem")
    what = problem.get("name") if isinstance(problem, Mapping) else problem
    what = what or parameters.get("dataset")
    return f"{what}, {parameters.get('method')}, seed {parameters.get('seed')}"


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


def prior_table(
    runs: Sequence[EarlierRun], space: SearchSpace, objective: Objective, target: str
) -> pd.DataFrame:
    """Return the prior's trials: those of at most ``MOST`` runs, each run once.

    Args:
        runs: the earlier runs, oldest first.
        space: of the search.
        objective: of the search.
        target: the metric that is searched for, with its unit; ``value``: not said.

    Raises:
        ParameterError: there is none, or one is of another space, or has fewer than two complete
            trials.
    """
    if not runs:
        raise ParameterError(
            "prior names no earlier run but this one, or is an empty sequence. Name one that has "
            "finished, or leave prior out."
        )
    tables: dict[str, pd.DataFrame] = {}
    for run in runs:
        table = _trials_of(run, space, objective, target)
        digest = trials_digest(table)
        if digest in tables:
            _log.warning(
                "prior: %s has the trials of an earlier one again; it counts once.", run.name
            )
            continue
        if not run.finished:
            complete = int(table["value"].notna().sum())
            _log.warning("prior: %s has not finished; its %d trials count.", run.name, complete)
        tables[digest] = table
    kept = list(tables.values())[-MOST:]
    if len(tables) > len(kept):
        _log.warning(
            "prior: of %d runs the last %d are used, as each costs time in every step. Name those "
            "that shall be.",
            len(tables),
            len(kept),
        )
    numbered = [table.assign(run=place) for place, table in enumerate(kept)]
    return pd.concat(numbered, ignore_index=True)


def prior_facts(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return name, kind, complete and failed trials and SHA-256 of each run of the table."""
    return [
        {
            "name": str(rows["name"].iloc[0]),
            "kind": str(rows["kind"].iloc[0]),
            "trials": int(rows["value"].notna().sum()),
            "failed": int(rows["value"].isna().sum()),
            "sha256": trials_digest(rows),
        }
        for _, rows in table.groupby("run", sort=True)
    ]


def prior_lines(table: pd.DataFrame) -> tuple[str, ...]:
    """Return a line on each run: its name, how many trials it had, and their digest."""
    return tuple(
        f"{it['name']} ({it['trials']} {'scores' if it['kind'] == SCORE else 'trials'}"
        + (f", {it['failed']} failed" if it["failed"] else "")
        + f", SHA-256 {it['sha256'][:12]})"
        for it in prior_facts(table)
    )


def trials_digest(rows: pd.DataFrame) -> str:
    """Return the SHA-256 of a run's rows, but for their number and name."""
    columns = sorted(str(name) for name in rows if name not in ("run", "name"))
    text = rows[columns].to_csv(index=False, float_format="%.17g", lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def fitted_prior(
    space: SearchSpace, table: pd.DataFrame, objective: Objective, targets: str
) -> Tensors:
    """Return the tensors that guide a search, of :func:`~.prior_mean.fit_prior`.

    Args:
        space: of the search.
        table: the prior's trials.
        objective: of the search.
        targets: the target transformation (``FitSettings.targets``).
    """
    names = [f"code_{place}" for place in range(space.code_length)]
    runs, scores = [], []
    for _, rows in table.groupby("run", sort=True):
        complete = rows[rows["value"].notna()].reset_index(drop=True)
        is_score = complete["kind"].iloc[0] == SCORE
        codes = torch.from_numpy(complete[names].to_numpy(dtype=np.int64, copy=True))
        name = "rank" if is_score else targets
        runs.append(EarlierTrials(codes, _targets(objective, complete, name, is_score)))
        scores.append(is_score)
    with isolated():
        return fit_prior(space, runs, scores)


def _targets(objective: Objective, table: pd.DataFrame, name: str, is_score: bool) -> Tensor:
    """Return targets [H, n]: of all heads where a run has all metrics, else of the value."""
    metrics = objective.metrics
    if metrics and not is_score and table[list(metrics)].notna().to_numpy().all():
        return objective.task.targets(table.assign(step=0), name)
    values = table["value"].to_numpy(dtype=np.float64)
    goodness = values if is_score else objective.order.sign * values
    targets = torch.full((objective.task.heads, len(table)), torch.nan)
    targets[0] = make_targets(goodness, name)
    return targets


def _trials_of(
    run: EarlierRun, space: SearchSpace, objective: Objective, target: str
) -> pd.DataFrame:
    """Return a run's trials as rows of the prior's, without their number."""
    trials = run.trials.loc[:, ~run.trials.columns.duplicated()].reset_index(drop=True)
    values, sign = _values(run, trials, objective, target)
    codes = _codes(run, trials, space)
    found = pd.DataFrame({"name": run.name, "kind": run.kind}, index=trials.index)
    found = found.join(pd.DataFrame(codes.numpy()).add_prefix("code_"))
    error = trials["error"] if "error" in trials else pd.Series(None, trials.index, dtype=object)
    failed = error.map(lambda text: isinstance(text, str) and text != "").to_numpy(dtype=bool)
    values = np.where(failed | ~np.isfinite(values), np.nan, sign * values)
    found["value"] = values
    for metric in objective.metrics:
        found[metric] = pd.to_numeric(trials[metric], "coerce") if metric in trials else np.nan
    found["error"] = np.where(failed, error.astype(str), "")
    is_over = failed | np.isfinite(values)
    if "state" in trials:
        is_over &= ~trials["state"].isin(["waiting", "running"]).to_numpy()
    is_over &= (codes != UNKNOWN).any(1).numpy()
    if "epochs" in trials and trials["epochs"].notna().any():  # a rung's values compare
        rung = trials["epochs"].mode().iloc[-1]
        is_over &= (trials["epochs"] == rung).to_numpy()
    found = found[is_over].drop_duplicates([f"code_{i}" for i in range(codes.shape[1])])
    complete = int(found["value"].notna().sum())
    if complete < 2:
        raise ParameterError(
            f"prior: {run.name} has {complete} complete trials of a finite value; an earlier run "
            "needs two at least. Leave it out.",
            run=run.name,
        )
    return found.reset_index(drop=True)


def _values(
    run: EarlierRun, trials: pd.DataFrame, objective: Objective, target: str
) -> tuple[Any, float]:
    """Return the values [n] of a run's trials, and the sign that turns them to this search's.

    Where a run searched for something else and has this search's metric too, it is that metric.
    """
    name, sign = target.partition(" [")[0], 1.0
    column = VALUE if VALUE in trials else name
    if run.kind == RUN and name != VALUE and name in trials and not _is_same(run.target, name):
        column = name
    elif run.direction and run.kind == RUN and run.direction != objective.direction:
        sign = -1.0
    if column not in trials:
        names = ", ".join(map(str, trials.columns))
        raise DataError(
            f"prior: {run.name} has no column {VALUE!r}"
            + (f" or {name!r}" if name != VALUE else "")
            + f" among {names}.",
            run=run.name,
        )
    return pd.to_numeric(trials[column], "coerce").to_numpy(dtype=np.float64), sign


def _is_same(target: str, name: str) -> bool:
    return target.partition(" [")[0] in ("", VALUE, name)


def _codes(run: EarlierRun, trials: pd.DataFrame, space: SearchSpace) -> Tensor:
    """Return the codes [n, L] of a run's trials, ``UNKNOWN`` where a choice is not shared.

    Raises:
        ParameterError: the run is of another space.
    """
    given = _architectures(trials, run, space)
    choices = getattr(space, "choices", None)
    try:
        return space.from_string(given)
    except InvalidArchitectureError as error:
        if not isinstance(choices, Mapping):
            raise _of_another_space(run, space, error.message) from None
    options = {
        name: {_key(it): n for n, it in enumerate(c.options, 1)} for name, c in choices.items()
    }
    architectures = [_as_dict(one) for one in given]
    before = run.choices or frozenset(name for one in architectures for name in one)
    if not before & options.keys():
        raise _of_another_space(run, space, "no choice of it has the name of one here")
    rows = [
        [
            numbers.get(_key(one[name]), UNKNOWN)
            if name in one
            else (0 if name in before and choices[name].when else UNKNOWN)
            for name, numbers in options.items()
        ]
        for one in architectures
    ]
    codes = torch.tensor(rows, dtype=torch.int64).reshape(-1, space.code_length)
    if not bool((codes > 0).any()):
        raise _of_another_space(run, space, "the choices of its names have other options")
    return codes


def _architectures(trials: pd.DataFrame, run: EarlierRun, space: SearchSpace) -> list[Any]:
    if "architecture" in trials:
        return trials["architecture"].tolist()
    names = [name for name in trials if name in (run.choices or space.node_labels)]
    if not names:
        raise DataError(
            f"prior: {run.name} has no column 'architecture', nor one of a choice.", run=run.name
        )
    rows = trials[names].astype(object).where(trials[names].notna(), None).to_dict("records")
    return [{name: it for name, it in row.items() if it is not None} for row in rows]


def _as_dict(architecture: Any) -> Mapping[str, Any]:
    if isinstance(architecture, str):
        try:
            architecture = json.loads(architecture)
        except ValueError:
            return {}
    return architecture if isinstance(architecture, Mapping) else {}


def _key(option: Any) -> str:
    """Return what two equal options have in common: 1 and 1.0 are, 1 and True are not."""
    is_number = isinstance(option, int | float) and not isinstance(option, bool)
    if is_number and math.isfinite(option):
        return f"{float(option)!r}"
    return json.dumps(option, sort_keys=True, default=str)


def _of_another_space(run: EarlierRun, space: SearchSpace, why: str) -> ParameterError:
    what = f"space {run.space!r}" if run.space else "another space"
    return ParameterError(
        f"prior: {run.name} is of {what}, not of {space.name!r}: {why:.300}. Leave it out; a "
        "declared space takes earlier runs on spaces that share choices with it by name and value.",
        run=run.name,
    )
