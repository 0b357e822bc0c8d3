"""A user's problem in a run: its data from the catalog, its trials in a journal, its result.

Whatever was trained is in the journal before a node is stored, so a run that goes on, or that is
audited, takes it from there.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial, update_wrapper
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import CatalogConfigResolver
from kedro.pipeline import Node

from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.core.errors import JournalError, ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.core.secrets import mask_file
from optiproxy_nas.evaluation.identity import Digests, digests_of
from optiproxy_nas.evaluation.journal_table import (
    read_journal,
)
from optiproxy_nas.evaluation.problem_data import data_of
from optiproxy_nas.execution.devices import device_here
from optiproxy_nas.pipelines.run_evaluator import RunEvaluator
from optiproxy_nas.problems import Problem
from optiproxy_nas.problems.building import check_build
from optiproxy_nas.problems.latency import check_latency
from optiproxy_nas.problems.resolution import check_metrics, resolve_problem
from optiproxy_nas.runs.datasets.files import TrialFiles
from optiproxy_nas.runs.manifest import CONFIRMATIONS

# Datasets that a run itself writes or reads, by name.
RESERVED = frozenset(
    {"encoding", "journal", "space", "evaluate", "data_digests"}
    | {"benchmark_table", "benchmark_model"}
)


def problem_node(function: Callable[..., Any], names: tuple[str, ...]) -> Node:
    """Return the node that loads a problem, with its datasets of these names from the catalog."""
    load = update_wrapper(partial(function, names=names), function)
    inputs = ["journal", "params:search", "params:run", *names]
    return Node(load, inputs, ["evaluate", "data_digests"], name="load_problem")


def load_problem(
    files: TrialFiles,
    search: SearchParameters,
    run: dict[str, Any],
    *datasets: Any,
    names: tuple[str, ...],
) -> tuple[RunEvaluator, Digests]:
    """Return what trains the trials of a problem, and the digests of its ``datasets``."""
    return open_problem(search, run, files, names, datasets)


def open_problem(
    parameters: RunParameters,
    run: Mapping[str, Any],
    files: TrialFiles,
    names: Sequence[str],
    datasets: Sequence[Any],
) -> tuple[RunEvaluator, Digests]:
    """Return what trains the trials of a run, and the digests of its data.

    Args:
        parameters: of the run, which name the problem.
        run: parameters of the run itself.
        files: of its trials.
        names: of the datasets that the catalog gives.
        datasets: these.

    Raises:
        OptiProxyError: the problem, its data or the journal cannot be used.
    """
    problem = resolve_problem(parameters.problem)
    check_metrics(problem, parameters.objective)
    try:
        data = data_of(problem, dict(zip(names, datasets, strict=True)))
    except ParameterError as error:
        raise _missing(problem, error.data.get("missing", ()), names) from error
    settings = EvaluationSettings.model_validate(run["evaluation"])
    evaluator = RunEvaluator(problem, data, parameters, settings, files, bool(run["replay"]))
    return evaluator, digests_of(data)


def check_problem(
    parameters: RunParameters,
    runner: str = "",
    entries: Collection[str] | None = None,
    evaluation: Mapping[str, Any] | None = None,
) -> None:
    """Refuse a run on a problem before anything is trained.

    Args:
        parameters: of the run.
        runner: Kedro's, by name.
        entries: of the catalog; None: not known yet.
        evaluation: settings of the trainings; None: nothing is trained now.

    Raises:
        ParameterError: a bound on what the problem does not measure or on a latency that nothing
            keeps, a dataset that is not there, networks that cannot be built, or a runner whose
            processes would each train.
    """
    problem = resolve_problem(parameters.problem)
    check_metrics(problem, parameters.objective)
    given = problem.datasets if entries is None else entries
    missing = [name for name in problem.datasets if name not in given]
    if missing and type(problem).load is Problem.load:
        raise _missing(problem, missing, given)
    if runner.rpartition(".")[2].startswith("ParallelRunner"):
        raise ParameterError(
            "A problem is trained by one process that holds its journal; ParallelRunner has "
            "several. Leave --runner out; evaluation.workers=2 trains two trials at a time."
        )
    check_build(problem)
    if evaluation is not None:
        device = device_here(EvaluationSettings.model_validate(evaluation))
        check_latency(problem, parameters.objective, device)


def _missing(problem: Problem, missing: Sequence[str], entries: Collection[str]) -> ParameterError:
    """Return the error of datasets that neither the catalog nor the problem has."""
    name = type(problem).__name__
    near = difflib.get_close_matches(missing[0], entries, n=1) if missing else []
    hint = f" The nearest entry is {near[0]!r}." if near else ""
    return ParameterError(
        f"Problem {name!r} reads the dataset {', '.join(map(repr, missing))}, of which the catalog "
        f"has no entry and which load() of the problem does not give.{hint} Add an entry of that "
        "name to conf/base/catalog.yml, or to a file catalog_*.yml beside it.",
        missing=list(missing),
        suggestion=near[0] if near else None,
    )


def trial_tables(artifacts: Iterable[str]) -> list[str]:
    """Return the last tables of trials that a run has stored, by their names in the catalog."""
    stored = list(artifacts)
    of_search = [name for name in stored if not name.startswith("confirm.")]
    kinds = (".archive", ".evaluations", ".failed")
    found = ([name for name in of_search if name.endswith(kind)] for kind in kinds)
    last = [max(names, key=lambda name: (len(name), name)) for names in found if names]
    return [*last, *[CONFIRMATIONS] * (CONFIRMATIONS in stored)]


def check_journal(files: TrialFiles, stored: Iterable[pd.DataFrame]) -> None:
    """Refuse a journal that lacks trials of the steps that a run has stored.

    Args:
        files: of the run's trials.
        stored: the tables of :func:`trial_tables`.

    Raises:
        JournalError: it lacks some, is not there, or was edited.
    """
    tables = [table for table in stored if len(table)]
    if not tables:
        return
    journal = set(_trained(read_journal(files.journal)))
    names = dict.fromkeys(name for table in tables for name in _trained(table))
    if missing := [name for name in names if name not in journal]:
        raise JournalError(
            f"The journal {str(files.journal)!r} lacks {len(missing)} of the {len(names)} trials "
            f"whose steps are stored, the first of {missing[0][0]:.120}: lines at its end are "
            "missing. Nothing was changed.",
            names=[architecture for architecture, *_ in missing],
        )


def _trained(table: pd.DataFrame) -> Iterator[tuple[str, int, int]]:
    """Yield architecture, epochs (0 where there is one fidelity) and repeat of each training."""
    epochs = table["epochs"].fillna(0) if "epochs" in table else [0] * len(table)
    repeats = table["repeat"] if "repeat" in table else [0] * len(table)
    yield from zip(table["architecture"], map(int, epochs), map(int, repeats), strict=True)


def output_files(files: TrialFiles) -> list[tuple[Path, str]]:
    """Return (file, folder) of what the trials wrote, masked, and of the test of the answer."""
    found = [(path, f"trials/{path.parent.name}") for path in files.folder.glob("*/output.txt")]
    for path, _ in found:
        mask_file(path)
    return sorted(found) + ([(files.test, "")] if files.test.exists() else [])


def catalog_names(problem: Any, catalog: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the datasets of a problem that the catalog has; the problem loads the others.

    Args:
        problem: by its name, with its settings.
        catalog: the configuration of the project's. A dataset factory of it counts, but for one
            that matches every name.

    Raises:
        ParameterError: one is called like a dataset of a run.
    """
    factories = {
        name: {"type": entry["type"]}
        for name, entry in catalog.items()
        if CatalogConfigResolver.is_pattern(name) and "type" in entry
    }
    # Without patterns for the runtime Kedro warns, and takes its default all the same.
    resolver = CatalogConfigResolver(factories, default_runtime_patterns={})
    found = tuple(
        name
        for name in resolve_problem(problem).datasets
        if name in catalog or resolver.match_dataset_pattern(name)
    )
    if reserved := [name for name in found if name in RESERVED]:
        raise ParameterError(
            f"The problem reads {reserved[0]!r} of the catalog, which is a dataset of every run. "
            "Give its entry another name.",
            name=reserved[0],
        )
    return found
