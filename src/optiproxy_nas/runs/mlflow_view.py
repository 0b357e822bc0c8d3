"""How a run looks in MLflow's pages: its name, its parameters, its note, the columns of the list.

MLflow 3 opens an experiment on a page for language models, which shows no run. The address of
:func:`run_list` opens the list of runs, with the columns and the first chart that the tags of
:func:`experiment_tags` name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from optiproxy_nas.algorithm.search_parameters import OWN_EVALUATION, RunParameters
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.methods import overrides_of
from optiproxy_nas.spaces import space_label

NOTE = "mlflow.note.content"  # a tag: MLflow's description of a run, in Markdown
UI_COMMAND = "kedro mlflow-ui"
VIEW = "optiproxy"  # the key of the shared view that an experiment's tag holds
MOST = 5000  # letters of a tag, which every store takes
# Of the view: curves against queries, whose names have no prefix, stand first among the charts;
# MLflow itself puts them behind those of final/, seconds/ and step/. It makes the charts.
_CHARTS = {
    "compareRunCharts": [],
    "compareRunSections": [
        {"uuid": "curves", "name": "Model metrics", "display": True, "isGenerated": True}
    ],
    "isAccordionReordered": True,
}
# What a person compares; also each setting that is not the preset's.
COMPARED = ("method", "preset", "dataset", "source", "space", "problem", "seed", "budget")


def run_list(base: str, experiment_id: str) -> str:
    """Return the address of an experiment's list of runs.

    Args:
        base: of the server, ``http://127.0.0.1:5000``.
        experiment_id: MLflow's.
    """
    query = {"viewStateShareKey": VIEW, "workflowType": "machine_learning"}
    return f"{base.rstrip('/')}/#/experiments/{quote(experiment_id)}/runs?{urlencode(query)}"


def title(parameters: RunParameters) -> str:
    """Return the name of a run in MLflow: method, dataset or problem, seed.

    The preset stands beside the method, unless it is the default one.
    """
    preset = parameters.preset_name
    method = parameters.method.rpartition(":")[2]
    method += f"/{preset}" if preset not in ("", "default") else ""
    of_user = parameters.dataset == OWN_EVALUATION
    what = parameters.space_name if of_user else parameters.dataset
    return f"{method} {what} seed {parameters.seed}"


def compared(parameters: RunParameters, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that MLflow shows; the manifest, an artifact, has all of them.

    Args:
        parameters: of the run.
        recorded: the same as its manifest has them.

    Returns:
        what a person compares, the objective's settings, and what differs from the preset.
    """
    flat = flatten(recorded) | {"space": space_label(recorded["space"])}
    changed = {line.partition(" = ")[0] for line in overrides_of(parameters)}
    return {
        name: value
        for name, value in flat.items()
        if value is not None
        and (name.partition(".")[0] in (*COMPARED, "objective") or name in changed)
    }


def experiment_tags(target: str, is_maximised: bool) -> dict[str, str]:
    """Return the tags by which MLflow shows a search's runs: the first chart, and the columns.

    Args:
        target: the metric that the runs search for.
        is_maximised: whether higher values of it are better.
    """
    columns = [
        *(f"attributes.`{name}`" for name in ("Dataset",)),
        *(f"metrics.`final/{name}`" for name in (target, "queries", "queries_to_best", "regret")),
        *(f"params.`{name}`" for name in ("method", "preset", "seed", "budget")),
        "tags.`run_id`",
    ]
    return {
        "mlflow.experiment.primaryMetric.name": f"best_{target}",
        "mlflow.experiment.primaryMetric.greaterIsBetter": json.dumps(is_maximised),
        f"mlflow.sharedViewState.{VIEW}": json.dumps({"selectedColumns": columns, **_CHARTS}),
    }


def note(text: str, lines: Iterable[str], picture: str, mlflow_id: str) -> str:
    """Return the description of a run, in Markdown.

    Args:
        text: what it found, as sentences.
        lines: shown as they are, in a fixed width.
        picture: the path of an image among its artifacts; "": there is none.
        mlflow_id: MLflow's id of the run.
    """
    code = "\n".join(f"    {line}" for line in lines)
    query = urlencode({"path": picture, "run_uuid": mlflow_id})
    shown = f"![the best value against the queries](get-artifact?{query})" if picture else ""
    return "\n\n".join(filter(None, [text, code, shown]))[:MOST]
