"""Ctrl-C, SIGTERM, SIGHUP and SIGQUIT: running trials are finished first, or cancelled.

On the command line all of them end a run as Ctrl-C does (:func:`end_as_interrupted`), and none of
them ends the work that closes a run (:func:`interrupts_held`).
"""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

HELD = 10.0  # seconds in which a further interrupt does not end the work that closes a run
# Those that this system has; a closed terminal sends SIGHUP, Ctrl-\\ SIGQUIT.
_ENDING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    if hasattr(signal, name)
)
_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


def end_as_interrupted() -> None:
    """Have every signal that would end this process raise KeyboardInterrupt, as Ctrl-C does.

    A signal that is ignored (``nohup``, a job in the background) or handled stays so.
    """
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def interrupts_held(seconds: float = HELD) -> Iterator[None]:
    """Let no interrupt end what is done within, for so many seconds at most; they are dropped.

    Elsewhere than in the main thread nothing is changed, nor within another such block.
    """
    held = hold_interrupts(seconds)
    try:
        yield
    finally:
        held.release()


def hold_interrupts(seconds: float = HELD) -> Hold:
    """Drop interrupts from now on, for so many seconds: until a process that ends has ended."""
    handlers = {number: signal.getsignal(number) for number in _ENDING}
    is_held = any(isinstance(getattr(it, "__self__", None), Hold) for it in handlers.values())
    if is_held or threading.current_thread() is not threading.main_thread():
        return Hold({}, seconds)
    # None: set by no Python code; SIG_IGN: by someone who wants no signal to matter.
    return Hold({n: it for n, it in handlers.items() if it not in (None, signal.SIG_IGN)}, seconds)


class Hold:
    """Drops signals until it is released, or for some seconds.

    Args:
        handlers: the signals, and what handles them afterwards.
        seconds: how long.
    """

    def __init__(self, handlers: Mapping[int, Any], seconds: float) -> None:
        self._handlers = handlers
        self._deadline = time.monotonic() + seconds
        self._warned = False
        for number in handlers:
            signal.signal(number, self._drop)

    def release(self) -> None:
        """Let what handled the signals before handle them again."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _drop(self, number: int, frame: FrameType | None) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            self.release()
            raise KeyboardInterrupt
        if not self._warned:
            _log.warning("The run is being closed. Should it hang, interrupt it in %.0f s.", left)
        self._warned = True


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
                # These only where a command line has them so.
                **{
                    number: ((signal.default_int_handler,), self._on_terminate)
                    for number in _ENDING
                    if number not in (signal.SIGINT, signal.SIGTERM)
                },
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
