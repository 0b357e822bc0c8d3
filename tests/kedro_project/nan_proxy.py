"""A third party's proxies that break: named ``nan_proxy:...`` in the parameters of a run."""

from __future__ import annotations

from typing import Any

import torch

from optiproxy_nas.proxies.mlp import MLP


class _CountsFits(MLP):
    fits = 0

    def train(self, mode: bool = True) -> Any:
        type(self).fits += mode
        return super().train(mode)


class NanInSecondStep(_CountsFits):
    """Fits as it should; from the second fit on it predicts NaN."""

    def forward(self, encoding: Any) -> Any:
        predicted = super().forward(encoding)
        return predicted * torch.nan if self.fits >= 2 and not self.training else predicted


class DivergesInSecondStep(_CountsFits):
    """Its second fit has a loss of NaN."""

    def forward(self, encoding: Any) -> Any:
        predicted = super().forward(encoding)
        return predicted * torch.nan if self.fits >= 2 else predicted
