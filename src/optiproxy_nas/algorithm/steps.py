"""The steps of Algorithm 2 as pure functions: what the Kedro nodes and the plain loop both run.

Each takes the space, its inputs and the typed parameters, and returns new values; randomness
comes from (seed, step, purpose) alone, so a step may run anywhere, in any order, once or twice,
and gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import kendalltau, spearmanr
from torch import Tensor

from optiproxy_nas.algorithm import gradient, groups, selection
from optiproxy_nas.algorithm.archive import (
    QueryLedger,
    check_archive,
    codes_of,
    extend,
    make_batch,
)
from optiproxy_nas.algorithm.candidates import Pool, draw_candidates, sample_random
from optiproxy_nas.errors import DataError
from optiproxy_nas.parameters import SearchParameters
from optiproxy_nas.proxies import fit as fitting
from optiproxy_nas.reproducibility import one_thread, torch_generator
from optiproxy_nas.spaces.base import Logits, SearchSpace

RECENT = 20  # queries over which the proxy's recent rank correlation is measured
Tensors = dict[str, Tensor]
Evaluate = Callable[[Sequence[str]], np.ndarray]


def initial_batch(space: SearchSpace, parameters: SearchParameters) -> pd.DataFrame:
    """The random architectures that the search starts from (Algorithm 2, line 4)."""
    generator = torch_generator(parameters.seed, 0, "initial-sample")
    return make_batch(space, sample_random(space, parameters.initial_samples, generator), step=0)


@one_thread()
def fit_proxy(
    space: SearchSpace,
    archive: pd.DataFrame,
    parameters: SearchParameters,
    previous: Tensors | None = None,
    *,
    step: int,
) -> tuple[Tensors, Tensors]:
    """Train f̂_θ on D (line 6): weights θ*, and the loss curve {"loss": [epochs]}."""
    check_archive(space, archive)
    fit = fitting.fit_proxy(
        space,
        codes_of(space, archive),
        archive["value"].to_numpy(),
        parameters.proxy,
        parameters.fit,
        previous,
        parameters.seed,
        step,
    )
    return fit.weights, {"loss": fit.loss}


@one_thread()
def search_logits(
    space: SearchSpace,
    weights: Tensors,
    parameters: SearchParameters,
    previous: Tensors | None = None,
    *,
    step: int,
) -> tuple[Tensors, Tensors]:
    """Algorithm 1 on the frozen proxy (line 7): {"alpha", "beta"}, and the trace of the epochs."""
    settings = parameters.gradient
    if previous is not None and settings.warm_start:
        start = Logits(previous["alpha"], previous["beta"])
    else:
        start = groups.initial_logits(space, settings, parameters.seed, step)
    logits, trace = gradient.optimise_logits(
        space,
        fitting.load_proxy(space, parameters.proxy, weights),
        start,
        settings,
        parameters.selection,
        torch_generator(parameters.seed, step, "relaxation-noise"),
    )
    return logits._asdict(), trace._asdict()


@one_thread()
def sample_candidates(
    space: SearchSpace,
    logits: Tensors,
    archive: pd.DataFrame,
    parameters: SearchParameters,
    *,
    step: int,
) -> Tensors:
    """Q candidates outside D (Algorithm 1, line 13), with the counts of what was rejected."""
    pool = draw_candidates(
        space,
        Logits(logits["alpha"], logits["beta"]),
        codes_of(space, archive),
        torch.as_tensor(archive["value"].to_numpy(copy=True)),
        parameters.batch_of(step),
        parameters.selection,
        torch_generator(parameters.seed, step, "candidates"),
    )
    return {name: torch.as_tensor(value) for name, value in pool._asdict().items()}


@one_thread()
def select_batch(
    space: SearchSpace,
    candidates: Tensors,
    weights: Tensors,
    archive: pd.DataFrame,
    parameters: SearchParameters,
    *,
    step: int,
) -> pd.DataFrame:
    """The B candidates that the proxy scores best (line 8)."""
    return selection.select_batch(
        space,
        fitting.load_proxy(space, parameters.proxy, weights),
        Pool(**candidates),  # type: ignore[arg-type]
        archive["value"].to_numpy(),
        parameters.batch_of(step),
        parameters.selection,
        parameters.fit.targets,
        step,
        torch_generator(parameters.seed, step, "selection"),
    )


def evaluate_batch(
    space: SearchSpace,
    batch: pd.DataFrame,
    evaluate: Evaluate,
    parameters: SearchParameters,
    archive: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Query the batch (line 9): ``batch`` with a ``value`` column. Charged to the ledger first.

    Raises:
        BudgetError: the batch exceeds what is left of the budget.
        DataError: the evaluation gave something else than one finite number an architecture.
    """
    known = space.identify(codes_of(space, archive)) if archive is not None else []
    QueryLedger(parameters.budget, known).charge(space.identify(codes_of(space, batch)))
    return batch.assign(value=ask_values(batch["architecture"].tolist(), evaluate))


def ask_values(architectures: list[str], evaluate: Evaluate) -> np.ndarray:
    """f(𝒜) of architecture strings [n], percent [n]; charges nothing.

    Raises:
        DataError: the evaluation gave something else than one finite number an architecture.
    """
    answer: Any = evaluate(architectures)
    try:
        values = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (len(architectures),) or not np.isfinite(values).all():
        raise DataError(
            f"The evaluation of {len(architectures)} architectures gave {answer!r}; it must give "
            "one finite number for each.",
            architectures=architectures,
        )
    return values


def update_archive(evaluations: pd.DataFrame, archive: pd.DataFrame | None = None) -> pd.DataFrame:
    """D ∪ the evaluated batch (line 10)."""
    return extend(archive, evaluations, evaluations["value"].to_numpy())


def diagnose(
    evaluations: pd.DataFrame,
    archive: pd.DataFrame,
    candidates: Tensors,
    trace: Tensors,
    fit: Tensors,
) -> dict[str, Any]:
    """What one step did, as numbers: proxy against truth on the batch it had not seen, and so on.

    Args:
        evaluations: the step's batch with values and the predictions made before the query.
        archive: D after the step.
        candidates: of :func:`sample_candidates`.
        trace: of :func:`search_logits`.
        fit: loss curve of :func:`fit_proxy`.
    """
    batch_tau, batch_rho = _rank_correlation(evaluations)
    # A small batch says little by itself: also over the last queries, each predicted before it.
    recent = archive[archive["step"] > 0].tail(RECENT)
    recent_tau, recent_rho = _rank_correlation(recent)
    return {
        "step": int(evaluations["step"].iloc[0]),
        "queries": len(archive),
        "best": float(archive["best"].iloc[-1]),
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
        "draws": int(candidates["draws"]),
    }


def _rank_correlation(table: pd.DataFrame) -> tuple[float | None, float | None]:
    """Kendall's τ-b and Spearman's ρ of prediction and value; None where they are not defined."""
    predicted, value = table["predicted"], table["value"]
    if len(table) < 2 or predicted.nunique() < 2 or value.nunique() < 2:
        return None, None
    tau, rho = kendalltau(predicted, value).statistic, spearmanr(predicted, value).statistic
    return float(tau), float(rho)
