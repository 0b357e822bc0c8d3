"""The steps of Algorithm 2 as pure functions, which the Kedro nodes and the plain loop run.

Each takes the space, its inputs and the typed parameters, and returns new values. Randomness comes
from (seed, step, purpose) alone, so a step may run anywhere, in any order, once or twice, and gives
the same result.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import torch
from scipy.stats import kendalltau, spearmanr
from torch import Tensor

from optiproxy_nas.algorithm import gradient
from optiproxy_nas.algorithm.archive import check_archive, codes_of, extend, make_batch
from optiproxy_nas.algorithm.budget import allowance
from optiproxy_nas.algorithm.candidates import BEAM, Pool, climb, draw_candidates, sample_random
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.selection import select_queries
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.core.random_streams import isolated, torch_generator
from optiproxy_nas.proxies import fit as fitting
from optiproxy_nas.spaces.base import Logits, SearchSpace

LEAST = 2  # complete trials that a proxy can be fitted on
RECENT = 20  # queries over which the proxy's recent rank correlation is measured


@isolated()
def initial_batch(
    space: SearchSpace,
    parameters: SearchParameters,
    count: int | None = None,
    excluded: Tensor | None = None,
) -> pd.DataFrame:
    """Draw the random architectures that the search starts from (Algorithm 2, line 4).

    Args:
        space: the search space.
        parameters: of the search.
        count: of architectures; default ``initial_samples``.
        excluded: codes [x, L] that are passed over.
    """
    generator = torch_generator(parameters.seed, 0, "initial-sample")
    count = parameters.initial_samples if count is None else count
    if excluded is None or not len(excluded):
        codes = sample_random(space, count, generator)
    else:
        drawn = sample_random(space, count + len(excluded), generator)
        out = set(space.identify(excluded))
        kept = [row for row, identity in enumerate(space.identify(drawn)) if identity not in out]
        codes = drawn[kept[:count]]
    columns = parameters.objective.price.initial_columns(len(codes))
    return make_batch(space, codes, step=0, **columns)


@isolated()
def fit_proxy(
    space: SearchSpace,
    archive: pd.DataFrame,
    parameters: SearchParameters,
    previous: Tensors | None = None,
    *,
    step: int,
) -> tuple[Tensors, Tensors]:
    """Fit f̂_θ on D (line 6): return weights θ*, and the loss curve {"loss": [epochs]}.

    Raises:
        ArtifactError: the archive is not valid.
        EvaluationError: it has fewer than two trials, since the others failed.
        ProxyError: the loss is not finite.
    """
    objective = parameters.objective
    if len(archive) < LEAST:
        raise EvaluationError(
            f"{len(archive)} of the first {parameters.initial_samples} trials complete, the others "
            "failed: no proxy can be fitted. Mend the evaluation, or raise initial_samples."
        )
    check_archive(space, archive, objective)
    fit = fitting.fit_proxy(
        space,
        codes_of(space, archive),
        objective.task.targets(archive, parameters.fit.targets),
        parameters.proxy,
        parameters.fit,
        previous,
        parameters.seed,
        step,
    )
    return fit.weights, {"loss": fit.loss}


@isolated()
def search_logits(
    space: SearchSpace,
    weights: Tensors,
    archive: pd.DataFrame,
    parameters: SearchParameters,
    previous: Tensors | None = None,
    *,
    step: int,
) -> tuple[Tensors, Tensors]:
    """Run Algorithm 1 on the frozen proxy (line 7): return {"alpha", "beta"}, and the trace.

    Raises:
        ProxyError: the score or its gradient is not finite.
    """
    settings = parameters.gradient
    if previous is not None and settings.warm_start:
        start = Logits(previous["alpha"], previous["beta"])
    else:
        start = gradient.initial_logits(space, settings, parameters.seed, step)
    objective = parameters.objective
    logits, trace = gradient.optimise_logits(
        space,
        fitting.load_proxy(space, parameters.proxy, weights, objective.task.heads),
        start,
        settings,
        objective.task.score(archive, parameters.selection),
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

    Raises:
        SamplingError: too few architectures outside the archive were drawn.
    """
    objective, taken = parameters.objective, _codes_of(space, unavailable)
    codes = codes_of(space, archive)
    fewest = objective.price.fewest(allowance(parameters, archive, step, unavailable, free))
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
    *,
    step: int,
    free: int = 0,
    given: int = 0,
) -> pd.DataFrame:
    """Select the candidates that the proxy scores best (line 8), within the step's budget.

    ``unavailable`` and ``free`` as of :func:`sample_candidates`; ``given``: how many rows of D, the
    first, were made before the search.
    """
    objective = parameters.objective
    proxy = fitting.load_proxy(space, parameters.proxy, weights, objective.task.heads)
    score, selection = objective.task.score(archive, parameters.selection), parameters.selection

    def predict(codes: Tensor) -> Tensor:
        return fitting.predict(proxy, space.encode(codes))

    counts = {name: int(candidates[name]) for name in Pool._fields[2:]}
    pool = climb(
        space,
        Pool(candidates["codes"], candidates["group"], **counts),
        lambda codes: score(predict(codes)),
        codes_of(space, archive),
        selection.ascent_rounds if selection.use_proxy else 0,
        width=max(BEAM, selection.batch),
        skip_twins=selection.skip_twins,
        unavailable_codes=_codes_of(space, unavailable),
    )
    return select_queries(
        space,
        pool,
        predict,
        archive,
        parameters,
        allowance(parameters, archive, step, unavailable, free),
        step,
        torch_generator(parameters.seed, step, "selection"),
        unavailable,
        given,
    )


