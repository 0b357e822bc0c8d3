"""The result of a search that is over, or that something ended early."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from optiproxy_nas.api.evaluation import Evaluation
from optiproxy_nas.api.open_search import Search
from optiproxy_nas.api.result import SearchResult
from optiproxy_nas.core.errors import OptiProxyError, SearchInterrupted
from optiproxy_nas.evaluation.benchmark_problem import optimum


def result_after(opened: Search, answering: Evaluation) -> SearchResult:
    """Return the result of a search that is over, with the optimum that it was not to know."""
    result, benchmark = answering.kept(opened.result()), opened._benchmark
    if benchmark is None:
        return result
    return replace(result, optimum=optimum(opened.objective, benchmark))


@contextmanager
def carrying_result(opened: Search, answering: Evaluation) -> Iterator[None]:
    """Give whatever ends a search early its result so far; end its worker processes.

    So has a Ctrl-C that comes while they end.
    """
    try:
        try:
            yield
        finally:
            answering.close()
    except KeyboardInterrupt as error:
        with _another_interrupt_waits():
            result = result_after(opened, answering)
        again = "initial=error.result" if answering.journal is None else "journal=the same path"
        raise SearchInterrupted(
            f"Interrupted after {len(result.archive)} complete trials. They are in this error's "
            f"result; search(..., {again}) with the same arguments goes on.",
            result,
        ) from error
    except OptiProxyError as error:
        error.data["result"] = result_after(opened, answering)
        raise
    except BaseException as error:
        with suppress(AttributeError):  # an error that takes none is raised as it is
            error.result = result_after(opened, answering)  # type: ignore[attr-defined]
        raise


@contextmanager
def _another_interrupt_waits() -> Iterator[None]:
    """Ignore a further Ctrl-C while the result of an interrupted search is made."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is None or threading.current_thread() is not threading.main_thread():
        yield  # signals are not ours to handle here
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
