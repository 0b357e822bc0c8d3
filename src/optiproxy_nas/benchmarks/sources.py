"""What a source of benchmark values is: its benchmark, its files, what they hold, how to read them.

A reader file (``readers/``) defines a :class:`Source` and the functions that read its files:

* ``parse(content, path) -> object`` reads the checked bytes of one file; left out, the restricted
  unpickler. ``file_formats`` has others (CSV, JSON, npz, compressed pickles). It should hand over
  only what ``read`` needs: the objects of all files are in memory together.
* ``read(file, object) -> rows`` returns the rows (``tidy_table.tidy``) of that file's dataset.

A file of several datasets is listed once for each, under one name; it is parsed once. A name with
``*``, ``?`` or ``[...]`` is a pattern without digest and address (``NATS-tss-*/*.pickle.pbz2``):
all files that it matches in the first data directory with any. Then ``read`` gets ``{path within
that directory: object}`` in the order of the paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from torch import Tensor

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.file_formats import restricted_load
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.parameters import Direction

# (codes [n, L], metric, epochs) -> values [n]
Predict = Callable[[Tensor, str, int], Floats]


@dataclass(frozen=True)
class BenchmarkFamily:
    """The constants of a published benchmark, which all its sources share.

    Its pipelines ``<pipelines>_search`` and ``<pipelines>_methods`` follow from it.

    Attributes:
        name: "nb201"; also the folder of its files in the data directories.
        space: the registered search space.
        source: the registered source that a search takes unless another is named.
        full_epochs: how many epochs full training has.
        cells: architectures per dataset in a complete source; None: too many to be listed.
        preset: of its searches for the largest value; "": that tuned for its space, or default.
        budget: the budget of its pipelines, queries.
        pipelines: the prefix of its pipelines' names; "": its name.
    """

    name: str
    space: str
    source: str
    full_epochs: int
    cells: int | None = None
    preset: str = ""
    budget: int = 100
    pipelines: str = ""

    @property
    def prefix(self) -> str:
        """What its pipelines' names begin with."""
        return self.pipelines or self.name


@dataclass(frozen=True)
class RawFile:
    """One file of a source, as published, and one of its datasets.

    Attributes:
        name: the file's name within the source's folder, or a pattern (see the module).
        dataset: the tidy name of the dataset it is about.
        key: the file's name of that dataset, "" where it has none.
        sha256: the pinned digest, or None: then the data card records what was found.
        size: bytes, where the digest is pinned (distinguishes a truncated file from another one).
        url: where it can be downloaded, or None; the digest must be pinned.
        package_path: "package/dir/file" where an installed package brings it.
        obtain: sentences: what to do where it is damaged, if not what the publication says.
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
class Publication:
    """What is published, by whom, and how a person gets it: for fetching and for the data card.

    Attributes:
        version: which release of the benchmark, which values, which mean.
        licence: of the files and of the values in them.
        homepage: who publishes the files.
        obtain: one sentence: how a person gets the files.
        folder: of the files in the data directories; "": the benchmark's name.
    """

    version: str
    licence: str
    homepage: str
    obtain: str
    files: tuple[RawFile, ...]
    folder: str = ""


@dataclass(frozen=True)
class Contents:
    """What a source's table holds: for the checks at ingest and for the benchmark.

    Attributes:
        metrics: the columns of its table -> description with unit.
        epochs: of training, after which it holds the target, ascending; () if none is trained.
        target: the metric that a search maximises, or minimises as ``direction`` says.
        direction: of the target.
        optimum: dataset -> published best value of the target, asserted at ingest.
        partial: some of the files, and some of the architectures, are enough.
        incomplete: sentences, where it holds too few architectures for any search even with all
            files: what it holds, and which source to take.
        continues: full training goes on from its earlier epochs: after 12 of 200, it costs 188
            more. False: each number of epochs is another schedule, and it costs 200.
        caution: one sentence that is shown wherever its values are; "" where they are
            validation figures of real trainings.
        obtain_curves: where to get accuracies after fewer epochs.
    """

    metrics: Mapping[str, str]
    epochs: tuple[int, ...]
    target: str = VALIDATION_ACCURACY
    direction: Direction = "maximize"
    optimum: Mapping[str, float] = field(default_factory=dict)
    partial: bool = False
    incomplete: str = ""
    continues: bool = False
    caution: str = ""
    obtain_curves: str = ""


@dataclass(frozen=True)
class SourceModel:
    """The model that answers for all architectures of a space, where a table cannot.

    Attributes:
        build: ({file name: parsed object}, checked table) -> the model as bytes.
        load: those bytes -> the function that predicts; picklable.
        metrics: what it predicts -> description with unit.
        facts: (table, model) -> what the data card says about it, ready for JSON.
        libraries: distributions whose version can change what it predicts. A run records them, and
            is another run with another version.
    """

    build: Callable[[Mapping[str, Any], pd.DataFrame], bytes]
    load: Callable[[bytes], Predict]
    metrics: Mapping[str, str]
    facts: Callable[[pd.DataFrame, bytes], Mapping[str, Any]]
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """One source of a benchmark's values.

    Attributes:
        name: the registered name.
        family: whose values they are.
        publication: what is published.
        contents: what its table holds.
        read: (file, parsed object) -> tidy rows of that file.
        parse: (content, path for messages) -> the object; raises DataError where it cannot.
        model: what answers in place of the table; None: the table answers.
        join_to: a source that it completes, where it cannot be searched alone.
        joined: the single sources that it is made of, the main one first; they are read.
    """

    name: str
    family: BenchmarkFamily
    publication: Publication
    contents: Contents
    read: Callable[[RawFile, Any], pd.DataFrame]
    parse: Callable[[bytes, str], Any] = restricted_load
    model: SourceModel | None = None
    join_to: str = ""
    joined: tuple[Source, ...] = ()

    @property
    def parts(self) -> tuple[Source, ...]:
        """The single sources: those that it is joined of, or itself."""
        return self.joined or (self,)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version can change its answers."""
        return self.model.libraries if self.model else ()

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that all its parts have files of, sorted."""
        held = [{file.dataset for file in part.publication.files} for part in self.parts]
        return tuple(sorted(set.intersection(*held)))

    @property
    def folder(self) -> str:
        """The folder of its files in a data directory."""
        return self.publication.folder or self.family.name

    def with_files(self, files: Sequence[RawFile]) -> Source:
        """Return the same source with other files."""
        return replace(self, publication=replace(self.publication, files=tuple(files)))

    def of_dataset(self, dataset: str) -> Source:
        """Return the same source with the files of one dataset only."""
        parts = tuple(part.of_dataset(dataset) for part in self.joined)
        files = [file for file in self.publication.files if file.dataset == dataset]
        return replace(self.with_files(files), joined=parts)
