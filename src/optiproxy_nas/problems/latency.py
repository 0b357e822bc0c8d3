"""The latency of a problem's networks: whether it can be measured, and measuring it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.numbers import significant
from optiproxy_nas.measuring.latency import (
    Latency,
    fastest_ms,
    floor_ms,
    measure_latency,
    runner,
)
from optiproxy_nas.measuring.latency_settings import LatencySettings
from optiproxy_nas.measuring.machine import only_measurement
from optiproxy_nas.problems.base import Problem
from optiproxy_nas.problems.building import checked_build, drawn_architecture, example_of

if TYPE_CHECKING:
    from optiproxy_nas.objectives.base import Objective

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
_FAR = 10  # times a bound: what takes as long is said to be far above it
FILE = "latency.json"  # in the folder of a trial: all that was measured, the machine and its load


def latency_metrics(problem: Problem) -> tuple[str, ...]:
    """Return the metrics that measuring adds to those of a problem."""
    return () if problem.latency is None else problem.latency.metrics


def check_latency(problem: Problem, objective: Objective, device: str) -> None:
    """Refuse what cannot be measured, before anything is trained.

    The network of one architecture is run; it is drawn at random, always the same one.

    Args:
        problem: of a search, with or without a latency.
        objective: of the search, whose bounds are looked at.
        device: of the trials.

    Raises:
        ParameterError: onnxruntime is missing or does not run on the device, networks cannot be
            built, or an upper bound is below the latency of a network that does nothing.
        ConversionError: the network cannot be written as ONNX.
    """
    settings = problem.latency
    if settings is None:
        return
    where = _device(settings, device)
    model = checked_build(problem, drawn_architecture(problem))
    run = runner(model, example_of(problem), settings, where)
    upper = [
        bound
        for bound in objective.bounds
        if bound.metric in settings.metrics[:2] and bound.operator.startswith("<")
    ]
    least = floor_ms(settings, where) if upper else 0.0
    found = fastest_ms(run, settings, where, 3) if upper else 0.0
    for bound in upper:
        if bound.bound < least:
            raise ParameterError(
                f"The bound '{bound}' is below anything that can be measured: a network that does "
                f"nothing takes {least:.3g} ms here ({settings.runtime} on {where}). No trial was "
                "made.",
                metric=bound.metric,
                least=least,
            )
        if found > _FAR * bound.bound:
            _log.warning(
                "The bound '%s' is far below what a network drawn at random takes here, %.3g ms: "
                "perhaps none of the space keeps it.",
                bound,
                found,
            )


def with_latency(
    problem: Problem,
    architecture: Any,
    folder: Path,
    device: str,
    answer: Any,
    pause_others: Callable[[], Any] = lambda: None,
) -> Any:
    """Return the answer of a training with the latency of its network among the metrics.

    Args:
        problem: that was trained.
        architecture: as ``evaluate`` got it.
        folder: of the trial, in which a file says what was measured.
        device: of the trial.
        answer: what ``evaluate`` gave; its own metrics of these names stand.
        pause_others: is called once no other process measures, and returns when nothing else
            disturbs.

    Raises:
        OptiProxyError: the network cannot be built or measured.
    """
    settings = problem.latency
    metrics = dict(answer) if isinstance(answer, Mapping) else {problem.target.name: answer}
    if settings is None or answer is None or set(settings.metrics[:2]) <= set(metrics):
        return answer
    model = checked_build(problem, architecture)
    with only_measurement():
        pause_others()
        found = _measured(problem, settings, model, device)
    text = json.dumps(latency_facts(found), indent=1) + "\n"
    with suppress(OSError):  # the training took its folder away
        (folder / FILE).write_text(text, encoding="utf-8")
    return {**found.metrics(settings), **metrics}


def answer_latency(
    problem: Problem, model: nn.Module, device: str, searched: Mapping[str, float]
) -> dict[str, Any]:
    """Return the latency of the answer's network, measured once more after the search.

    Args:
        problem: of the search.
        model: the trained network.
        device: of the trials.
        searched: metrics of the answer in the search, or their means.

    Returns:
        What :func:`latency_facts` does, and ``searched_ms``, the quantile in the search (None where
        it is not among the metrics). Empty where no latency is measured.

    Raises:
        OptiProxyError: it cannot be measured.
    """
    if (settings := problem.latency) is None:
        return {}
    found = _measured(problem, settings, model, device)
    return {**latency_facts(found), "searched_ms": searched.get(settings.metrics[1])}


def latency_facts(found: Latency) -> dict[str, Any]:
    """Return a latency for JSON: all that it has, its precision, the machine and its load."""
    facts = found._asdict() | {"precision": found.precision, "machine": found.machine._asdict()}
    for name in ("median_interval", "quantile_interval"):
        facts[name] = list(facts[name])
    return facts | {"load": None if math.isnan(found.load) else found.load}


def latency_text(facts: Mapping[str, Any]) -> str:
    """Return ``90 % quantile 0.231 ms, median 0.219 ms (+- 9 %); 0.225 ms in the search``.

    Args:
        facts: of :func:`answer_latency`.
    """
    text = (
        f"{100 * facts['quantile']:g} % quantile {significant(facts['quantile_ms'])} ms, median "
        f"{significant(facts['median_ms'])} ms (+- {100 * facts['precision']:.0f} %)"
    )
    before = facts["searched_ms"]
    return text if before is None else f"{text}; {significant(before)} ms in the search"


def machine_text(facts: Mapping[str, Any]) -> str:
    """Return ``AMD EPYC, 2 cores; torch on cpu, 1 thread; load 0.4; 60 % of its usual speed``.

    Args:
        facts: of :func:`answer_latency`.
    """
    where, threads, load = facts["machine"], facts["threads"], facts["load"]
    text = f"{where['processor']}, {where['cores']} cores; {facts['runtime']} on {where['device']}"
    text += f", {threads} thread{'s' if threads > 1 else ''}"
    text += "" if load is None else f"; load {load:.1f}"
    speed = facts.get("speed", 1.0)  # which files of before lack
    return text if speed == 1 else f"{text}; {100 * speed:.0f} % of its usual speed"


def warn_of_noise(problem: Problem, metrics: Mapping[str, Any]) -> bool:
    """Warn of a latency that is less precise than asked for; return whether it is."""
    if problem.latency is None:
        return False
    wanted, reached = problem.latency.precision, metrics.get(problem.latency.metrics[2])
    is_imprecise = isinstance(reached, float) and reached > wanted
    if is_imprecise:
        _log.warning(
            "A latency is less precise than the %.1f %% asked for: the machine is too busy or "
            "slower than usual, or latency.seconds too few. It stands, as do others; %s says how "
            "precise each is, and %s in the folder of its trial at which speed the machine ran.",
            100 * wanted,
            problem.latency.metrics[2],
            FILE,
        )
    return is_imprecise


def _measured(
    problem: Problem, settings: LatencySettings, model: nn.Module, device: str
) -> Latency:
    return measure_latency(model, example_of(problem), settings, _device(settings, device))


def _device(settings: LatencySettings, device: str) -> str:
    return "cpu" if settings.runtime == "onnxruntime" else device
