"""Files of strangers are read in bounded time and memory, or refused."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import struct
from typing import Any

import numpy as np
import pytest

from optiproxy_nas.benchmarks import surrogate_file
from optiproxy_nas.benchmarks.file_formats import (
    bz2_pickle,
    gzip_csv_table,
    npz_arrays,
    restricted_load,
)
from optiproxy_nas.benchmarks.tfrecord import masked_crc32c, records
from optiproxy_nas.core.bounded_files import LIMITS, Limits
from optiproxy_nas.core.errors import DataError, UnsafePickleError

SMALL = Limits(size=1000, objects=500, nodes=2000, depth=10, key=20, record=100)


def tower(levels: Any, last: bytes = b".") -> Any:
    """The pickle of t = (t, t), so many times, and of what follows; 2**levels values if walked."""
    level = b"".join(b"0h%ch%c\x86\x94" % (i, i) for i in range(levels))
    return b"\x80\x04)\x94" + level + last


CRAFTED = {
    "values that are walked for ever": tower(60),
    "a key that is hashed for ever": tower(60, b"0}h\x3cK\x01s."),
    "keys that are hashed for ever": tower(60, b"0}(h\x3cK\x01u."),
    "a dict of such keys": tower(60, b"0(h\x3cK\x01d."),
    "a set that is hashed for ever": tower(60, b"0(h\x3c\x91."),
    "a set that is added to": tower(60, b"0\x8f(h\x3c\x90."),
    "a list within itself": b"\x80\x04]\x94h\x00a.",
    "brackets that are never closed": b"\x80\x04" + b"(" * 300 + b".",
    "many lists": b"\x80\x04(" + b"]" * 600 + b"l.",
    "an array of a terabyte": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",
    "copies": b"\x80\x04](" + b"]" + b"2" * 100 + b"e.",
    "an extension": b"\x80\x04\x82\x01.",
}


@pytest.mark.parametrize("content", [*CRAFTED.values()], ids=[*CRAFTED])
def test_a_crafted_pickle_is_refused_at_once(content: Any) -> None:
    with pytest.raises(DataError):
        restricted_load(content, limits=SMALL)


def test_an_argument_that_is_hashed_for_ever_is_refused() -> None:
    content = tower(60, b"0cbuiltins\nfrozenset\n(h\x3ctR.")
    with pytest.raises(UnsafePickleError, match="more values"):
        restricted_load(content, allowed_globals={"builtins.frozenset": frozenset})


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_are_read_as_they_were(protocol: int) -> None:
    shared = [1.5, 2]
    value = {
        ("a", 1): [shared, shared],
        "b": {1: (None, True, b"x", "y" * 300)},
        2.5: frozenset("ab"),
    }
    content = pickle.dumps(value, protocol)
    allowed: dict[str, Any] = {"builtins.frozenset": frozenset, "__builtin__.frozenset": frozenset}
    allowed["_codecs.encode"] = lambda text, code: text.encode(code)
    assert restricted_load(content, allowed_globals=allowed) == value


@pytest.mark.parametrize("limit", [{"size": 10}, {"objects": 3}, {"nodes": 5}, {"depth": 2}])
def test_the_limits_are_settings(limit: Any) -> None:
    content = pickle.dumps([[[1, 2]], [[3, 4]]])
    assert restricted_load(content)
    with pytest.raises(UnsafePickleError):
        restricted_load(content, limits=LIMITS._replace(**limit))


def test_what_unpacks_to_more_than_the_limit_is_refused() -> None:
    zeros = bytes(1_000_000)
    packed = io.BytesIO()
    np.savez_compressed(packed, a=np.zeros(1_000_000))
    for read, content in (
        (bz2_pickle, bz2.compress(zeros)),
        (gzip_csv_table, gzip.compress(zeros)),
        (npz_arrays, packed.getvalue()),
    ):
        with pytest.raises(DataError, match="more than 1000 bytes"):
            read(content, "the file", limits=SMALL)
    assert npz_arrays(packed.getvalue(), "the file")["a"].shape == (1_000_000,)


def test_a_stored_surrogate_that_unpacks_to_more_than_the_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = surrogate_file.pack({}, {"a": np.zeros(1_000_000)}, {})
    assert surrogate_file.unpack(model)[1]["a"].shape == (1_000_000,)
    monkeypatch.setattr(surrogate_file, "LIMITS", SMALL)
    with pytest.raises(DataError, match="more than 1000 bytes"):
        surrogate_file.unpack(model)


def test_a_record_longer_than_the_limit_is_refused_before_it_is_added_up() -> None:
    data = bytes(200)
    head = struct.pack("<Q", len(data))

    def crc(content: Any) -> Any:
        buffer = np.frombuffer(content, dtype=np.uint8)
        return masked_crc32c(buffer, np.array([0]), np.array([len(content)]))[0].tobytes()

    content = head + crc(head) + data + crc(data)
    assert [record.data for record in records(content, "x")] == [data]
    with pytest.raises(DataError, match="more than 100"):
        list(records(content, "x", SMALL))
