"""What the machine usually takes for the probe is kept, whatever is in the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from optiproxy_nas import LatencySettings, MeasurementError, measure_latency
from optiproxy_nas.measuring import speed
from optiproxy_nas.measuring.speed import KEPT, MACHINES, Probe, Speed, remember, usual_pace
from optiproxy_nas.measuring.timing import processor_timer


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(speed, "user_file", lambda name: tmp_path / name)
    return tmp_path / "latency.json"


def probed(seconds: list[float], usual: float | None = None, power: float = 1.0) -> Probe:
    times = iter([one for one in seconds for _ in range(speed.REPEATS)])
    found = Probe(lambda run: (1.0, next(times)), lambda: None, usual, power)
    for _ in seconds:
        found.pace()
    return found


def test_the_usual_speed_is_that_of_the_fastest_quarter_of_the_last_measurements() -> None:
    assert usual_pace("one") is None
    for level in (5e-5, 3e-5, 5e-5, 3.1e-5, 5e-5, 5e-5):  # most of them in a slow stretch
        remember("one", level)
        remember("other", 9e-5)
    usual = usual_pace("one")
    assert usual is not None
    assert 3e-5 < usual < 4e-5
    for _ in range(KEPT):  # it has become slower for good
        remember("one", 6e-5)
    assert usual_pace("one") == pytest.approx(6e-5)
    assert usual_pace("other") == pytest.approx(9e-5)


def test_a_measurement_is_compared_with_the_usual_speed_unless_it_is_as_fast() -> None:
    assert probed([3e-5] * 5).limit == pytest.approx(speed.USUAL * 3e-5)
    assert probed([3e-5] * 5, usual=2.9e-5).limit == pytest.approx(speed.USUAL * 3e-5)
    assert probed([3e-5] * 5, usual=2e-5).limit == pytest.approx(speed.USUAL * 2e-5)
    assert probed([3e-5] * 5, usual=9e-5).limit == pytest.approx(speed.USUAL * 3e-5)
    mostly_slow = [5e-5] * 17 + [3e-5] * 3
    assert probed(mostly_slow).level == pytest.approx(3e-5, rel=0.01)


def test_the_slower_of_cores_and_memory_is_what_counts() -> None:
    found = Speed(lambda run: (1.0, 4e-5), 4e-5, 2e-3)
    cores, memory = found.cores.pace(), found.memory.pace()
    assert (cores, memory) == pytest.approx((4e-5, 4e-5**speed.MEMORY))
    slowness = found.slowness([cores, 2 * cores, cores], [2e-3, 2e-3, 3 * 2e-3])
    assert slowness == pytest.approx(np.array([1, 2, 3]) / speed.USUAL)


def test_the_file_stays_small(file: Path) -> None:
    for number in range(3 * MACHINES):
        for _ in range(2 if number else KEPT + 5):
            remember(f"machine {number}", 3e-5)
    found = json.loads(file.read_text())
    assert list(found) == [f"machine {number}" for number in range(2 * MACHINES, 3 * MACHINES)]
    assert max(map(len, found.values())) <= KEPT
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"one": 3}',
        '{"one": ["x"]}',
        '{"one": [NaN]}',
        '{"one": [-1.0, 2.0]}',
        '{"one": [1e999]}',
        "[" * 50_000,
        '{"one": [' + "1e-5," * 100_000 + "1e-5]}",
        "\x00\xff",
    ],
)
def test_a_file_of_something_else_is_measured_without_and_written_anew(
    file: Path, text: str
) -> None:
    file.write_bytes(text.encode("latin-1"))
    assert usual_pace("one") is None
    remember("one", 3e-5)
    assert usual_pace("one") == 3e-5


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_file_that_cannot_be_read_or_written_does_no_harm(
    file: Path, make: Callable[[Path], None]
) -> None:
    make(file)
    assert usual_pace("one") is None
    if not file.is_dir():
        return
    remember("one", 3e-5)
    assert usual_pace("one") is None
    assert list(file.parent.iterdir()) == [file]


def test_the_probes_take_as_long_again() -> None:
    found = Speed(processor_timer)
    for probe, power in ((found.cores, 1), (found.memory, speed.MEMORY)):
        for _ in range(20):
            probe.pace()
        assert 1e-6 < probe.level ** (1 / power) < 1e-3


def test_a_latency_on_a_machine_slower_than_usual_says_so(file: Path) -> None:
    model, example = nn.Linear(8, 8), torch.zeros(1, 8)
    settings = LatencySettings(seconds=0.05, quantile=0.75)
    alone = measure_latency(model, example, settings)  # it is compared with its own fastest
    key = min(json.loads(file.read_text()))
    (level,) = json.loads(file.read_text())[key]
    file.write_text(json.dumps({key: [level / 100] * 5}))
    found = measure_latency(model, example, settings)
    assert found.speed < 0.3 * alone.speed
    assert found.median_interval[0] < 0.3 * found.median_ms
    with pytest.raises(MeasurementError, match="of its usual speed") as caught:
        measure_latency(model, example, settings.model_copy(update={"noisy": "fail"}))
    assert caught.value.data["speed"] < 0.3
    assert len(json.loads(file.read_text())[key]) == 7  # or it would never become usual
