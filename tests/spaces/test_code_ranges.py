"""Numbers that no code has are told by their place, whatever is asked of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optiproxy_nas.spaces.nb301 import NASBench301
from optiproxy_nas.spaces.nbnlp import NASBenchNLP
from optiproxy_nas.spaces.nbnlp.grammar import NODES

DARTS, NLP = NASBench301(), NASBenchNLP()
FURTHER = {DARTS: (DARTS.to_genotype, DARTS.to_naslib), NLP: ()}


@pytest.mark.parametrize(
    ("space", "name", "place", "number", "reason"),
    [
        (DARTS, "NAS-Bench-301", 0, 7, "Place 0 of code 1 is 7; it can be 0 to 6"),
        (DARTS, "NAS-Bench-301", 15, -1, "Place 15 of code 1 is -1"),
        (DARTS, "NAS-Bench-301", 16, 1, "it can be 0 to 0"),
        (DARTS, "NAS-Bench-301", 23, 10, "it can be 0 to 9"),
        (NLP, "NAS-Bench-NLP", 0, 8, "Place 0 of code 1 is 8; it can be 0 to 7"),
        (NLP, "NAS-Bench-NLP", NODES, 5, "Place 16 of code 1 is 5; it can be 0 to 4"),
        (NLP, "NAS-Bench-NLP", NODES, -1, "is -1"),
        (NLP, "NAS-Bench-NLP", 4 * NODES + 2, 17, "it can be 0 to 16"),
        (NLP, "NAS-Bench-NLP", 0, 256, "is 256"),  # 0 as a byte
    ],
)
def test_numbers_that_no_code_has(
    space: Any, name: str, place: Any, number: int, reason: str
) -> None:
    codes = space.random(2, torch.Generator().manual_seed(0))
    codes[1, place] = number
    for method in (
        space.encode,
        space.identify,
        space.canonical,
        space.neighbours,
        space.to_string,
        lambda codes: space.isomorphic(codes, torch.Generator()),
        *FURTHER[space],
    ):
        with pytest.raises(ValueError, match=f"{name} code is .*{reason}"):
            method(codes)


@pytest.mark.parametrize("space", [DARTS, NLP], ids=["nb301", "nbnlp"])
def test_codes_of_another_length(space: Any) -> None:
    codes = space.random(2, torch.Generator().manual_seed(0))[:, :-1]
    with pytest.raises(ValueError, match=rf"not \[2, {space.code_length - 1}\]"):
        space.identify(codes)
