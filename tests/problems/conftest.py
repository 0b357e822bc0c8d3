"""What the tests of problems share."""

from __future__ import annotations

import inspect

import pytest
import torch


@pytest.fixture(autouse=True)
def _plain_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the hooks off torch's optimizers: they import torch._dynamo, which takes seconds."""
    base = torch.optim.Optimizer
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        monkeypatch.setattr(base, name, inspect.unwrap(getattr(base, name)))
    for kind in (torch.optim.AdamW, torch.optim.SGD):
        step = torch.no_grad()(inspect.unwrap(kind.step))
        step.hooked = True
        monkeypatch.setattr(kind, "step", step)
