"""A problem: a user's training as a search sees it. Its space, what it measures, its data."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.numbers import with_explicit_unit
from optiproxy_nas.core.stop_line import StopLine, better

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optiproxy_nas.core.parameters import Direction
    from optiproxy_nas.measuring.latency_settings import LatencySettings
    from optiproxy_nas.spaces import SpaceLike

VALUE = "value"  # what the target is called in every archive


@dataclass(frozen=True)
class Target:
    """The metric that is searched for.

    Args:
        name: as ``evaluate`` gives it.
        direction: ``maximize`` or ``minimize`` it.
        unit: for people, such as ``%`` or ``ms``; "": it has none.

    Raises:
        ParameterError: a name that is no text, or another direction.
    """

    name: str
    direction: Direction = "maximize"
    unit: str = ""

    def __post_init__(self) -> None:
        for what, text in (("name", self.name), ("unit", self.unit)):
            if not isinstance(text, str) or set("[]\n") & set(text):
                raise ParameterError(
                    f"Target: its {what} is {text!r:.200}; it must be a text without brackets, as "
                    "in Target('accuracy', 'maximize', '%')."
                )
        if not self.name.strip():
            raise ParameterError("Target: its name is empty; name a metric that evaluate gives.")
        if self.direction not in ("maximize", "minimize"):
            raise ParameterError(
                f"Target {self.name!r}: direction = {self.direction!r:.200}; 'maximize' or "
                "'minimize'."
            )

    @property
    def label(self) -> str:
        """Return name and unit as :mod:`optiproxy_nas.core.numbers` reads them."""
        return with_explicit_unit(self.name, self.unit)


@dataclass(eq=False)
class RunningTrial:
    """What ``Problem.evaluate`` gets: one training that is asked for.

    Attributes:
        number: of the trial, from 0, in the order proposed.
        attempt: which one at it, from 1; more than one where failed trials are tried again.
        architecture: the chosen values as a dict, a copy; of a benchmark's space its text.
        seed: for the randomness of the training, in [0, 2**31). The global generators of Python,
            numpy and torch are seeded with it.
        epochs: to train, where the objective has fidelities; else None. Those that a shorter
            training in the same folder had are among them.
        full_epochs: of full training, over which a schedule goes; None as ``epochs``.
        folder: for checkpoints and whatever is to be kept. It exists, and still has what an
            interrupted attempt at the same trial left in it, and what the shorter training that is
            continued did.
        device: ``cpu``, ``cuda``, ...
        deadline: time (``time.time()``) at which the trial should be over; None: no limit.
        data: the problem's datasets by name. They are not copied; do not change them.
        curve: what was reported: (step, value).
        stop_line: with which reported values are compared; None: nothing is stopped early.
        should_stop: whether the training is to end now and give what it has reached, since what it
            reported is below that line.
    """

    number: int
    architecture: Any
    folder: Path
    attempt: int = 1
    seed: int = 0
    epochs: int | None = None
    full_epochs: int | None = None
    device: str = "cpu"
    deadline: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    curve: list[tuple[int, float]] = field(default_factory=list, repr=False)
    on_report: Callable[[int, float], Any] | None = field(default=None, repr=False)
    stop_line: StopLine | None = field(default=None, repr=False)
    should_stop: bool = field(default=False, init=False)
    _best: float = field(default=math.nan, init=False, repr=False)

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the deadline, below 0 after it; infinite without one."""
        return float("inf") if self.deadline is None else self.deadline - time.time()

    def report(self, step: int, value: float) -> bool:
        """Keep a value of the running training, such as the accuracy after an epoch.

        Returns:
            ``should_stop``.

        Raises:
            TypeError, ValueError: one of them is no number.
        """
        point = int(step), float(value)
        self.curve.append(point)
        if self.on_report is not None:
            self.on_report(*point)
        if self.stop_line is not None:
            self._best = better(self._best, point[1], self.stop_line.sign)
            self.should_stop |= self.stop_line.stops(point[0], self._best)
        return self.should_stop


