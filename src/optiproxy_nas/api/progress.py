"""The progress of a search: a bar in a terminal, a display that is renewed in a notebook."""

from __future__ import annotations

import math
import sys
from typing import Self

from tqdm import tqdm

from optiproxy_nas.api.notebook_view import NotebookView, in_notebook
from optiproxy_nas.api.open_search import Search
from optiproxy_nas.core.numbers import value_text
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.status import Status, charge_of, journal_note
from optiproxy_nas.evaluation.trials import Trial


class SearchBar:
    """A bar on standard error, or a display in a notebook; ``with`` closes it.

    Args:
        search: whose progress it shows.
        visible: whether it shows anything.
    """

    def __init__(self, search: Search, visible: bool) -> None:
        price, self._target = search.objective.price, search.target
        self._full_cost = price.full_cost
        total = search.parameters.budget
        self._has_status = False
        self._earlier = 0  # what the trainings of the journal were charged
        self._view: NotebookView | None = None
        if visible and in_notebook():
            self._view = NotebookView(search, search.record_parameters, search.target)
        is_bar = visible and self._view is None
        self._bar = tqdm(total=total, desc=price.unit, disable=not is_bar)

    def begin(self, search: Search, journal: Journal | None) -> None:
        """Begin with what the journal has."""
        if self._bar.disable or journal is None or not len(journal):
            return
        self._bar.write(journal_note(len(journal)), file=sys.stderr)
        charged = sum(charge_of(request, search.objective) for request, _ in journal.attempts())
        start = min(charged, search.parameters.budget)  # the pace is that of this session
        self._bar.initial = self._bar.n = self._bar.last_print_n = start
        self._earlier = start

    def trial_ended(self, search: AskTell, trial: Trial) -> None:
        """Show a trial that is over."""
        if self._view is not None:
            self._view.renew()
        if self._bar.disable:
            return
        if not self._has_status and not math.isnan(best := search.best):  # something is eligible
            shown = f"best {value_text(self._target, best)}"
            self._bar.set_postfix_str(shown, refresh=False)
        self._bar.update(max(search.spent_on_ended, self._earlier) - self._bar.n)

    def show(self, status: Status) -> None:
        """Show how an asynchronous search stands."""
        self._has_status = True
        self._bar.set_postfix_str(status.text(self._target))

    def confirmed(self, request: Request, outcome: Outcome) -> None:
        """Show a training that confirms."""
        self._bar.update(min(self._full_cost, (self._bar.total or 0) - self._bar.n))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._view is not None:
            self._view.renew(is_last=True)
        self._bar.close()
