"""The latency of a network on this machine: the median and a quantile of repeated runs."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import NamedTuple, overload

import torch
from torch import nn

from optiproxy_nas.core.errors import MeasurementError, ParameterError, first_line
from optiproxy_nas.measuring.latency_settings import LatencySettings
from optiproxy_nas.measuring.machine import Machine, load, machine, only_measurement
from optiproxy_nas.measuring.onnx import feeds_of, onnx_model, onnx_session
from optiproxy_nas.measuring.sizes import Example
from optiproxy_nas.measuring.speed import Run, Speed, Timer, speed_beside_file
from optiproxy_nas.measuring.timing import (
    LONGEST,
    Series,
    processor_timer,
    time_until_precise,
    wall_timer,
)


class Latency(NamedTuple):
    """The latency of a network with a batch of one example, in milliseconds.

    Another timing of the network on this machine falls in the intervals at the confidence of the
    settings.
    """

    median_ms: float
    median_interval: tuple[float, float]
    quantile_ms: float
    quantile_interval: tuple[float, float]
    quantile: float
    runs: int  # that count
    taken: int  # runs that do not, since another process had the core meanwhile
    seconds: float  # that the network was measured for, pauses included
    threads: int
    runtime: str
    machine: Machine
    load: float  # processes that wanted a core in the minute before, in the mean
    speed: float  # of the machine in the runs that are used, as a share of its usual one

    @property
    def precision(self) -> float:
        """Half of the wider interval, as a share of its value."""
        return max(
            max(high - value, value - low) / value
            for value, (low, high) in (
                (self.median_ms, self.median_interval),
                (self.quantile_ms, self.quantile_interval),
            )
        )

    def metrics(self, settings: LatencySettings) -> dict[str, float]:
        """Return what a trial records, by the names of the settings."""
        values = (self.median_ms, self.quantile_ms, self.precision)
        return dict(zip(settings.metrics, values, strict=True))


@overload
def measure_latency(
    model: nn.Module,
    example: Example,
    settings: LatencySettings | None = None,
    device: str = "cpu",
) -> Latency: ...


@overload
def measure_latency(
    model: Mapping[str, nn.Module],
    example: Example,
    settings: LatencySettings | None = None,
    device: str = "cpu",
) -> dict[str, Latency]: ...


def measure_latency(
    model: nn.Module | Mapping[str, nn.Module],
    example: Example,
    settings: LatencySettings | None = None,
    device: str = "cpu",
) -> Latency | dict[str, Latency]:
    """Return the latency of a network, or of several that are run in turn.

    One process of the machine measures at a time; another one waits.

    Args:
        model: a network, or several by name; each is copied, and run in eval mode.
        example: what it takes, with the batch dimension.
        settings: how it is measured; None: as the defaults say.
        device: of torch. ONNX runs on the CPU.

    Raises:
        ParameterError: onnxruntime is not installed, or does not run on the device; the example is
            no tensor, or there are fewer cores than threads.
        ConversionError: a network cannot be written as ONNX.
        MeasurementError: a network does not take the example, or its interval is wider than asked
            for and the settings say that this fails.

    Example:
        >>> from torch import nn, zeros
        >>> quick = LatencySettings(least_seconds=0.05, seconds=0.1, precision=1)
        >>> measure_latency(nn.Linear(4, 2), zeros(1, 4), quick).median_ms < 5
        True
    """
    settings = settings or LatencySettings()
    models = model if isinstance(model, Mapping) else {"": model}
    found: dict[str, Latency] = {}
    where = machine(device, settings.runtime)
    with only_measurement(), _threads(settings.threads), _speed(settings, where) as speed:
        timer = _timer(settings, device)
        series = {
            name: Series(runner(one, example, settings, device), timer, settings.quantile, speed)
            for name, one in models.items()
        }
        before, begun = load(), time.monotonic()
        with torch.inference_mode():
            time_until_precise(
                list(series.values()),
                settings.precision,
                settings.confidence,
                settings.least_seconds,
                settings.seconds,
            )
        seconds = (time.monotonic() - begun) / max(1, len(models))
        for name, one in series.items():
            found[name] = _latency(one, settings, seconds, where, before)
    return found if isinstance(model, Mapping) else found[""]


def runner(model: nn.Module, example: Example, settings: LatencySettings, device: str) -> Run:
    """Return what runs a network once, with all that is no part of a run done before.

    Raises:
        OptiProxyError: as of :func:`measure_latency`.
    """
    inputs = tuple(tensor.to(device) for tensor in _inputs(example))
    if settings.threads > (cores := machine().cores):
        raise ParameterError(
            f"latency.threads = {settings.threads}, but this process may use {cores} "
            f"core{'s' if cores > 1 else ''}: more threads than that wait for each other.",
            cores=cores,
        )
    if settings.runtime == "onnxruntime":
        if torch.device(device).type != "cpu":
            raise ParameterError(
                f"latency.runtime = 'onnxruntime' runs on the CPU, not on {device!r}: leave it "
                "out, or use evaluation.device=cpu.",
                device=device,
            )
        session = onnx_session(onnx_model(model, inputs), settings.threads)
        feeds = feeds_of(inputs)
        return lambda: session.run(None, feeds)
    try:
        network = copy.deepcopy(model).eval().to(device)
        with torch.inference_mode():
            network(*inputs)
    except (Exception, SystemExit) as error:  # of any network
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in inputs)
        raise MeasurementError(
            f"{type(model).__name__} cannot be run on an example of shape {shapes}: "
            f"{type(error).__name__}: {first_line(error)}.",
            model=type(model).__name__,
        ) from error
    return lambda: network(*inputs)


def floor_ms(settings: LatencySettings, device: str = "cpu") -> float:
    """Return the least time that a network takes here, one that does nothing, in milliseconds."""
    run = runner(nn.Identity(), torch.zeros(1, 1), settings, device)
    return fastest_ms(run, settings, device, 200)


def fastest_ms(run: Run, settings: LatencySettings, device: str, runs: int) -> float:
    """Return the time of the fastest of some runs of :func:`runner`, in milliseconds."""
    with _threads(settings.threads), torch.inference_mode():
        timer = _timer(settings, device)
        return 1e3 * min(timer(run)[1] for _ in range(runs))


def longest_seconds(settings: LatencySettings) -> float:
    """Return the seconds after which no further run of a network is begun."""
    return LONGEST * settings.seconds


def _latency(
    series: Series, settings: LatencySettings, seconds: float, where: Machine, before: float
) -> Latency:
    median, high = series.estimates(settings.confidence)
    latency = Latency(
        1e3 * median.value,
        (1e3 * median.low, 1e3 * median.high),
        1e3 * high.value,
        (1e3 * high.low, 1e3 * high.high),
        settings.quantile,
        len(series.used),
        series.taken,
        seconds,
        settings.threads,
        settings.runtime,
        where,
        before,
        series.speed(),
    )
    if settings.noisy == "fail" and latency.precision > settings.precision:
        why = f"the machine is too busy (load {before:.1f})"
        if series.is_short:
            why = f"so few runs ({len(series.used)}) tell no more"
        elif latency.speed < 1:
            why = f"the machine runs at {latency.speed:.0%} of its usual speed"
        raise MeasurementError(
            f"The latency is known to {latency.precision:.1%} after {seconds:.3g} s, not to the "
            f"{settings.precision:.1%} of latency.precision: "
            f"{why}. Give more latency.seconds, or latency.noisy='warn'.",
            precision=latency.precision,
            speed=latency.speed,
        )
    return latency


def _inputs(example: Example) -> tuple[torch.Tensor, ...]:
    """Return the arguments of a network.

    Raises:
        ParameterError: one of them is no tensor.
    """
    inputs = tuple(example) if isinstance(example, tuple | list) else (example,)
    wrong = [type(it).__name__ for it in inputs if not isinstance(it, torch.Tensor)]
    if wrong or not inputs:
        raise ParameterError(
            f"example has {wrong[0] if wrong else 'nothing'}; it must be a tensor, or a tuple of "
            "one for each argument of the network, such as torch.zeros(1, 3, 32, 32)."
        )
    return inputs


def _timer(settings: LatencySettings, device: str) -> Timer:
    """Return the timer for what the settings run."""
    if torch.device(device).type == "cuda":
        return partial(cuda_timer, device=device)
    is_fine = time.get_clock_info("thread_time").resolution <= 1e-6  # not so on Windows
    return processor_timer if settings.threads == 1 and is_fine else wall_timer


def _speed(settings: LatencySettings, where: Machine) -> AbstractContextManager[Speed]:
    """Return the speed of the processor; one that never changes for a GPU, or several threads.

    These wait for each other where the cores are busy, so that a probe would take longer than runs.
    """
    if settings.threads > 1 or not where.device.startswith("cpu"):
        return nullcontext(Speed(lambda run: (1.0, 1.0)))
    return speed_beside_file(_timer(settings, "cpu"), f"{where.processor}, torch {where.torch}")


def cuda_timer(run: Run, device: str) -> tuple[float, float]:
    """Time a run by events of CUDA: from its first kernel to its last."""
    begin, end = (torch.Event(device, enable_timing=True) for _ in range(2))
    begin.record(torch.cuda.current_stream(device))
    run()
    end.record(torch.cuda.current_stream(device))
    end.synchronize()
    seconds = float(begin.elapsed_time(end)) / 1e3
    return seconds, seconds


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Have torch use so many threads, and as many as before in the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
