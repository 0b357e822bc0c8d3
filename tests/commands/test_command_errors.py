"""What the commands say where they fail."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize(
    ("name", "is_bound"), [("=90", True), ("0.3,seed=1", True), ("log", False)]
)
def test_a_bound_that_a_shell_took_for_a_file_is_named(
    name: str, is_bound: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (tmp_path / name).open("w") as file:
        monkeypatch.setattr("sys.stdout", file)
        with pytest.raises(click.ClickException) as caught, clear_errors():
            raise DataError("What is wrong.")
    assert (repr(name) in caught.value.message) == is_bound
