"""The names that ``optiproxy_nas`` itself has; ``make lint`` checks this file's types, too."""

from __future__ import annotations

from importlib import metadata
from typing import assert_type

from matplotlib.figure import Figure

import optiproxy_nas
from optiproxy_nas import OptiProxyError, ParameterError, Search, SearchResult, Trial, search
from optiproxy_nas.core import errors


def untyped_arguments_are_found_by_mypy() -> None:
    """Never called: an unused ``ignore`` is an error, so the signature must be known."""
    assert_type(search("cifar10", budget=20), SearchResult)
    opened = Search(budget=20)
    assert_type(opened.ask(2), list[Trial])
    assert_type(opened.result().plot.best_so_far(), Figure)
    opened.tell(0, failed=3)  # type: ignore[arg-type]
    search(budget="20")  # type: ignore[arg-type]
    search(evaluate=3)  # type: ignore[arg-type]


def test_all_public_names_are_listed_and_there() -> None:
    assert dir(optiproxy_nas) == sorted(optiproxy_nas.__all__)
    for name in optiproxy_nas.__all__:
        assert getattr(optiproxy_nas, name) is not None
    assert optiproxy_nas.__version__ == metadata.version("optiproxy-nas")


def test_all_errors_are_among_them() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    names = {kind.__name__ for kind in kinds if issubclass(kind, OptiProxyError)}
    assert names <= set(optiproxy_nas.__all__)
    assert ParameterError is errors.ParameterError
