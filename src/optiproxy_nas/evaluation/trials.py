"""Trials: what one evaluation is asked and gave, and when failures end a search."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from optiproxy_nas.core.errors import FailedTrialsError
from optiproxy_nas.core.random_streams import derive_seed
from optiproxy_nas.core.run_settings import FailureSettings

TrialState = Literal["waiting", "running", "complete", "failed"]


class Asked(NamedTuple):
    """An event of a search: its method was asked for proposals.

    Attributes:
        wanted: as of ``methods.Unavailable``.
    """

    wanted: int = 0


Event = int | Asked  # of a search: the number of a trial that was over; or the method was asked
_log = logging.getLogger(__name__)
FEW_TRIALS = 20  # before as many are over, their share of failures says little


@dataclass(frozen=True, repr=False)
class Trial:
    """One architecture at one fidelity, proposed to be evaluated.

    Attributes:
        number: from 0, in the order proposed.
        architecture: as an evaluation takes it: the benchmark's notation, or a dict of a declared
            space.
        epochs: of training, where the objective has several fidelities; else None.
        state: ``waiting`` to be handed out, ``running``, ``complete`` or ``failed``.
        metrics: ``value`` and what else was told, by name, in the user's units; empty unless
            complete.
        seed: for the randomness of the evaluation, in [0, 2**31); of the search's seed and number,
            or that of the shorter training that it continues.
        seconds: the evaluation took; None where it was not measured.
        error: why it failed; "" unless failed.
        order: the row of the archive that holds it, from 0; None unless complete.
        charged: whether this search paid for it; False for trials that it started from.
        curve: what it reported while it was trained: (step, value).
        output: path of the file with its standard output and error; "": none.
        folder: name of the folder for its files, ``0007``; that of the shorter training that it
            continues, where its checkpoint is.
        stopped: whether its training was ended early, by what it reported (``stopping``). Its value
            is of a shorter training: it informs the search, and is never the answer.
    """

    number: int
    architecture: Any = field(hash=False)
    epochs: int | None = None
    state: TrialState = "waiting"
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    seed: int = 0
    seconds: float | None = None
    error: str = ""
    order: int | None = None
    charged: bool = True
    curve: tuple[tuple[int, float], ...] = ()
    output: str = ""
    folder: str = ""
    stopped: bool = False

    @property
    def text(self) -> str:
        """The architecture as the space writes it: itself, or its JSON."""
        if isinstance(self.architecture, str):
            return self.architecture
        return json.dumps(self.architecture, ensure_ascii=False)

    @property
    def value(self) -> float | None:
        """The value that is searched for; None unless complete."""
        return self.metrics.get("value")

    def __repr__(self) -> str:
        """Return number, state, what it gave and what it is of: ``<Trial 3 complete, ...>``."""
        facts = [f"{name} {number:.6g}" for name, number in self.metrics.items()]
        facts += [self.error] if self.error else []
        facts += ["stopped early"] if self.stopped else []
        facts += [f"epochs {self.epochs}"] if self.epochs is not None else []
        facts += [f"{self.seconds:.3g} s"] if self.seconds is not None else []
        return f"<Trial {self.number} {', '.join([self.state, *facts])}: {self.text}>"


def column_of(metric: str, taken: Collection[str]) -> str:
    """Return the column of a metric: its name, but "metrics.state" where a trial has a state."""
    return f"metrics.{metric}" if metric in taken else metric


def trial_seed(seed: int, number: int) -> int:
    """Return the seed of a trial, in [0, 2**31), of the search's seed and the trial's number."""
    return derive_seed(seed, number, "trial") % 2**31


def check_failures(
    settings: FailureSettings, failed: Sequence[bool], error: str, has_journal: bool = False
) -> None:
    """End a search in which too many trials failed; of a first one that failed, warn at once.

    Args:
        settings: how many are too many.
        failed: of each trial that is over, in the order told.
        error: of the last failed one, for the message.
        has_journal: whether the search goes on with its journal.

    Raises:
        FailedTrialsError: so many in a row, or such a share of all (from 20 trials on).
    """
    if not failed or not failed[-1]:
        return
    if len(failed) == 1:
        _log.warning("The first trial failed: %s.", error.rstrip("."))
    flags = np.asarray(failed)
    row = len(flags) - (int(np.flatnonzero(~flags)[-1]) + 1 if not flags.all() else 0)
    total, count = int(flags.sum()), len(flags)
    if settings.in_a_row is not None and row >= settings.in_a_row:
        why = f"The last {row} trials failed, one after the other (failures.in_a_row = {row})"
    elif settings.share is not None and count >= FEW_TRIALS and total > settings.share * count:
        why = f"{total} of {count} trials failed, more than failures.share = {settings.share:g}"
    else:
        return
    retries = f"failures={{'retries': {settings.retries + 1}}}, which tries again what failed"
    again = f"the same journal and {retries}" if has_journal else "initial=error.data['trials']"
    raise FailedTrialsError(
        f"{why}, so the search was ended. The last error: {error}.",
        advice=f"Mend the evaluation, then go on with {again}; or allow more failures.",
        failed=total,
        trials=count,
        in_a_row=row,
        error=error,
    )
