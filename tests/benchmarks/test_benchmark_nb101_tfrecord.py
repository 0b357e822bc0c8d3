"""NAS-Bench-101's own files, small ones written here: framing, checksums, fields, means."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from changed_source import changed
from optiproxy_nas.benchmarks.loading import load_files, read_rows
from optiproxy_nas.benchmarks.nb101 import NB101
from optiproxy_nas.benchmarks.readers import nb101_tfrecord
from optiproxy_nas.benchmarks.readers.nb101_tfrecord import FULL, SOURCE, parse, read
from optiproxy_nas.benchmarks.source_benchmark import TabularBenchmark
from optiproxy_nas.benchmarks.tfrecord import fields, masked_crc32c, records
from optiproxy_nas.benchmarks.tidy_table import check_table
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.spaces.nb101 import NASBench101

SPACE = NASBench101()
IN_OUT = ("0100", "input,output")
CONV = ("011001000", "input,conv3x3-bn-relu,output")
CHAIN = ("0100001000010000", "input,maxpool3x3,conv1x1-bn-relu,output")


def crc32c(data: bytes) -> int:
    """Bit by bit, as defined; the package goes two bytes at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(*data: bytes) -> bytes:
    lengths = [struct.pack("<Q", len(part)) for part in data]
    return b"".join(
        head + masked(head) + part + masked(part) for head, part in zip(lengths, data, strict=True)
    )


def varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def message(values: dict[int, Any]) -> bytes:
    """A protocol buffer: integers, doubles, bytes, and lists of these."""
    written = b""
    for number, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, bytes):
                written += varint(number << 3 | 2) + varint(len(one)) + one
            elif isinstance(one, float):
                written += varint(number << 3 | 1) + struct.pack("<d", one)
            else:
                written += varint(number << 3) + varint(one)
    return written


def evaluation(**changes: Any) -> bytes:
    names = ("epoch", "seconds", "train", "validation", "test", "path")
    values = {"epoch": 108.0, "seconds": 900.0, "train": 1.0, "validation": 0.9, "test": 0.88}
    values |= {"path": b"/somewhere/model.ckpt"} | changes
    present = {1 + names.index(name): v for name, v in values.items() if v is not None}
    return message(present)


def metrics(parameters: Any = 2_694_282, evaluations: int = 3, **changes: Any) -> str:
    first = evaluation(epoch=0.0, seconds=0.0, validation=0.1, test=0.1)
    half = evaluation(epoch=54.0, seconds=450.0, validation=0.5, test=0.5)
    own = [first, half, evaluation(**changes)][:evaluations]
    fields_of = {1: own, 2: parameters, 3: 1000.0}
    return base64.b64encode(
        message({number: value for number, value in fields_of.items() if value is not None})
    ).decode()


def training(cell: Any = CONV, epochs: Any = 108, name: str | None = None, **changes: Any) -> bytes:
    row = [name or "hash of " + cell[1], epochs, *cell, metrics(**changes)]
    return json.dumps(row).encode()


def trainings(epochs: int = 108) -> list[bytes]:
    """Three each of three cells, in no order."""
    values = {IN_OUT: (0.1, 0.2, 0.3), CONV: (0.91, 0.92, 0.96), CHAIN: (0.5, 0.5, 0.8)}
    return [
        training(cell, epochs, validation=shares[k], test=shares[k] / 2, seconds=100.0 * (k + 1))
        for k in (2, 0, 1)
        for cell, shares in values.items()
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
        (b"", 0),
        (b"a", 0xC1D04330),
    ],
)
def test_checksums_of_the_standard(data: Any, expected: int) -> None:
    assert crc32c(data) == expected
    buffer = np.frombuffer(b"xyz" + data + b"!", dtype=np.uint8)
    (found,) = masked_crc32c(buffer, np.array([3]), np.array([len(data)]))
    assert int(found).to_bytes(4, "little") == masked(data)


def test_checksums_of_stretches_of_many_lengths() -> None:
    content = np.random.default_rng(0).integers(0, 256, 400, dtype=np.uint8)
    lengths = np.array([0, 1, 2, 3, 17, 64, 65, 7, 200])
    starts = np.cumsum(lengths) - lengths
    found = masked_crc32c(content, starts, lengths)
    for value, start, length in zip(found, starts, lengths, strict=True):
        expected = masked(content[start : start + length].tobytes())
        assert int(value).to_bytes(4, "little") == expected


