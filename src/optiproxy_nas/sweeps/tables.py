"""The tables of a sweep: ``results``, one row a query, and ``runs``, one row a point.

Both are made from what the runs left on disk, in the order of the grid, so they do not depend on
who ran the points and when. ``RESULTS`` and ``RUNS`` are the documentation of the columns.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from optiproxy_nas.core.errors import ArtifactError, ResumeError
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.runs.finished import StoredRun
from optiproxy_nas.runs.manifest import Manifest, manifest_path, read_manifest, reporting_folder
from optiproxy_nas.sweeps.point import Point, identity

SCHEMA = 5  # changes when a column does

_POINT = {
    "run_id": "str",
    "pipeline": "str",
    "method": "str",  # optiproxy, random_search, ...
    "preset": "str",  # of optiproxy; "" for other methods
    "setting": "str",  # what differs from the preset or the method's defaults; "" if nothing
    "objective": "str",  # its label, as in "edgegpu_latency_ms < 4"; "" for plain accuracy
    "dataset": "str",
    "source": "str",
    "seed": "int64",
    "budget": "int64",
}
RESULTS: Mapping[str, str] = {
    **_POINT,
    "query": "int64",  # from 1: distinct architectures charged
    "spent": "int64",  # what they were charged until then, in the objective's unit
    "trials": "int64",  # proposals made until then, repeats included
    "step": "int64",
    "architecture": "str",
    "value": "float64",  # the benchmark's target: validation accuracy in percent, or another
    "best": "float64",  # best eligible so far; NaN while nothing is
}
RUNS: Mapping[str, str] = {
    "run_id": "str",
    "digest": "str",  # of what decides the run
    "status": "str",  # finished or failed
    "error": "str",  # "" where it finished
    **{name: kind for name, kind in _POINT.items() if name != "run_id"},
    "queries": "int64",  # 0 where it failed, and NaN in the columns below
    "trials": "int64",
    "failed_trials": "int64",  # charged too
    "best_architecture": "str",
    "value": "float64",  # of the answer: its confirmed mean, where it is confirmed
    "single_value": "float64",  # of the confirmed answer, in the search
    "confirmed_value": "float64",  # its mean; NaN where that breaks a bound, too
    "confirmed_sd": "float64",  # of its confirmations
    "confirmations": "int64",  # that the mean is of; 0: it is not confirmed
    "test_accuracy": "float64",  # percent; NaN where the source has none
    "optimum": "float64",  # best eligible value of the table; NaN where unknown
    "regret": "float64",  # distance of value to optimum; NaN where the answer is not eligible
    "queries_to_best": "float64",
    "recent_kendall_tau": "float64",  # of the last 20 predictions; NaN of methods without a proxy
    "alarms": "str",  # raised, each with its first query: "proxy gap at query 34"
    "seconds": "float64",  # of the search, without reading data and reporting
    "cpu_seconds": "float64",  # likewise, of the process that ran it; NaN of runs without a note
    "parameters": "str",  # all that were resolved, as JSON
}
# Nodes that are no part of a search.
_AROUND = {"load_benchmark", "load_problem", "encode", "summarise", "summarise_problem"}
_AROUND |= {"collect_diagnostics", "report", "diagnose"}


class Rows(NamedTuple):
    """What one point adds to the tables."""

    results: pd.DataFrame
    run: dict[str, Any]


def finished_manifest(project: Path, point: Point) -> Manifest | None:
    """Return the manifest of a finished point if what the tables need is intact, else None."""
    if not manifest_path(reporting_folder(project), point.run_id).exists():
        return None  # read_manifest would look through all runs to say which there are
    try:
        manifest = read_manifest(reporting_folder(project), point.run_id, point.parameters)
        if manifest["status"] != "finished" or identity(manifest) != point.digest:
            return None
        run = StoredRun(project, manifest)
        run.check(run.tables)
    except (ResumeError, ArtifactError, OSError, KeyError):
        return None
    return manifest


def finished_rows(project: Path, point: Point, manifest: Manifest) -> Rows:
    """Return the rows of a finished point."""
    stored = StoredRun(project, manifest)
    archive, proposals = stored.read().archive_by_query, stored.proposals()
    trials = _trials(archive, proposals)
    facts = _facts(point)
    results = pd.DataFrame(
        {
            **{name: np.full(len(archive), value) for name, value in facts.items()},
            "query": archive["order"] + 1,
            "trials": trials,
            **{name: archive[name] for name in ("spent", "step", "architecture", "value", "best")},
        }
    )
    summary = manifest["result"]
    names = ("queries", "best_architecture", "queries_to_best")
    run = {
        **_run(point, facts, "finished", ""),
        **{name: summary[name] for name in names},
        "value": summary[summary["target"]],
        **{name: summary.get(name, np.nan) for name in ("test_accuracy", "optimum", "regret")},
        "trials": int(trials.max(initial=0)) if proposals is None else len(proposals),
        **_confirmed(summary),
        "failed_trials": summary.get("failed_trials", 0),
        **_alarms(summary),
        "seconds": search_seconds(manifest),
        "cpu_seconds": _cpu_seconds(manifest),
    }
    return Rows(_typed(results, RESULTS), run)


def failed_rows(point: Point, error: str) -> Rows:
    """Return the rows of a point that failed: none in ``results``."""
    return Rows(_typed(pd.DataFrame(), RESULTS), _run(point, _facts(point), "failed", error))


def assemble(rows: Sequence[Rows]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ``results`` and ``runs`` of all points, in their order."""
    results = pd.concat([row.results for row in rows], ignore_index=True)
    runs = pd.DataFrame([row.run for row in rows])
    return _typed(results, RESULTS), _typed(runs, RUNS)


