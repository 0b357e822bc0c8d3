"""Confirming the best of a search: they are trained again, and the best by the means is the answer.

The highest of many single trainings flatters: it was chosen for its luck, too. So the best few are
trained again with fresh seeds, the same for all of them, and only these trainings count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from optiproxy_nas.core.random_streams import derive_seed
from optiproxy_nas.core.run_settings import ConfirmSettings
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.batch import evaluated_rows
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.journal_table import row_request
from optiproxy_nas.evaluation.trials import column_of
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems import VALUE

# Columns of trainings that are no metrics.
_FACTS = ("number", "attempt", "architecture", "epochs", "seed", "repeat", "folder", "error")


def confirm_seed(seed: int, repeat: int) -> int:
    """Return the seed of the confirmations 1, 2, ... of every candidate, in [0, 2**31).

    No trial of the search has it: theirs are of another stream.
    """
    return derive_seed(seed, repeat, "confirm") % 2**31


def candidates(objective: Objective, archive: pd.DataFrame, best: int) -> list[int]:
    """Return the rows of D of the best architectures that can be the answer, best first."""
    order = objective.order
    eligible = order.eligible(archive) if len(archive) else np.empty(0, dtype=bool)
    if not eligible.any():
        return []
    ranked = np.argsort(-order.ranks(archive), kind="stable").tolist()
    texts = archive["architecture"].tolist()
    first = {texts[row]: row for row in reversed(ranked) if eligible[row]}  # the best of each
    return sorted(first.values(), key=ranked.index)[:best]


def confirming(trained: Sequence[Request], settings: ConfirmSettings, seed: int) -> list[Request]:
    """Return the trainings that confirm the candidates.

    Args:
        trained: the requests that the search trained them by.
        settings: how often each is trained.
        seed: of the search.
    """
    return [
        request._replace(
            attempt=1,
            seed=confirm_seed(seed, repeat),
            repeat=repeat,
            folder=f"{request.number:04d}_confirm_{repeat}",
            stop_line=None,
        )
        for repeat in range(1, settings.seeds + 1)
        for request in trained
    ]


def retrain(
    objective: Objective, evaluator: Evaluator, requests: Sequence[Request], retries: int = 0
) -> Iterator[tuple[Request, Outcome]]:
    """Train what confirms; give each as it is over, failed ones after so many further attempts.

    Raises:
        OptiProxyError: as of the evaluator.
    """
    again = list(requests)
    for attempt in range(1, retries + 2):
        asked, again = [request._replace(attempt=attempt) for request in again], []
        for request, outcome in zip(
            asked, evaluator.outcomes(objective, asked) if asked else (), strict=True
        ):
            if outcome is None:
                continue
            if outcome.error and attempt <= retries:
                again.append(request)
            else:
                yield request, outcome


def tabulate(
    objective: Objective, trained: Iterable[tuple[Request, Outcome]], target: str = VALUE
) -> pd.DataFrame:
    """Return the trainings that confirm as a table, one row each.

    Args:
        objective: of the search.
        trained: of :func:`retrain`.
        target: what else the value is called among the metrics.

    Returns:
        number (of the trial), attempt, architecture, epochs (where there are fidelities), seed,
        repeat (from 1), folder, error ("" unless it failed), ``value`` and the other metrics (NaN
        where it failed). A metric that is called like one of these is "metrics.NAME".
    """
    rows = []
    for request, outcome in trained:
        facts = {**request._asdict(), "error": outcome.error}
        row = {**{name: facts[name] for name in _FACTS}, VALUE: np.nan}
        metrics = {column_of(name, _FACTS): it for name, it in outcome.metrics.items()}
        if target != VALUE:
            metrics.pop(column_of(target, _FACTS), None)
        rows.append(row | metrics)
    table = pd.DataFrame(rows, columns=None if rows else [*_FACTS, VALUE])
    return table if objective.fidelities else table.drop(columns="epochs")


def trainings_of(
    table: pd.DataFrame, full_epochs: int | None = None
) -> list[tuple[Request, Outcome]]:
    """Return the trainings of a table of :func:`tabulate`.

    Args:
        table: of trainings.
        full_epochs: of full training, where the objective has fidelities.
    """
    trained = []
    for row in table.to_dict("records"):
        found = {} if row["error"] else means_of(pd.DataFrame([row]))
        metrics = {name: it for name, it in found.items() if not np.isnan(it)}  # NaN: of others
        trained.append((row_request(row, full_epochs), Outcome(metrics, row["error"])))
    return trained


def means_of(trained: pd.DataFrame) -> dict[str, float]:
    """Return the mean of ``value`` and each other metric over the trainings that measured it."""
    columns = {str(name): trained[name].mean() for name in trained if name not in _FACTS}
    renamed = {f"metrics.{name}": name for name in _FACTS}
    return {renamed.get(name, name): float(mean) for name, mean in columns.items()}


def joined(objective: Objective, archive: pd.DataFrame, trained: pd.DataFrame) -> pd.DataFrame:
    """Return D and below it the trainings that confirm, told apart by a column ``repeat``.

    It is 0 in the rows of D. A confirmation has the row of its architecture, with what was measured
    now and the cost of a full training; it improves no ``best`` (NaN).
    """
    complete = trained[trained["error"] == ""]
    places = {name: row for row, name in enumerate(archive["architecture"])}  # of equals the last
    rows = archive.iloc[[places[name] for name in complete["architecture"]]].reset_index(drop=True)
    rows = rows.assign(best=np.nan, **objective.price.full_columns(len(rows)))
    metrics = [means_of(complete.iloc[[row]]) for row in range(len(complete))]
    rows = evaluated_rows(objective, rows, metrics).assign(repeat=complete["repeat"].to_numpy())
    return pd.concat([archive.assign(repeat=0), rows], ignore_index=True)
