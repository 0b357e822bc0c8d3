"""Files of one user on a machine: what another user has put there is neither followed nor used."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from optiproxy_nas.core.errors import DataError
from optiproxy_nas.measuring.machine import only_measurement, user_file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"optiproxy-{os.getuid()}"


def test_its_folder_is_the_users_alone(folder: Path) -> None:
    assert user_file("x.lock") == folder / "x.lock"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    user_file("x.lock")
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("planted", ["link", "file", "folder"])
def test_what_another_user_has_planted_is_one_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    if planted == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    elif planted == "file":
        folder.touch()
    else:
        folder.mkdir()
        user = os.getuid() + 1
        folder.rename(tmp_path / f"optiproxy-{user}")
        monkeypatch.setattr(os, "getuid", lambda: user)
    with pytest.raises(DataError, match="TMPDIR"), only_measurement():
        pass
    assert not list(tmp_path.rglob("*.lock"))


def test_a_folder_that_cannot_be_made_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(DataError, match="No such file"):
        user_file("x.lock")
