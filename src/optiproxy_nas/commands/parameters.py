"""``kedro parameters``: all parameters of a pipeline, as ``--params`` names them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import click
from kedro.framework.startup import ProjectMetadata

from optiproxy_nas.commands.command_line import clear_errors
from optiproxy_nas.core.errors import ParameterError, unknown_name
from optiproxy_nas.core.fields import described, fields_of
from optiproxy_nas.core.mappings import flatten, merge
from optiproxy_nas.methods import method_of
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.pipelines.configuration import resolve_parameters
from optiproxy_nas.pipelines.parameter_fields import (
    BRACKETS,
    LOOKING,
    Fields,
    search_fields,
    symbols_of,
)
from optiproxy_nas.spaces import space_label
from optiproxy_nas.sweeps.planning import PIPELINE, raw_parameters

WIDTH = 100  # columns of the table
_WIDEST = 24  # of a value; a longer one goes on in the next line
_GAP = 2
_OF_BENCHMARKS = ("benchmark", "source", "dataset")


class _Row(NamedTuple):
    name: str
    value: str
    default: str  # "" where it is the value
    description: str


@click.command()
@click.option("--pipeline", "-p", help="[default: nb201_search; nb201_methods with --method]")
@click.option("--preset", help="What they start from.  [default: the pipeline's]")
@click.option("--method", help="Of a pipeline *_methods.  [default: the pipeline's]")
@click.pass_obj
def parameters(
    metadata: ProjectMetadata | None, pipeline: str | None, preset: str | None, method: str | None
) -> None:
    """List all parameters of a pipeline with their values, by the names that --params takes.

    A default is shown where the value is another one: of another preset, or of conf/local.
    """
    with clear_errors():
        project = Path(metadata.project_path) if metadata else Path.cwd()
        raw = raw_parameters(project)
        if pipeline is None:
            pipeline = raw.get("pipeline", "own_search") if method is None else PIPELINE
        if pipeline not in raw["pipelines"]:
            raise unknown_name("pipeline", pipeline, raw["pipelines"])
        chosen = {"preset": preset, "method": method}
        given = {name: value for name, value in chosen.items() if value is not None}
        fields, values = _resolved(raw, pipeline, given)
        _, defaults = _resolved(raw_parameters(project, "base"), pipeline, {})
        rows = _rows(fields, values, defaults)
    click.echo(_table(rows))
    if legend := _legend(fields):
        click.echo(f"\n{legend}")
    click.echo(
        f"\nSet any of them: kedro run --pipeline={pipeline} --params=NAME=VALUE,NAME=VALUE\n"
        "or in conf/local. A list is written with semicolons, nothing as null."
    )


def _resolved(
    raw: Mapping[str, Any], pipeline: str, given: Mapping[str, str]
) -> tuple[Fields, dict[str, Any]]:
    """Return the fields of a pipeline's parameters, and their values, both by dotted name.

    Raises:
        ParameterError: the pipeline has no preset or method, or there is none of that name.
    """
    kind = raw["pipelines"][pipeline]
    if kind in LOOKING:
        if given:
            name = next(iter(given))
            raise ParameterError(f"Pipeline {pipeline!r} has no {name}: leave --{name} out.")
        fields = fields_of(LOOKING[kind])
        defaults = {name: field.get_default() for name, field in fields.items()}
        return fields, defaults | flatten(raw.get(pipeline, {}))
    resolved = resolve_parameters(merge(raw, {**given, "pipeline": pipeline}))
    search, run = resolved["search"], flatten(resolved["run"]) | {"run_id": raw.get("run_id")}
    objective = resolve_objective(search["objective"])
    settings = {name: getattr(objective, name) for name in type(objective).model_fields}
    of_problem = "problem" in search
    fields = search_fields(method_of(search), type(objective), of_problem)
    if of_problem:  # which has none of these to choose
        fields = {name: fields[name] for name in fields if name not in _OF_BENCHMARKS}
    unset = {name: None if it.is_required() else it.get_default() for name, it in fields.items()}
    of_run = {**unset, **{name: value for name, value in run.items() if name in fields}}
    texts = {"space": space_label(search["space"])}  # a declaration takes pages
    if isinstance(search.get("problem"), Mapping):
        texts["problem"] = json.dumps(search["problem"])
    return fields, of_run | flatten({"objective": settings}) | flatten(search) | texts


def _rows(fields: Fields, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[_Row]:
    """Return what is shown of each parameter; its model's default where the pipeline has none."""
    rows = []
    for name, field in fields.items():
        default = defaults[name] if name in defaults else field.get_default()
        value, usual = _text(values.get(name)), _text(default)
        rows.append(_Row(name, value, "" if usual == value else usual, described(field)))
    return rows


def _text(value: Any) -> str:
    """Return a value as ``--params`` takes it."""
    if isinstance(value, list | tuple):
        return ";".join(map(_text, value)) or "null"
    words = {True: "on", False: "off"} if isinstance(value, bool) else {None: "null"}
    return words.get(value) or str(value)


def _legend(fields: Fields) -> str:
    """Return what the paper's symbols mean that the table has; "": it has none."""
    symbols = symbols_of(fields.keys())
    width = max((len(symbol.text) for symbol in symbols), default=0)
    lines = [f"  {symbol.text:{width}}  {symbol.meaning}" for symbol in symbols]
    brackets = [BRACKETS] if len(symbols) > 1 else []
    return "\n".join(["Symbols of the paper:", *lines, *brackets]) if lines else ""


def _table(rows: Sequence[_Row]) -> str:
    """Return the rows in columns, with a blank line before those of another prefix."""
    default = "default" if any(row.default for row in rows) else ""
    rows = [_Row("parameter", "value", default, ""), *rows]
    widths = [min(max(map(len, column)), _WIDEST) for column in zip(*rows, strict=True)]
    widths[0] = max(len(row.name) for row in rows)
    widths[-1] = WIDTH - sum(width + _GAP for width in widths[:-1] if width)
    used = [width for width in widths if width]
    lines: list[str] = []
    prefix = ""
    for row in rows:
        lines += [""] * (row.name.rpartition(".")[0] != prefix)
        prefix = row.name.rpartition(".")[0]
        cells = [textwrap.wrap(c, w) or [""] for c, w in zip(row, widths, strict=True) if w]
        for parts in zip_longest(*cells, fillvalue=""):
            line = (" " * _GAP).join(f"{p:{w}}" for p, w in zip(parts, used, strict=True))
            lines.append(line.rstrip())
    return "\n".join(lines)
