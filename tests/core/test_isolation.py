"""What a process is set to changes no search."""

from __future__ import annotations

from threadpoolctl import ThreadpoolController

from optiproxy_nas.core.random_streams import isolated


def blas_threads() -> list[int]:
    found = ThreadpoolController().select(user_api="blas").info()
    return [library["num_threads"] for library in found]


def test_linear_algebra_of_numpy_and_scipy_has_one_thread_and_then_as_many_as_before() -> None:
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = blas_threads()
        with isolated():
            assert set(blas_threads()) == {1}
        assert blas_threads() == before
        assert max(before) == 2
