"""The page about declared spaces: its code runs, and its YAML is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from optiproxy_nas import Space

PAGE = Path(__file__).parents[2] / "docs" / "declared-spaces.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_code_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ConfigSpace")
    pytest.importorskip("optuna")
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks("python"):
        exec(block.split("result = search(")[0], names)
    shown = capsys.readouterr().out
    for line in blocks("text")[0].splitlines():
        assert line.strip(".") in shown


def test_the_yaml_of_the_page_declares_what_the_class_does() -> None:
    (text,) = blocks("yaml")
    space = Space.from_declaration(OmegaConf.create(text).space)
    assert space.name == "network"
    assert space.size == 4 * (1 + 3 + 1) - 3
    assert space.choices["groups"].when == {"norm": ["group"]}
