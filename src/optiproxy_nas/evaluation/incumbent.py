"""The incumbent of a search, which is its answer: the best by its confirmed mean, if it has one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.run_settings import ConfirmSettings
from optiproxy_nas.evaluation.batch import evaluated_rows
from optiproxy_nas.evaluation.confirmation import candidates, means_of, trainings_of
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.trials import column_of
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems import VALUE

# Of the table of candidates, beside value_1, value_2, ...
COLUMNS = ("trial", "architecture", "single", "mean", "sd", "trainings")


@dataclass(frozen=True)
class Confirmation:
    """The best of a search, trained again.

    Attributes:
        table: one row a candidate, best first (those of which fewer trainings succeeded are
            below the others): trial (its number), architecture, single (its value
            in the search), mean and sd of its values now (ddof 1, NaN of a single one), trainings
            (that succeeded), value_1, value_2, ... by seed (NaN where it failed), and the means of
            its other metrics.
        rows: of D, of the candidates that have a mean, with the means in the place of what the
            search measured; best first.
        places: of ``rows`` in D, from 0.
        means: of each of ``rows``, the mean of ``value`` and of every other metric.
    """

    table: pd.DataFrame
    rows: pd.DataFrame
    places: tuple[int, ...]
    means: tuple[dict[str, float], ...]

    @classmethod
    def of(
        cls,
        objective: Objective,
        archive: pd.DataFrame,
        settings: ConfirmSettings | None,
        trained: pd.DataFrame,
    ) -> Self | None:
        """Return the confirmation of a search; None where it is not confirmed, or not to its end.

        Args:
            objective: of the search.
            archive: D.
            settings: of the confirmation; None: there is none.
            trained: of :func:`~optiproxy_nas.evaluation.confirmation.tabulate`; it may hold
                trainings of other architectures, too.
        """
        if settings is None or trained.empty:
            return None
        repeats = range(1, settings.seeds + 1)
        of_each = trained[trained["repeat"].isin(repeats)].groupby("architecture")
        places = candidates(objective, archive, settings.best)
        names = [str(name) for name in archive["architecture"].iloc[places]]
        if not names or any(of_each.size().get(name, 0) < settings.seeds for name in names):
            return None
        found = [of_each.get_group(name).set_index("repeat").loc[list(repeats)] for name in names]
        complete = [row for row, trainings in enumerate(found) if trainings[VALUE].notna().any()]
        rows = archive.iloc[[places[row] for row in complete]].reset_index(drop=True)
        means = [means_of(found[row]) for row in complete]
        rows = evaluated_rows(objective, rows, means)
        ranks = objective.order.ranks(rows) if complete else np.empty(0)
        # The mean of fewer is the luckier one: it competes only with means of as few.
        counts = np.array([found[row][VALUE].notna().sum() for row in complete])
        eligible = objective.order.eligible(rows) if complete else np.empty(0, dtype=bool)
        best_first = np.lexsort((-ranks, -counts, ~eligible)).tolist()
        rows = rows.iloc[best_first].reset_index(drop=True)
        ranked = [complete[row] for row in best_first]
        failed = [row for row in range(len(names)) if row not in complete]
        singles = archive[VALUE].to_numpy(dtype=np.float64)[places]
        table = pd.DataFrame([_candidate(found[row], singles[row]) for row in [*ranked, *failed]])
        of_rows = tuple(means[row] for row in best_first)
        return cls(table, rows, tuple(places[row] for row in ranked), of_rows)

    @property
    def caution(self) -> str:
        """What has to be said wherever the value is shown, where no training succeeded; else ""."""
        if self.places:
            return ""
        count = _by_seed(self.table).size
        return f"Not confirmed: {count} of {count} trainings failed. The value is the search's."


def _candidate(trained: pd.DataFrame, single: float) -> dict[str, Any]:
    """Return the row of a candidate, whose trainings are given by repeat."""
    values, means = trained[VALUE], means_of(trained)
    return {
        "trial": int(trained["number"].iloc[0]),
        "architecture": str(trained["architecture"].iloc[0]),
        "single": float(single),
        "mean": means.pop(VALUE),
        "sd": float(values.std(ddof=1)),
        "trainings": int(values.notna().sum()),
        **{f"value_{repeat}": float(value) for repeat, value in values.items()},
        **{column_of(name, COLUMNS): mean for name, mean in means.items()},
    }


def _by_seed(table: pd.DataFrame) -> Floats:
    """Return the confirmed values of each candidate by seed: [candidates, seeds], NaN: failed."""
    return table.filter(regex=r"^value_\d+$").to_numpy(dtype=np.float64)


class Incumbent(NamedTuple):
    """The answer of a search."""

    place: int  # its row of D
    value: float  # its confirmed mean; its single value where it has none
    is_eligible: bool  # whether it keeps all bounds, by its means
    single: float  # its value in the search
    sd: float = math.nan  # of its confirmations, ddof 1; NaN of a single one
    values: tuple[float, ...] = ()  # of its confirmations, by seed; (): it is not confirmed


def incumbent_of(
    objective: Objective, archive: pd.DataFrame, confirmation: Confirmation | None = None
) -> Incumbent:
    """Return the answer of a search with at least one complete trial."""
    order = objective.order
    if confirmation is None or not confirmation.places:
        place = order.incumbent(archive)
        value = float(archive[VALUE].iloc[place])
        return Incumbent(place, value, bool(order.eligible(archive)[place]), value)
    first = confirmation.table.iloc[0]
    values = _by_seed(confirmation.table)[0]
    return Incumbent(
        confirmation.places[0],
        float(first["mean"]),
        bool(order.eligible(confirmation.rows)[0]),
        float(first["single"]),
        float(first["sd"]),
        tuple(values[~np.isnan(values)].tolist()),
    )


def facts_of(
    objective: Objective, archive: pd.DataFrame, confirmation: Confirmation | None = None
) -> dict[str, Any]:
    """Return ``Objective.summary``, where bounds are judged on the means of a confirmation."""
    facts = objective.summary(archive)
    if confirmation is None or not confirmation.places:
        return facts
    judged = objective.summary(confirmation.rows)
    return {
        **facts,
        **{name: judged[name] for name in ("feasible", "constraints") if name in judged},
    }


class Training(NamedTuple):
    """One training, and what it gave."""

    request: Request
    metrics: Mapping[str, float]  # ``value`` and others


def incumbent_training(
    objective: Objective,
    searched: Training | None,
    confirmations: pd.DataFrame,
    has_files: Callable[[Request], bool] = lambda request: True,
) -> Training:
    """Return the training of the incumbent with the best value: it is tested, and exported.

    One whose folder was emptied is passed over where another has files.

    Args:
        objective: of the search.
        searched: that of the search; None: it did not train it, but started from it.
        confirmations: those of the incumbent (``confirmation.tabulate``); they may be none, but one
            has succeeded where ``searched`` is None.
        has_files: whether there is still something in the folder of a training.
    """
    trained = [] if searched is None else [searched]
    trained += [
        Training(request, it.metrics)
        for request, it in trainings_of(confirmations, objective.full_fidelity)
        if not it.error
    ]
    sign, left = objective.order.sign, [it for it in trained if has_files(it.request)]
    return max(left or trained, key=lambda training: sign * training.metrics[VALUE])


def cautions_of(confirmation: Confirmation, settings: ConfirmSettings) -> list[str]:
    """Return what a user must know of a confirmation, a sentence each; none where all is well."""
    table, sentences = confirmation.table, []
    if len(table) < settings.best:
        sentences.append(
            f"confirm.best = {settings.best}, but only {len(table)} of what was found can be the "
            f"answer; {'that is' if len(table) == 1 else 'these are'} confirmed."
        )
    if not confirmation.places:
        return [*sentences, confirmation.caution]
    for trial, count in table[["trial", "trainings"]].itertuples(index=False):
        failed = settings.seeds - count
        then = "its mean is of the others, and it ranks below those of which none failed"
        if not count:
            then = "it cannot be the answer"
        if failed:
            sentences.append(
                f"{failed} of {settings.seeds} confirmations of trial {trial} failed; {then}."
            )
    changes = _by_seed(table) - table[["single"]].to_numpy()
    if (changes[~np.isnan(changes)] == 0).all():
        sentences.append(
            "All confirmations gave what the search had measured, to the last digit: the training "
            "does not depend on its seed, so they confirm nothing."
        )
    return sentences
