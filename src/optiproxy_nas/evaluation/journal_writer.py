"""Writing the journal of a search whose trials run on while the disk is full."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from optiproxy_nas.core.errors import JournalError
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.journal import Journal

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class JournalWriter:
    """Writes lines in their order; what cannot be written waits.

    Args:
        journal: that is open; None: there is none, and nothing is written.
        clock: returns seconds.

    Attributes:
        error: why the last attempt to write failed; None: it did not.
    """

    def __init__(self, journal: Journal | None, clock: Callable[[], float]) -> None:
        self._journal, self._clock = journal, clock
        self._unwritten: deque[Callable[[Journal], Any]] = deque()
        self._since = math.nan
        self.error: JournalError | None = None

    @property
    def has_unwritten(self) -> bool:
        """Whether lines wait to be written."""
        return bool(self._unwritten)

    def failing_seconds(self, since: float) -> float:
        """Return for how long nothing could be written after a time; 0 where it can."""
        return 0.0 if self.error is None else self._clock() - max(self._since, since)

    def ask(self, number: int, wanted: int) -> bool:
        """Write that the method is asked now; return whether that is written."""
        if self._unwritten:
            return False
        return self._write_at_once(lambda journal: journal.record_ask(number, wanted))

    def begun(self, request: Request, handle: str) -> None:
        """Write that an attempt has begun."""
        self._unwritten.append(lambda journal: journal.record_begun(request, handle))
        self.write()

    def ended(self, request: Request, outcome: Outcome, on_written: Callable[[], Any]) -> None:
        """Write what an attempt gave, and call a function once that is on the disk."""

        def write(journal: Journal) -> None:
            journal.record(request, outcome)
            on_written()

        self._unwritten.append(write)
        self.write()

    def write(self) -> None:
        """Write what waits, as far as that goes."""
        while self._unwritten and self._write_at_once(self._unwritten[0]):
            self._unwritten.popleft()

    def _write_at_once(self, write: Callable[[Journal], Any]) -> bool:
        if self._journal is None:
            return True
        try:
            write(self._journal)
        except JournalError as error:
            if self.error is None:
                self._since = self._clock()
                _log.warning(
                    "%s Nothing new is begun; it is tried again while trials run.", error.message
                )
            self.error = error
            return False
        self.error = None
        return True
