"""Other ways to use earlier runs: best first, a TPE that starts from them, a random forest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import optuna
import pandas as pd
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import create_trial
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestRegressor
from torch import Tensor

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.random_streams import derive_seed, torch_generator
from optiproxy_nas.methods.tpe import code_values
from optiproxy_nas.spaces.base import SearchSpace

Query = Callable[[Sequence[str]], Floats]  # architectures -> values; a higher one is better
DRAWN = 2000  # random architectures that a forest predicts
KEPT = 100  # and those of them, half the best, that are its earlier run
TRIES = 5  # proposals of TPE in a row that were queried before, before a random one


def best_first(runs: Sequence[pd.DataFrame], query: Query, queries: int) -> Floats:
    """Return the values of querying what the earlier runs found best, by ranks, in their order."""
    ranks = pd.concat([run.assign(rank=(-run["value"]).rank()) for run in runs])
    order = ranks.groupby("architecture", sort=False)["rank"].min().sort_values(kind="stable")
    return query(list(order.index[:queries]))


def forest_run(runs: Sequence[pd.DataFrame], space: SearchSpace, seed: int) -> pd.DataFrame:
    """Return the predictions of a random forest, fitted on ranks within each run, as one run.

    They are of the best half of ``KEPT`` among ``DRAWN`` random architectures, and of random ones.
    """
    inputs, targets = _ranked(runs, space)
    forest = RandomForestRegressor(200, random_state=derive_seed(seed, 0, "forest") % 2**32)
    forest.fit(_features(space, inputs), targets)
    drawn = space.random(DRAWN, torch_generator(seed, 0, "forest-drawn"))
    values = forest.predict(_features(space, drawn))
    best = np.argsort(-values, kind="stable")[: KEPT // 2]
    others = np.setdiff1d(np.arange(DRAWN), best)[: KEPT - len(best)]
    rows = np.concatenate([best, others])
    texts = space.to_string(drawn[torch.from_numpy(rows)])
    table = pd.DataFrame({"architecture": texts, "value": values[rows]})
    return table.drop_duplicates("architecture")


def warm_tpe(
    runs: Sequence[pd.DataFrame], space: SearchSpace, query: Query, queries: int, seed: int
) -> Floats:
    """Return the values that Optuna's TPE queries, the trials of earlier runs added to its study.

    Values are ranks within each run, and within what this search has queried so far, so that those
    of another dataset do not mislead by their scale. The rest is as of method ``tpe``: a category a
    code position, and what was queried before is proposed ``TRIES`` times at most.
    """
    variables: dict[str, BaseDistribution] = {
        f"code_{i}": CategoricalDistribution(values) for i, values in enumerate(code_values(space))
    }
    generator = torch_generator(seed, 0, "warm-tpe-random")
    sampler = optuna.samplers.TPESampler(
        n_ei_candidates=8, multivariate=True, seed=derive_seed(seed, 0, "warm-tpe") % 2**32
    )
    earlier = _trials(*_ranked(runs, space), variables)
    codes: list[list[int]] = []
    values = np.empty(0)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        while len(codes) < queries:
            study = optuna.create_study(sampler=sampler, direction="maximize")
            study.add_trials([*earlier, *_trials(codes, _ranks(values), variables)])
            code = _proposal(study, variables, space, codes, generator)
            codes.append(code)
            values = np.append(values, query(space.to_string(torch.tensor([code]))))
    finally:
        optuna.logging.set_verbosity(verbosity)
    return values


def _proposal(
    study: optuna.Study,
    variables: dict[str, BaseDistribution],
    space: SearchSpace,
    queried: Sequence[list[int]],
    generator: torch.Generator,
) -> list[int]:
    """Return a code [L] that was not queried."""
    for _ in range(TRIES):
        trial = study.ask(dict(variables))
        code = [int(trial.params[name]) for name in variables]
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if code not in queried:
            return code
    while True:
        code = space.random(1, generator)[0].tolist()
        if code not in queried:
            return code


def _trials(
    codes: Sequence[Sequence[int]] | Tensor,
    values: Floats,
    variables: dict[str, BaseDistribution],
) -> list[optuna.trial.FrozenTrial]:
    rows = codes.tolist() if isinstance(codes, Tensor) else codes
    return [
        create_trial(
            params=dict(zip(variables, code, strict=True)), distributions=variables, value=value
        )
        for code, value in zip(rows, values.tolist(), strict=True)
    ]


def _ranked(runs: Sequence[pd.DataFrame], space: SearchSpace) -> tuple[Tensor, Floats]:
    """Return the codes [n, L] of all runs, and the rank of each within its own, in (0, 1] [n]."""
    codes = torch.cat([space.from_string(run["architecture"].tolist()) for run in runs])
    return codes, np.concatenate([_ranks(run["value"].to_numpy(dtype=float)) for run in runs])


def _ranks(values: Floats) -> Floats:
    ranks: Floats = rankdata(values) / max(len(values), 1)
    return ranks


def _features(space: SearchSpace, codes: Tensor) -> Floats:
    """Return one-hot operations [n, N M]."""
    return space.encode(codes).operations.flatten(1).double().numpy()