def search_seconds(manifest: Manifest) -> float:
    """Return the wall seconds of the search's nodes, in the session that finished the run."""
    seconds: dict[str, float] = manifest.get("seconds") or {}
    return sum(value for name, value in seconds.items() if name not in _AROUND)


def _cpu_seconds(manifest: Manifest) -> float:
    """Return the CPU seconds of the search's nodes; NaN where a run of before has no note of it."""
    seconds: dict[str, float] = manifest.get("node_cpu_seconds") or {"": np.nan}
    return sum(it for node, it in seconds.items() if node.rpartition(".")[2] not in _AROUND)


def parquet(table: pd.DataFrame) -> bytes:
    """Return a table as the bytes of a Parquet file, the same for equal tables."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _trials(archive: pd.DataFrame, proposals: pd.DataFrame | None) -> np.ndarray:
    """Return [queries] proposals made until each query."""
    if proposals is None:
        return archive["order"].to_numpy() + 1
    complete = proposals["charged"] & (proposals["order"] >= 0)
    charged = proposals[complete].sort_values("order")
    found: np.ndarray = charged["trial"].to_numpy() + 1
    return found


def _confirmed(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's summary says of the confirmation of its answer."""
    facts = {name: summary.get(name) for name in ("single_value", "confirmed_value")}
    facts["confirmed_sd"] = summary.get("confirmed_sd")
    if summary.get("feasible") is False:
        facts["confirmed_value"] = None
    numbers = {name: np.nan if value is None else value for name, value in facts.items()}
    return {**numbers, "confirmations": summary.get("confirmations", 0)}


def _alarms(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the proxy ranked at the end, and the alarms without their reasons."""
    tau = summary.get("recent_kendall_tau")
    texts = [text.partition(":")[0] for text in summary.get("alarms") or ()]
    return {"recent_kendall_tau": np.nan if tau is None else tau, "alarms": ", ".join(texts)}


def _facts(point: Point) -> dict[str, Any]:
    parameters = point.parameters
    return {
        "run_id": point.run_id,
        "pipeline": point.pipeline,
        "method": parameters["method"],
        "preset": parameters.get("preset", ""),
        "setting": point.setting,
        "objective": resolve_objective(parameters["objective"]).label,
        **{name: parameters[name] for name in ("dataset", "source", "seed", "budget")},
    }


def _run(point: Point, facts: Mapping[str, Any], status: str, error: str) -> dict[str, Any]:
    return {
        **dict.fromkeys(RUNS, np.nan),
        **facts,
        "digest": point.digest,
        "status": status,
        "error": error,
        "queries": 0,
        "trials": 0,
        "failed_trials": 0,
        "confirmations": 0,
        "best_architecture": "",
        "alarms": "",
        "parameters": json.dumps(point.parameters, sort_keys=True),
    }


def _typed(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    return table.reindex(columns=list(columns)).astype(dict(columns))
