"""A pickle may hold plain values and nothing else."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optiproxy_nas.benchmarks.file_formats import restricted_load
from optiproxy_nas.benchmarks.plain_pickle import NUMPY_SCALARS
from optiproxy_nas.core.errors import DataError, UnsafePickleError


class Malicious:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_command_in_a_pickle_does_not_run(tmp_path: Path, protocol: int) -> None:
    proof = tmp_path / "proof"
    path = tmp_path / "table.pickle"
    path.write_bytes(pickle.dumps({"a": Malicious(os.system, f"touch {proof}")}, protocol))
    with pytest.raises(UnsafePickleError, match=r"table\.pickle.*system") as caught:
        restricted_load(path.read_bytes(), str(path), NUMPY_SCALARS)
    assert not proof.exists()
    assert caught.value.data["requested"].endswith(".system")


def test_a_pickle_sets_no_attribute_of_a_function_that_it_may_call() -> None:
    function = NUMPY_SCALARS["numpy.core.multiarray.scalar"]
    before = function.__doc__
    content = b"cnumpy.core.multiarray\nscalar\n(N(S'__doc__'\nS'x'\ndtb."
    with pytest.raises(UnsafePickleError):
        restricted_load(content, allowed_globals=NUMPY_SCALARS)
    assert function.__doc__ == before


@pytest.mark.parametrize(
    "value",
    [
        Malicious(eval, "1"),
        Malicious(getattr, "a", "upper"),
        np.arange(3),
        np.dtype("O"),
        np.dtype([("a", "f8")]),
        np.array(["text"])[0],
    ],
    ids=["eval", "getattr", "array", "objects", "structure", "string"],
)
def test_whatever_is_no_plain_number_is_refused(value: Any) -> None:
    with pytest.raises(UnsafePickleError):
        restricted_load(pickle.dumps(value), allowed_globals=NUMPY_SCALARS)


def test_numpy_scalars_become_python_numbers() -> None:
    values = [np.float64(91.5), np.float32(0.5), np.int64(-3), np.uint8(7), np.bool_(True)]
    loaded = restricted_load(pickle.dumps({"values": values}), allowed_globals=NUMPY_SCALARS)[
        "values"
    ]
    assert loaded == [91.5, 0.5, -3, 7, True]
    assert [type(value) for value in loaded] == [float, float, int, int, bool]


def test_nothing_is_allowed_unless_named() -> None:
    content = pickle.dumps(OrderedDict(a=1))
    with pytest.raises(UnsafePickleError, match=r"collections\.OrderedDict"):
        restricted_load(content)
    assert restricted_load(content, allowed_globals={"collections.OrderedDict": OrderedDict}) == {
        "a": 1
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not found</html>",
        b"\x80\x04\x95",
        pickle.dumps({"a": [1.0] * 99})[:-20],
        pickle.dumps(list(range(9)))[:-1],
    ],
)
def test_garbage_and_truncation_name_the_file(content: Any) -> None:
    with pytest.raises(DataError, match=r"table\.pickle is truncated or is not a pickle"):
        restricted_load(content, "table.pickle")
