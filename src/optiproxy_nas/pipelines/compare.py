"""Compare: finished runs, read back from MLflow, on one page.

Parameters (which runs, read after how many queries, under which name), nodes and pipeline.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import pandas as pd
from pydantic import BeforeValidator, Field

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import StrictModel
from optiproxy_nas.core.validation import validate
from optiproxy_nas.evaluation.finished_run import FoundRuns
from optiproxy_nas.pipelines.project_pipeline import ProjectPipeline, pipeline_of_nodes
from optiproxy_nas.pipelines.run_parameters import GIVEN
from optiproxy_nas.report import compare as comparisons
from optiproxy_nas.report.compare import Comparison
from optiproxy_nas.report.style import png
from optiproxy_nas.runs.run_names import check_name
from optiproxy_nas.spaces import get_space

SELECTORS = ("experiment", "runs", "sweep", "filter")
LONGEST_NAME = 80


def items(value: Any) -> list[Any]:
    """Return a list; semicolons or blanks separate too (a comma ends a ``--params`` item)."""
    values = value if isinstance(value, list | tuple) else [] if value is None else [value]
    split = [re.split(r"[;\s]+", part) if isinstance(part, str) else [part] for part in values]
    return list(dict.fromkeys(item for part in split for item in part if item != ""))


def _budgets(value: Any) -> list[int]:
    found = items(value)
    for item in found:
        if not str(item).isdecimal() or int(item) < 1:
            raise ValueError(f"{item!r} is no number of queries from 1 on, as in budgets=100;192")
    return sorted({int(item) for item in found})


class ComparisonSettings(StrictModel):
    """Which runs are compared, and where."""

    experiment: str | None = Field(
        default=None, min_length=1, description="MLflow experiment: the name of a pipeline"
    )
    runs: Annotated[list[str], BeforeValidator(items)] = Field(
        default=[], description="run ids, ours or MLflow's: runs=ID1;ID2"
    )
    sweep: str | None = Field(default=None, min_length=1, description="name of a sweep: its runs")
    filter: str | None = Field(
        default=None, min_length=1, description="MLflow's search syntax: params.seed = '0'"
    )
    budgets: Annotated[list[int], BeforeValidator(_budgets)] = Field(
        default=[],
        description="queries after which runs are compared: budgets=100;192; null: the least and "
        "the most of all",
    )
    name: str | None = Field(
        default=None, min_length=1, description="of the page; null: from the choice of runs"
    )


def create_pipeline() -> ProjectPipeline:
    """Return the pipeline: read runs back, compare, draw, write the page.

    Inputs: ``compared_runs`` (of the MLflow store) and ``params:compare``.
    """
    return pipeline_of_nodes(
        "compare",
        (compare_runs, ["compared_runs", "params:compare"], "comparison"),
        (tabulate_comparison, "comparison", ["comparison.results", "comparison.paired"]),
        (draw_comparison, "comparison", ["comparison.best_so_far", "comparison.run_length"]),
        (write_comparison, "comparison", "comparison.page"),
    )


def compare_runs(found: FoundRuns, compare: Mapping[str, Any]) -> Comparison:
    """Sort the runs into panels and groups, with all tables."""
    return comparisons.compare(found, compare["budgets"], compare["name"])


def tabulate_comparison(comparison: Comparison) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the results and the paired tests of all panels, as numbers for other programs."""
    return comparison.table("results"), comparison.table("paired")


def draw_comparison(comparison: Comparison) -> tuple[bytes, bytes]:
    """Draw the best so far and the run length of all panels side by side, as PNG."""
    panels = comparison.curves
    return png(comparisons.best_so_far(panels)), png(comparisons.run_lengths(panels))


def write_comparison(comparison: Comparison) -> str:
    """Write the page, whole."""
    first = comparison.panels[0].runs[0]
    return comparisons.comparison_page(comparison, get_space(first.parameters["space"]))


def resolve(
    values: Mapping[str, Any], run: dict[str, Any], also: Iterable[str] = GIVEN
) -> dict[str, Any]:
    """Return ``params:compare``; sets the run's ``selection`` and ``name``. A comparison is no run.

    Raises:
        ParameterError: a parameter that a comparison has not; no runs are chosen, or by two ways
            that exclude each other; or a value is of the wrong kind.
    """
    if run.get("run_id") is not None:
        raise ParameterError("A comparison has no run_id; name=NAME names its page.")
    # A run's own "sweep" (the one that it belongs to) goes by the same name.
    sweep = run.get("sweep")
    given = dict(values) if sweep is None else {**values, "sweep": sweep}
    settings = validate(ComparisonSettings, given, [name for name in also if name != "run_id"])
    chosen = {name: getattr(settings, name) for name in SELECTORS}
    selection = {name: value for name, value in chosen.items() if value}
    if not selection:
        raise ParameterError(
            "Which runs are to be compared? Choose by experiment=nb201_search, by runs=ID1;ID2, by "
            "sweep=NAME or by filter=\"params.seed = '0'\" (quote the whole argument in a shell)."
        )
    if "runs" in selection and len(selection) > 1:
        raise ParameterError(
            "Parameter 'runs' names the runs; experiment, sweep and filter cannot be added to it."
        )
    name = settings.name or _name_of(selection)
    run["selection"], run["name"] = selection, check_name("Parameter 'name'", name)
    return {"compare": {"budgets": settings.budgets, "name": name}}


def _name_of(selection: Mapping[str, Any]) -> str:
    """Return a file name from what was chosen: a digest of several ids; a long name is cut."""
    runs = selection.get("runs", [])
    if len(runs) > 1:
        return f"runs-{_digest(sorted(runs))}"
    terms = [selection[key] for key in ("experiment", "sweep", "filter") if key in selection]
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join([*terms, *runs])).strip("-._") or "comparison"
    if len(slug) <= LONGEST_NAME:
        return slug
    return f"{slug[: LONGEST_NAME - 9].rstrip('-._')}-{_digest(selection)}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
