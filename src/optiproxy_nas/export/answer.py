"""What is said of an exported answer: the facts of ``model.json``, and the model card."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.numbers import (
    capitalised,
    difference_text,
    metric_name,
    significant,
    unit,
    value_text,
)
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.problems import VALUE
from optiproxy_nas.problems.latency import latency_text, machine_text

if TYPE_CHECKING:
    from jinja2 import Environment

FORMAT = 1  # of exported folders
_LIBRARIES = ("optiproxy-nas", "torch", "safetensors", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Answer:
    """The answer of a search, as it is exported.

    Attributes:
        parameters: of the search.
        request: the training whose weights are exported.
        target: the metric that was searched for, with its unit.
        value: of that training.
        metrics: all that it gave, by name.
        test: what the test of the answer gave, by name.
        constraints: of the objective's summary: constraint, value, margin (negative if broken).
        is_eligible: whether it is an answer; False where nothing keeps the bounds, or nothing was
            trained fully.
        confirmed: ``mean``, ``sd`` (NaN of one) and ``values`` of its confirmations, and its
            ``single`` value in the search; empty without them.
        run_id: of the run; "": of a search from Python.
        data: digests of the problem's datasets by name.
        caution: what has to be told wherever its values are shown.
        latency: measured once more, of ``Trainings.latency``; empty where there is none.
    """

    parameters: RunParameters
    request: Request
    target: str
    value: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    test: Mapping[str, Any] = field(default_factory=dict)
    constraints: Sequence[Mapping[str, Any]] = ()
    is_eligible: bool = True
    confirmed: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""
    data: Mapping[str, str | None] = field(default_factory=dict)
    caution: str = ""
    latency: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return the answer's values, bounds and training, for JSON."""
        parameters, request = self.parameters, self.request
        return {
            "format": FORMAT,
            "problem": parameters.problem,
            "space": parameters.space_name,
            "target": self.target,
            "direction": parameters.objective.direction,
            "is_eligible": self.is_eligible,
            "value": _written(self.value),
            "confirmed": {name: _written(it) for name, it in self.confirmed.items()},
            "metrics": {  # NaN: another training measured it, this one did not
                name: _written(it)
                for name, it in self.metrics.items()
                if name != VALUE and not math.isnan(it)
            },
            "test": {name: _written(it) for name, it in self.test.items()},
            "constraints": [
                {name: _written(entry.get(name)) for name in ("constraint", "value", "margin")}
                for entry in self.constraints
            ],
            "caution": self.caution,
            "latency": dict(self.latency),
            "training": {
                "trial": request.number,
                "repeat": request.repeat,
                "epochs": request.epochs,
                "seed": request.seed,
            },
            "search": search_facts(parameters, self.run_id),
            "data": dict(self.data),
            "versions": {"python": platform.python_version(), **_versions()},
        }


def search_facts(parameters: RunParameters, run_id: str = "") -> dict[str, Any]:
    """Return what is said of the search that an answer is of, for JSON."""
    return {
        "run_id": run_id,
        "dataset": parameters.dataset,
        "source": parameters.source,
        "method": parameters.method,
        "preset": parameters.preset_name,
        "objective": parameters.objective.name,
        "budget": parameters.budget,
        "unit": parameters.objective.price.unit,
        "seed": parameters.seed,
    }


def model_card(architecture: str, facts: Mapping[str, Any]) -> str:
    """Return the model card of an exported answer, in Markdown.

    Args:
        architecture: its JSON.
        facts: of ``model.json``.
    """
    problem = facts["problem"]
    name = problem["name"] if isinstance(problem, Mapping) else problem or ""
    target, value = facts["target"], facts["confirmed"].get("mean", facts["value"])
    template = _environment().get_template("model_card.md.j2")
    return template.render(
        architecture=architecture,
        title=f"{facts['search']['dataset']}: {metric_name(target)} {_shown(target, value)}",
        results=_results(facts),
        is_path=":" in name,
        **facts,
    )


def _results(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (label, text) of what was measured: confirmed value, single value, test, metrics."""
    target, confirmed = facts["target"], facts["confirmed"]
    name = capitalised(metric_name(target))
    rows = []
    if confirmed:
        mean, sd, count = confirmed["mean"], confirmed["sd"], len(confirmed["values"])
        spread = "1 training"
        if count > 1:
            spread = f"mean of {count} trainings, sd {difference_text(target, sd, mean)}"
        rows.append((f"{name}, confirmed", f"{_shown(target, mean)} ({spread})"))
        rows.append((f"{name}, in the search", _shown(target, confirmed["single"])))
    rows.append((f"{name}, of the training with these weights", _shown(target, facts["value"])))
    bounds: dict[str, list[str]] = {}
    for entry in facts["constraints"]:
        metric, bound = entry["constraint"].split(maxsplit=1)
        margin = entry["margin"]
        is_kept = isinstance(margin, int | float) and (margin > 0 or (not margin and "=" in bound))
        text = f"{bound} {unit(metric)}".rstrip()
        bounds.setdefault(metric, []).append(text if is_kept else f"{text}, broken")
    short = target.rpartition(" [")[0] or target
    for metric, number in facts["test"].items():
        label = target if metric == short else metric
        rows.append((f"Test {metric_name(label)}", _shown(label, number)))
    measured = {entry["constraint"].split()[0]: entry["value"] for entry in facts["constraints"]}
    for metric, number in {**facts["metrics"], **measured}.items():
        if metric not in (target, short):
            text = _quantity(metric, number)
            text += f" (bound: {' and '.join(bounds[metric])})" if metric in bounds else ""
            of_means = ", confirmed" if confirmed and metric in bounds else ""
            rows.append((f"{capitalised(metric_name(metric))}{of_means}", text))
    if facts["latency"]:
        rows.append(("Latency, measured again", latency_text(facts["latency"])))
        rows.append(("Latency, measured on", machine_text(facts["latency"])))
    return rows


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # only where a card is written

    made = Environment(
        loader=PackageLoader("optiproxy_nas.export"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"cell": _cell, "fence": _fence, "json": json.dumps}
    return made


def _cell(text: Any) -> str:
    """Return text as it stands in a cell of a Markdown table."""
    escaped = " ".join(str(text).split()).replace("\\", "\\\\")
    for sign in "|`*_[]":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped.replace("<", "&lt;").replace(">", "&gt;")  # MLflow shows the backslash of "\\<"


def _fence(text: str) -> str:
    """Return text as a block of code, whatever stands in it."""
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return f"{ticks}json\n{text.rstrip()}\n{ticks}"


def _shown(metric: str, number: Any) -> str:
    return value_text(metric, number) if isinstance(number, float | int) else str(number)


def _quantity(metric: str, number: Any) -> str:
    if not isinstance(number, float | int):
        return str(number)
    return f"{significant(number, 4)} {unit(metric)}".rstrip()


def _written(value: Any) -> Any:
    """Return a value for JSON, which has neither NaN nor infinities."""
    if isinstance(value, list | tuple):
        return [_written(entry) for entry in value]
    if isinstance(value, bool | str | int) or value is None:
        return value
    number = float(value)
    return number if math.isfinite(number) else str(number)


@cache
def _versions() -> dict[str, str]:
    """Return the versions of the libraries that an exported model depends on, if installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
