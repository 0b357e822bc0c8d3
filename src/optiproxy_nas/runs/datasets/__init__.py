"""Kedro datasets of our own: files, and what is read back of finished runs."""

from optiproxy_nas.runs.datasets.files import (
    AtomicDataset,
    BenchmarkFiles,
    BytesDataset,
    GeneratedDataset,
    JournalDataset,
    TensorsDataset,
    TextDataset,
)
from optiproxy_nas.runs.datasets.model_folder import ModelDataset
from optiproxy_nas.runs.datasets.partitions import PartitionedArtifacts

__all__ = [
    "AtomicDataset",
    "BenchmarkFiles",
    "BytesDataset",
    "GeneratedDataset",
    "JournalDataset",
    "ModelDataset",
    "PartitionedArtifacts",
    "TensorsDataset",
    "TextDataset",
]