def test_records_come_out_as_they_went_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optiproxy_nas.benchmarks.tfrecord._BATCH", 4)
    data = [b"", b"a", b"bc" * 200, *(bytes([i]) * i for i in range(20))]
    found = list(records(framed(*data), "x"))
    assert [record.data for record in found] == data
    assert [record.number for record in found] == list(range(len(data)))
    assert [record.offset for record in found[:3]] == [0, 16, 33]
    assert list(records(b"", "x")) == []


def test_fields_agree_with_the_protobuf_library() -> None:
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="m.proto", package="m", syntax="proto2")
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="share", number=4, type=1, label=1)  # double
    inner.field.add(name="text", number=6, type=9, label=1)
    outer = file.message_type.add(name="Outer")
    outer.field.add(name="inner", number=1, type=11, label=3, type_name=".m.Inner")
    outer.field.add(name="count", number=2, type=5, label=1)  # int32
    outer.field.add(name="small", number=300, type=2, label=1)  # float
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    build = message_factory.GetMessageClass(pool.FindMessageTypeByName("m.Outer"))
    written = build(count=49_979_274, small=0.5, inner=[{"share": 0.75, "text": "é"}, {"text": ""}])
    found = list(fields(written.SerializeToString()))
    assert [number for number, _ in found] == [1, 1, 2, 300]
    texts: list[Any] = [one[1] for one in found]
    assert list(fields(texts[0])) == [(4, 0.75), (6, "é".encode())]
    assert list(fields(texts[1])) == [(6, b"")]
    assert found[2:] == [(2, 49_979_274), (300, 0.5)]


@pytest.mark.parametrize(
    ("buffer", "reason"),
    [
        (b"\x09\x00\x00", "a number is cut short"),
        (b"\x0a\x05ab", "field 1 is cut short"),
        (b"\x80", "an integer is cut short"),
        (b"\xff" * 12, "an integer is cut short"),
        (b"\x0b", "wire type 3 of field 1 is unknown"),
    ],
)
def test_what_is_no_protocol_buffer(buffer: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        list(fields(buffer))


def test_means_over_the_trainings_of_a_cell() -> None:
    rows = read(SOURCE.publication.files[0], parse(framed(*trainings()), "x"))
    rows = rows.set_index("architecture")
    assert set(rows.index) == {"/1", "conv3x3/11.1", "maxpool3x3+conv1x1/100.10.1"}
    means = rows.loc["conv3x3/11.1"]
    assert means["validation_accuracy"] == pytest.approx(93)
    assert means["test_accuracy"] == pytest.approx(46.5)
    assert means["training_seconds"] == pytest.approx(200)
    assert means["training_seeds"] == 3
    assert means["parameters_millions"] == pytest.approx(2.694282)
    assert set(rows["epochs"]) == {108}


def test_base64_in_lines_is_read_as_that_in_one() -> None:
    """``encodebytes`` breaks lines after 76 characters and ends with a break."""
    plain, broken = trainings(), []
    for part in plain:
        *row, text = json.loads(part)
        lines = base64.encodebytes(base64.b64decode(text)).decode()
        assert lines.count("\n") > 1
        broken.append(json.dumps([*row, lines]).encode())
    one, other = parse(framed(*plain), "x"), parse(framed(*broken), "x")
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_from_the_file_to_the_benchmark(tmp_path: Path) -> None:
    """By the way of every source, with all four numbers of epochs."""
    (tmp_path / "nb101").mkdir()
    every = [part for epochs in FULL.contents.epochs for part in trainings(epochs)]
    (tmp_path / "nb101" / "nasbench_full.tfrecord").write_bytes(framed(*every))
    source = changed(FULL, cells=3)
    table = read_rows(load_files(source, str(tmp_path), tmp_path), source)
    benchmark = TabularBenchmark(check_table(table, source), "cifar10", source)
    assert benchmark.epochs == (4, 12, 36, 108)
    assert benchmark.query(["/1"], "validation_accuracy", 4) == pytest.approx(20)
    best: Any = benchmark.optimum("validation_accuracy")
    assert best == ("conv3x3/11.1", pytest.approx(93))
    assert benchmark.target == "validation_accuracy"
    assert benchmark.caution == ""


def test_a_file_with_too_few_cells_is_not_the_published_one() -> None:
    rows = read(SOURCE.publication.files[0], parse(framed(*trainings()), "x"))
    with pytest.raises(DataError, match="3 cells of cifar10 at 108 epochs, expected 423624"):
        check_table(rows, SOURCE)


def test_all_cells_with_another_best_one_are_not_the_published_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nb101_tfrecord, "NB101", replace(NB101, cells=3))
    with pytest.raises(DataError, match=r"best mean test accuracy .* is 46\.5000, but 94\.3176"):
        read(SOURCE.publication.files[0], parse(framed(*trainings()), "x"))
    monkeypatch.setattr(nb101_tfrecord, "BEST_TEST_ACCURACY", 46.5)
    assert len(read(SOURCE.publication.files[0], parse(framed(*trainings()), "x"))) == 3


