"""Errors and interruptions of the project's commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

import click
from kedro.io import DatasetError

from optiproxy_nas.core.errors import OptiProxyError, message_of

TRACEBACK = "OPTIPROXY_TRACEBACK"


@contextmanager
def clear_errors(go_on: str | None = None) -> Iterator[None]:
    """End a command with one message and exit code 1 on an error, with 130 on Ctrl-C.

    Args:
        go_on: what to say after Ctrl-C; by default the notes on the interruption.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # a console of ASCII or cp1252 shows what it can
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except (OptiProxyError, DatasetError, OSError) as error:
        raise click.ClickException(message_of(error)) from error
    except click.ClickException:
        raise
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        reason = " ".join(message_of(error).split())
        raise click.ClickException(
            f"{type(error).__name__}: {reason} ({TRACEBACK}=1 shows where.)"
        ) from error
    except KeyboardInterrupt as error:
        hint = go_on or " ".join(getattr(error, "__notes__", ()))
        click.echo(f"\nInterrupted. {hint}".rstrip(), err=True)
        raise SystemExit(130) from None
