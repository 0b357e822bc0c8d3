"""From blocks of a grid to points: everything resolved and checked before anything runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kedro.framework.project import settings
from kedro.framework.session import KedroSession

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks.data_card import recorded_data
from optiproxy_nas.core.errors import ObjectiveError, OptiProxyError, ParameterError, unknown_name
from optiproxy_nas.core.mappings import flatten, merge, nested
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation.identity import digests_of
from optiproxy_nas.evaluation.prior_sources import is_score
from optiproxy_nas.methods import DEFAULT, method_of, overrides_of, parameters_of
from optiproxy_nas.pipelines.active_run import target_of
from optiproxy_nas.pipelines.benchmark_data import check_answers, ingest_missing
from optiproxy_nas.pipelines.configuration import resolve_parameters
from optiproxy_nas.pipelines.own_problem import check_problem
from optiproxy_nas.pipelines.prior import earlier_trials, with_prior, with_run_ids
from optiproxy_nas.pipelines.problem_data import load_data
from optiproxy_nas.pipelines.run_parameters import RUN_KEYS
from optiproxy_nas.runs.code_identity import names_in, software
from optiproxy_nas.runs.manifest import digest
from optiproxy_nas.sweeps.grid import Block, bad_range, check_size, expand, parse_block
from optiproxy_nas.sweeps.point import Point, enter_project, identity, quiet_logs

RUN_KINDS = ("search", "methods")
PIPELINE = "nb201_methods"  # of blocks that name none: whole in one node, and of any method


def plan(project_path: Path, blocks: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Return the points of a grid, in its order, each once; ingest tables that are missing.

    Args:
        project_path: the Kedro project.
        blocks: mappings of dotted parameter names to a scalar, a list, or text as on the command
            line ("0:100"); "pipeline" names another pipeline than ``PIPELINE``.

    Raises:
        ParameterError: an empty grid, a bad range, an unknown parameter or value.
        OptiProxyError: a source cannot answer what the objective of some points asks for; the
            message has them all.
    """
    project = enter_project(project_path)
    points = _with_earlier_runs(project, _resolve(project, blocks))
    data = {key: _data(project, group) for key, group in _grouped(points, _data_key).items()}
    return _identify(points, data)


