"""Errors and interruptions of the project's commands."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

import click
from kedro.io import DatasetError

from optiproxy_nas.core.errors import OptiProxyError, message_of
from optiproxy_nas.evaluation.interrupts import hold_interrupts

TRACEBACK = "OPTIPROXY_TRACEBACK"
_BOUND = re.compile(r"=?[0-9.]+([eE][-+]?[0-9]+)?([,;].*)?")  # of latency_ms>=90,seed=1


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
        message = " ".join(filter(None, [message_of(error), _redirection()]))
        raise click.ClickException(printable(message)) from error
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


def _redirection() -> str:
    """Return what to do about the file that a shell made of ``metric > 90``; "": it made none."""
    with suppress(OSError, ValueError):  # standard output may be no file, or closed
        output = os.fstat(sys.stdout.fileno())
        if stat.S_ISREG(output.st_mode):
            for path in Path.cwd().iterdir():
                if _BOUND.fullmatch(path.name) and os.path.samestat(output, path.stat()):
                    return (
                        f"The shell took a > that is not quoted for the file {path.name!r}: quote "
                        "the whole argument, and delete that file."
                    )
    return ""


def _notes(error: BaseException) -> str:
    """Return the notes on an interruption, and on those that it interrupted in their turn."""
    notes: dict[str, None] = {}
    link: BaseException | None = error
    while link is not None:
        notes |= dict.fromkeys(getattr(link, "__notes__", ()))
        link = link.__context__
    return " ".join(notes)
