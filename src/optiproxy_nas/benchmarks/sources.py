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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY, Benchmark
from optiproxy_nas.benchmarks.file_formats import restricted_load
from optiproxy_nas.core.errors import ParameterError


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


def join_sources(parts: Sequence[Source]) -> Source:
    """One source out of several; its ``parts`` are read one by one and joined (``join_rows``).

    Raises:
        ParameterError: one source twice, none of accuracies in front, different search spaces, no
            dataset in common, or a metric that two of them hold.
    """
    main, *others = parts
    for part in parts:
        if part.open is not None and others:
            raise _refused(
                "+".join(part.name for part in parts),
                f"the values of {part.name} come from a model, not from a table. Give it alone: "
                f"source={part.name}",
            )
    name = "+".join(part.name for part in parts)
    if len({part.name for part in parts}) < len(parts):
        once = "+".join(dict.fromkeys(part.name for part in parts))
        raise _refused(name, f"it names one source twice. Name each once: source={once}")
    if not main.epochs:
        turned = "+".join([main.join_to or "embedded", main.name])
        raise _refused(
            name,
            f"{main.name} holds no accuracies; begin with a source that does, as in {turned}",
        )
    for other in others:
        if (other.space, other.full_epochs) != (main.space, main.full_epochs):
            raise _refused(
                name,
                f"{main.name} is of search space {main.space}, fully trained at "
                f"{main.full_epochs} epochs; {other.name} of {other.space}, {other.full_epochs}. "
                f"Leave one of them out",
            )
    joined = main
    for other in others:
        joined = _pair(name, joined, other)
    if not joined.datasets:
        each = "; ".join(f"{part.name}: {', '.join(part.datasets)}" for part in parts)
        raise _refused(
            name, f"they have no dataset in common ({each}). Join sources of one dataset"
        )
    return joined


def _pair(name: str, left: Source, right: Source) -> Source:
    epochs = set(left.epochs) & set(right.epochs)
    both = [metric for metric in right.metrics if metric in left.metrics]
    if both and (epochs or not right.epochs):
        after = f" after {', '.join(map(str, sorted(epochs)))} epochs" if epochs else ""
        raise _refused(
            name,
            f"{left.name} and {right.name} both hold {', '.join(both)}{after}, and which one is "
            "meant cannot be known. Leave one of them out",
        )
    last = max(left, right, key=lambda source: source.epochs[-1:])
    return replace(
        left,
        name=f"{left.name}+{right.name}",
        version=f"{left.version} + {right.version}",
        licence="; ".join(dict.fromkeys([left.licence, right.licence])),
        homepage=f"{left.homepage} + {right.homepage}",
        obtain=f"{left.obtain} {right.obtain}",
        files=left.files + right.files,
        metrics={**left.metrics, **{m: right.metrics[m] for m in right.metrics if m not in both}},
        epochs=tuple(sorted({*left.epochs, *right.epochs})),
        optimum=last.optimum,
        partial=left.partial or right.partial,
        incomplete=left.incomplete or right.incomplete,
        joined=left.parts + right.parts,
    )


def _refused(name: str, why: str) -> ParameterError:
    return ParameterError(f"Sources cannot be joined as {name!r}: {why}.", source=name)