def resolve(project_path: Path, blocks: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Return the points of :func:`plan` without ``data``; ``digest`` is of the parameters alone.

    No table is looked at, so nothing is ingested and what a source cannot answer is not found.

    Raises:
        ParameterError: as :func:`plan` does of parameters.
    """
    points = _resolve(enter_project(project_path), blocks)
    return _merged([replace(p, digest=digest([p.pipeline, p.parameters])) for p in points])


def _resolve(project: Path, grid: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Return all points, checked, without data and digest."""
    blocks = [parse_block(block) for block in grid]
    check_size(blocks)
    raw = raw_parameters(project)
    points = []
    for index, block in enumerate(blocks):
        pipeline = block.pipeline or PIPELINE
        if pipeline not in raw["pipelines"]:
            raise unknown_name("pipeline", pipeline, raw["pipelines"])
        kind = raw["pipelines"][pipeline]
        if kind not in RUN_KINDS:
            raise ParameterError(
                f"Pipeline {pipeline!r} makes no runs, so it cannot be swept.", pipeline=pipeline
            )
        for name in block.values:
            if name.partition(".")[0] in (*RUN_KEYS, "pipelines"):
                raise ParameterError(
                    f"{name!r} is no parameter of a search and cannot be in a grid: the sweep "
                    "itself names and tracks its runs, and its --executor and --workers say where "
                    "and how many run at the same time. How each trains its trials is "
                    f"evaluation in the section {pipeline}.",
                    name=name,
                )
        for flat in _presets_where_they_belong(block):
            values = nested(flat)
            given = merge(raw, {**values, "pipeline": pipeline})
            try:
                resolved = resolve_parameters(given, also=("pipeline",))
            except OptiProxyError as error:
                raise _explained(error, raw["pipelines"], pipeline, flat) from None
            search, evaluation = resolved["search"], resolved["run"]["evaluation"]
            evaluation = None if evaluation is None else EvaluationSettings(**evaluation)
            setting = ", ".join(overrides_of(parameters_of(search)))
            points.append(
                Point(pipeline, kind, values, search, setting, {}, "", (index,), evaluation)
            )
    return points


def _with_earlier_runs(project: Path, points: Sequence[Point]) -> list[Point]:
    """Return the points, those with ``prior`` with the ids and digests of these runs.

    A selector finds what there is now, so that no point learns from another of the sweep.

    Raises:
        OptiProxyError: an earlier run cannot be read, or cannot guide a point.
    """
    ids: dict[tuple[str, ...], list[str]] = {}
    data: dict[str, dict[str, Any]] = {}
    found = []
    for point in points:
        names = tuple(point.parameters.get("prior", ()))
        if not names:
            found.append(point)
            continue
        if names not in ids:
            ids[names] = with_run_ids(project, names)
        given = {"prior": ids[names]}
        values, parameters = {**point.values, **given}, {**point.parameters, **given}
        typed = parameters_of(parameters)
        assert isinstance(typed, SearchParameters)  # other methods refuse it
        seed = typed.seed if any(map(is_score, typed.prior)) else None
        decisive = [_data_key(point), typed.space, parameters["objective"], typed.prior, seed]
        if (key := digest(decisive)) not in data:
            trials = earlier_trials(project, typed, point.run_id, target_of(typed))
            data[key] = with_prior({}, trials)
        found.append(replace(point, values=values, parameters=parameters, data=data[key]))
    return found


def _presets_where_they_belong(block: Block) -> Iterator[dict[str, Any]]:
    """Yield the points of a block; a preset is left out where the method takes none.

    Of methods none of which takes one, it stays, and is refused.
    """
    methods = {str(name): method_of({"method": name}) for name in block.values.get("method", ())}
    mixed = any(method.takes_preset() for method in methods.values())
    for flat in expand(block):
        if mixed and not methods[str(flat["method"])].takes_preset():
            flat.pop("preset", None)
        yield flat


def _explained(
    error: OptiProxyError, kinds: Mapping[str, str], pipeline: str, flat: Mapping[str, Any]
) -> OptiProxyError:
    """Return what is wrong with a point, in the words of a grid, and at which one."""
    message, problems = error.message, error.data.get("problems", ())
    for problem in problems:
        value = flat.get(problem.parameter)
        if isinstance(value, str) and ":" in value and problem.kind.endswith(("_parsing", "_type")):
            return bad_range(problem.parameter, value)
    if kinds[pipeline] == "search" and flat.get("method", DEFAULT) != DEFAULT:
        message += f" (Pipeline {pipeline} runs {DEFAULT} only; use --pipeline={PIPELINE}.)"
    where = ", ".join(f"{name}={value}" for name, value in flat.items())
    return type(error)(f"{message} (At {where}.)", **error.data)


def _identify(points: Sequence[Point], data_by_key: Mapping[str, Mapping[str, Any]]) -> list[Point]:
    """Return the points with data and digest, each once."""
    by_names: dict[str, dict[str, Any]] = {}  # finding the code takes ms, and points are many
    identified = []
    for point in points:
        parameters, data = point.parameters, {**data_by_key[_data_key(point)], **point.data}
        names = digest(names_in(parameters))
        if names not in by_names:
            by_names[names] = software(parameters)
        facts = {"pipeline": point.pipeline, "parameters": parameters, "data": data}
        identified.append(replace(point, data=data, digest=identity({**facts, **by_names[names]})))
    return _merged(identified)


def _merged(points: Iterable[Point]) -> list[Point]:
    """Return one point of those that have one digest, in the order of the first."""
    merged: dict[str, Point] = {}
    for point in points:
        first = merged.get(point.digest, point)
        blocks = tuple(sorted({*first.blocks, *point.blocks}))
        merged[point.digest] = replace(first, blocks=blocks)
    return list(merged.values())


def raw_parameters(project: Path, env: str | None = None) -> dict[str, Any]:
    """Return the project's parameter files, merged, without presets and checks.

    Args:
        project: the Kedro project.
        env: the folder of conf beside base; "base" for that alone.
    """
    loader = settings.CONFIG_LOADER_CLASS(
        conf_source=str(project / settings.CONF_SOURCE),
        env=env or os.environ.get("KEDRO_ENV"),
        runtime_params={},
        **settings.CONFIG_LOADER_ARGS,
    )
    raw: dict[str, Any] = loader.raw_parameters()
    return raw


def _grouped(points: Sequence[Point], key: Callable[[Point], str]) -> dict[str, list[Point]]:
    """Return the points by their keys."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(key(point), []).append(point)
    return groups


def _data_key(point: Point) -> str:
    """Return what tells the data of points apart: their problem, or their source."""
    problem = point.parameters.get("problem")
    return str(point.parameters["source"]) if problem is None else digest(problem)


def _data(project: Path, points: Sequence[Point]) -> dict[str, Any]:
    """Return what a manifest records of the data of points, which have the same.

    Raises:
        OptiProxyError: they cannot answer what some of the points ask for.
    """
    first = points[0]
    if (problem := first.parameters.get("problem")) is None:
        source = str(first.parameters["source"])
        return _table(project, source, points)
    for point in points:
        check_problem(parameters_of(point.parameters))
    with quiet_logs():
        datasets = digests_of(load_data(project, first.pipeline, first.parameters))
    return {"problem": problem, "datasets": datasets}


def _table(project: Path, source: str, points: Sequence[Point]) -> dict[str, str]:
    """Return a source, the digests of its table and model; ingest them if they are not there.

    Raises:
        OptiProxyError: they cannot answer what some of the points ask for.
    """
    parameters = {"pipeline": "ingest", "source": source, "quiet": True}
    with quiet_logs(), KedroSession.create(project, runtime_params=parameters) as session:
        assert isinstance(session, KedroSession)
        catalog = session.load_context().catalog
        ingest_missing(project, source, catalog)
        _check_points(points, catalog)
        card = catalog.load("benchmark_card")
        return recorded_data(card, source)


def _check_points(points: Sequence[Point], catalog: Any) -> None:
    """Refuse the points of one source that it cannot answer, all of them in one message."""
    by_task = _grouped(
        points, lambda point: digest([point.parameters["dataset"], point.parameters["objective"]])
    )
    refused: list[OptiProxyError] = []
    for first, *others in by_task.values():
        try:
            check_answers(parameters_of(first.parameters), catalog)
        except OptiProxyError as error:
            where = ", ".join(f"{name}={value}" for name, value in flatten(first.values).items())
            more = f", and {len(others)} more points" if others else ""
            refused.append(type(error)(f"{error.message} (At {where}{more}.)", **error.data))
    if len(refused) > 1:
        message = "\n".join(error.message for error in refused)
        raise ObjectiveError(message, refused=len(refused))
    if refused:
        raise refused[0]
