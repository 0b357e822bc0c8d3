"""Optimizers of torch without its compiler, whose import takes seconds."""

from __future__ import annotations

import inspect

import pytest
import torch


def plain_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the hooks off torch's optimizers: they import torch._dynamo."""
    base = torch.optim.Optimizer
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        monkeypatch.setattr(base, name, inspect.unwrap(getattr(base, name)))
    for kind in (torch.optim.AdamW, torch.optim.SGD):
        step = torch.no_grad()(inspect.unwrap(kind.step))
        step.hooked = True
        monkeypatch.setattr(kind, "step", step)
