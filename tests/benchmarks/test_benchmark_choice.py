"""A search takes a source that can serve it; another one is refused with those that can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from optiproxy_nas import Choice, Space, search
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks import get_source, source_registry
from optiproxy_nas.benchmarks.source_registry import SOURCES, check_source
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.spaces import get_space

NB101 = "Sources of nb101: nb101_table, nb101_tfrecord, nb101_full_tfrecord."
NB301 = "Sources of nb301: nb301_yahpo, nb301_package, nb301_package_v0_9."


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"space": "nb301"}, f"Source 'embedded' is of search space nb201, not nb301.* {NB301}"),
        ({"benchmark": "nb301"}, f"'embedded' is of benchmark nb201, not nb301. {NB301}"),
        ({"benchmark": "nb31"}, "Unknown benchmark 'nb31'. Did you mean 'nb301'"),
        ({"source": "nb101_table"}, "of benchmark nb101, not nb201. Sources of nb201: embedded, "),
        ({"source": "nope"}, "'nope'. Sources of nb201: embedded.*; of other benchmarks: nb101_"),
        (
            dict.fromkeys(("space", "benchmark"), "nb101") | {"source": "nb101_validation"},
            f"cannot serve a search: it holds 30,001 of the 423,624 cells.* {NB101}",
        ),
        (
            dict.fromkeys(("space", "benchmark", "source"), "nbnlp") | {"dataset": "ptb"},
            "cannot serve a search: .*Sources of nbnlp: nbnlp_surrogate",
        ),
    ],
)
def test_a_source_that_does_not_fit_is_refused(
    make_parameters: Callable[..., SearchParameters], run: Any, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        check_source(make_parameters(**run))


def test_few_sources_are_of_few_cells() -> None:
    assert [n for n in SOURCES if get_source(n).contents.incomplete] == [
        "nb101_validation",
        "nbnlp",
        "hwgpt",
    ]


@pytest.mark.parametrize(
    ("benchmark", "first"),
    [("nb201", "embedded"), ("nb101", "nb101_table"), ("nb301", "nb301_yahpo"),
     ("nbnlp", "nbnlp_surrogate"), ("fcnet", "fcnet"), ("hwgpt", "hwgpt_surrogate")],
)  # fmt: skip
def test_the_first_source_of_a_benchmark_can_serve_a_search(benchmark: str, first: str) -> None:
    assert source_registry.first_source(benchmark) == first
    source_registry.check_serves(get_source(first))
    assert first in source_registry._fitting(benchmark)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"space": "nb101", "source": "nb101_validation"}, "cannot serve a search"),
        ({"space": "nb101", "source": "nb301_yahpo"}, f"search space nb301, not nb101.* {NB101}"),
        ({"space": "nb301", "source": "yahpo"}, "Did you mean 'nb301_yahpo'? Sources of nb301: nb"),
        ({"space": "nb31"}, "Unknown search space 'nb31'. Did you mean 'nb301'"),
        ({"space": "tiny_space:TinySpace"}, "No registered source is of search space 'tiny_"),
    ],
)
def test_plain_python_refuses_alike(given: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message.replace("?", r"\?")):
        search(budget=12, method="random_search", **given)


def test_plain_python_takes_the_first_source_and_dataset() -> None:
    parameters = search(budget=5, method="random_search").parameters
    assert (parameters.source, parameters.dataset) == ("embedded", "cifar10")
    given: dict[str, Any] = {"budget": 5, "method": "random_search", "space": "nbnlp"}
    own = search(**given, evaluate=len).parameters
    assert (own.source, own.dataset, own.benchmark) == ("custom", "custom", "nbnlp")


def test_a_space_of_a_benchmarks_name_has_its_choices(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    """Perhaps fewer of their options, but no others; else every query would fail."""
    space: Any = get_space("fcnet")
    choices = {**space.choices, "batch_size": Choice([16, 32], ordered=True)}
    fcnet = {"benchmark": "fcnet", "source": "fcnet", "dataset": "protein_structure"}
    check_source(make_parameters(space=Space(choices, name="fcnet"), **fcnet))
    others = {**choices, "batch_size": Choice([16, 48], ordered=True)}
    with pytest.raises(ParameterError, match=r"fcnet with these choices .*48"):
        check_source(make_parameters(space=Space(others, name="fcnet"), **fcnet))
