"""Whether a benchmark holds the numbers of epochs that a search with two fidelities asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.core.errors import MetricUnavailableError, ObjectiveError

if TYPE_CHECKING:
    from optiproxy_nas.objectives.multi_fidelity import MultiFidelity


def check_fidelities(settings: MultiFidelity, benchmark: Benchmark) -> None:
    """Refuse fidelities that the benchmark does not hold.

    Raises:
        MetricUnavailableError: which epochs there are, and what to fetch.
        ObjectiveError: full training is another number of epochs; or the source's low fidelity is a
            schedule of its own, from which training cannot go on.
    """
    _check_held("low_epochs", settings, benchmark)
    full, own = settings.full_epochs, benchmark.epochs[-1]
    if full in benchmark.epochs and full != own:
        raise ObjectiveError(
            f"objective.full_epochs = {full}, but source {benchmark.source!r} is fully trained "
            f"after {own} epochs: {_fitting(benchmark)}."
        )
    _check_held("full_epochs", settings, benchmark)
    if settings.continues and not benchmark.continues:
        raise ObjectiveError(
            f"objective.continues is on, but in source {benchmark.source!r} the training for "
            f"{settings.low_epochs} epochs is a schedule of its own, from which full training "
            "cannot go on. Leave it off."
        )


def _check_held(name: str, settings: MultiFidelity, benchmark: Benchmark) -> None:
    """Raise the benchmark's own error, which knows what to fetch, with the setting's name."""
    epochs, held = getattr(settings, name), benchmark.epochs
    if epochs in held:
        return
    if name == "full_epochs":
        hint = f" It is fully trained after {held[-1]} epochs: {_fitting(benchmark)}."
    elif len(held) == 1:
        hint = " It has one fidelity, and this objective needs two."
    else:
        fit = [str(number) for number in held if number < held[-1]]
        told = ", ".join(fit) if len(fit) < 10 else f"{fit[0]} to {fit[-1]}"
        hint = f" What fits objective.low_epochs: {told}."
    try:
        benchmark.query([], benchmark.target, epochs)
    except MetricUnavailableError as error:
        told = f"objective.{name} = {epochs}: {error.message}{hint}"
        raise type(error)(told, **error.data) from None


def _fitting(benchmark: Benchmark) -> str:
    """The setting of full training that fits the benchmark, as it is given."""
    return f"objective.full_epochs={benchmark.epochs[-1]}"
