"""All methods begin with the same architectures in a seed, on every space."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optiproxy_nas.algorithm.candidates import sample_random
from optiproxy_nas.core.random_streams import torch_generator
from optiproxy_nas.methods.memory import Memory
from optiproxy_nas.spaces import SPACES, get_space


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("count", [10, 100])
def test_the_initial_sample_is_that_of_the_baselines(name: Any, count: int) -> None:
    space = get_space(name)
    ours = sample_random(space, count, torch_generator(3, 0, "initial-sample"))
    assert torch.equal(ours, Memory(space, 3).random(count))
    assert torch.equal(ours[:5], Memory(space, 3).random(5))
