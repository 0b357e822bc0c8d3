"""``python -m optiproxy_nas`` where there is no project."""

import sys

import pytest

from optiproxy_nas import __main__ as packaged


def test_without_configuration_it_says_what_to_give(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["optiproxy_nas", "--pipeline=nb201_search"])
    with pytest.raises(SystemExit, match="--conf-source=conf-optiproxy_nas"):
        packaged.main()


def test_with_configuration_it_is_kedro_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["optiproxy_nas", "--help"])
    with pytest.raises(SystemExit) as ended:
        packaged.main()
    assert ended.value.code == 0
    assert "--conf-source" in capsys.readouterr().out
