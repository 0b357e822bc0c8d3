"""The section of distorted values: what a search sees, what counts, and its table in miniature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from evidence.collect import Evidence
from evidence.regenerate import choose
from evidence.robustness import BROKEN, DISTORTIONS, Problem, distorted, regrets, render
from optiproxy_nas.spaces.nb201 import NASBench201

REPOSITORY = Path(__file__).parents[2]
VALUES = np.linspace(40, 91, 500)


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_a_seed_has_one_distortion(kind: Any) -> None:
    first = distorted(VALUES, kind, 0.5, 1000)
    assert np.isfinite(first).all()
    assert np.array_equal(first, distorted(VALUES, kind, 0.5, 1000))
    if kind in ("noise", "broken"):
        assert not np.array_equal(first, distorted(VALUES, kind, 0.5, 1001))
    if kind in ("exponential", "rank", "scaled"):  # the order stays
        assert (np.diff(first) > 0).all()


def test_a_share_is_broken() -> None:
    seen = distorted(VALUES, "broken", 0.1, 1000)
    assert 30 < (seen == BROKEN).sum() < 70
    assert np.array_equal(seen[seen != BROKEN], VALUES[seen != BROKEN])


def test_the_regret_is_of_the_true_value_of_what_looks_best(nb201: NASBench201) -> None:
    names = nb201.to_string(torch.cartesian_prod(*[torch.arange(5)] * 6))
    values = np.arange(len(names), dtype=np.float64)
    searched, arguments = Problem(names, values), {"method": "random_search"}
    true = regrets(searched, values, arguments, 1000, [1, 5, 20])
    assert true == sorted(true, reverse=True)
    turned = regrets(searched, -values, arguments, 1000, [1, 20])  # the worst looks best
    assert turned[0] == true[0]
    assert turned[1] > true[0] > true[2]


def test_the_section_in_miniature() -> None:
    (section,) = choose(REPOSITORY, ["robustness"], smoke=True)
    (text,) = render(section, Evidence(pd.DataFrame(), pd.DataFrame(), {})).texts.values()
    lines = text.splitlines()
    assert len(lines) == 2 + 2 * 2
    assert "reference" in lines[2]
    # Of values that are all equal the first is the answer, whatever is searched by.
    assert "0.000 (0.000 to 0.000)" in lines[-1]