def test_a_missing_file_says_where_it_is_published(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"storage\.googleapis\.com/nasbench/nasbench_only108") as e:
        load_files(SOURCE, str(tmp_path), tmp_path)
    assert "nb101/nasbench_only108.tfrecord" in str(e.value)


@pytest.mark.parametrize("batch", [2, 16_384])
@pytest.mark.parametrize("cut", [1, 4, 11, 12, 13, 40])
def test_truncated_files_are_named_with_the_byte(
    cut: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut within the last record's footer, data, or the footer of its length."""
    monkeypatch.setattr("optiproxy_nas.benchmarks.tfrecord._BATCH", batch)
    parts = trainings()
    content = framed(*parts)
    start = len(content) - len(parts[-1]) - 16
    short = content[: start + cut] if cut < 12 else content[:-cut]
    with pytest.raises(DataError, match=r"x\.tfrecord is truncated: record 8, which") as caught:
        parse(short, "x.tfrecord")
    assert caught.value.data["byte"] == start
    assert caught.value.data["record"] == 8


@pytest.mark.parametrize(
    ("place", "what"), [(0, "length"), (6, "length"), (9, "length"), (20, "data"), (-2, "data")]
)
@pytest.mark.parametrize("batch", [1, 3, 16_384])
def test_damaged_files_are_named_with_the_record(
    place: int, what: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optiproxy_nas.benchmarks.tfrecord._BATCH", batch)
    parts = trainings()
    before = len(framed(*parts[:4]))
    at = before + place if place >= 0 else len(framed(*parts[:5])) + place
    content = bytearray(framed(*parts))
    content[at] ^= 16
    with pytest.raises(
        DataError, match=rf"damaged: the checksum .* of the {what} of record 4, "
    ) as e:
        parse(bytes(content), "x.tfrecord")
    assert e.value.data == {"file": "x.tfrecord", "record": 4, "byte": before}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"[\xff]", "decode"),
        (b"[1, 2", "delimiter"),
        (b"[1, 2, 3]", "not enough values"),
        (b"7", "unpack"),
        (json.dumps(["h", 108, *CONV, "!!!"]).encode(), "base64|Non-base64|padding|Only"),
        (json.dumps(["h", 108, *CONV, "CQA="]).encode(), "a number is cut short"),
        (json.dumps(["h", 108, *CONV, "Cg\n!=="]).encode(), "base64|Non-base64|padding|Only"),
        (json.dumps(["h", 108, *CONV, "Cg\u00a0=="]).encode(), "ascii"),
        (json.dumps(["h", 108, *CONV, 7]).encode(), "metrics are not a text"),
        (json.dumps([["h"], 108, *CONV, metrics()]).encode(), "hash is not a text"),
        (json.dumps([7, 108, *CONV, metrics()]).encode(), "hash is not a text"),
        (json.dumps(["h", 108, ["0"], CONV[1], metrics()]).encode(), "unhashable"),
        (training(epochs="108"), "not supported between"),
        (training(epochs=0), "trained for 0 epochs"),
        (training(evaluations=2), "2 evaluations, not 3"),
        (training(parameters=None), "no number of parameters"),
        (training(validation=None), "validation accuracy after training is None"),
        (training(validation=1.5), "validation accuracy after training is 1.5, not a share"),
        (training(test=float("nan")), "test accuracy after training is nan"),
        (training(test=b"text"), "test accuracy after training is b'text'"),
        (training(seconds=0.0), "training time is 0.0"),
        (training(("0110010", CONV[1]), name="h"), "7 adjacency entries"),
        (training((CONV[0], "input,output"), name="h"), "do not make a cell"),
        (training((CONV[0], "a,conv3x3-bn-relu,output"), name="h"), "from input to output"),
        (training((7, "input,output"), name="h"), "are not texts"),
        (training(("01" + "0" * 62, ",".join("a" * 8)), name="h"), "up to 7 vertices"),
        (training((CONV[0], "input,conv5x5,output"), name="h"), "unknown operation 'conv5x5'"),
        (training(("010101000", CONV[1]), name="h"), "on or below the diagonal"),
        (training(("021001000", CONV[1]), name="h"), "other entries than 0 and 1"),
        (training(("0x1001000", CONV[1]), name="h"), "other entries than 0 and 1"),
        (training(("0\u0661\ud800001000", CONV[1]), name="h"), "other entries than 0 and 1"),
        (training(("010000000", CONV[1]), name="h"), "no path from input to output"),
        (
            training(("0111100111000110000100000", f"input{',maxpool3x3' * 3},output"), name="h"),
            "10 edges on paths",
        ),
    ],
)
def test_records_of_another_layout_say_which_one(record: Any, reason: str) -> None:
    start = len(framed(training()))
    with pytest.raises(DataError, match=reason) as caught:
        parse(framed(training(), record), "x.tfrecord")
    assert "x.tfrecord: record 1" in str(caught.value)
    assert caught.value.data["record"] == 1
    assert caught.value.data["byte"] == start


