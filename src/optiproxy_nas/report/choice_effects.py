"""How much each choice matters: first-order effects of the choices on the proxy's predictions.

The effect of a choice is the share of the variance of the predictions, over random architectures,
that lies between the means of its options (functional ANOVA; Sobol 1993, Hutter et al. 2014). It
is computed for each draw of the proxy: a member of an ensemble, or a joint draw of a posterior.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.arrays import Floats, Integers, Mask, Tensors, as_array
from optiproxy_nas.proxies.base import SamplesFunctions
from optiproxy_nas.proxies.fit import load_proxy, predict
from optiproxy_nas.spaces.base import SearchSpace

SAMPLE = 400  # random architectures
DRAWS = 60  # of a posterior


class Effects(NamedTuple):
    """First-order effects of C choices, by draw of the proxy."""

    choices: tuple[str, ...]  # names [C]
    best: tuple[str, ...]  # the option of each with the highest mean prediction [C]
    shares: Floats  # [draws, C], of the variance, in [0, 1]


def choice_effects(
    space: SearchSpace, parameters: SearchParameters, weights: Tensors, sample: int = SAMPLE
) -> Effects:
    """Return the effects of all choices with several options on the predicted value.

    Args:
        space: the search space.
        parameters: of the search: which proxy.
        weights: θ* of the proxy.
        sample: number of random architectures.
    """
    generator = torch.Generator().manual_seed(0)  # fixed: equal proxies give equal effects
    codes = space.random(sample, generator)
    encoding, heads = space.encode(codes), parameters.objective.task.heads
    proxy = load_proxy(space, parameters.proxy, weights, heads)
    if isinstance(proxy, SamplesFunctions):
        values = as_array(proxy.sample_functions(encoding, DRAWS, generator)[:, 0])
    else:
        values = as_array(predict(proxy, encoding)[:, 0])
    nodes = list(zip(space.node_labels, space.option_labels, strict=True))
    edges = [(f"edge choice {i + 1}", ()) for i in range(space.code_length - space.num_nodes)]
    found = []
    for (name, labels), column in zip([*nodes, *edges], as_array(codes.T), strict=True):
        options = column.astype(np.int64)
        # A choice that is not there in an architecture has the option "".
        exists = np.array([not labels or labels[option] != "" for option in options], dtype=bool)
        if len(np.unique(options[exists])) > 1:
            share, best = _effect(values, options, exists)
            found.append((name, labels[best] if labels else str(best), share))
    names, best_options, shares = zip(*found, strict=True) if found else ((), (), ())
    return Effects(names, best_options, np.stack(shares, 1) if found else np.zeros((1, 0)))


def _effect(values: Floats, options: Integers, exists: Mask) -> tuple[Floats, int]:
    """Return the effect of one choice by draw, and its best option.

    The share is ω², which is 0 on average, not above, for a choice without any effect.

    Args:
        values: predictions [draws, n].
        options: of the choice [n].
        exists: where the choice exists [n]; the others count for the whole variance only.
    """
    total = np.square(values - values.mean(1, keepdims=True)).sum(1)
    inside, (names, index) = values[:, exists], np.unique(options[exists], return_inverse=True)
    members = np.eye(len(names))[index]  # [n', options]
    counts = members.sum(0)
    means = inside @ members / counts
    between = (counts * np.square(means - inside.mean(1, keepdims=True))).sum(1)
    within = np.square(inside - means[:, index]).sum(1) / max(len(index) - len(names), 1)
    share = (between - (len(names) - 1) * within) / np.maximum(total + within, 1e-300)
    return np.clip(share, 0.0, 1.0), int(names[means.mean(0).argmax()])
