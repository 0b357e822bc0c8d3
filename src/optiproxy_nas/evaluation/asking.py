"""Asking the method of a search in a thread, so that fitting keeps nobody from listening."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable

from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.proposals import Abandoned

UNWINDING = 0.2  # seconds in which a method that is not waited for has ended, mostly


class Asking:
    """Asks the method of a search, once at a time.

    While it is asked, nobody else may read or change the search.

    Args:
        search: whose method is asked.
        in_thread: False: it is asked in the thread of the caller.
        clock: returns seconds.

    Attributes:
        is_under_way: whether it is asked now, and :meth:`take` has not told the end of it.
        seconds: that the method has taken in all.
        last_seconds: that it has taken the last time.
    """

    def __init__(
        self, search: AskTell, in_thread: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._search, self._in_thread, self._clock = search, in_thread, clock
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._found: bool | BaseException = False
        self.is_under_way = False
        self.seconds = self.last_seconds = 0.0

    def begin(self, wanted: int) -> None:
        """Ask for proposals; ``wanted`` as of ``methods.Unavailable``."""
        self.is_under_way = True
        self._ended.clear()
        if not self._in_thread:
            self._ask(wanted)
            return
        self._thread = threading.Thread(target=self._ask, args=(wanted,), name="ask")
        self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Return whether the method has answered, after so many seconds at most."""
        return self._ended.wait(seconds)

    def take(self) -> bool:
        """Return what ``propose`` gave, once the method has answered.

        Raises:
            OptiProxyError: as of ``propose``.
        """
        if self._thread is not None:
            self._thread.join()
        self._thread, self.is_under_way = None, False
        if isinstance(self._found, BaseException):
            raise self._found
        return self._found

    def abandon(self) -> None:
        """Wait no longer; the method is ended where it comes back to Python, and not answered.

        It mostly does so at once, and what it has set of torch for the process is undone then.
        """
        if self.is_under_way and self._thread is not None:
            if self._search.abandon():
                number, error = ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(Abandoned)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(number, error)
                self._ended.wait(UNWINDING)
            else:
                self._ended.wait()  # it has answered, or does so without the method
        self._thread, self.is_under_way = None, False

    def _ask(self, wanted: int) -> None:
        begun = self._clock()
        try:
            self._found = self._search.propose(wanted)
        except BaseException as error:
            self._found = error
            if not self._in_thread and not isinstance(error, Exception):  # Ctrl-C
                self.is_under_way = False
                raise
        finally:
            self.last_seconds = self._clock() - begun
            self.seconds += self.last_seconds
            self._ended.set()
