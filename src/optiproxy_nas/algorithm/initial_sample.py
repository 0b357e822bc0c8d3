"""What a search begins with: random architectures, after those that earlier runs choose."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import make_batch
from optiproxy_nas.algorithm.candidates import sample_random
from optiproxy_nas.algorithm.prior import FIRST, choose_by_prior
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.random_streams import isolated, torch_generator
from optiproxy_nas.spaces.base import SearchSpace


@isolated()
def initial_batch(
    space: SearchSpace,
    parameters: SearchParameters,
    count: int | None = None,
    excluded: Tensor | None = None,
    prior: Tensors | None = None,
) -> pd.DataFrame:
    """Draw the random architectures that the search starts from (Algorithm 2, line 4).

    Args:
        space: the search space.
        parameters: of the search.
        count: of architectures; default ``initial_samples``.
        excluded: codes [x, L] that are passed over.
        prior: tensors of earlier runs, which choose the first, a share ``FIRST``.
    """
    count = parameters.initial_samples if count is None else count
    chosen: Tensor | None = None
    if prior is not None and count:
        chosen = choose_by_prior(
            space,
            prior,
            round(FIRST * count),
            parameters.selection,
            torch_generator(parameters.seed, 0, "prior-sample"),
            excluded,
        )
        excluded = chosen if excluded is None else torch.cat([excluded, chosen])
        count -= len(chosen)
    codes = further_sample(space, parameters, count, excluded)
    if chosen is not None:
        codes = torch.cat([chosen, codes])
    columns = parameters.objective.price.initial_columns(len(codes))
    return make_batch(space, codes, step=0, **columns)


def further_sample(
    space: SearchSpace, parameters: SearchParameters, count: int, excluded: Tensor | None
) -> Tensor:
    """Return the first random architectures that a search begins with: [count, L].

    Args:
        space: the search space.
        parameters: of the search; its seed draws them.
        count: how many.
        excluded: codes [x, L] that are passed over.

    Raises:
        SamplingError: the space does not yield that many.
    """
    generator = torch_generator(parameters.seed, 0, "initial-sample")
    if excluded is None or not len(excluded):
        return sample_random(space, count, generator)
    drawn = sample_random(space, count + len(excluded), generator)
    out = set(space.identify(excluded))
    kept = [row for row, identity in enumerate(space.identify(drawn)) if identity not in out]
    return drawn[kept[:count]]
