"""Conformance checks of search methods."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from optiproxy_nas.algorithm.archive import check_archive, codes_of, make_batch
from optiproxy_nas.core.errors import OptiProxyError, SamplingError
from optiproxy_nas.core.run_settings import FailureSettings
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.batch import evaluate_trials
from optiproxy_nas.evaluation.function_evaluator import batched
from optiproxy_nas.evaluation.loop import run_method
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.methods import (
    METHODS,
    Answers,
    Method,
    MethodSettings,
    Proposals,
    Unavailable,
    build_method,
)
from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.objectives.trial_order import fitness_of
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.testing.determinism import generator, global_randomness_untouched, plain

_BUDGET, _OPEN_BUDGET = 30, 24
_SMALL = 200  # architectures of a space that is searched whole


def check_method(
    name: str,
    space: SearchSpace,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    prefix: bool = True,
) -> None:
    """Assert that a method can be run, repeated and compared, with open and failed trials too.

    A space of at most 200 architectures is also searched to its end.

    Args:
        name: the registered method, or its import path ``package.module:Class``.
        space: what to search.
        seed: of the runs.
        settings: what differs from the method's defaults, to make it quick.
        prefix: False for a method that plans with its budget: then a search with a smaller one
            need not be the beginning of a search with a larger one.

    Raises:
        AssertionError: which promise is broken.
    """
    _check_class(name)
    budget = _BUDGET if space.size is None else min(_BUDGET, space.size // 2)
    with global_randomness_untouched():
        _check_alone(name, space, settings or {}, budget, seed)
        first = _search(name, space, settings, budget, seed)
        again = _search(name, space, settings, budget, seed)
        assert plain(first) == plain(again), "two runs with the same seed differ"
        other = _search(name, space, settings, budget, seed + 1)
        assert plain(first[0]) != plain(other[0]), "the seed does not matter"
        if prefix:
            shorter = _search(name, space, settings, budget // 2, seed)[0]
            begun = first[0]["architecture"].tolist()[: len(shorter)]
            assert shorter["architecture"].tolist() == begun, (
                "a search with a smaller budget is not the beginning of one with a larger budget; "
                "if that is meant, prefix=False"
            )
        _check_open_trials(name, space, settings or {}, min(_OPEN_BUDGET, budget), seed)
        if space.size is not None and space.size <= _SMALL:
            _check_exhaustion(name, space, settings, seed)


def _check_class(name: str) -> None:
    method: type[Method] = METHODS.load(name)  # refuses what is none
    settings = method.Settings
    assert isinstance(settings, type), "Settings: not a class"
    assert issubclass(settings, MethodSettings), "Settings: not a MethodSettings"
    settings()  # raises where a field has no default
    assert getattr(method, "reference", "").strip(), "reference: says nothing"


def _objective(space: SearchSpace, evaluations: Counter[str] | None = None) -> Any:
    """Return a made-up evaluation, in percent, of an architecture's operations and edges."""
    stream = generator(1)
    weights = torch.rand(space.num_nodes, len(space.operations), generator=stream)
    edges = torch.rand(space.num_edges, generator=stream)

    def evaluate(architectures: Sequence[Any]) -> np.ndarray:
        codes = space.from_string(architectures)
        if evaluations is not None:
            evaluations.update(space.to_string(codes))
        encoding = space.encode(codes)
        score = (encoding.operations * weights).sum((-1, -2)) + encoding.edges @ edges
        return 50 + 40 * torch.sin(3 * score).double().numpy()

    return evaluate


