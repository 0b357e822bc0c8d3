"""Ctrl-C and SIGTERM while trials run: they are finished first, or cancelled."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Callable
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
        at_once: whether what is to be ended raises KeyboardInterrupt there and then: trials are
            trained in this thread.

    Attributes:
        is_ending: whether nothing is to be begun any more.
    """

    def __init__(self, grace: float, running: Callable[[], int], at_once: bool = False) -> None:
        self.is_ending = False
        self._grace, self._running, self._at_once = grace, running, at_once
        self._deadline = math.inf
        self._replaced: dict[int, Any] = {}

    @property
    def is_over(self) -> bool:
        """Whether what still runs is to be cancelled."""
        return time.monotonic() >= self._deadline

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
        _log.warning("%d trials are finishing; Ctrl-C again cancels them.", self._running())

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        if not self.is_ending:
            _log.warning(
                "Told to end: %d trials are finishing, for %g s at most.",
                self._running(),
                self._grace,
            )
        self.is_ending = True
        self._end_at(-math.inf if self._at_once else time.monotonic() + self._grace)

    def _end_at(self, deadline: float) -> None:
        self._deadline = min(self._deadline, deadline)
        if self._at_once and self.is_over:
            raise KeyboardInterrupt
