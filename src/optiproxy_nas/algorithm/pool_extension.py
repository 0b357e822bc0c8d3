"""What the proxy scores beside the candidates that were drawn from the logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from optiproxy_nas.algorithm.candidates import Pool, beam_width, climb
from optiproxy_nas.algorithm.initial_sample import further_sample
from optiproxy_nas.algorithm.listing import append_best, may_list, score_all
from optiproxy_nas.algorithm.prior import SAMPLE
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.objectives.base import Score
from optiproxy_nas.proxies import fit as fitting
from optiproxy_nas.spaces.base import SearchSpace


def extend_pool(
    space: SearchSpace,
    pool: Pool,
    proxy: nn.Module,
    scores: Sequence[Score],
    parameters: SearchParameters,
    archive_codes: Tensor,
    unavailable_codes: Tensor | None,
    *,
    picks: int,
    fewest: int,
    is_misled: bool,
) -> Pool:
    """Return the pool with what each score finds best: of a listed space, or by local moves.

    While earlier runs mislead, and the archive is smaller than the initial sample of a search
    without them, further random architectures of that sample take the place of the pool.

    Args:
        space: the search space.
        pool: the candidates drawn.
        proxy: fitted; it gives the predictions that are scored.
        scores: that the step's picks follow.
        parameters: of the search.
        archive_codes: of D [n, L].
        unavailable_codes: of failed and pending trials [u, L], if there are any.
        picks: number of proposals that the step can pay for.
        fewest: candidates that each score adds at least, where there are so many.
        is_misled: whether the earlier runs mislead.
    """

    def scored(score: Score) -> Callable[[Tensor], Tensor]:
        return lambda codes: score(fitting.predict(proxy, space.encode(codes)))

    selection, taken = parameters.selection, archive_codes
    if unavailable_codes is not None:
        taken = torch.cat([archive_codes, unavailable_codes])
    is_left = space.size is None or len(taken) + picks <= space.size
    if is_misled and is_left and len(taken) < round(parameters.initial_samples / SAMPLE):
        codes = further_sample(space, parameters, picks, taken)
        return pool._replace(codes=codes, group=torch.full((len(codes),), -1))
    if not selection.use_proxy:
        return pool
    for score in scores:
        if may_list(space, selection.listed):
            listed = score_all(space, proxy, score, parameters.proxy, selection.skip_twins)
            pool = append_best(space, pool, listed, taken, fewest, selection)
        elif selection.ascent_rounds:
            pool = climb(
                space,
                pool,
                scored(score),
                archive_codes,
                selection.ascent_rounds,
                width=beam_width(space, pool.codes, fewest),
                skip_twins=selection.skip_twins,
                unavailable_codes=unavailable_codes,
            )
    return pool
