"""All architectures of a space that is small enough to list, scored without a search."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.core.parameters import ProxySettings, SelectionSettings
from optiproxy_nas.proxies import build_proxy
from optiproxy_nas.proxies.base import BLOCK, FeatureProxy
from optiproxy_nas.proxies.prior_mean import PriorMeans, WithPrior
from optiproxy_nas.spaces.base import Encoding, SearchSpace


class Listing(NamedTuple):
    """The architectures of a space, or the first that computes each function."""

    codes: Tensor  # [N, L]
    rows: dict[Hashable, int]  # identity of an architecture, or of its function -> its row


def may_list(space: SearchSpace, most: int) -> bool:
    """Return whether a space has at most ``most`` architectures, each choice of operations one."""
    size = float(np.prod([float(row.sum()) for row in space.allowed]))
    one_code = not space.num_edges and space.code_length == space.num_nodes
    return one_code and size <= most and space.size == size


@lru_cache(maxsize=4)
def list_architectures(space: SearchSpace, functions: bool) -> Listing:
    """List a space that may be; with ``functions``, one architecture of each computed function."""
    options = [row.nonzero().flatten() for row in space.allowed]
    codes = torch.cartesian_prod(*options).reshape(-1, space.num_nodes)
    rows: dict[Hashable, int] = {}
    kept: list[int] = []
    for row, key in enumerate(space.canonical(codes) if functions else space.identify(codes)):
        if rows.setdefault(key, len(rows)) == len(kept):
            kept.append(row)
    return Listing(codes[kept], rows)


@lru_cache(maxsize=4)
def _rows_of_functions(space: SearchSpace) -> dict[Hashable, list[int]]:
    """Return function -> the rows that compute it, of all listed architectures."""
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(space.canonical(list_architectures(space, False).codes)):
        rows.setdefault(key, []).append(row)
    return rows


def list_twins(space: SearchSpace, functions: Collection[Hashable]) -> Tensor:
    """Return all architectures of a listed space that compute one of ``functions``: [t, L]."""
    rows = _rows_of_functions(space)
    found = sorted(row for function in functions for row in rows[function])
    return list_architectures(space, functions=False).codes[found]


@lru_cache(maxsize=4)
@torch.no_grad()
def _prepared(space: SearchSpace, settings: ProxySettings, functions: bool) -> Any:
    """Return what a proxy needs of the listed architectures; None: it has no features.

    It holds no weights, so it is the same in every step.
    """
    proxy = build_proxy(space, settings, torch.Generator())
    if not isinstance(proxy, FeatureProxy):
        return None
    return proxy.prepare(space.encode(list_architectures(space, functions).codes))


@torch.no_grad()
def score_all(
    space: SearchSpace,
    proxy: nn.Module,
    score: Callable[[Tensor], Tensor],
    settings: ProxySettings,
    functions: bool,
) -> Tensor:
    """Return the scores of the listed architectures [N].

    Args:
        space: one that may be listed.
        proxy: the fitted proxy.
        score: predictions [E, H, n] -> [n].
        settings: of the proxy.
        functions: as of :func:`list_architectures`.
    """
    return score(_predictions(space, proxy, settings, functions))


def _predictions(
    space: SearchSpace, proxy: nn.Module, settings: ProxySettings, functions: bool
) -> Tensor:
    """Return the predictions [E, H, N] of the listed architectures."""
    if isinstance(proxy, WithPrior):
        alone = _predictions(space, proxy.proxy, settings, functions)
        return alone + proxy.mean(listed_means(space, proxy.means, functions))
    prepared = _prepared(space, settings, functions)
    if isinstance(proxy, FeatureProxy) and prepared is not None:
        return proxy.predict_prepared(prepared)
    return torch.cat([proxy(encoding) for encoding in _encodings(space, functions)], -1)


def _encodings(space: SearchSpace, functions: bool) -> Iterator[Encoding]:
    """Return the encodings of the listed architectures, in blocks."""
    encoding = space.encode(list_architectures(space, functions).codes)
    blocks = zip(*(torch.split(field, BLOCK) for field in encoding), strict=True)
    return (Encoding(*block) for block in blocks)


@lru_cache(maxsize=4)
def listed_means(space: SearchSpace, means: PriorMeans, functions: bool) -> Tensor:
    """Return the means [J, H, N] of earlier runs, which stay the same in a search."""
    with torch.no_grad():
        return torch.cat([means.of(encoding) for encoding in _encodings(space, functions)], -1)


def append_best(
    space: SearchSpace,
    pool: Pool,
    scores: Tensor,
    taken: Tensor,
    width: int,
    settings: SelectionSettings,
) -> Pool:
    """Append to ``pool`` the best of the listed architectures that are neither in it nor taken.

    Args:
        space: one that may be listed.
        pool: candidates.
        scores: of the listed architectures [N].
        taken: codes [t, L] that were proposed before.
        width: how many are appended, if so many are left.
        settings: with ``skip_twins``, none whose function is in the pool or taken.

    Returns:
        The pool, then the architectures, best first (ties: in the order of the list), of group -1.
    """
    codes, rows = list_architectures(space, settings.skip_twins)
    identities = space.canonical if settings.skip_twins else space.identify
    is_free = torch.ones(len(scores), dtype=torch.bool)
    is_free[[rows[key] for key in identities(torch.cat([taken, pool.codes]))]] = False
    free = is_free.nonzero().flatten()
    if len(free) > width:  # sort those alone that reach the last place
        free = free[scores[free] >= scores[free].topk(width).values[-1]]
    best = free[torch.argsort(scores[free], descending=True, stable=True)][:width]
    return pool._replace(
        codes=torch.cat([pool.codes, codes[best]]),
        group=torch.cat([pool.group, torch.full_like(best, -1)]),
    )
