"""OptiProxy-NAS as a method: Algorithm 2 by ask and tell, over the pure steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import pandas as pd
import torch

from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.budget import number_of_steps
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import unknown_name
from optiproxy_nas.core.mappings import changes, merge
from optiproxy_nas.methods.base import Answers, Method, Proposals, Records, typed_parameters
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import PROXIES
from optiproxy_nas.proxies.targets import TARGETS
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
        self._archive: pd.DataFrame | None = None  # D
        self._step = 0
        self._weights: Tensors | None = None  # θ*, from which the next step may start
        self._logits: Tensors | None = None  # (α*, β*), likewise
        self._fit: Tensors = {}  # of the step that was asked for last
        self._candidates: Tensors = {}
        self._traces: dict[int, Tensors] = {}
        self._diagnostics: list[dict[str, Any]] = []

    def ask(self) -> Proposals:
        """Return the initial sample, then the batch of each step (Algorithm 2, lines 4-8)."""
        space, parameters, archive = self._space, self._parameters, self._archive
        if archive is None:
            return self._proposals(steps.initial_batch(space, parameters))
        if self._step == number_of_steps(parameters):
            return Proposals(torch.empty(0, space.code_length, dtype=torch.int64))
        self._step = step = self._step + 1
        self._weights, self._fit = steps.fit_proxy(
            space, archive, parameters, self._weights, step=step
        )
        self._logits, self._traces[step] = steps.search_logits(
            space, self._weights, archive, parameters, self._logits, step=step
        )
        self._candidates = steps.sample_candidates(
            space, self._logits, archive, parameters, step=step
        )
        return self._proposals(
            steps.select_batch(
                space, self._candidates, self._weights, archive, parameters, step=step
            )
        )

    def tell(self, answers: Answers) -> None:
        """Add the answers to D (line 10), and note what the step did."""
        self._archive = steps.update_archive(answers.rows, self._parameters, self._archive)
        if self._step:
            self._diagnostics.append(
                steps.diagnose(
                    answers.rows,
                    self._archive,
                    self._candidates,
                    self._traces[self._step],
                    self._fit,
                    self._parameters,
                )
            )

    def records(self) -> Records:
        """Return diagnostics and traces by step, and weights and logits of the last one."""
        return Records(
            pd.DataFrame(self._diagnostics), self._traces, self._weights or {}, self._logits or {}
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

        Raises:
            ParameterError: an unknown name (with the nearest allowed one), a wrong type or value.
            UnknownNameError: an unregistered preset, objective, proxy or target.
        """
        name = str(values.get("preset", "default"))
        merged = merge(load_preset(name), {**values, "preset": name})
        parameters = typed_parameters(SearchParameters, merged, also)
        PROXIES.load(parameters.proxy.name)
        if parameters.fit.targets not in TARGETS:
            raise unknown_name("target", parameters.fit.targets, TARGETS)
        return parameters

    @classmethod
    def least_budget(cls, parameters: Any) -> int:
        """Return what the initial sample and the steps to an answer cost."""
        return int(parameters.objective.price.least_budget(parameters.initial_samples))

    @classmethod
    def overrides(cls, parameters: Any) -> list[str]:
        """Return what differs from the preset: ``["selection.batch = 5 (2)", ...]``."""
        return changes(load_preset(parameters.preset), parameters.model_dump())
