"""A search method: it proposes architectures and is told what their evaluation gave."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

import pandas as pd
from pydantic import Field
from torch import Tensor

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.arrays import Floats, Tensors
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.mappings import changes
from optiproxy_nas.core.parameters import StrictModel
from optiproxy_nas.core.validation import validate
from optiproxy_nas.methods.typed_parameters import typed_parameters
from optiproxy_nas.spaces.base import SearchSpace


class MethodSettings(StrictModel):
    """Base of a method's settings: every field has a default; unknown names are refused."""


class BaselineParameters(RunParameters):
    """Everything that decides a search by a method with ``settings``."""

    settings: dict[str, Any] = Field(description="the method's own, all of them")


class Proposals(NamedTuple):
    """Architectures to evaluate, most wanted first.

    Attributes:
        codes: int64 [n, L]. No row (n = 0): the method has finished.
        columns: what is known before the evaluation, an array [n] each: ``predicted``,
            ``predicted_sd``, ``score``, ``group``, and columns of the objective that decide what
            is evaluated (``epochs``, ``cost``). Without these the evaluation is a whole one.
    """

    codes: Tensor
    columns: Mapping[str, Any] = MappingProxyType({})


class Unavailable(NamedTuple):
    """Trials that must not be proposed again, beside those that were answered.

    Attributes:
        codes: int64 [u, L], the pending ones (proposed, not answered yet), then the failed ones.
        rows: [u rows], what was proposed: columns of the archive that were known before.
        pending: how many of them are pending; they are charged already.
        wanted: how many proposals are wanted now, one for each worker that is free; 0: as many as
            the method proposes at a time.
    """

    codes: Tensor
    rows: pd.DataFrame
    pending: int
    wanted: int = 0


class Answers(NamedTuple):
    """What the evaluation gave for proposals, in the order told.

    Attributes:
        codes: int64 [n, L].
        values: [n], finite numbers in the objective's order of trials, higher is better. One that
            may be the answer has its value; of the others (a bound is broken) the numbers follow
            from all trials so far, and change as more are told.
        keys: [k, n], what trials are compared by, the most important first, higher is better, as of
            ``TrialOrder.keys``; they stay. ``objectives.trial_order.fitness_of`` makes values of
            them.
        rows: [n rows], the evaluated trials: the columns of the archive except ``order`` and
            ``best``.
    """

    codes: Tensor
    values: Floats
    keys: Floats
    rows: pd.DataFrame


class StepRecord(NamedTuple):
    """What a step of a method started from, and what it made of that.

    Attributes:
        rows: of D that the proxy was fitted on, the first so many.
        weights: of the proxy.
        logits: (α*, β*).
    """

    rows: int
    weights: Tensors
    logits: Tensors


@dataclass(frozen=True)
class Records:
    """What a method did beside its proposals, for the result of a search."""

    diagnostics: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"step": []}))
    traces: Mapping[int, Tensors] = field(default_factory=dict)  # step -> trace of search epochs
    weights: Tensors = field(default_factory=dict)  # of the proxy in the last step
    logits: Tensors = field(default_factory=dict)  # (α*, β*) of the last step
    steps: Mapping[int, StepRecord] = field(default_factory=dict)  # those that fitted a proxy


