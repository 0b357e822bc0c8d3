"""Ctrl-C and SIGTERM while trials run: they are finished first, or cancelled."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class Interrupts:
    """Notes the signals that end a search; ``with`` has them handled.

    The first Ctrl-C lets what runs be finished, a second one ends it. SIGTERM, which clusters and
    spot machines send before they take a machine away, gives it some seconds. Elsewhere than in the
    main thread, and where the caller handles a signal, nothing is changed.

    Args:
        grace: seconds that running trials have after SIGTERM.
        running: returns how many trials run.
        in_this_thread: whether trials are trained in it, and its method is asked: SIGTERM ends that
            at once.

    Attributes:
        is_ending: whether nothing is to be begun any more.
    """

    def __init__(self, grace: float, running: Callable[[], int], in_this_thread: bool) -> None:
        self.is_ending = self._may_raise = False
        self._grace, self._running, self._in_this_thread = grace, running, in_this_thread
        self._deadline = math.inf
        self._replaced: dict[int, Any] = {}

    @property
    def is_over(self) -> bool:
        """Whether what still runs is to be cancelled."""
        return time.monotonic() >= self._deadline

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let what is to be ended raise KeyboardInterrupt there and then, if in this thread."""
        self._may_raise = self._in_this_thread
        try:
            self._end_at(self._deadline)
            yield
        finally:
            self._may_raise = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            handled = {
                signal.SIGINT: ((signal.default_int_handler,), self._on_interrupt),
                # Kedro's command line has it handled as Ctrl-C is.
                signal.SIGTERM: (
                    (signal.SIG_DFL, signal.default_int_handler),
                    self._on_terminate,
                ),
            }
            for number, (usual, handler) in handled.items():
                if signal.getsignal(number) in usual:
                    self._replaced[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._replaced.items():
            signal.signal(number, handler)
        self._replaced.clear()

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.is_ending:
            self._end_at(-math.inf)
            return
        self.is_ending = True
        if running := self._running():
            _log.warning("%d trials are finishing; Ctrl-C again cancels them.", running)

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        grace = 0.0 if self._in_this_thread else self._grace
        if not self.is_ending:
            facts = self._running(), grace
            _log.warning("Told to end: %d trials are finishing, for %g s at most.", *facts)
        self.is_ending = True
        self._end_at(time.monotonic() + grace)

    def _end_at(self, deadline: float) -> None:
        self._deadline = min(self._deadline, deadline)
        if self._may_raise and self.is_over:
            raise KeyboardInterrupt
