"""OptiProxy-NAS as a method: Algorithm 2 by ask and tell, over the pure steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import pandas as pd
import torch
from pydantic import BaseModel

from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.alarms import AlarmLog
from optiproxy_nas.algorithm.archive import codes_of, empty_archive
from optiproxy_nas.algorithm.budget import allowance, number_of_steps
from optiproxy_nas.algorithm.prior import SAMPLE
from optiproxy_nas.algorithm.regret_left import bound_regret, stop_reason
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.step_diagnostics import diagnose
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import UnknownNameError, unknown_name
from optiproxy_nas.core.mappings import changes, merge
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.methods.base import (
    Answers,
    Method,
    Proposals,
    Records,
    StepRecord,
    Unavailable,
)
from optiproxy_nas.methods.typed_parameters import typed_parameters
from optiproxy_nas.objectives import given_settings, name_of, with_defaults
from optiproxy_nas.presets import load_preset, objective_defaults
from optiproxy_nas.proxies import PROXIES, build_proxy
from optiproxy_nas.proxies.targets import TARGETS
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.base import SearchSpace


class OptiProxy(Method):
    """Fit the proxy, search the logits on it, sample candidates, select the next batch.

    Its parameters are a preset plus overrides (:class:`SearchParameters`), not ``settings``: the
    pipelines ``*_search`` and this class hand the same object to the same steps.
    """

    Parameters = SearchParameters
    reference: ClassVar[str] = "Lyu, Cui, Shi & Li 2025, OptiProxy-NAS (arXiv 2509.05656)"
    stepwise: ClassVar[bool] = True

    def __init__(self, space: SearchSpace, parameters: SearchParameters) -> None:
        self._space = space
        self._parameters = parameters
        self._archive = empty_archive(space, parameters.objective)  # D
        self._started = False  # the initial sample was proposed
        self._free = 0  # cost of the rows of D that this search does not pay for
        self._given = 0  # how many rows these are
        self._bound: dict[str, Any] | None = None  # of the regret, after the last answers
        self._step = 0
        self._prior: Tensors | None = None  # earlier runs
        self._weights: Tensors | None = None  # θ*, from which the next step may start
        self._logits: Tensors | None = None  # (α*, β*), likewise
        self._steps: dict[int, tuple[Tensors, Tensors]] = {}  # step -> candidates and loss curve
        self._traces: dict[int, Tensors] = {}
        self._refits: dict[int, StepRecord] = {}
        self._diagnostics: dict[int, dict[str, Any]] = {}
        self._alarms = AlarmLog(parameters.groups, parameters.alarms)

    def ask(self, unavailable: Unavailable) -> Proposals:
        """Return the initial sample, then the batch of each step (Algorithm 2, lines 4-8).

        A step gives a batch, or one proposal for each worker that is free where these are more;
        later steps, whose shares of the budget it spends, are left out.
        """
        space, parameters, archive = self._space, self._parameters, self._archive
        cheapest, wanted = parameters.objective.price.cheapest, unavailable.wanted
        rows = unavailable.rows if len(unavailable.codes) else None
        pending = unavailable.rows.head(unavailable.pending) if unavailable.pending else None
        failed = None if rows is None else rows.iloc[unavailable.pending :]
        if not self._started:
            self._started = True
            if parameters.initial_samples:
                return self._random(parameters.initial_samples, unavailable, self._prior)
        if len(archive) < steps.LEAST and unavailable.pending:
            return self._random(max(1, wanted), unavailable)
        if self.is_repeating:
            self._bound = None  # it went on whatever the bound was
        elif self._step and self._ends():
            return self._none()
        while self._step < number_of_steps(parameters):
            self._step = step = self._step + 1
            may_spend = allowance(parameters, archive, step, rows, self._free, wanted)
            if may_spend < cheapest:
                continue  # spent by random architectures, or by earlier steps
            self._weights, loss = steps.fit_proxy(
                space,
                archive,
                parameters,
                failed,
                self._weights,
                pending,
                step=step,
                prior=self._prior,
            )
            proxy = steps.load_proxy(space, self._weights, parameters)
            self._logits, self._traces[step] = steps.search_logits(
                space,
                self._weights,
                archive,
                parameters,
                self._logits,
                pending,
                step=step,
                picks=may_spend // cheapest,
                proxy=proxy,
            )
            self._refits[step] = StepRecord(len(archive), self._weights, self._logits)
            candidates = steps.sample_candidates(
                space,
                self._logits,
                archive,
                parameters,
                rows,
                step=step,
                free=self._free,
                wanted=wanted,
            )
            self._steps[step] = candidates, loss
            return self._proposals(
                steps.select_batch(
                    space,
                    candidates,
                    self._weights,
                    archive,
                    parameters,
                    rows,
                    pending,
                    step=step,
                    free=self._free,
                    wanted=wanted,
                    given=self._given,
                    proxy=proxy,
                )
            )
        return self._none()

    def _none(self) -> Proposals:
        return Proposals(torch.empty(0, self._space.code_length, dtype=torch.int64))

    def _ends(self) -> bool:
        """Return whether the search ends before its budget, and note why."""
        settings = self._parameters.stop_regret
        if settings is None or len(self._archive) < steps.LEAST:
            return False
        bound = self._bound_regret()
        if bound["stopped"]:
            self.ended = stop_reason(bound["regret_left"], settings)
        return bool(bound["stopped"])

    def _bound_regret(self) -> dict[str, Any]:
        """Return how likely regret is left after the last answers, computed once."""
        if self._bound is None or self._bound["queries"] < len(self._archive):
            found = bound_regret(
                self._space, self._archive, self._parameters, self._bound, given=self._given
            )
            self._bound = {**found, "queries": len(self._archive)}
        return self._bound

    def tell(self, answers: Answers) -> None:
        """Add the answers to D (line 10), and note what their steps did."""
        rows = answers.rows
        self._archive = steps.update_archive(rows, self._parameters, self._archive)
        stepped = self._parameters.stop_regret is not None and bool((rows["step"] > 0).any())
        bound = self._bound_regret() if stepped else None
        for step in rows["step"].unique().tolist():
            if step in self._steps:
                evaluations = rows[rows["step"] == step]
                candidates, loss = self._steps[step]
                self._diagnostics[step] = numbers = diagnose(
                    self._space,
                    evaluations,
                    self._archive,
                    candidates,
                    self._traces[step],
                    loss,
                    self._refits[step].logits,
                    self._parameters,
                    bound,
                    step=step,
                )
                self._alarms.look(numbers)

    def start_from(self, answers: Answers, unavailable: Unavailable) -> None:
        """Take trials made before; they stand in the place of random ones of the initial sample."""
        super().start_from(answers, unavailable)
        price, parameters = self._parameters.objective.price, self._parameters
        paid = pd.concat([self._archive, unavailable.rows], ignore_index=True)
        self._free = int(price.costs(paid).sum())
        self._given = len(self._archive)
        missing = max(0, parameters.initial_samples - len(self._archive))
        self._parameters = parameters.model_copy(update={"initial_samples": missing})

    def take_prior(self, prior: Tensors) -> None:
        """Take earlier runs, which choose a part of the initial sample and guide the proxy."""
        self._prior = prior

    def _random(
        self, count: int, unavailable: Unavailable, prior: Tensors | None = None
    ) -> Proposals:
        """Return further architectures of the stream of the initial sample."""
        taken = torch.cat([codes_of(self._space, self._archive), unavailable.codes])
        batch = steps.initial_batch(self._space, self._parameters, count, taken, prior)
        return self._proposals(batch)

    def records(self) -> Records:
        """Return diagnostics, traces, weights and logits by step."""
        rows = [self._diagnostics[step] for step in sorted(self._diagnostics)]
        return Records(
            pd.DataFrame(rows, columns=None if rows else ["step"]),
            self._traces,
            self._weights or {},
            self._logits or {},
            self._refits,
        )

    def _proposals(self, batch: pd.DataFrame) -> Proposals:
        named = {"step", "architecture", *(f"code_{i}" for i in range(self._space.code_length))}
        columns = {str(name): batch[name].to_numpy() for name in batch if name not in named}
        return Proposals(codes_of(self._space, batch), columns)

    @classmethod
    def build(cls, space: SearchSpace, parameters: Any) -> Self:
        """Return the method for one search with :class:`SearchParameters`."""
        return cls(space, parameters)

    @classmethod
    def nested(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings as they are: the preset's keys are a search's own parameters."""
        return dict(settings)

    @classmethod
    def complete(cls, values: Mapping[str, Any], also: Iterable[str] = ()) -> SearchParameters:
        """Return preset plus overrides, nested, as typed parameters.

        An initial sample that is not given is no larger than the space, or than what is needed
        before the first promotion; and a part of that where earlier runs guide the search.

        Raises:
            ParameterError: an unknown name (with the nearest allowed one), a wrong type or value.
            UnknownNameError: an unregistered preset, objective, proxy or target.
            ProxyError: a declared space is none that the proxy can be built for.
        """
        name = str(values.get("preset", "default"))
        searched_for = name_of(values.get("objective"))
        merged = merge(load_preset(name, searched_for), {**values, "preset": name})
        defaults = objective_defaults(name, searched_for)
        merged["objective"] = with_defaults(values.get("objective"), defaults)
        parameters = typed_parameters(SearchParameters, merged, also)
        PROXIES.load(parameters.proxy.name)
        if parameters.fit.targets not in TARGETS:
            raise unknown_name("target", parameters.fit.targets, TARGETS)
        try:
            space = get_space(parameters.space)
        except UnknownNameError:  # one that the caller holds; a search refuses the name
            return parameters
        if not space.num_vertices:  # a declared one has no graph, which some proxies need
            with isolated():
                build_proxy(space, parameters.proxy, torch.Generator())
        if space.size is not None:
            given = given_settings(values.get("objective"))
            objective = parameters.objective.within(space.size, given)
            parameters = parameters.model_copy(update={"objective": objective})
        if "initial_samples" not in values:
            size = space.size or parameters.initial_samples
            samples = min(parameters.initial_samples, max(size, 2))
            if parameters.prior:
                samples = max(2, round(SAMPLE * samples))
            samples = parameters.objective.price.initial_sample(samples)
            parameters = parameters.model_copy(update={"initial_samples": samples})
        return parameters

    @classmethod
    def least_budget(cls, parameters: Any) -> int:
        """Return what the initial sample and the steps to an answer cost."""
        return int(parameters.objective.price.least_budget(parameters.initial_samples))

    @classmethod
    def overrides(cls, parameters: Any) -> list[str]:
        """Return what differs from the preset: ``["selection.batch = 5 (2)", ...]``."""
        preset = load_preset(parameters.preset, parameters.objective.name)
        before, after = {}, {}
        for name, value in preset.items():
            given = getattr(parameters, name)
            is_section = isinstance(given, BaseModel)
            # All settings of a section, also those that dumps leave out.
            before[name] = dict(type(given).model_validate(value)) if is_section else value
            after[name] = dict(given) if is_section else given
        evolution = parameters.evolution.model_dump() if parameters.evolution else {}
        added = [f"evolution.{name} = {number} (none)" for name, number in evolution.items()]
        return changes(before, after) + added
