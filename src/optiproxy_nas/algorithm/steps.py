"""The steps of Algorithm 2 as pure functions, which the Kedro nodes and the plain loop run.

Each takes the space, its inputs and the typed parameters, and returns new values. Randomness comes
from (seed, step, purpose) alone, so a step may run anywhere, in any order, once or twice, and gives
the same result.
"""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor, nn

from optiproxy_nas.algorithm import gradient
from optiproxy_nas.algorithm.archive import check_archive, codes_of, extend
from optiproxy_nas.algorithm.budget import allowance
from optiproxy_nas.algorithm.candidates import Pool, draw_candidates
from optiproxy_nas.algorithm.evolution import evolve
from optiproxy_nas.algorithm.initial_sample import initial_batch as initial_batch
from optiproxy_nas.algorithm.pending import (
    archive_targets,
    believed_targets,
    failed_targets,
    follow_in_turn,
    followed_members,
    followed_scores,
)
from optiproxy_nas.algorithm.pool_extension import extend_pool
from optiproxy_nas.algorithm.prior import misleads, weigh_prior
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.selection import select_queries
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.core.random_streams import isolated, torch_generator
from optiproxy_nas.proxies import fit as fitting
from optiproxy_nas.spaces.base import Logits, SearchSpace

LEAST = 2  # complete trials that a proxy can be fitted on; with earlier runs one suffices


@isolated()
def fit_proxy(
    space: SearchSpace,
    archive: pd.DataFrame,
    parameters: SearchParameters,
    failed: pd.DataFrame | None = None,
    previous: Tensors | None = None,
    pending: pd.DataFrame | None = None,
    *,
    step: int,
    prior: Tensors | None = None,
) -> tuple[Tensors, Tensors]:
    """Fit f̂_θ on D (line 6): return weights θ*, and the loss curve {"loss": [epochs]}.

    With earlier runs it is fitted to what these leave of the targets; their weights and their
    tensors are returned among θ*, their trust beside the loss as "trust" [J].

    Args:
        space: the search space.
        archive: D.
        parameters: of the search.
        failed: trials that failed, of which ``fit.failed`` may believe a value.
        previous: weights of the step before.
        pending: trials without an answer, of which ``selection.pending`` may believe the proxy's.
        step: search step, 1..S.
        prior: tensors of earlier runs (``fit_prior``).

    Raises:
        ArtifactError: the archive is not valid.
        EvaluationError: it has fewer than two trials, since the others failed.
        ProxyError: the loss is not finite.
    """
    objective = parameters.objective
    if len(archive) < (LEAST if prior is None else 1):
        raise EvaluationError(
            f"{len(archive)} of the first {parameters.initial_samples} trials complete, the others "
            "failed: no proxy can be fitted. Mend the evaluation, or raise initial_samples."
        )
    check_archive(space, archive, objective)
    codes = codes_of(space, archive)
    targets = archive_targets(archive, parameters)
    queried = len(codes)
    for believed in (
        failed_targets(space, failed, parameters, targets),
        believed_targets(space, pending, parameters, previous),
    ):
        if believed is not None:
            codes, targets = torch.cat([codes, believed[0]]), torch.cat([targets, believed[1]], 1)
    guide: Tensors = {}
    loss: Tensors = {}
    if prior is not None:
        guide, trust, targets = weigh_prior(space, prior, codes, targets, queried)
        loss["trust"] = trust
    fit = fitting.fit_proxy(
        space,
        codes,
        targets,
        parameters.proxy,
        parameters.fit,
        previous,
        parameters.seed,
        step,
    )
    return {**fit.weights, **guide}, {"loss": fit.loss, **loss}


@isolated()
def load_proxy(space: SearchSpace, weights: Tensors, parameters: SearchParameters) -> nn.Module:
    """Return the proxy with weights θ*, for the functions below, which only read it."""
    return fitting.load_proxy(space, parameters.proxy, weights, parameters.objective.task.heads)


@isolated()
def search_logits(
    space: SearchSpace,
    weights: Tensors,
    archive: pd.DataFrame,
    parameters: SearchParameters,
    previous: Tensors | None = None,
    pending: pd.DataFrame | None = None,
    *,
    step: int,
    picks: int = 0,
    proxy: nn.Module | None = None,
) -> tuple[Tensors, Tensors]:
    """Run Algorithm 1 on the frozen proxy (line 7): return {"alpha", "beta"}, and the trace.

    With ``parameters.evolution`` it is evolution that maximises the score. Its last population and
    the shares of the edges in it are returned too, as "population" [p, L] and, in the trace,
    "edges" [E].

    Args:
        space: the search space.
        weights: θ* of the step.
        archive: D.
        parameters: of the search.
        previous: logits of the step before.
        pending: trials without an answer. With ``selection.pending = thompson`` the groups follow
            the members of the ensemble that the step's proposals will follow, in turn.
        step: search step, 1..S.
        picks: how many these are; 0: a batch.
        proxy: as of :func:`load_proxy`, where the caller has it.

    Raises:
        ProxyError: the score or its gradient is not finite.
    """
    objective, settings = parameters.objective, parameters.gradient
    score = objective.task.score(archive, parameters.selection)
    if proxy is None:
        proxy = load_proxy(space, weights, parameters)
    if parameters.evolution is not None:
        evolved = evolve(
            space,
            lambda codes: score(fitting.predict(proxy, space.encode(codes))),
            codes_of(space, archive),
            parameters.evolution,
            torch_generator(parameters.seed, step, "evolution"),
        )
        found = {**evolved.logits._asdict(), "population": evolved.population}
        return found, {**evolved.trace._asdict(), "edges": evolved.edges}
    if previous is not None and settings.warm_start:
        start = Logits(previous["alpha"], previous["beta"])
    else:
        start = gradient.initial_logits(space, settings, parameters.seed, step)
    members = followed_members(pending, parameters, step, picks or parameters.selection.batch)
    logits, trace = gradient.optimise_logits(
        space,
        proxy,
        start,
        settings,
        score if members is None else follow_in_turn(score, members),
        torch_generator(parameters.seed, step, "relaxation-noise"),
    )
    return logits._asdict(), trace._asdict()


