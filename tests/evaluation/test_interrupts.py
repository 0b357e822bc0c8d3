"""Signals that end a run: all as Ctrl-C does, and none while its record is being closed."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from optiproxy_nas.evaluation.interrupts import end_as_interrupted, interrupts_held

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


@pytest.fixture(autouse=True)
def default_handlers() -> Iterator[None]:
    """Handlers as of a process that a shell starts, put back after the test."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_what_would_end_the_process_interrupts_it(number: int) -> None:
    end_as_interrupted()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_what_is_ignored_stays_so() -> None:
    """As ``nohup`` does it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    end_as_interrupted()
    with interrupts_held():
        assert {signal.getsignal(number) for number in SIGNALS} == {signal.SIG_IGN}


def test_no_interrupt_ends_what_closes_a_run() -> None:
    end_as_interrupted()
    with interrupts_held():
        for number in SIGNALS * 2:
            signal.raise_signal(number)
        with interrupts_held(0.0):  # the outer one counts
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_what_hangs_can_be_interrupted_after_some_time() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_held(0.0):
        signal.raise_signal(signal.SIGINT)
