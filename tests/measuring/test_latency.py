"""Latencies of networks on this machine, which may be busy: what holds of them all the same."""

from __future__ import annotations

import fcntl
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from optiproxy_nas import LatencySettings, MeasurementError, ParameterError, measure_latency
from optiproxy_nas.measuring import machine, speed
from optiproxy_nas.measuring.latency import floor_ms
from optiproxy_nas.measuring.machine import only_measurement

QUICK: dict[str, Any] = {"least_seconds": 0.05, "seconds": 1.0, "precision": 1.0, "quantile": 0.75}
EXAMPLE = torch.zeros(1, 64)


def layers(count: int) -> nn.Module:
    return nn.Sequential(*(nn.Linear(64, 64) for _ in range(count)))


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_a_network_of_more_layers_takes_longer(runtime: str) -> None:
    settings = LatencySettings(runtime=runtime, **QUICK)
    found = measure_latency({"short": layers(1), "long": layers(30)}, EXAMPLE, settings)
    short, long = found["short"], found["long"]
    assert floor_ms(settings) < long.median_ms  # the machine may be slower by now
    assert 2 * short.median_ms < long.median_ms
    low, high = long.median_interval
    assert 0 <= low < long.median_ms < high
    assert long.runtime == runtime
    assert (long.machine.onnxruntime != "") == (runtime == "onnxruntime")
    assert set(long.metrics(settings)) == {"latency_ms", "latency_p75_ms", "latency_precision"}


def test_two_timings_of_one_network_agree_leniently() -> None:
    settings = LatencySettings(**QUICK)
    model = layers(10)
    found = measure_latency({"first": model, "second": model}, EXAMPLE, settings)
    # In turn, burst by burst: what slows the machine down meanwhile slows down both.
    assert 0.4 < found["first"].median_ms / found["second"].median_ms < 2.5


def test_the_network_and_the_threads_of_torch_are_left_as_they_were() -> None:
    model, threads = layers(1).train(), torch.get_num_threads()
    found = measure_latency(model, EXAMPLE, LatencySettings(**QUICK, threads=2))
    assert (model.training, torch.get_num_threads(), found.threads) == (True, threads, 2)


def test_a_network_that_does_not_take_the_example_is_one_error() -> None:
    with pytest.raises(MeasurementError, match=r"Sequential .* \(1, 3\)"):
        measure_latency(layers(1), torch.zeros(1, 3), LatencySettings(**QUICK))


def test_a_network_that_is_too_slow_for_the_seconds_is_measured_for_longer() -> None:
    class Slow(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            time.sleep(0.03)
            return inputs

    found = measure_latency(Slow(), EXAMPLE, LatencySettings(**{**QUICK, "seconds": 0.05}))
    assert found.seconds > 0.05
    assert found.runs > 0


class Slowing(nn.Module):
    """Slower and slower, whatever the machine is."""

    calls = 0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        for _ in range(1 + self.calls // 20):
            inputs = inputs + 1
        return inputs


def test_an_interval_that_is_too_wide_fails_where_the_settings_say_so() -> None:
    settings = LatencySettings(**{**QUICK, "precision": 0.125, "seconds": 0.5}, noisy="fail")
    with pytest.raises(MeasurementError, match=r"latency\.precision") as caught:
        measure_latency(Slowing(), EXAMPLE, settings)
    assert caught.value.data["precision"] > 0.125
    found = measure_latency(Slowing(), EXAMPLE, settings.model_copy(update={"noisy": "warn"}))
    assert found.precision > 0.125


def test_a_precision_that_nothing_reaches_is_refused() -> None:
    with pytest.raises(ParameterError, match="two processes"):
        LatencySettings(precision=0.01)


@pytest.mark.parametrize(
    "settings", [{"precision": 0.01}, {"second": 1}, {"least_seconds": 9}, {"threads": 0}]
)
def test_wrong_settings_are_refused_as_others_are(settings: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        LatencySettings(**settings)
    assert "\n" not in str(caught.value)
    short = LatencySettings(seconds=0.5)
    assert short.least_seconds == 0.5
    assert LatencySettings(**short.model_dump()) == short


@pytest.mark.parametrize("example", [None, [[1.0]], (), (torch.zeros(1, 4), "x")])
def test_an_example_that_is_no_tensor_is_one_error(example: Any) -> None:
    with pytest.raises(ParameterError, match="example"):
        measure_latency(nn.Linear(4, 2), example)


@pytest.mark.heavy
def test_more_threads_than_cores_are_refused() -> None:
    with pytest.raises(ParameterError) as caught:
        measure_latency(nn.Linear(4, 2), torch.zeros(1, 4), LatencySettings(threads=10_000))
    assert caught.value.data["cores"] >= 1


def test_one_measurement_at_a_time() -> None:
    ended: list[str] = []

    def measure() -> None:
        with only_measurement():
            ended.append("second")

    with only_measurement():
        thread = threading.Thread(target=measure)
        thread.start()
        time.sleep(0.05)
        ended.append("first")
    thread.join()
    assert ended == ["first", "second"]


def test_onnx_runs_on_the_processor_only() -> None:
    with pytest.raises(ParameterError, match="not on 'meta'"):
        measure_latency(layers(1), EXAMPLE, LatencySettings(runtime="onnxruntime"), device="meta")


def test_who_waits_for_another_measurement_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(machine, "SAID_AFTER", 0.01)
    said: list[str] = []
    with machine.user_file("latency.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def warning(text: str, *_: object) -> None:
            said.append(text)
            fcntl.flock(other, fcntl.LOCK_UN)  # the other measurement ends

        monkeypatch.setattr(machine._log, "warning", warning)
        with machine.only_measurement():
            assert len(said) == 1


def test_an_interval_of_few_runs_is_not_said_to_be_of_a_busy_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(1, 100))

    def slow(run: Any) -> tuple[float, float]:
        time.sleep(0.01)
        return (took := next(seconds)), took

    monkeypatch.setattr("optiproxy_nas.measuring.latency.processor_timer", slow)
    monkeypatch.setattr(speed, "user_file", lambda name: tmp_path / name)
    settings = LatencySettings(seconds=0.01, precision=0.2, noisy="fail")
    with pytest.raises(MeasurementError, match="so few runs"):
        measure_latency(layers(1), EXAMPLE, settings)
