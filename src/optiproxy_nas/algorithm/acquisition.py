"""From the ensemble's predictions to the one number that is maximised."""

from __future__ import annotations

from torch import Tensor

from optiproxy_nas.core.parameters import SelectionSettings


def acquisition_score(predictions: Tensor, settings: SelectionSettings) -> Tensor:
    """Score [n] of predictions [E, n]: the mean, or mean + κ · sd over the members.

    The paper's score is the proxy's output itself, which is the mean of an ensemble of one.
    """
    mean = predictions.mean(0)
    if settings.acquisition == "mean" or predictions.shape[0] == 1:
        return mean
    return mean + settings.optimism * predictions.std(0)