class Problem:
    """What a search is to solve: a space, and a training that tells how good its members are.

    Subclass it, and name the class ``package.module:Class``; its settings are keyword arguments.

    Example:
        >>> class Parabola(Problem):
        ...     space = "nb201"
        ...     target = Target("loss", "minimize")
        ...
        ...     def evaluate(self, trial):
        ...         return {"loss": len(trial.architecture), "size_mb": 2.0}

    Attributes:
        space: a declared ``Space``, a registered name, or ``package.module:Class``.
        target: the metric that is searched for.
        metrics: further ones that ``evaluate`` gives and that may be bounded. Others are recorded
            too. Where there is none, a bound is checked at the first answer.
        datasets: names of what ``evaluate`` reads of ``trial.data``: entries of Kedro's catalog, or
            keys of ``search(data=...)``.
        objective: what is searched for, where the search names none.
        latency: how the latency of each trial's network is measured where it was trained, of
            ``build`` on ``example_input``; its median and a quantile, ``latency_ms`` and
            ``latency_p90_ms``, and the precision that was reached, join the metrics. A mapping of
            settings is taken for them. None: it is not. What ``evaluate`` gives itself by these
            names stands.
    """

    space: SpaceLike
    target: Target
    metrics: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    objective: str | Mapping[str, Any] = "accuracy"
    latency: LatencySettings | None = None
    settings: ClassVar[Mapping[str, Any]]  # what an instance was built with, by argument

    if not TYPE_CHECKING:

        def __new__(cls, *arguments: Any, **settings: Any) -> Self:
            """Keep the arguments, which tell problems of one class apart."""
            problem = super().__new__(cls)
            problem.settings = _by_name(cls, arguments, settings)
            return problem

    def load(self) -> Mapping[str, Any]:
        """Return the datasets by name, where the caller has not given them all."""
        return {}

    def evaluate(self, trial: RunningTrial) -> float | Mapping[str, float]:
        """Train an architecture; return its metrics, or the target's value alone.

        What raises, or gives no finite target, is a failed trial, and the search goes on.
        """
        raise NotImplementedError

    def test(self, trial: RunningTrial) -> Mapping[str, float]:
        """Return metrics of the answer on data that the search has not seen; optional.

        It is called once, after the search. ``trial.folder`` has what ``evaluate`` left there.
        """
        return {}

    def build(self, architecture: Any) -> nn.Module:
        """Return the network of an architecture with initial weights, on the CPU; optional.

        With it, the answer can be exported as a network.

        Args:
            architecture: any of the space, as ``evaluate`` gets it.
        """
        raise NotImplementedError

    def example_input(self) -> Tensor | tuple[Tensor, ...]:
        """Return what a network of ``build`` takes, in a batch of 1, without data; optional.

        A tuple has a tensor for each argument: ``torch.zeros(1, 3, 32, 32)``.
        """
        raise NotImplementedError

    def trained(self, trial: RunningTrial) -> nn.Module:
        """Return the network with the weights that ``evaluate`` left in ``trial.folder``.

        It is in eval mode, on ``trial.device``. By default it is that of ``build`` with the
        checkpoint of :func:`optiproxy_nas.problems.trainer.fit`; a problem that keeps its weights
        otherwise has its own ``trained``.

        Raises:
            DataError: the checkpoint cannot be loaded.
        """
        from optiproxy_nas.problems.trainer import load_best  # torch, which this does not import

        return load_best(self.build(trial.architecture), trial.folder, trial.device).eval()


def _by_name(cls: type, arguments: tuple[Any, ...], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor by parameter; what does not fit, it refuses itself."""
    constructor: Any = cls.__init__  # type: ignore[misc]
    if constructor is object.__init__:  # which would accept all of them
        if arguments or settings:
            raise TypeError(f"{cls.__name__}() takes no arguments")
        return {}
    try:
        bound = inspect.signature(constructor).bind_partial(None, *arguments, **settings)
    except (TypeError, ValueError):
        return {}
    _, *named = bound.arguments.items()
    parameters = bound.signature.parameters
    flat: dict[str, Any] = {}
    for name, value in named:
        flat |= value if parameters[name].kind is inspect.Parameter.VAR_KEYWORD else {name: value}
    return flat