@isolated()
def sample_candidates(
    space: SearchSpace,
    logits: Tensors,
    archive: pd.DataFrame,
    parameters: SearchParameters,
    unavailable: pd.DataFrame | None = None,
    *,
    step: int,
    free: int = 0,
    wanted: int = 0,
) -> Tensors:
    """Draw Q candidates outside D (Algorithm 1, line 13): return the fields of ``Pool``.

    Args:
        space: the search space.
        logits: of :func:`search_logits`.
        archive: D.
        parameters: of the search.
        unavailable: failed and pending trials, if there are any, which are not drawn again.
        step: search step, 1..S.
        free: cost of the rows of D that the search does not pay for.
        wanted: how many proposals are wanted at least.

    Raises:
        SamplingError: too few architectures outside the archive were drawn.
    """
    objective, taken = parameters.objective, _codes_of(space, unavailable)
    codes = codes_of(space, archive)
    may_spend = allowance(parameters, archive, step, unavailable, free, wanted)
    fewest = objective.price.fewest(may_spend)
    if space.size is not None:  # a space may be used up while there are trials to be raised
        begun = codes if taken is None else torch.cat([codes, taken])
        if space.size - len(begun) < fewest:
            fewest = min(fewest, space.size - len(set(space.identify(begun))))
    pool = draw_candidates(
        space,
        Logits(logits["alpha"], logits["beta"]),
        codes,
        torch.from_numpy(objective.order.ranks(archive)),
        fewest,
        parameters.selection,
        torch_generator(parameters.seed, step, "candidates"),
        taken,
        logits.get("population"),
    )
    return {name: torch.as_tensor(value) for name, value in pool._asdict().items()}


@isolated()
def select_batch(
    space: SearchSpace,
    candidates: Tensors,
    weights: Tensors,
    archive: pd.DataFrame,
    parameters: SearchParameters,
    unavailable: pd.DataFrame | None = None,
    pending: pd.DataFrame | None = None,
    *,
    step: int,
    free: int = 0,
    wanted: int = 0,
    given: int = 0,
    proxy: nn.Module | None = None,
) -> pd.DataFrame:
    """Select the candidates that the proxy scores best (line 8), within the step's budget.

    Others may join those drawn, or take their place: see :func:`pool_extension.extend_pool`.

    ``unavailable``, ``free`` and ``wanted`` as of :func:`sample_candidates`, ``proxy`` as of
    :func:`search_logits`; ``pending``: those of ``unavailable`` that are; ``given``: how many rows
    of D, the first, were made before the search.
    """
    objective = parameters.objective
    if proxy is None:
        proxy = load_proxy(space, weights, parameters)
    score = objective.task.score(archive, parameters.selection)

    def predict(codes: Tensor) -> Tensor:
        return fitting.predict(proxy, space.encode(codes))

    counts = {name: int(candidates[name]) for name in Pool._fields[2:]}
    pool = Pool(candidates["codes"], candidates["group"], **counts)
    may_spend = allowance(parameters, archive, step, unavailable, free, wanted)
    picks = max(1, may_spend // objective.price.cheapest)
    members = followed_members(pending, parameters, step, picks)
    pool = extend_pool(
        space,
        pool,
        proxy,
        followed_scores(score, members),
        parameters,
        codes_of(space, archive),
        _codes_of(space, unavailable),
        picks=picks,
        fewest=max(parameters.selection.batch, wanted),
        is_misled=misleads(weights),
    )
    return select_queries(
        space,
        pool,
        predict,
        archive,
        parameters,
        may_spend,
        step,
        torch_generator(parameters.seed, step, "selection"),
        unavailable,
        given,
        pending,
    )


def update_archive(
    evaluations: pd.DataFrame, parameters: SearchParameters, archive: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return D ∪ the evaluated batch (line 10)."""
    return extend(archive, evaluations, parameters.objective)


def _codes_of(space: SearchSpace, table: pd.DataFrame | None) -> Tensor | None:
    """Return the codes of a table, None where there is nothing in it."""
    return None if table is None or table.empty else codes_of(space, table)
