"""Models that were fitted once are not fitted again, unless what they are made of changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from optiproxy_nas.benchmarks import benchmark_cache
from optiproxy_nas.benchmarks.benchmark_cache import kept_model

TABLE = pd.DataFrame({"architecture": ["a", "b"], "value": [1.0, 2.0]})


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function that builds models and counts them; the cache is a folder of the test."""
    monkeypatch.setattr(benchmark_cache.pooch, "os_cache", lambda _: tmp_path / "cache")  # type: ignore[attr-defined]
    monkeypatch.setattr(benchmark_cache, "WORTH_SECONDS", 0.0)
    made: list[Any] = []

    def build() -> Any:
        made.append(b"model\n%d" % len(made))
        return made[-1]

    vars(build)["made"] = made
    return build


def test_a_model_is_built_once(built: Any) -> None:
    assert [kept_model("one", TABLE, built) for _ in range(3)] == [b"model\n0"] * 3
    assert len(built.made) == 1


@pytest.mark.parametrize("change", ["source", "table", "library", "damage"])
def test_a_model_of_something_else_is_built_anew(
    built: Any, change: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept_model("one", TABLE, built)
    source, table = "one", TABLE
    if change == "source":
        source = "other"
    elif change == "table":
        table = TABLE.assign(value=[1.0, 3.0])
    elif change == "library":
        monkeypatch.setattr(benchmark_cache.metadata, "version", lambda _: "another")  # type: ignore[attr-defined]
    else:
        (file,) = (tmp_path / "cache" / "models").iterdir()
        file.write_bytes(file.read_bytes()[:-1])
    assert kept_model(source, table, built) == b"model\n1"
    assert kept_model(source, table, built) == b"model\n1"


def test_a_model_of_other_code_is_built_anew(
    built: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "model_maker.py").write_text("X = 1\n")
    assert [kept_model("one", TABLE, built, ["model_maker"]) for _ in "ab"] == [b"model\n0"] * 2
    (tmp_path / "model_maker.py").write_text("X = 10\n")
    assert kept_model("one", TABLE, built, ["model_maker"]) == b"model\n1"
    assert kept_model("one", TABLE, built, ["no_such_maker"]) == b"model\n2"
    assert kept_model("one", TABLE, built, ["no_such_maker"]) == b"model\n3"


def test_what_is_quick_to_build_is_not_kept(
    built: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(benchmark_cache, "WORTH_SECONDS", 60.0)
    kept_model("one", TABLE, built)
    assert kept_model("one", TABLE, built) == b"model\n1"
    assert not (tmp_path / "cache").exists()


def test_without_a_folder_to_write_in_it_is_built_each_time(built: Any, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert kept_model("one", TABLE, built) == b"model\n0"
    assert kept_model("one", TABLE, built) == b"model\n1"
