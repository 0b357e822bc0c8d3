"""Errors and interruptions of the project's commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper

import click
from kedro.io import DatasetError

from optiproxy_nas.core.errors import OptiProxyError, message_of
from optiproxy_nas.evaluation.interrupts import hold_interrupts

TRACEBACK = "OPTIPROXY_TRACEBACK"


@contextmanager
def clear_errors(go_on: str | None = None) -> Iterator[None]:
    """End a command with one message and exit code 1 on an error, with 130 on Ctrl-C.

    Args:
        go_on: what to say after an interruption; by default the notes on the interruption.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # a console of ASCII or cp1252 shows what it can
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except (OptiProxyError, DatasetError, OSError) as error:
        raise click.ClickException(printable(message_of(error))) from error
    except click.ClickException:
        raise
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        reason = " ".join(message_of(error).split())
        raise click.ClickException(
            printable(f"{type(error).__name__}: {reason} ({TRACEBACK}=1 shows where.)")
        ) from error
    except KeyboardInterrupt as error:
        hold_interrupts()  # the process ends now, and takes its time for that
        with suppress(OSError):  # the terminal may be what was closed
            click.echo(f"\nInterrupted. {go_on or _notes(error)}".rstrip(), err=True)
        raise SystemExit(130) from None


def printable(text: str) -> str:
    """Return a text whose control characters, but for line ends, are written out.

    Names of a stranger's runs and files are in it; none of them may move the cursor.
    """
    return "".join(it if it.isprintable() or it == "\n" else ascii(it)[1:-1] for it in text)


def _notes(error: BaseException) -> str:
    """Return the notes on an interruption, and on those that it interrupted in their turn."""
    notes: dict[str, None] = {}
    link: BaseException | None = error
    while link is not None:
        notes |= dict.fromkeys(getattr(link, "__notes__", ()))
        link = link.__context__
    return " ".join(notes)
