"""Torch devices that jobs are told to use."""

from __future__ import annotations

import torch

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings


def devices_of(settings: EvaluationSettings) -> list[str]:
    """Return the devices of worker processes: all GPUs, where they are to be found.

    Those of a SLURM job are of its node, of which this machine says nothing.

    Raises:
        ParameterError: there is no such device.
    """
    if settings.executor == "slurm":
        return [settings.device]
    device = device_of(settings.device)
    if settings.device == "auto" and device == "cuda" and settings.workers > 1:
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [device]


def device_of(name: str) -> str:
    """Return the device that trials are told to use.

    Raises:
        ParameterError: there is no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        kind = ""
    if not kind or (kind == "cuda" and not torch.cuda.is_available()):
        why = "torch finds no CUDA here" if kind else "torch has no such device"
        raise ParameterError(
            f"evaluation.device = {name!r}: {why}. Use cpu, cuda, or auto.", device=name
        )
    return name
