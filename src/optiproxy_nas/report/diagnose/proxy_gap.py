"""The gap between proxy and reality, step by step.

Each step's proxy is asked again, with its stored weights, about the queries that came after it,
and about a probe: random cells that the run never queried. True values of the probe are read after
the search, never by it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.step_diagnostics import MEASURABLE
from optiproxy_nas.core.arrays import Floats, Integers
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.proxies.fit import load_proxy, predict
from optiproxy_nas.report.diagnose.reference_cells import Cells, probe_rows
from optiproxy_nas.spaces.base import SearchSpace

METRIC_TAU = "probe_kendall_tau_"  # and the metric: a column of the steps


class Judged(NamedTuple):
    """The predictions of every step's proxy, beside the truth."""

    archive: pd.DataFrame  # step, query (1-based), known (fitted on it), predicted, value
    probe: dict[int, Floats]  # step -> predictions of the probe [P], in target units
    truth: Floats  # [P]
    metrics: dict[int, dict[str, float]]  # step -> metric -> Kendall's τ on the probe


class Prediction(NamedTuple):
    """What one step's proxy says of n architectures."""

    mean: Floats  # [n] mean of the members in the units of the targets: ranks by it have no ties
    value: Floats  # [n] the same in the units of the value, as the archive's "predicted" is
    others: dict[str, Floats]  # metric -> [n], of the other heads, where the objective tells them


@isolated()
def predict_at(space: SearchSpace, run: SearchHistory, step: int, codes: Tensor) -> Prediction:
    """Return the predictions of the proxy of ``step`` for codes [n, L].

    Raises:
        ProxyError: a prediction is not finite.
    """
    parameters = run.parameters
    objective = parameters.objective
    proxy = load_proxy(space, parameters.proxy, run.weights[step], objective.task.heads)
    predictions = predict(proxy, space.encode(codes))  # [E, H, n]
    columns = objective.task.predicted(
        predictions, run.archive_before(step), parameters.fit.targets
    )
    others = {
        metric: columns[f"predicted_{metric}"]
        for metric in objective.columns
        if f"predicted_{metric}" in columns
    }
    return Prediction(predictions[:, 0].double().mean(0).numpy(), columns["predicted"], others)


def rank_agreement(predicted: Floats, true: Floats) -> float:
    """Return Kendall's τ-b; NaN below ``MEASURABLE`` points, or where either is constant."""
    if len(true) < MEASURABLE or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return math.nan
    return float(scipy.stats.kendalltau(predicted, true).statistic)


def top_rows(values: Floats, share: float) -> Integers:
    """Return rows of the best ``share`` of values, at least one, best first (ties: first row)."""
    count = min(len(values), max(1, round(share * len(values))))
    return np.argsort(-values, kind="stable")[:count]


def top_recall(predicted: Floats, true: Floats, share: float) -> float:
    """Return the share of the truly best that are among as many predicted best; NaN of none."""
    if not len(true):
        return math.nan
    best, favourites = top_rows(true, share), top_rows(predicted, share)
    return len(np.intersect1d(best, favourites)) / len(best)


def favourite_regret(predicted: Floats, true: Floats) -> float:
    """Return how much worse than the best is the one predicted best; NaN of none."""
    if not len(true):
        return math.nan
    return float(true.max() - true[predicted.argmax()])


def judge(space: SearchSpace, run: SearchHistory, cells: Cells, probe: int) -> Judged:
    """Ask every step's proxy about the whole archive and ``probe`` random cells of ``cells``."""
    rows = probe_rows(run, space, cells, probe)
    codes = codes_of(space, run.archive)
    tables, probes, metrics = [], {}, {}
    for step in run.steps:
        prediction = predict_at(space, run, step, codes)
        tables.append(
            pd.DataFrame(
                {
                    "step": step,
                    "query": run.archive["order"] + 1,
                    "known": run.is_fitted(step),
                    "predicted": prediction.value,
                    "predicted_target": prediction.mean,
                    "value": run.archive["value"],
                }
            )
        )
        prediction = predict_at(space, run, step, cells.codes[rows])
        probes[step] = prediction.mean
        metrics[step] = {
            metric: rank_agreement(predicted, cells.table[metric].to_numpy(np.float64)[rows])
            for metric, predicted in prediction.others.items()
        }
    judged = pd.concat(tables, ignore_index=True)
    return Judged(judged, probes, cells.values[rows], metrics)


def gap_table(run: SearchHistory, judged: Judged, window: int, top: float) -> pd.DataFrame:
    """Return the numbers of the gap, one row a step.

    Columns: ``step``; ``fitted_on`` (queries the proxy knew); ``queries`` (after the step);
    ``known_kendall_tau`` on those it knew; ``next_queries`` and ``next_kendall_tau`` on the next
    ``window`` ones; ``recent_kendall_tau`` over the last ``window`` queries, each as predicted
    before it (so by several proxies); ``probe_kendall_tau`` on the probe, and
    ``probe_top_kendall_tau`` on its truly best ``top``; ``probe_top_recall``;
    ``probe_regret``: what the probe's best lies above the proxy's favourite of the probe;
    ``batch_predicted``, ``batch_value`` (means) and ``optimism``, their difference;
    ``probe_kendall_tau_<metric>`` of each further metric that the proxy predicts.

    Args:
        run: the run.
        judged: of :func:`judge`.
        window: queries.
        top: share of the probe.
    """
    archive, best = run.archive, top_rows(judged.truth, top)
    searched = archive[archive["step"] > 0]
    rows: list[dict[str, Any]] = []
    for step in run.steps:
        of_step = judged.archive[judged.archive["step"] == step]
        fitted, unseen = of_step[of_step["known"]], of_step[~of_step["known"]].head(window)
        recent = searched[searched["step"] <= step].tail(window)
        batch = archive[archive["step"] == step]
        probe = judged.probe[step]
        rows.append(
            {
                "step": step,
                "fitted_on": len(fitted),
                "queries": len(fitted) + len(batch),
                "known_kendall_tau": _agreement(fitted, "predicted_target"),
                "next_queries": len(unseen),
                "next_kendall_tau": _agreement(unseen, "predicted_target"),
                "recent_kendall_tau": _agreement(recent, "predicted"),
                "probe_kendall_tau": rank_agreement(probe, judged.truth),
                "probe_top_kendall_tau": rank_agreement(probe[best], judged.truth[best]),
                "probe_top_recall": top_recall(probe, judged.truth, top),
                "probe_regret": favourite_regret(probe, judged.truth),
                "batch_predicted": float(batch["predicted"].mean()),
                "batch_value": float(batch["value"].mean()),
                "optimism": float((batch["predicted"] - batch["value"]).mean()),
                **{f"{METRIC_TAU}{m}": tau for m, tau in judged.metrics[step].items()},
            }
        )
    return pd.DataFrame(rows)


def reproduction_error(run: SearchHistory, judged: Judged) -> float:
    """Return the largest difference between the stored predictions of the batches and ours.

    About 0 where today's code reads the weights as the run's code did.
    """
    ours = judged.archive.merge(
        run.archive.assign(query=run.archive["order"] + 1)[["step", "query", "predicted"]],
        on=["step", "query"],
        suffixes=("", "_stored"),
    )
    return float((ours["predicted"] - ours["predicted_stored"]).abs().max())


def _agreement(table: pd.DataFrame, predicted: str) -> float:
    return rank_agreement(table[predicted].to_numpy(), table["value"].to_numpy())
