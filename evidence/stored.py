"""Results by seed in docs/evidence/: the files that the tables of a section are computed from.

One CSV a section, one line a search, in the order of the section's rows:

- ``group`` and ``row`` of the table; ``method``, ``preset`` and ``setting`` of the search;
  ``settings``: a digest of its parameters, dataset, seed and budget apart.
- ``dataset``, ``objective``, ``source``, ``seed``, ``budget``.
- ``optimum`` of the table, looked up after the search; ``queries_to_optimum``: empty where it was
  not queried. ``trials``: proposals, repeats included. ``cpu_seconds`` of the search alone.
- ``recent_kendall_tau`` of the last 20 predictions, of a method with a proxy; ``alarms``: what it
  warned of, each with its first query (docs/diagnose.md).
- ``best_<n>``: best value after n queries that may be the answer; empty where there is none, or
  the search ended before.
- ``curve``: each improvement as ``query:best``; as ``query/spent:best`` where what was spent is not
  the number of queries; as ``query:best:test`` with what else the section tells of an architecture,
  in the order of its ``options.told``.

Values have five decimals: accuracies of the tables that differ by less do so by rounding.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from evidence.collect import Evidence, Key, Told
from evidence.measures import EARLY, told_metrics, without_noise
from evidence.sections import Row, Section
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.core.numbers import TIE

STORED = Path("docs") / "evidence"
# Renderers whose tables need more than what searches found, and what that is.
BEYOND = {
    "cost": "its renderer measures time",
    "proxies": "its renderer fits proxies",
    "fidelity": "its renderer reads whole tables",
}
_LABELS = ("group", "row", "method", "preset", "setting", "settings")
_TASK = ("dataset", "objective", "source", "seed", "budget")
_FOUND = ("optimum", "queries_to_optimum", "trials", "cpu_seconds", "recent_kendall_tau")
_INTEGERS = ("seed", "budget", "trials")
_OF_RUN = (*_LABELS[2:], *_TASK, "optimum", "trials", "cpu_seconds", "recent_kendall_tau", "alarms")


class _Point(NamedTuple):
    """An improvement: ``others`` are what is told of the architecture, "" where nothing is."""

    query: int
    spent: int
    best: float
    others: tuple[str, ...] = ()


def stored_path(project: Path, section: Section) -> Path:
    """Return the place of a section's file."""
    return project / STORED / f"{section.name}.{'csv' if section.rows else 'parquet'}"


def why_not(project: Path, section: Section) -> str:
    """Return why the section's tables cannot be computed from its file; "" if they can."""
    if section.render in BEYOND:
        return BEYOND[section.render]
    path = stored_path(project, section)
    return "" if path.exists() else f"there is no {path.relative_to(project).as_posix()}"


def to_text(section: Section, evidence: Evidence) -> str:
    """Return the section's file."""
    lines = [line for row in section.rows for line in _lines(section, evidence, row)]
    table = pd.DataFrame(lines, columns=_columns(section))
    return str(table.to_csv(index=False, lineterminator="\n"))


def from_text(section: Section, text: str, project: Path) -> Evidence:
    """Return the evidence in a section's file: ``results`` has the rows of the improvements only.

    Of architectures there are names only, one an improvement.

    Raises:
        DataError: it is not the file of this section, or says of a search what does not follow
            from its curve.
    """
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    if list(table.columns) != _columns(section):
        raise _unusable(section, f"has other columns than {', '.join(_columns(section))}")
    members: dict[Key, set[str]] = {}
    seeds: dict[Key, set[int]] = {}
    told: dict[str, dict[str, float]] = {}
    runs, results = [], []
    for number, line in enumerate(table.to_dict("records"), start=2):
        key = (section.name, line["group"], line["row"])
        run_id = f"{section.name}:{number}"
        members.setdefault(key, set()).add(run_id)
        seeds.setdefault(key, set()).add(int(line["seed"]))
        try:
            facts = {name: _typed(name, line[name]) for name in _OF_RUN}
            points = list(_points(line["curve"]))
        except ValueError as error:
            raise _unusable(section, f"has a line {number} that is no search ({error})") from None
        if not points or points[0].query > 1:
            points.insert(0, _Point(1, 1, math.nan))  # nothing eligible at first
        for point in points:
            name = f"{run_id}:{point.query}"
            others = zip(told_metrics(section), point.others, strict=False)
            told[name] = {metric: float(value) for metric, value in others if value}
            results.append((run_id, facts["seed"], *point[:3], name, point.best))
        regret = facts["optimum"] - points[-1].best
        runs.append({"run_id": run_id, **facts, "regret": regret})
    for row in section.rows:
        if seeds.get((section.name, row.group, row.label)) != set(row.seed_list()):
            raise _unusable(section, f"has other seeds of {row.label!r} than {row.seeds}")
    columns = ["run_id", "seed", "query", "spent", "best", "architecture", "value"]
    evidence = Evidence(
        pd.DataFrame(results, columns=columns),
        pd.DataFrame(runs),
        {key: frozenset(ids) for key, ids in members.items()},
        project,
        told=_told_by(told),
    )
    if to_text(section, evidence) != text:
        raise _unusable(section, "says of a search what does not follow from its curve")
    return evidence


