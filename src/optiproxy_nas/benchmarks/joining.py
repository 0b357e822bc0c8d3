"""Join several sources of a benchmark to one: what they declare, and the rows of their tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from optiproxy_nas.benchmarks.sources import Publication, Source
from optiproxy_nas.benchmarks.tidy_table import assemble, columns, wrong
from optiproxy_nas.core.errors import DataError, ParameterError


def join_sources(parts: Sequence[Source]) -> Source:
    """Return one source made of several, which are read one by one and joined (``join_rows``).

    The first is the main one. A source of accuracies adds rows (other epochs of training); one that
    measures architectures without training them adds columns to the rows of full training.

    Raises:
        ParameterError: one source twice, one that is a model, none of accuracies in front,
            different search spaces, no dataset in common, or a metric that two of them hold.
    """
    main, *others = parts
    name = "+".join(part.name for part in parts)
    for part in parts:
        if part.model is not None and others:
            raise _refused(
                name,
                f"the values of {part.name} come from a model, not from a table. Give it alone: "
                f"source={part.name}",
            )
    if len({part.name for part in parts}) < len(parts):
        once = "+".join(dict.fromkeys(part.name for part in parts))
        raise _refused(name, f"it names one source twice. Name each once: source={once}")
    if not main.contents.epochs:
        turned = "+".join([main.join_to or main.family.source, main.name])
        raise _refused(
            name, f"{main.name} holds no accuracies; begin with a source that does, as in {turned}"
        )
    joined, one = main, main.family
    for other in others:
        two = other.family
        if (two.space, two.full_epochs) != (one.space, one.full_epochs):
            raise _refused(
                name,
                f"{main.name} is of search space {one.space}, fully trained at "
                f"{one.full_epochs} epochs; {other.name} of {two.space}, {two.full_epochs}. "
                f"Leave one of them out",
            )
        joined = _pair(name, joined, other)
    if not joined.datasets:
        each = "; ".join(f"{part.name}: {', '.join(part.datasets)}" for part in parts)
        raise _refused(
            name, f"they have no dataset in common ({each}). Join sources of one dataset"
        )
    return joined


def join_rows(tables: Iterable[pd.DataFrame], source: Source) -> pd.DataFrame:
    """Return one table out of the checked tables of ``source.parts``, in their order.

    Datasets that only some of them have are left out, as are architectures that the main one
    lacks; nothing is filled in.

    Raises:
        DataError: no dataset in common, or architectures that a joined source lacks.
    """
    tables = list(tables)
    common = set.intersection(*(set(table["dataset"]) for table in tables))
    if not common:
        each = "; ".join(
            f"{part.name}: {', '.join(sorted(set(table['dataset'])))}"
            for part, table in zip(source.parts, tables, strict=True)
        )
        raise wrong(source, f"the files that are here have no dataset in common ({each})")
    main, *others = (table[table["dataset"].isin(common)] for table in tables)
    cells = main[["architecture", "dataset"]].drop_duplicates()
    joins = list(zip(source.parts[1:], others, strict=True))
    rows = [main]
    for part, table in joins:
        _check_holds(cells, table, part, source)
        if part.contents.epochs:
            rows.append(table.merge(cells, on=["architecture", "dataset"]))
    joined = assemble(rows)
    full = joined["epochs"] == source.contents.epochs[-1]
    for part, table in joins:
        if not part.contents.epochs:
            names = list(part.contents.metrics)
            values = table.set_index(["architecture", "dataset"])[names]
            found = values.reindex(pd.MultiIndex.from_frame(joined[["architecture", "dataset"]]))
            joined[names] = found.to_numpy()
            joined.loc[~full, names] = float("nan")
    return joined[list(columns(source))]


def _check_holds(cells: pd.DataFrame, table: pd.DataFrame, part: Source, source: Source) -> None:
    """Refuse a joined source whose table lacks cells of the main one."""
    found = pd.MultiIndex.from_frame(table[["architecture", "dataset"]])
    wanted = pd.MultiIndex.from_frame(cells)
    lacking = wanted[~wanted.isin(found)]
    if len(lacking):
        architecture, dataset = lacking[0]
        raise DataError(
            f"Source {source.name!r} cannot be joined: {part.name} lacks {len(lacking)} of the "
            f"{len(wanted)} cells (on their datasets) of {source.parts[0].name}, the first of them "
            f"{architecture} on {dataset}. Nothing stands in for them: get the rest of its "
            f"files, or leave {part.name} out.",
            source=source.name,
            part=part.name,
            architecture=architecture,
            dataset=dataset,
            lacking=len(lacking),
        )


def _pair(name: str, left: Source, right: Source) -> Source:
    one, two = left.contents, right.contents
    epochs = set(one.epochs) & set(two.epochs)
    both = [metric for metric in two.metrics if metric in one.metrics]
    if both and (epochs or not two.epochs):
        after = f" after {', '.join(map(str, sorted(epochs)))} epochs" if epochs else ""
        raise _refused(
            name,
            f"{left.name} and {right.name} both hold {', '.join(both)}{after}, and which one is "
            "meant cannot be known. Leave one of them out",
        )
    last = max(one, two, key=lambda contents: contents.epochs[-1:])
    first, second = left.publication, right.publication
    return replace(
        left,
        name=f"{left.name}+{right.name}",
        publication=Publication(
            version=f"{first.version} + {second.version}",
            licence="; ".join(dict.fromkeys([first.licence, second.licence])),
            homepage=f"{first.homepage} + {second.homepage}",
            obtain=f"{first.obtain} {second.obtain}",
            files=first.files + second.files,
            folder=first.folder,
        ),
        contents=replace(
            one,
            metrics={**one.metrics, **{m: two.metrics[m] for m in two.metrics if m not in both}},
            epochs=tuple(sorted({*one.epochs, *two.epochs})),
            optimum=last.optimum,
            partial=one.partial or two.partial,
            incomplete=one.incomplete or two.incomplete,
        ),
        joined=left.parts + right.parts,
    )


def _refused(name: str, why: str) -> ParameterError:
    return ParameterError(f"Sources cannot be joined as {name!r}: {why}.", source=name)
