"""TensorsDataset and BytesDataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from kedro.io import DatasetError

from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.runs.datasets import BytesDataset, TensorsDataset


@pytest.fixture
def tensors() -> Any:
    generator = torch.Generator().manual_seed(0)
    return {
        "weight": torch.randn(3, 4, generator=generator),
        "count": torch.tensor(7),
        "codes": torch.arange(6).reshape(2, 3).T,  # not contiguous
        "empty": torch.zeros(0, 2),
        "flag": torch.tensor([True, False]),
    }


def test_round_trip_keeps_values_types_and_shapes(tmp_path: Path, tensors: Any) -> None:
    entry = TensorsDataset(filepath=str(tmp_path / "t.safetensors"))
    entry.save(tensors)
    loaded = entry.load()
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_equal_tensors_give_equal_bytes(tmp_path: Path, tensors: Any) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, names in zip(paths, (list(tensors), list(tensors)[::-1]), strict=True):
        TensorsDataset(filepath=str(path)).save({name: tensors[name] for name in names})
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("keep", [0, 4, 50, -1])
def test_truncated_file(tmp_path: Path, tensors: Any, keep: int) -> None:
    path = tmp_path / "t.safetensors"
    entry = TensorsDataset(filepath=str(path))
    entry.save(tensors)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises((ArtifactError, DatasetError), match="not a readable tensor file") as caught:
        entry.load()
    assert "t.safetensors" in str(caught.value)


def test_a_pickle_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    torch.save({"a": torch.ones(1)}, path)
    with pytest.raises((ArtifactError, DatasetError), match="not a readable tensor file"):
        TensorsDataset(filepath=str(path)).load()


def test_bytes(tmp_path: Path) -> None:
    entry = BytesDataset(filepath=str(tmp_path / "p.png"))
    assert not entry.exists()
    entry.save(b"\x89PNG")
    assert entry.exists()
    assert entry.load() == b"\x89PNG"