# The same cell, its vertices in another order.
FORK = ("0110000100010000", "input,conv1x1-bn-relu,maxpool3x3,output")
FORK_TURNED = ("0110000100010000", "input,maxpool3x3,conv1x1-bn-relu,output")


def own_hash(cell: Any) -> str:
    codes = SPACE.from_nasbench([(matrix(cell[0]), cell[1].split(","))])
    return SPACE.hashes(codes)[0]


def matrix(adjacency: str) -> list[list[int]]:
    size = int(len(adjacency) ** 0.5)
    return [[int(sign) for sign in adjacency[i * size :][:size]] for i in range(size)]


@pytest.mark.parametrize("far", [0, 3])
def test_records_of_one_hash_must_be_of_one_cell(far: int) -> None:
    """Also with others in between."""
    between = [training(CHAIN)] * far
    before = framed(training(CONV, name="h"), *between)
    with pytest.raises(DataError, match="get the published one") as caught:
        parse(before + framed(training(IN_OUT, name="h")), "x.tfrecord")
    assert caught.value.message.startswith(
        "x.tfrecord: hash 'h' is that of two cells, conv3x3/11.1 in record 0, which starts at "
        f"byte 0, and /1 in record {1 + far}, at byte {len(before)}."
    )
    assert caught.value.data["cells"] == ["conv3x3/11.1", "/1"]
    assert caught.value.data["hash"] == "h"


def test_an_edge_or_an_operation_makes_another_cell() -> None:
    for other in ((CONV[0], "input,maxpool3x3,output"), ("010001000", CONV[1])):
        with pytest.raises(DataError, match="hash 'h' is that of two cells"):
            parse(framed(training(CONV, name="h"), training(other, name="h")), "x")


@pytest.mark.parametrize("name", ["h", own_hash(FORK)])
def test_spellings_of_a_cell_are_one_cell(name: Any) -> None:
    content = framed(
        training(FORK, validation=0.9, name=name),
        training(IN_OUT),
        training(FORK_TURNED, validation=0.8, name=name),
        training(FORK, 12, validation=0.3, name=name),
    )
    rows = read(SOURCE.publication.files[0], parse(content, "x")).set_index("epochs")
    full = rows.loc[108].set_index("architecture")["validation_accuracy"]
    assert full.to_dict() == pytest.approx({"/1": 90, "conv1x1+maxpool3x3/110.01.1": 85})
    assert rows.loc[12, "validation_accuracy"] == pytest.approx(30)


def test_a_module_hash_must_be_that_of_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optiproxy_nas.benchmarks.nb101._BLOCK", 2)
    own = {cell: own_hash(cell) for cell in (IN_OUT, CONV, CHAIN, FORK)}
    right = [training(cell, name=own[cell]) for cell in own for _ in range(3)]
    assert len(parse(framed(*right), "x")["codes"]) == len(own)
    wrong = training(FORK_TURNED, name="0" * 32)
    with pytest.raises(DataError, match="get the published one") as caught:
        parse(framed(*right, wrong), "x.tfrecord")
    assert caught.value.message.startswith(
        f"x.tfrecord: record 12, which starts at byte {len(framed(*right))}, has cell "
        f"conv1x1+maxpool3x3/110.01.1 and hash {'0' * 32}, but NAS-Bench-101's hash of this cell "
        f"is {own[FORK]}."
    )


def test_a_wrong_hash_is_told_with_where_the_file_is_published(tmp_path: Path) -> None:
    (tmp_path / "nb101").mkdir()
    file = tmp_path / "nb101" / SOURCE.publication.files[0].name
    file.write_bytes(framed(training(CONV, name="h"), training(IN_OUT, name="h")))
    with pytest.raises(DataError, match=r"two cells.*Download it from .*nasbench_only108"):
        load_files(SOURCE, str(tmp_path), tmp_path)


def test_an_empty_file() -> None:
    with pytest.raises(DataError, match="holds no record"):
        parse(b"", "x.tfrecord")
