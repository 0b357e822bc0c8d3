"""Fixtures that spare Kedro sessions in tests what is the same each time."""

from __future__ import annotations

import inspect
import io
import pickle
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, get_type_hints

import kedro.io.core
import omegaconf.base
import pytest
from dynaconf.loaders import py_loader
from dynaconf.utils import files
from kedro.config import omegaconf_config
from kedro.framework.project import settings as project_settings
from kedro.framework.session import session
from kedro.validation import type_extractor
from omegaconf import OmegaConf


def frames() -> Any:
    """The call stack by file name only; ``inspect.stack`` reads the source of every frame."""
    frame: FrameType | None = sys._getframe(1)
    found = []
    while frame is not None:
        found.append(SimpleNamespace(filename=frame.f_code.co_filename))
        frame = frame.f_back
    return found


@pytest.fixture(scope="session", autouse=True)
def quick_bootstrap() -> Iterator[None]:
    """Dynaconf looks for file names in the call stack four times a bootstrap; pytest's is deep,
    and with the sources that took a tenth of these tests' time. Settings of one module are read
    once."""
    configured: set[str] = set()
    configure = project_settings.configure

    def configure_once(module: str) -> None:
        if configured != {module}:
            configure(module)
            configured.clear()
            configured.add(module)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(type(project_settings), "configure", staticmethod(configure_once))
        for module in (py_loader, files):
            monkeypatch.setattr(module, "inspect", SimpleNamespace(stack=frames))
        yield


load_yaml = OmegaConf.load


@lru_cache
def parsed_yaml(text: str) -> Any:
    return pickle.dumps(load_yaml(io.StringIO(text)))


@pytest.fixture(scope="session", autouse=True)
def quick_sessions() -> Iterator[None]:
    """Hundreds of sessions parse the same configuration, and look for each class of a dataset under
    three names, of which two import nothing, and evaluate the annotations of every node: together
    a quarter of a lean run's time. Hooks of installed plug-ins, as Kedro-Viz's record of each
    node, are left out; runs that tests start in other processes have them."""

    def load_once(file: Path) -> Any:
        text = file.getvalue() if isinstance(file, io.StringIO) else None
        return load_yaml(file) if text is None else pickle.loads(parsed_yaml(text))

    parse = lru_cache(maxsize=4096)(omegaconf.base.parse)  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(omegaconf_config.OmegaConf, "load", staticmethod(load_once))  # type: ignore[attr-defined]
        monkeypatch.setattr(omegaconf.base, "parse", parse)
        monkeypatch.setattr(kedro.io.core, "_load_obj", lru_cache(kedro.io.core._load_obj))
        signature = SimpleNamespace(signature=lru_cache(inspect.signature))
        monkeypatch.setattr(type_extractor, "inspect", signature)
        monkeypatch.setattr(session, "_register_hooks_entry_points", lambda *_: None)
        monkeypatch.setattr(type_extractor, "get_type_hints", lru_cache(get_type_hints))
        if find_spec("ibis") is None:  # else each dataset in memory looks for it, twice
            monkeypatch.setitem(sys.modules, "ibis", None)
        yield