def update_archive(
    evaluations: pd.DataFrame, parameters: SearchParameters, archive: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return D ∪ the evaluated batch (line 10)."""
    return extend(archive, evaluations, parameters.objective)


def diagnose(
    evaluations: pd.DataFrame,
    archive: pd.DataFrame,
    candidates: Tensors,
    trace: Tensors,
    fit: Tensors,
    parameters: SearchParameters,
    bound: dict[str, Any] | None = None,
    *,
    step: int,
) -> dict[str, Any]:
    """Return numbers on one step: rank correlation on the new batch, entropy, rejected draws ...

    Args:
        evaluations: the step's complete trials, with the predictions made before them.
        archive: D after the step.
        candidates: of :func:`sample_candidates`.
        trace: of :func:`search_logits`.
        fit: loss curve of :func:`fit_proxy`.
        parameters: of the search.
        bound: of :func:`regret_left.bound_regret`, where the search may end by it.
        step: search step, 1..S.
    """
    objective = parameters.objective
    batch_tau, batch_rho = _rank_correlation(evaluations[objective.order.judged(evaluations)])
    # A small batch says little, so also over the last queries, each predicted before it was made.
    recent = archive[(archive["step"] > 0) & objective.order.judged(archive)].tail(RECENT)
    recent_tau, recent_rho = _rank_correlation(recent)
    return {
        "step": step,
        "queries": len(archive),
        "spent": int(objective.price.costs(archive).sum()),
        "best": _number(archive["best"].iloc[-1]),
        "kendall_tau": batch_tau,
        "spearman": batch_rho,
        "recent_kendall_tau": recent_tau,
        "recent_spearman": recent_rho,
        "fit_loss": float(fit["loss"][-1]),
        "entropy": float(trace["entropy"][-1].mean()),
        "temperature": float(trace["temperature"][-1]),
        "candidates": len(candidates["codes"]),
        "duplicates_rejected": int(candidates["duplicates"]),
        "twins_rejected": int(candidates["twins"]),
        "invalid_rejected": int(candidates["rejected"]),
        "draws": int(candidates["draws"]),
        **objective.diagnose(evaluations, archive),
        **({} if bound is None else {"regret_left": bound["regret_left"]}),
    }


def _codes_of(space: SearchSpace, table: pd.DataFrame | None) -> Tensor | None:
    """Return the codes of a table, None where there is nothing in it."""
    return None if table is None or table.empty else codes_of(space, table)


def _number(value: float) -> float | None:
    """Return a number for JSON, which has no NaN."""
    return None if math.isnan(value) else float(value)


def _rank_correlation(table: pd.DataFrame) -> tuple[float | None, float | None]:
    """Return Kendall's τ-b and Spearman's ρ of prediction and value; None where undefined."""
    predicted, value = table["predicted"], table["value"]
    if len(table) < 2 or predicted.nunique() < 2 or value.nunique() < 2:
        return None, None
    tau, rho = kendalltau(predicted, value).statistic, spearmanr(predicted, value).statistic
    return float(tau), float(rho)
