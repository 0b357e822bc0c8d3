"""Kedro datasets of our own: atomic files, tensors, raw benchmark files."""

from optiproxy_nas.runs.datasets.atomic import AtomicDataset
from optiproxy_nas.runs.datasets.raw_bytes import BytesDataset
from optiproxy_nas.runs.datasets.tensors import TensorsDataset

__all__ = ["AtomicDataset", "BytesDataset", "TensorsDataset"]
