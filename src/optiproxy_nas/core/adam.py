"""AdamW by torch's functional form, for the many short fits and searches of small tensors.

``torch.optim.AdamW`` computes the same, but each process that makes one imports ``torch._dynamo``
(a CPU second), and each of its steps passes through profiling hooks.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adamw import adamw


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), with torch's defaults.

    Args:
        parameters: leaves that require gradients.
        lr: learning rate; may be changed between steps.
        weight_decay: 0 gives Adam.
        maximize: ascend.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        self.lr = lr
        self._weight_decay, self._maximize = weight_decay, maximize
        self._parameters = list(parameters)
        self._means = [torch.zeros_like(tensor) for tensor in self._parameters]
        self._squares = [torch.zeros_like(tensor) for tensor in self._parameters]
        self._steps = [torch.zeros((), dtype=torch.float32) for _ in self._parameters]

    @torch.no_grad()
    def step(self, gradients: Iterable[Tensor]) -> None:
        """Change the parameters in place by their gradients, in the same order."""
        adamw(
            self._parameters,
            [gradient.contiguous() for gradient in gradients],  # the fused kernel reads memory
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.lr,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=self._maximize,
        )
