"""Parsers of raw files: plain objects of well-formed content, one clear error for any other."""

from __future__ import annotations

import bz2
import io
import os
import pickle
from typing import Any

import numpy as np
import pytest

from optiproxy_nas.benchmarks.file_formats import bz2_pickle, csv_table, npz_arrays
from optiproxy_nas.core.errors import DataError, UnsafePickleError


class Command:
    def __reduce__(self) -> Any:
        return (os.system, ("true",))


def npz(**arrays: Any) -> Any:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_cells_of_a_csv_file_are_the_text_that_they_are() -> None:
    table = csv_table(b'a,b\n"(1, 2)",\nNaN,1e-3\n3\n', "f.csv")
    assert table.to_dict("list") == {"a": ["(1, 2)", "NaN", "3"], "b": ["", "1e-3", ""]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f.csv is damaged"),
        (b"\xff\xfe\x00", "f.csv is damaged"),
        (b"a,b\n1,2,3\n4,5,6\n", "f.csv: its lines have more cells"),
        (b"a,b\n1,2\n4,5,6\n", "f.csv is damaged"),
    ],
)
def test_what_is_no_csv_table_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        csv_table(content, "f.csv")


def test_arrays_of_an_archive() -> None:
    arrays = npz_arrays(npz(a=np.arange(3), b=np.ones((2, 2))), "f.npz")
    assert arrays["a"].tolist() == [0, 1, 2]
    assert arrays["b"].shape == (2, 2)


@pytest.mark.parametrize(
    "content", [b"", b"PK", npz(a=np.arange(9))[:-40], npz(a=np.array([Command()]))]
)
def test_what_is_no_plain_archive_is_refused(content: Any) -> None:
    with pytest.raises(DataError, match=r"f\.npz is damaged or is not a NumPy archive"):
        npz_arrays(content, "f.npz")


def test_a_compressed_pickle_is_as_restricted_as_any() -> None:
    plain = {"values": [1.5, 2.5]}
    assert bz2_pickle(bz2.compress(pickle.dumps(plain)), "f.pbz2") == plain
    with pytest.raises(UnsafePickleError, match=r"f\.pbz2 asks for .*system"):
        bz2_pickle(bz2.compress(pickle.dumps(Command())), "f.pbz2")
    with pytest.raises(DataError, match=r"f\.pbz2 is damaged or is not compressed"):
        bz2_pickle(bz2.compress(pickle.dumps(plain))[:-5], "f.pbz2")
    with pytest.raises(DataError, match=r"f\.pbz2 is damaged or is not compressed"):
        bz2_pickle(pickle.dumps(plain), "f.pbz2")