def _lines(section: Section, evidence: Evidence, row: Row) -> Iterator[dict[str, Any]]:
    """Yield the lines of a row, by dataset, objective and seed."""
    results, runs = evidence.of(section, row)
    results = results.assign(best=without_noise(results["best"]))
    improvements = {str(run_id): _improvements(one) for run_id, one in results.groupby("run_id")}
    others = _others(section, evidence, runs, improvements)
    datasets = section.datasets()
    runs = runs.sort_values(
        ["dataset", "objective", "seed"],
        key=lambda column: column.map(datasets.index) if column.name == "dataset" else column,
    )
    for run in runs.to_dict("records"):
        found = improvements[run["run_id"]]
        points = [
            _Point(query, spent, best, others.get((run["dataset"], architecture), ()))
            for query, spent, best, architecture in found.itertuples(index=False)
        ]
        optimum = float(without_noise(run["optimum"]))
        to_it = next((it.query for it in points if it.best >= optimum - TIE), None)
        line = {
            "group": row.group,
            "row": row.label,
            **{name: run[name] for name in _OF_RUN},
            "optimum": _number(optimum),
            "queries_to_optimum": "" if to_it is None else str(to_it),
            "cpu_seconds": _number(run["cpu_seconds"], 2),
            "recent_kendall_tau": _number(run["recent_kendall_tau"], 3),
        }
        for budget in _budgets(section):
            reached = [it.best for it in points if it.query <= budget <= run["budget"]]
            line[_best(budget)] = _number(reached[-1]) if reached else ""
        yield {**line, "curve": " ".join(map(_text_of, points))}


def _improvements(results: pd.DataFrame) -> pd.DataFrame:
    """Return query, spent, best and architecture of one search where its best value changes."""
    ordered = results.sort_values("query")
    before = ordered["best"].shift().fillna(-math.inf).cummax()
    return ordered[ordered["best"] > before][["query", "spent", "best", "architecture"]]


def _others(
    section: Section, evidence: Evidence, runs: pd.DataFrame, found: Mapping[str, pd.DataFrame]
) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return dataset and architecture -> what is told of it, where the section tells anything."""
    metrics = told_metrics(section)
    others: dict[tuple[str, str], tuple[str, ...]] = {}
    for (source, dataset), own in runs.groupby(["source", "dataset"]) if metrics else ():
        chosen = [it for run_id in own["run_id"] for it in found[run_id]["architecture"]]
        values = evidence.told(str(source), str(dataset), metrics, chosen)
        for place, architecture in enumerate(chosen) if values else ():
            others[str(dataset), architecture] = tuple(
                _number(values[metric][place]) if metric in values else "" for metric in metrics
            )
    return others


def _told_by(told: Mapping[str, Mapping[str, float]]) -> Told:
    """Return a function that tells what a file says of its architectures."""

    def values(_: str, __: str, metrics: Sequence[str], names: Sequence[str]) -> Any:
        of_all = [it for it in metrics if all(it in told[name] for name in names)]
        return {metric: [told[name][metric] for name in names] for metric in of_all}

    return values


def _text_of(point: _Point) -> str:
    spent = "" if point.spent == point.query else f"/{point.spent}"
    return ":".join([f"{point.query}{spent}", _number(point.best), *point.others])


def _points(curve: str) -> Iterator[_Point]:
    """Yield the improvements in a cell.

    Raises:
        ValueError: it is not of that form.
    """
    for text in curve.split():
        at, best, *others = text.split(":")
        query, _, spent = at.partition("/")
        yield _Point(int(query), int(spent or query), float(best), tuple(others))


def _typed(name: str, text: str) -> Any:
    if name in _INTEGERS:
        return int(text)
    return text if name not in _FOUND else float(text or "nan")


def _number(value: float, decimals: int = 5) -> str:
    """Return a number without zeros at its end; "" for nothing."""
    if not math.isfinite(value):
        return ""
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _columns(section: Section) -> list[str]:
    return [*_LABELS, *_TASK, *_FOUND, "alarms", *map(_best, _budgets(section)), "curve"]


def _best(budget: int) -> str:
    return f"best_{budget}"


def _budgets(section: Section) -> list[int]:
    """Return the numbers of queries at which the section is read; none where it counts epochs."""
    if "full_epochs" in section.options:
        return []
    return sorted({*EARLY, *section.budgets, *section.options.get("read_at", {}).values()})


def _unusable(section: Section, why: str) -> DataError:
    path = STORED / f"{section.name}.csv"
    return DataError(
        f"{path.as_posix()} {why}. Restore the file, or write it anew: kedro evidence "
        f"{section.name}.",
        path=str(path),
    )
