"""Selecting B of the Q candidates by the proxy (Algorithm 2, line 8)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

from optiproxy_nas.algorithm.acquisition import acquisition_score
from optiproxy_nas.algorithm.archive import make_batch
from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.parameters import SelectionSettings
from optiproxy_nas.proxies.fit import predict
from optiproxy_nas.proxies.targets import to_values
from optiproxy_nas.spaces.base import SearchSpace


def select_batch(
    space: SearchSpace,
    proxy: nn.Module,
    pool: Pool,
    archive_values: np.ndarray,
    batch: int,
    settings: SelectionSettings,
    targets: str,
    step: int,
    generator: torch.Generator,
) -> pd.DataFrame:
    """The ``batch`` candidates of highest score, best first (ties: first drawn).

    With ``use_proxy`` off, ``batch`` random candidates instead: what the selection is worth is
    seen by leaving it out (section 3.4).

    Args:
        space: the search space.
        proxy: the fitted proxy f̂_θ*.
        pool: candidates outside the archive.
        archive_values: [n] percent; only to write predictions in percent.
        batch: B.
        settings: the acquisition.
        targets: the proxy's target units.
        step: search step.
        generator: draws where the proxy is not to choose.

    Raises:
        ProxyError: a prediction is not finite.
    """
    predictions = predict(proxy, space.encode(pool.codes))  # [E, q]
    score = acquisition_score(predictions, settings)
    order = score if settings.use_proxy else torch.rand(len(score), generator=generator)
    best = torch.argsort(order, descending=True, stable=True)[:batch]
    members = to_values(predictions[:, best].double().numpy(), archive_values, targets)
    return make_batch(
        space,
        pool.codes[best],
        step,
        group=pool.group[best],
        predicted=members.mean(0),
        predicted_sd=members.std(0, ddof=min(1, len(members) - 1)),
        score=score[best].double().numpy(),
    )
