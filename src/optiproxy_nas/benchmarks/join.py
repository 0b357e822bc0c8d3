"""Sources joined by "+" into one: ``v1_0+hw_nas_bench``.

The first is the main one. A source of accuracies adds rows (other epochs of training); one that
measures cells without training them adds columns to the rows of full training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from optiproxy_nas.benchmarks.schema import assemble, columns, wrong
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.core.errors import DataError, ParameterError


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


def join_rows(tables: Iterable[pd.DataFrame], source: Source) -> pd.DataFrame:
    """One table out of the checked tables of ``source.parts``, in their order.

    Datasets that only some of them have here are left out, as are architectures that the main
    one lacks; nothing is filled in.

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
    tables = [table[table["dataset"].isin(common)] for table in tables]
    trained = [t for t, part in zip(tables, source.parts, strict=True) if part.epochs]
    cells = tables[0][["architecture", "dataset"]].drop_duplicates()
    rows = [trained[0]]
    for part, table in zip(source.parts[1:], tables[1:], strict=True):
        _check_complete(cells, table, part, source)
        if part.epochs:
            rows.append(table.merge(cells, on=["architecture", "dataset"]))
    joined = assemble(rows)
    full = joined["epochs"] == source.epochs[-1]
    for part, table in zip(source.parts[1:], tables[1:], strict=True):
        if not part.epochs:
            values = table.set_index(["architecture", "dataset"])[list(part.metrics)]
            found = values.reindex(pd.MultiIndex.from_frame(joined[["architecture", "dataset"]]))
            joined[list(part.metrics)] = found.to_numpy()
            joined.loc[~full, list(part.metrics)] = float("nan")
    return joined[list(columns(source))]


def _check_complete(cells: pd.DataFrame, table: pd.DataFrame, part: Source, source: Source) -> None:
    """Every cell of the main source is in the other one."""
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


def _refused(name: str, why: str) -> ParameterError:
    return ParameterError(f"Sources cannot be joined as {name!r}: {why}.", source=name)