def _search(
    name: str, space: SearchSpace, settings: Mapping[str, Any] | None, budget: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run a search through the loop, and check what was evaluated, how often and charged."""
    evaluations: Counter[str] = Counter()
    method = build_method(name, space, settings or {}, budget, seed)
    archive, trials = run_method(space, batched(_objective(space, evaluations)), method, budget)
    check_archive(space, archive, Accuracy())
    assert len(archive) == budget, f"{len(archive)} queries made with a budget of {budget}"
    identities = space.identify(codes_of(space, archive))
    assert len(set(identities)) == budget, "an architecture was charged twice"
    assert max(evaluations.values()) == 1, "a repeat was evaluated again"
    assert int(trials["charged"].sum()) == budget, "trials: not one charged for each query"
    return archive, trials


def _check_alone(
    name: str, space: SearchSpace, settings: Mapping[str, Any], budget: int, seed: int
) -> None:
    """Ask and tell by hand, without the loop that cuts batches."""
    method = build_method(name, space, settings, budget, seed)
    evaluate, objective = batched(_objective(space)), Accuracy()
    nothing = Unavailable(torch.empty(0, space.code_length, dtype=torch.int64), pd.DataFrame(), 0)
    proposed = step = 0
    while proposed < budget:
        proposals = method.ask(nothing)
        assert isinstance(proposals, Proposals), f"ask: gives {proposals!r}, not Proposals"
        codes, columns = proposals
        shape = tuple(codes.shape)
        assert len(shape) == 2, f"ask: codes of shape {shape}, not [n, L]"
        assert shape[1] == space.code_length, f"ask: codes of shape {shape}, not [n, L]"
        assert shape[0] > 0, "ask: proposes nothing"
        assert codes.dtype == torch.int64, f"ask: codes are {codes.dtype}, not int64"
        _check_strings(space, codes)
        batch = make_batch(space, codes, step, **columns)
        rows, _ = evaluate_trials(objective, batch, batched(evaluate))
        keys = objective.order.keys(rows)
        answers = Answers(codes, fitness_of(keys), keys, rows)
        before = Answers(codes.clone(), answers.values.copy(), keys.copy(), rows.copy())
        method.tell(answers)
        assert torch.equal(codes, before.codes), "tell: changes the codes that it is given"
        assert np.array_equal(answers.values, before.values), "tell: changes the values"
        assert np.array_equal(answers.keys, before.keys), "tell: changes the keys"
        assert rows.equals(before.rows), "tell: changes the rows that it is given"
        proposed, step = proposed + len(codes), step + 1


def _check_strings(space: SearchSpace, codes: torch.Tensor) -> None:
    try:
        strings = space.to_string(codes)
        read_back = space.identify(space.from_string(strings)) == space.identify(codes)
    except (OptiProxyError, IndexError, KeyError, ValueError) as error:
        raise AssertionError(f"ask: not codes of the space: {codes.tolist()}") from error
    assert read_back, f"ask: not codes of the space: {codes.tolist()}"


class _Watched(Method):
    """A method whose proposals of what is unavailable are noted."""

    def __init__(self, method: Method, space: SearchSpace) -> None:
        self._method, self._space = method, space
        self.again = 0

    def ask(self, unavailable: Unavailable) -> Proposals:
        proposals = self._method.ask(unavailable)
        if len(unavailable.codes) and len(proposals.codes):
            taken = set(self._space.identify(unavailable.codes))
            self.again += sum(one in taken for one in self._space.identify(proposals.codes))
        return proposals

    def tell(self, answers: Answers) -> None:
        self._method.tell(answers)


def _check_open_trials(
    name: str, space: SearchSpace, settings: Mapping[str, Any], budget: int, seed: int
) -> None:
    """Ask for trials while others are open, tell them in another order, and let 30 % fail."""
    evaluate, endless = _objective(space), FailureSettings(in_a_row=None, share=None)

    def run() -> AskTell:
        watched = _Watched(build_method(name, space, settings, budget, seed), space)
        search = AskTell(space, Accuracy(), watched, budget, seed, endless)
        running: list[Trial] = []
        while running := [*search.ask(5), *running]:
            for trial in [running.pop() for _ in range(min(3, len(running)))]:
                if zlib.crc32(trial.text.encode()) % 10 < 3:
                    search.tell(trial, failed="as three of ten do")
                else:
                    search.tell(trial, evaluate([trial.text])[0])
        assert not watched.again, "ask: proposes what is pending or has failed"
        return search

    first, again = run(), run()
    asked = [[trial.text for trial in search.trials] for search in (first, again)]
    assert asked[0] == asked[1], "asked and told in the same order, two searches differ"
    assert plain(first.archive()) == plain(again.archive()), "told in the same order, they differ"
    assert first.spent == len(asked[0]) == budget, f"{first.spent} charged of {budget}"
    assert len(set(space.identify(space.from_string(asked[0])))) == budget, (
        "an architecture was charged twice"
    )
    complete = sum(trial.state == "complete" for trial in first.trials)
    assert len(first.archive()) == complete, "archive: not one row a complete trial"
    check_archive(space, first.archive(), Accuracy())


def _check_exhaustion(
    name: str, space: SearchSpace, settings: Mapping[str, Any] | None, seed: int
) -> None:
    assert space.size is not None
    try:
        _search(name, space, settings, space.size, seed)
    except SamplingError:
        return  # says that nothing new comes; what must not happen is that it hangs
