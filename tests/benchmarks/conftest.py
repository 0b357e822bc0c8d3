"""Tables of the real sources, ingested once for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from ingested import Ingested
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE


@pytest.fixture(scope="session")
def embedded(ingested: Ingested) -> pd.DataFrame:
    return ingested.table("embedded")


@pytest.fixture(scope="session")
def v1_0(ingested: Ingested) -> pd.DataFrame:
    if not os.environ.get(DATA_DIRECTORY_VARIABLE):
        pytest.skip(f"{DATA_DIRECTORY_VARIABLE} is not set: no v1.0 pickles here")
    return ingested.table("v1_0")


@pytest.fixture(scope="session")
def hardware(ingested: Ingested) -> pd.DataFrame:
    """``v1_0+hw_nas_bench``."""
    own = os.environ.get(DATA_DIRECTORY_VARIABLE)
    if not own or not (Path(own) / "hw_nas_bench").is_dir():
        pytest.skip(f"{DATA_DIRECTORY_VARIABLE} has no hw_nas_bench/: no HW-NAS-Bench tables here")
    return ingested.table("v1_0+hw_nas_bench")
