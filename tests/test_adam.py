"""Our AdamW is torch's, to the bit."""

import pytest
import torch

from optiproxy_nas.core.adam import AdamW


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_it_is_torchs(decay: float, maximize: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(4, 3, generator=generator), torch.randn(5, generator=generator)]
    ours = [tensor.clone() for tensor in start]
    theirs = [tensor.clone().requires_grad_() for tensor in start]
    optimizer = AdamW(ours, 0.1, decay, maximize)
    reference = torch.optim.AdamW(theirs, 0.1, weight_decay=decay, maximize=maximize, fused=True)
    for lr in (0.1, 0.05, 0.01):
        # One gradient that does not lie in memory as its parameter does.
        gradients = [torch.randn(3, 4, generator=generator).T, torch.randn(5, generator=generator)]
        optimizer.lr = reference.param_groups[0]["lr"] = lr
        optimizer.step(gradients)
        for tensor, gradient in zip(theirs, gradients, strict=True):
            tensor.grad = gradient.contiguous()
        reference.step()
    for tensor, expected in zip(ours, theirs, strict=True):
        assert torch.equal(tensor, expected)
