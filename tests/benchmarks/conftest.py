"""Tables of the real sources, read once for all tests."""

import os
from pathlib import Path

import pandas as pd
import pytest

from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.pipelines.ingest import check, read
from optiproxy_nas.runs.datasets import BenchmarkFiles


def checked_table(source: str) -> pd.DataFrame:
    rows, _ = read(BenchmarkFiles(source, path="nowhere").load(), source)
    return check(rows, source)


@pytest.fixture(scope="session")
def embedded() -> pd.DataFrame:
    return checked_table("embedded")


@pytest.fixture(scope="session")
def v1_0() -> pd.DataFrame:
    if not os.environ.get(DATA_DIRECTORY_VARIABLE):
        pytest.skip(f"{DATA_DIRECTORY_VARIABLE} is not set: no v1.0 pickles here")
    return checked_table("v1_0")


@pytest.fixture(scope="session")
def hardware() -> pd.DataFrame:
    """``v1_0+hw_nas_bench``."""
    own = os.environ.get(DATA_DIRECTORY_VARIABLE)
    if not own or not (Path(own) / "hw_nas_bench").is_dir():
        pytest.skip(f"{DATA_DIRECTORY_VARIABLE} has no hw_nas_bench/: no HW-NAS-Bench tables here")
    return checked_table("v1_0+hw_nas_bench")
