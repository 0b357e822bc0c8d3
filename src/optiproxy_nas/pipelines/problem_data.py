"""The data of a problem outside a run, as the catalog of a project and the problem give them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optiproxy_nas.evaluation.problem_data import data_of
from optiproxy_nas.pipelines.configuration import SearchSession
from optiproxy_nas.pipelines.own_problem import catalog_names
from optiproxy_nas.pipelines.run_parameters import given_again
from optiproxy_nas.problems.resolution import resolve_problem


def load_data(project: Path, pipeline: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the datasets of the problem of a run, by name.

    Args:
        project: a Kedro project, which is entered.
        pipeline: of the run.
        parameters: what decides the run, resolved.

    Raises:
        OptiProxyError: the problem or its data cannot be used.
    """
    given = {**given_again(parameters), "pipeline": pipeline, "tracking": False, "quiet": True}
    with SearchSession.create(project, save_on_close=False, runtime_params=given) as session:
        assert isinstance(session, SearchSession)
        context = session.load_context()
        context._pipelines_to_validate = [pipeline]  # as of a run; else the types of all
        names = catalog_names(parameters["problem"], context.config_loader["catalog"])
        catalog = context.catalog
        found = {name: catalog.load(name) for name in names}
    return data_of(resolve_problem(parameters["problem"]), found)
