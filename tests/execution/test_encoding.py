"""What passes between a search and its workers is exact, and runs no code in the search."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas.core.stop_line import StopLine
from optiproxy_nas.execution import encoding
from optiproxy_nas.execution.encoding import (
    encoded,
    end_fields,
    job_fields,
    plain,
    read_end,
    read_job,
)
from optiproxy_nas.execution.job_files import JobFiles
from optiproxy_nas.execution.jobs import Ended, Job

JOB = Job(3, 2, "text", 5, 7, "/trials/0003", 1.5, "cpu", 1, 9, None, 4.0)


@pytest.mark.parametrize(
    "architecture",
    [
        "|conv~0|",
        {"depth": 3, "tuple": (1, 2.5), "nested": {"pickle": [None, True]}},
        ({1: "a", (2, "b"): [()]}, -math.inf, 10**30, "\ud800"),
        {"of a class": Path("/here"), "number": Fraction(1, 3)},
    ],
)
def test_a_job_is_the_same_on_its_worker(architecture: Any) -> None:
    line = StopLine(-1.0, (1, 3), (0.5, 0.1 + 0.2), 9)
    job = JOB._replace(architecture=architecture, stop_line=line)
    there = read_job(json.loads(json.dumps(job_fields(encoded(job)))))
    assert there._replace(architecture=there.architecture.decoded()) == job
    assert isinstance(there.stop_line, StopLine)


def test_a_job_that_cannot_be_sent_raises() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for architecture in (lambda: None, endless):
        with pytest.raises((AttributeError, RecursionError, TypeError)):
            encoded(JOB._replace(architecture=architecture))


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (np.float64(0.1) + 0.2, 0.30000000000000004),
        (np.float32(0.1), 0.10000000149011612),
        (np.longdouble(0.5), 0.5),
        ({"value": np.int64(3), 4: np.bool_(True)}, {"value": 3, "4": True}),
        (np.ma.masked, None),
        (pd.NA, None),
        (pd.Series({"value": 0.5}), {"value": 0.5}),
        (torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True), 0.5),
        (
            {"matrix": np.eye(2), "row": torch.arange(2)},
            {"matrix": [[1, 0], [0, 1]], "row": [0, 1]},
        ),
        ((np.str_("a"), [None, math.inf]), ["a", [None, math.inf]]),
    ],
)
def test_an_answer_is_made_of_plain_values(answer: Any, sent: Any) -> None:
    found = plain(answer)
    assert found == sent
    assert type(found) is type(sent)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"value": 1.0, "model": [torch.nn.Identity()]}, "the answer['model'][0] is of type Id"),
        (b"0.5", "the answer is of type bytes"),
        ({"value": np.zeros(10**6)}, "the answer['value'] is of 7.6 MiB"),
        ("x" * 2**21, "2.0 MiB"),
    ],
)
def test_what_an_answer_cannot_hold_is_named(answer: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError)) as error:
        plain(answer)
    assert words in str(error.value)


def test_the_end_of_a_job_is_exact() -> None:
    ended = Ended(JOB, {"value": 0.1 + 0.2, "bound": -math.inf}, "", 1 / 3, [(1, 1e-300), (2, 0.7)])
    assert read_end(JOB, json.dumps(end_fields(ended)).encode()) == ended
    undefined = read_end(JOB, json.dumps(end_fields(Ended(JOB, math.nan))).encode())
    assert math.isnan(undefined.answer)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x05.",
        b"7",
        b"{}",
        b'{"answer": 1, "error": "", "seconds": 1, "curve": [1]}',
        b'{"answer": 1, "error": "", "seconds": NaN, "curve": []}',  # no journal could hold it
    ],
)
def test_what_is_no_end_is_a_failure(content: bytes) -> None:
    ended = read_end(JOB, content)
    assert "cannot be read" in ended.error
    assert ended.answer is None


def test_a_file_that_is_too_large_is_a_failure_and_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "LARGEST_END", 100)
    files = JobFiles(tmp_path, "7-0-1-ab")
    files.end(Ended(JOB, 0.5))
    assert files.ended(JOB) == Ended(JOB, 0.5)
    files.end(Ended(JOB, 0.5, curve=[(1, 0.5)] * 100))
    assert len(files.end_content() or b"") == 101
    ended = files.ended(JOB)
    assert ended is not None
    assert "MiB" in ended.error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file of Linux")
def test_a_job_whose_claim_a_full_disk_did_not_take_is_claimed_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, opened = JobFiles(tmp_path, "7-0-1-ab"), Path.open

    def on_full_disk(path: Path, mode: str, **settings: str) -> Any:
        opened(path, mode).close()
        return open("/dev/full", "w")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", on_full_disk)
        with pytest.raises(OSError, match="space"):
            files.claim("tcp://worker:1")
    assert files.claimed() is None
    assert files.claim("tcp://worker:1")
