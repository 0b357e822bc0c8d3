"""The answer as a logged model of MLflow: what is told to its store, and what is left behind."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from optiproxy_nas import search
from optiproxy_nas.runs.logged_model import _metrics, _requirements, log_model


class FullStore:
    """A client of MLflow whose store takes no files."""

    def __init__(self) -> None:
        self.status: list[str] = []

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(outputs=None, info=SimpleNamespace(experiment_id="0"))

    def create_logged_model(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(model_id="m", artifact_location="file:m")

    def log_model_artifacts(self, *_: Any) -> None:
        raise OSError("the disk is full")

    def finalize_logged_model(self, model_id: str, status: str) -> None:
        self.status.append(status)


def test_a_model_whose_files_are_refused_is_not_left_pending(tmp_path: Path) -> None:
    result = search(
        space={"a": [1, 2]}, evaluate=lambda it: it["a"], method="random_search", budget=2
    )
    client, folder = FullStore(), result.export(tmp_path / "model")
    with pytest.raises(OSError, match="full"):
        log_model(client, "r", folder)
    assert client.status == ["FAILED"]


def test_a_library_without_a_version_is_required_all_the_same() -> None:
    assert _requirements({"versions": {"onnxruntime": "1.2"}}) == "onnx\nonnxruntime==1.2\n"


def test_what_the_training_measured_is_a_metric_of_the_model() -> None:
    facts: dict[str, Any] = {
        "value": 1.0,
        "confirmed": {},
        "network": {"parameters": 3},
        "test": {},
    }
    facts["metrics"] = {"latency_p90_ms": 2.0, "nan": "nan"}
    facts["latency"] = {}
    assert dict(_metrics(facts)) == {"value": 1.0, "parameters": 3.0, "latency_p90_ms": 2.0}
    facts["latency"] = {"median_ms": 1.5, "quantile": 0.9, "quantile_ms": 1.9}
    assert dict(_metrics(facts))["latency_p90_ms"] == 1.9
