"""What the project's commands share: one clear message for an error, and what Ctrl-C does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from kedro.framework.project import settings
from kedro.io import DatasetError

from optiproxy_nas.core.errors import OptiProxyError, message_of

TRACEBACK = "OPTIPROXY_TRACEBACK"


@contextmanager
def clear_errors(go_on: str | None = None) -> Iterator[None]:
    """One message and exit code 1 for our own errors and failed reads and writes.

    Args:
        go_on: what to say after Ctrl-C; by default how to resume the run in progress.
    """
    hooks = settings.HOOKS[0]
    try:
        yield
    except (OptiProxyError, DatasetError, OSError) as error:
        raise click.ClickException(message_of(error)) from error
    except click.ClickException:
        raise
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        reason = " ".join(str(error).split())
        raise click.ClickException(
            f"{type(error).__name__}: {reason} ({TRACEBACK}=1 shows where.)"
        ) from error
    except KeyboardInterrupt:
        run_id = hooks.run_id
        hooks.interrupt()
        hint = f"Go on with: kedro run --resume {run_id}" if run_id else ""
        click.echo(f"\nInterrupted. {go_on or hint}".rstrip(), err=True)
        raise SystemExit(130) from None


def interrupt(*_: Any) -> None:
    """A signal handler: end as Ctrl-C does."""
    raise KeyboardInterrupt
