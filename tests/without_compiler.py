"""Torch without its compiler, whose import takes seconds: nothing here is compiled."""

from __future__ import annotations

import inspect

import torch
from torch.utils import flop_counter


def leave_compiler_out() -> None:
    """Take the wrappers off what would import torch._dynamo only to be left alone by it."""
    base = torch.optim.Optimizer
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        setattr(base, name, inspect.unwrap(getattr(base, name)))
    for kind in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
        step = torch.no_grad()(inspect.unwrap(kind.step))
        step.hooked = True
        kind.step = step  # type: ignore[method-assign]
    counter = flop_counter._FlopCounterMode
    counter.__torch_dispatch__ = inspect.unwrap(counter.__torch_dispatch__)  # type: ignore[method-assign]
