"""Torch devices that jobs are told to use, and the kind of machine that they need."""

from __future__ import annotations

import torch

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.measuring.machine import kind_of_machine


def devices_of(settings: EvaluationSettings) -> list[str]:
    """Return the devices of worker processes: all GPUs, where they are to be found.

    Those of other machines are theirs, of which this machine says nothing.

    Raises:
        ParameterError: there is no such device.
    """
    if not settings.is_local:
        return [settings.device]
    device = device_of(settings.device)
    if settings.device == "auto" and device == "cuda" and settings.workers > 1:
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [device]


def device_here(settings: EvaluationSettings) -> str:
    """Return the device that this process uses: the trials', or cpu where only theirs has it.

    Raises:
        ParameterError: there is no such device.
    """
    try:
        return device_of(settings.device)
    except ParameterError:
        if settings.is_local or _kind(settings.device) is None:
            raise
    return "cpu"


def check_machine(settings: EvaluationSettings) -> None:
    """Refuse to train on this machine what is to be trained on another kind of machine.

    Raises:
        ParameterError: trials are trained here, and ``evaluation.machine`` names another kind.
    """
    if settings.executor not in ("serial", "processes") or settings.machine is None:
        return  # Dask's workers and SLURM's nodes say of what kind they are
    if settings.machine.lower() not in (kind := kind_of_machine()).lower():
        raise ParameterError(
            f"evaluation.machine = {settings.machine!r}, and this machine is of another kind "
            f"({kind}). Train on one of that kind, or leave evaluation.machine out.",
            machine=settings.machine,
        )


def device_of(name: str) -> str:
    """Return the device that trials are told to use on this machine.

    Raises:
        ParameterError: there is no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = _kind(name)
    if kind is None or (kind == "cuda" and not torch.cuda.is_available()):
        why = "torch finds no CUDA here" if kind else "torch has no such device"
        raise ParameterError(
            f"evaluation.device = {name!r}: {why}. Use cpu, cuda, or auto.", device=name
        )
    return name


def _kind(name: str) -> str | None:
    """Return ``cuda`` of ``cuda:0``; None of what torch does not know."""
    try:
        return torch.device(name).type
    except RuntimeError:
        return None
