from __future__ import annotations

import numpy as np
import pytest
import torch

from optiproxy_nas.core.random_streams import (
    derive_seed,
    numpy_generator,
    one_thread,
    torch_generator,
)

pytestmark = pytest.mark.usefixtures("global_state")


def test_seeds_are_pinned():
    """A change of these numbers changes the result of every search ever recorded."""
    assert derive_seed(0, 0, "initial-sample") == 8_012_490_470_354_533_400
    assert derive_seed(7, 3, "fit-batches") == 4_110_843_231_594_611_971


def test_every_name_of_a_stream_counts():
    names = [(s, t, p) for s in range(20) for t in range(20) for p in ("a", "b", "1/a")]
    seeds = {derive_seed(*name) for name in names}
    assert len(seeds) == len(names)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(1, 11, "x") != derive_seed(11, 1, "x")


def test_generators_repeat_and_do_not_share_state():
    first, again = (torch.rand(5, generator=torch_generator(3, 1, "p")) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.rand(5, generator=torch_generator(3, 2, "p")))
    one, two = (numpy_generator(3, 1, "p").random(5) for _ in range(2))
    assert (one == two).all()
    assert not np.array_equal(one, numpy_generator(4, 1, "p").random(5))


def test_one_thread_inside_and_as_before_outside():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError), one_thread():
            _ = 1 / 0
        assert torch.get_num_threads() == 2
        assert one_thread()(torch.get_num_threads)() == 1
    finally:
        torch.set_num_threads(before)
