"""What the commands say where they fail."""

from __future__ import annotations

import click
import pytest

from optiproxy_nas.commands.command_line import clear_errors
from optiproxy_nas.core.errors import DataError


@pytest.mark.parametrize("kind", [DataError, ValueError])
def test_a_name_of_a_stranger_does_not_move_the_cursor(kind: type[Exception]) -> None:
    with pytest.raises(click.ClickException) as caught, clear_errors():
        raise kind("No run 'x\x1b[2J\rVERIFIED\u202e' of Zürich.")
    assert "x\\x1b[2J" in caught.value.message
    assert "Zürich" in caught.value.message
    assert not set("\x1b\r\u202e") & set(caught.value.message)
