"""Fuzz the readers of files: only errors of ours, bounded memory and time.

``python -m cost.fuzz [SECONDS] [READER ...]`` changes sound files at random, for so many seconds a
reader, and prints one line of JSON each: how many files were tried, read and refused, the longest
time of one, and by how much the process grew. It ends with 1 where anything else was raised.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import pickle
import random
import resource
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas import Space, search
from optiproxy_nas.benchmarks.file_formats import (
    bz2_pickle,
    csv_table,
    gzip_csv_table,
    json_object,
    npz_arrays,
    restricted_load,
)
from optiproxy_nas.benchmarks.plain_pickle import NUMPY_SCALARS
from optiproxy_nas.benchmarks.readers.nb101_tfrecord import parse as parse_records
from optiproxy_nas.benchmarks.readers.nb301_yahpo import Network, pack
from optiproxy_nas.benchmarks.surrogate_file import pack as pack_surrogate
from optiproxy_nas.benchmarks.surrogate_file import unpack
from optiproxy_nas.benchmarks.tfrecord import masked_crc32c
from optiproxy_nas.core.errors import OptiProxyError
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.initial import read_trials
from optiproxy_nas.evaluation.journal_file import FORMAT, line_of
from optiproxy_nas.evaluation.journal_lines import record_of
from optiproxy_nas.evaluation.journal_table import read_journal
from optiproxy_nas.evaluation.record_file import read_record
from optiproxy_nas.runs.manifest import load_manifest
from optiproxy_nas.sweeps.grid import parse_block, read_blocks

SLOWEST, LARGEST = 10.0, 1000.0  # seconds of one file; MB that a process may grow
OPCODES = (
    b"(.0124FGIJKLMNPQRSTUVX]abcdeghijlopqrstu}\x80\x81\x85\x86\x87\x8c\x8f\x90\x91\x93\x94\x95"
)
VALUES = {"a": [1, 2.5, np.float64(3)], ("b", 1): {"c": "text", "d": (None, True)}, 7: [[1], [2]]}


def record(data: bytes) -> bytes:
    """Return a record of a TFRecord file with its checksums."""
    head = struct.pack("<Q", len(data))

    def crc(content: bytes) -> bytes:
        buffer = np.frombuffer(content, dtype=np.uint8)
        crcs = masked_crc32c(buffer, np.array([0]), np.array([len(content)]))
        return crcs[:1].tobytes()

    return head + crc(head) + data + crc(data)


def parquet(table: pd.DataFrame) -> bytes:
    """Return a table as a file."""
    return table.to_parquet()


def record_of_a_search() -> bytes:
    """Return the saved result of a search of five trials."""
    result = search(
        evaluate=lambda chosen: float(len(str(chosen))),
        space=Space({"a": [1, 2, 3], "b": ["x", "y"]}),
        method="random_search",
        budget=5,
    )
    with tempfile.TemporaryDirectory() as folder:
        return Path(result.save(Path(folder) / "x.zip")).read_bytes()


def journal() -> bytes:
    """Return a journal of two trials, one of which failed, and the test of the answer."""
    made = [
        {"format": FORMAT, "search": {"target": "x", "space": "nb201"}},
        {"ask": 0, "wanted": 2},
        {"begun": 0, "attempt": 1, "architecture": "a", "epochs": None, "handle": "7"},
        record_of(Request(0, 1, "a"), Outcome({"x": 1.0}, "", 2.0, ((1, 0.5),), "out"), "x"),
        record_of(Request(1, 1, "b", seed=3), Outcome({}, "it failed", 2.0, (), ""), "x"),
        {"tested": 0, "architecture": "a", "epochs": None, "metrics": {"x": "nan"}},
    ]
    return chained(made)


def chained(lines: Iterable[Any]) -> bytes:
    """Return lines as a journal whose digests agree."""
    content, digest = b"", ""
    for line in lines:
        written, digest = line_of(line, digest)
        content += written
    return content


def read_grid(path: Path) -> list[Any]:
    """Read the blocks of a grid, as a sweep does."""
    return [parse_block(block) for block in read_blocks(path)]


def from_file(read: Callable[[Path], Any], name: str) -> Callable[[bytes], Any]:
    """Return a reader of bytes, of one that reads a file of that name."""
    path = Path(tempfile.mkdtemp(prefix="optiproxy-fuzz-")) / name

    def reads(content: bytes) -> Any:
        path.write_bytes(content)
        return read(path)

    return reads


def samples() -> dict[str, tuple[Callable[[bytes], Any], bytes]]:
    """Return reader and a sound file of each kind, by name."""
    arrays, plain = io.BytesIO(), pickle.dumps(VALUES)
    np.savez_compressed(arrays, a=np.arange(50), b=np.ones((3, 4)))
    fitted = pack_surrogate({"facts": {"a": 1}}, {"b": np.arange(50)}, {"trees": "x" * 99})
    rows = b"a,b\n1,2\n3,x\n" * 20
    message = json.dumps(["0" * 64, 108, "0100" * 12, "input,conv", "QUJD"]).encode()
    facts = {"run_id": "a", "status": "failed", "artifacts": {}, "pipeline": "x", "data": {}}
    manifest = json.dumps({**facts, "parameters": {"space": "nb201", "fit": {"lr": 1}}}).encode()
    table = pd.DataFrame({"architecture": ["a", "b"] * 20, "value": [1.0, 2.0] * 20})
    grid = b"- dataset: [cifar10, cifar100]\n  seed: 0..3\n- &a {budget: 20, method: tpe}\n- *a\n"
    return {
        "pickle": (lambda it: restricted_load(it, "x", NUMPY_SCALARS), plain),
        "pickle0": (lambda it: restricted_load(it, "x", NUMPY_SCALARS), pickle.dumps(VALUES, 0)),
        "bz2": (lambda it: bz2_pickle(it, "x", NUMPY_SCALARS), bz2.compress(plain)),
        "csv": (lambda it: csv_table(it, "x"), rows),
        "gzip": (lambda it: gzip_csv_table(it, "x"), gzip.compress(rows)),
        "npz": (lambda it: npz_arrays(it, "x"), arrays.getvalue()),
        "tfrecord": (lambda it: parse_records(it, "x"), record(message) * 3),
        "json": (lambda it: json_object(it, "x"), manifest),
        "onnx": (
            Network,
            pack(b"\x08\x07\x12\x04test:\x00", {"a": {"b": 1}}),
        ),
        "surrogate": (unpack, fitted),
        "parquet": (from_file(read_trials, "x.parquet"), parquet(table)),
        "csv of trials": (from_file(read_trials, "x.csv"), table.to_csv().encode()),
        "journal": (from_file(read_trials, "x.jsonl"), journal()),
        "journal as a table": (from_file(read_journal, "x.jsonl"), journal()),
        "record": (from_file(read_record, "x.zip"), record_of_a_search()),
        "manifest": (from_file(load_manifest, "x.json"), manifest),
        "yaml": (from_file(read_grid, "x.yml"), grid),
        "json of trials": (from_file(read_trials, "x.json"), table.to_json().encode()),
    }


def changed(content: bytes, draw: random.Random) -> bytes:
    """Return a file with a few bytes, stretches or opcodes of a pickle changed."""
    made = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        place, kind = draw.randrange(len(made) + 1), draw.randrange(6)
        length = draw.choice((1, 1, 2, 4, 8, 64))
        if kind == 0:
            made[place : place + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            made[place:place] = bytes(draw.choices(OPCODES, k=length))
        elif kind == 2:
            del made[place : place + length]
        elif kind == 3:
            start = draw.randrange(len(made) + 1)
            made[place:place] = made[start : start + length] * draw.choice((1, 2, 50))
        elif kind == 4:
            made[place : place + length] = draw.choice((b"\xff", b"\x00", b"\x7f")) * length
        elif draw.random() < 0.1:
            del made[place:]
        made = made or bytearray(b"\x80")
    return bytes(made[:1_000_000])


def restructured(content: bytes, draw: random.Random) -> bytes:
    """Return lines of JSON with some of their values replaced by others, or taken away."""
    odd: tuple[Any, ...] = (
        None,
        0,
        -1,
        1e400,
        "",
        "os:abort",
        [],
        {},
        [[]],
        {"a": None},
        True,
        "x" * 1000,
    )

    def turned(value: Any) -> Any:
        if draw.random() < 0.1:
            return draw.choice(odd)
        if isinstance(value, dict):
            return {key: turned(it) for key, it in value.items() if draw.random() > 0.03}
        return [turned(it) for it in value] if isinstance(value, list) else value

    values = [turned(json.loads(line)) for line in content.splitlines()]
    if b'"digest"' in content:
        finite = json.loads(json.dumps(values), parse_constant=str)
        for row in finite:
            if isinstance(row, dict):
                row.pop("digest", None)
        head = {"format": FORMAT}
        return chained([head | finite[0] if isinstance(finite[0], dict) else head, *finite[1:]])
    return "\n".join(map(json.dumps, values)).encode()


def fuzz(name: str, seconds: float, seed: int = 0) -> dict[str, Any]:
    """Try changed files on one reader, and return what became of them."""
    read, sound = samples()[name]
    draw, kept = random.Random(seed), [sound]
    tried = good = 0
    slowest, wrong = 0.0, set()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        is_json = name.startswith(("json", "manifest", "journal")) and draw.random() < 0.7
        content = restructured(sound, draw) if is_json else changed(draw.choice(kept), draw)
        begun, tried = time.process_time(), tried + 1
        try:
            read(content)
            good += 1
            kept = [*kept[:1], *kept[-50:], content]
        except OptiProxyError:
            pass
        except Exception as error:
            wrong.add(f"{type(error).__name__}: {str(error)[:80]} of {content[:60]!r}")
        slowest = max(slowest, time.process_time() - begun)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    found = {"reader": name, "files": tried, "read": good, "slowest_s": round(slowest, 2)}
    return {**found, "grown_mb": round(grown), "other_errors": sorted(wrong)[:5]}


def main(arguments: list[str]) -> int:
    """Fuzz the readers, one after the other."""
    seconds = float(arguments[0]) if arguments else 60.0
    failed = False
    for name in arguments[1:] or samples():
        found = fuzz(name, seconds)
        print(json.dumps(found), flush=True)
        failed |= bool(found["other_errors"])
        failed |= found["slowest_s"] > SLOWEST or found["grown_mb"] > LARGEST
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