class Method(ABC):
    """A search method by ask and tell; ``evaluation.loop`` asks, evaluates and tells.

    A plug-in is a subclass with ``Settings``, ``reference``, ``ask`` and ``tell``, built as
    ``Class(space, settings, budget, seed)`` with ``settings`` an instance of its ``Settings``.
    Equal arguments give equal proposals: every random number comes from the seed
    (``core.random_streams``), none from a global generator or the clock.
    ``optiproxy_nas.testing.check_method`` checks it.

    A search that evaluates one batch at a time asks and tells in turn. One that keeps several
    trials open asks again while answers are missing, and tells them in whatever order they come.

    A method that does not use ``budget`` has the prefix property, which is worth having: its
    search with 280 queries begins with its search with 100. All registered baselines have it.

    Attributes:
        Settings: the model of its settings. Comparisons use the defaults.
        Parameters: the model of all parameters of a search by it.
        reference: the paper and the library that it follows.
        libraries: distributions whose version can change its proposals. A run records them, and
            is another run with another version.
        ended: why it has nothing more to propose, where it can tell.
        is_repeating: whether trials that the search has made before are not proposed again yet. It
            sets that before it asks; a rule that would end the search waits for them.
        stepwise: whether its runs leave artifacts of each step, as those of ``*_search`` do.
    """

    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    Parameters: ClassVar[type[RunParameters]] = BaselineParameters
    reference: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]] = ()
    stepwise: ClassVar[bool] = False
    ended: str = ""
    is_repeating: bool = False

    @abstractmethod
    def __init__(self, space: SearchSpace, settings: Any, budget: int, seed: int) -> None:
        """Prepare a search of ``space``; ``budget`` is in the objective's unit."""

    @abstractmethod
    def ask(self, unavailable: Unavailable) -> Proposals:
        """Propose architectures, most wanted first; none ends the search if no trial is pending.

        An architecture that was answered before may be proposed again. That costs nothing, and its
        answer is told again. Too many such proposals in a row end the search with an error, so
        propose at random (``memory.Memory.random``) where there is nothing else.

        Args:
            unavailable: trials that are pending or have failed. Propose none of them again; a
                search leaves them out.
        """

    @abstractmethod
    def tell(self, answers: Answers) -> None:
        """Take answers: of the last proposals in their order, if no other trial is open.

        A batch that exceeds the budget is cut to what the budget affords. Failed trials have no
        answer; the next ``unavailable`` has them.
        """

    def start_from(self, answers: Answers, unavailable: Unavailable) -> None:
        """Take trials made before this search, which does not pay for them; before any ``ask``.

        Args:
            answers: of the complete ones; there may be none.
            unavailable: the failed ones.
        """
        if len(answers.codes):
            self.tell(answers)

    def take_prior(self, prior: Tensors) -> None:
        """Take earlier runs that guide the search; before any ``ask``.

        Args:
            prior: tensors of ``proxies.prior_mean.fit_prior``.

        Raises:
            ParameterError: the method has no use for them.
        """
        raise ParameterError(
            f"Method {type(self).__name__} cannot learn from earlier runs: prior is of method "
            "'optiproxy'. initial=... lets it start from their trials, where these are of the same "
            "task."
        )

    def records(self) -> Records:
        """Return what the method did so far, for the result; by default nothing."""
        return Records()

    # The hooks below are those of a baseline, whose parameters are in ``settings``.

    @classmethod
    def build(cls, space: SearchSpace, parameters: Any) -> Self:
        """Return the method for one search with the parameters of :meth:`complete`."""
        settings = cls.Settings.model_validate(parameters.settings)
        return cls(space, settings, parameters.search_budget, parameters.seed)

    @classmethod
    def nested(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a search that hold these settings of the method."""
        return {"settings": dict(settings)}

    @classmethod
    def takes_preset(cls) -> bool:
        """Return whether the parameters of a search by it start from a preset."""
        return "preset" in cls.Parameters.model_fields

    @classmethod
    def complete(cls, values: Mapping[str, Any], also: Iterable[str] = ()) -> RunParameters:
        """Return the typed parameters of a search; what is not given has the method's default.

        Args:
            values: run settings and the method's own, nested.
            also: names that the caller takes too, for the suggestions.

        Raises:
            ParameterError: an unknown name (with the nearest allowed one), a wrong type or value,
                or a preset.
            UnknownNameError: an unregistered objective.
        """
        given = {key: value for key, value in values.items() if key != "preset"}
        if given.pop("stop_regret", None) is not None:
            raise ParameterError(
                f"stop_regret is of method 'optiproxy', for whose searches it is calibrated, not "
                f"of {values.get('method')!r}. Leave it out, or stop by target or patience.",
                name="stop_regret",
            )
        if given.pop("prior", None) not in (None, ()):
            raise ParameterError(
                f"prior is of method 'optiproxy', not of {values.get('method')!r}. Leave it out; "
                "initial=... lets a method start from trials of the same task.",
                name="prior",
            )
        if (preset := values.get("preset")) is not None:
            raise ParameterError(
                f"Method {values.get('method')!r} starts from no preset, so preset = {preset!r} "
                "would change nothing. Leave it out; the method has settings instead.",
                preset=preset,
            )
        parameters = typed_parameters(BaselineParameters, {"settings": {}, **given}, also)
        try:
            settings = validate(cls.Settings, parameters.settings)
        except ParameterError as error:
            name = parameters.method
            raise ParameterError(
                f"Settings of method {name!r}: {error.message}", method=name
            ) from None
        return parameters.model_copy(update={"settings": settings.model_dump()})

    @classmethod
    def least_budget(cls, parameters: Any) -> int:
        """Return the least budget of a search that can end with an answer."""
        return int(parameters.objective.price.full_cost)

    @classmethod
    def overrides(cls, parameters: Any) -> list[str]:
        """Return what differs from the method's defaults: ``["population = 50 (20)", ...]``."""
        return changes(cls.Settings().model_dump(), parameters.settings)


def missing_extra(method: str, error: ImportError) -> ParameterError:
    """Return the error of a method whose optional dependency cannot be imported."""
    return ParameterError(
        f"Method {method!r} needs a package that cannot be imported ({error}). Install it with "
        'pip install "optiproxy-nas[baselines]", or choose another method.',
        method=method,
        package=(error.name or "").partition(".")[0],
    )
