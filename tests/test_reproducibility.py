from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import optiproxy_nas
from optiproxy_nas.core.random_streams import (
    derive_seed,
    isolated,
    numpy_generator,
    torch_generator,
)

pytestmark = pytest.mark.usefixtures("global_state")


def test_seeds_are_pinned() -> None:
    """A change of these numbers changes the result of every search ever recorded."""
    assert derive_seed(0, 0, "initial-sample") == 8_012_490_470_354_533_400
    assert derive_seed(7, 3, "fit-batches") == 4_110_843_231_594_611_971


def test_every_name_of_a_stream_counts() -> None:
    names = [(s, t, p) for s in range(20) for t in range(20) for p in ("a", "b", "1/a")]
    seeds = {derive_seed(*name) for name in names}
    assert len(seeds) == len(names)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(1, 11, "x") != derive_seed(11, 1, "x")


def test_generators_repeat_and_do_not_share_state() -> None:
    first, again = (torch.rand(5, generator=torch_generator(3, 1, "p")) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.rand(5, generator=torch_generator(3, 2, "p")))
    one, two = (numpy_generator(3, 1, "p").random(5) for _ in range(2))
    assert (one == two).all()
    assert not np.array_equal(one, numpy_generator(4, 1, "p").random(5))


def settings_of_the_process() -> Any:
    tiny = 5e-324
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device().type,
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": torch.get_deterministic_debug_mode(),
        "products": torch.get_float32_matmul_precision(),
        "subnormals": tiny * 1.0 > 0,
        "numpy": np.geterr(),
    }


@contextmanager
def changed(read: Any, write: Any, value: Any) -> Iterator[None]:
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def no_subnormals() -> Any:
    return changed(lambda: False, torch.set_flush_denormal, True)


AMBIENT = {
    "threads": lambda: changed(torch.get_num_threads, torch.set_num_threads, 2),
    "double": lambda: changed(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "half": lambda: changed(torch.get_default_dtype, torch.set_default_dtype, torch.bfloat16),
    "device": lambda: changed(lambda: None, torch.set_default_device, "meta"),
    "device context": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "deterministic": lambda: changed(
        torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 2
    ),
    "products": lambda: changed(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "subnormals": no_subnormals,
    "numpy": lambda: np.errstate(all="raise"),
}


@pytest.mark.parametrize("ambient", AMBIENT.values(), ids=AMBIENT)
def test_isolated_inside_and_as_before_outside(ambient: Any) -> None:
    with isolated():
        plain = settings_of_the_process()
    assert plain["threads"] == 1
    with ambient():
        before = settings_of_the_process()
        with isolated():
            assert settings_of_the_process() == plain
            with isolated():  # as a step inside of a search is
                assert settings_of_the_process() == plain
            torch.set_default_dtype(torch.float64)  # what is left changed inside is mended too
        assert settings_of_the_process() == before != plain
        with pytest.raises(ZeroDivisionError), isolated():
            _ = 1 / 0
        assert settings_of_the_process() == before
        assert isolated()(settings_of_the_process)() == plain


def worth(architecture: str) -> Any:
    return sum(map(ord, architecture)) % 97 + len(architecture) / 64


SEARCHES: dict[str, Any] = {
    "optiproxy": {
        "initial_samples": 3,
        "budget": 5,
        "gradient": {"epochs": 2, "groups": 2},
        "fit": {"epochs": 2, "first_epochs": 3},
        "proxy": {"hidden": 8},
    },
    "bananas": {"budget": 5, "settings": {"initial_samples": 3, "batch": 1, "epochs": 3}},
    "gaussian_process": {"budget": 5, "settings": {"initial_samples": 3, "random": 20}},
}


def small_search(method: str, evaluate: Any = worth) -> Any:
    return optiproxy_nas.search(method=method, evaluate=evaluate, **SEARCHES[method]).archive


@pytest.fixture(scope="module")
def plain_archives() -> Any:
    return {method: small_search(method) for method in SEARCHES}


@pytest.mark.parametrize("ambient", AMBIENT.values(), ids=AMBIENT)
@pytest.mark.parametrize("method", SEARCHES)
def test_what_the_caller_set_for_the_process_changes_no_archive(
    method: Any, ambient: Any, plain_archives: Any
) -> None:
    with ambient():
        archive = small_search(method)
    pd.testing.assert_frame_equal(archive, plain_archives[method], check_exact=True)


@pytest.mark.parametrize("method", SEARCHES)
def test_what_an_evaluation_leaves_set_changes_no_archive(method: Any, plain_archives: Any) -> None:
    """As a training does that seeds and configures its process, and leaves its modes on."""
    contexts = ExitStack()
    generators = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002

    def train(architecture: str) -> Any:
        if settings:
            contexts.enter_context(AMBIENT[settings.pop()]())  # type: ignore[no-untyped-call]
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        return worth(architecture)

    settings = ["device", "inference", "double", "autocast"]
    with contexts:
        archive = small_search(method, train)
    torch.set_rng_state(generators[0])
    np.random.set_state(generators[1])  # noqa: NPY002
    assert not settings
    pd.testing.assert_frame_equal(archive, plain_archives[method], check_exact=True)


def test_an_evaluation_sees_the_settings_of_the_caller() -> None:
    seen = []

    def train(architecture: str) -> Any:
        seen.append(settings_of_the_process())
        return worth(architecture)

    with AMBIENT["double"](), torch.no_grad():  # type: ignore[no-untyped-call]
        small_search("bananas", train)
        assert all(settings == settings_of_the_process() for settings in seen)
