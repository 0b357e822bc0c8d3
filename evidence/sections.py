"""What there is to show: one YAML file a section in conf/base/evidence/.

A section names a renderer and its rows; a row names the searches that it summarises as blocks of a
parameter grid, in the words of ``kedro run --params``. Rows of different sections may name the same
searches: each is run once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from optiproxy_nas.core.errors import DataError, ParameterError, unknown_name
from optiproxy_nas.core.validation import validate

Block = dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Strict):
    """One line of a table.

    Attributes:
        label: what the reader sees.
        group: rows of one group stand in one table, under this heading.
        seeds: "0-99"; the seeds of every block.
        blocks: parameters, each one value or a list of values; over those of ``common``.
        extend: searches that have not reached the optimum are run again with this budget. One that
            has reached it need not go on: no query can change its best. (Known after the search.)
    """

    label: str
    group: str = ""
    seeds: str = Field(pattern=r"^\d+-\d+$")
    blocks: tuple[Block, ...] = ({},)
    extend: int | None = None

    def seed_list(self) -> list[int]:
        """The seeds, both ends included."""
        first, last = map(int, self.seeds.split("-"))
        return list(range(first, last + 1))


class Quoted(_Strict):
    """A figure of the paper, which nobody here measured.

    Attributes:
        label: of the method or setting.
        queries: of the search; None where the paper gives none.
        values: dataset, or the objective's label -> accuracy in percent, validation or test; or
            number of training epochs.
        sd: likewise, the standard deviation over seeds, where the paper gives one.
        seeds: number of runs behind the mean.
    """

    label: str
    queries: int | None = None
    values: dict[str, float]
    sd: dict[str, float] = {}
    seeds: int = 10


class Section(_Strict):
    """One file.

    Attributes:
        name: of the file; also of the markers that the text goes between.
        title: for the command line.
        order: sections are rendered in this order.
        render: name of a renderer, or ``package.module:function``.
        page: the document, relative to the project.
        pipeline: that runs the searches; by default whole, in one node.
        common: parameters of every block.
        budgets: numbers of queries at which curves are read.
        rows: see ``Row``.
        quoted: see ``Quoted``.
        options: for the renderer.
        on_request: its searches take so long that it is done only where it is named.
    """

    name: str
    title: str
    order: int
    render: str
    page: str
    pipeline: str = "nb201_methods"
    common: Block = {}
    budgets: tuple[int, ...] = ()
    rows: tuple[Row, ...] = ()
    quoted: tuple[Quoted, ...] = ()
    options: dict[str, Any] = {}
    on_request: bool = False

    @field_validator("rows")
    @classmethod
    def _labels_differ(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        labels = [(row.group, row.label) for row in rows]
        if len(set(labels)) < len(labels):
            raise ValueError("two rows of one group have the same label")
        return rows

    def blocks(self, row: Row) -> list[Block]:
        """The grid of a row: ``common``, the row's own parameters, and its seeds."""
        base = {"pipeline": self.pipeline, **self.common}
        return [{**base, **block, "seed": row.seed_list()} for block in row.blocks]

    def datasets(self) -> list[str]:
        """The datasets of the rows, in the order named."""
        named: dict[str, None] = {}
        for row in self.rows:
            for block in self.blocks(row):
                value = block["dataset"]
                named |= dict.fromkeys([value] if isinstance(value, str) else value)
        return list(named)

    def groups(self) -> dict[str, list[Row]]:
        """Group -> its rows, both in the order of the file."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(row.group, []).append(row)
        return groups


def load_sections(folder: Path, names: Iterable[str] = ()) -> list[Section]:
    """The sections of a folder, or those named, in their order.

    Raises:
        DataError: a file is not a section; says which and why.
        UnknownNameError: no section of that name.
        ParameterError: the folder holds none.
    """
    sections = [_read(path) for path in sorted(folder.glob("*.yml"))]
    if not sections:
        raise ParameterError(f"No sections (*.yml) in {folder}.", path=str(folder))
    by_name = {section.name: section for section in sections}
    wanted = list(names) or list(by_name)
    for name in wanted:
        if name not in by_name:
            raise unknown_name("section", name, by_name)
    return sorted((by_name[name] for name in set(wanted)), key=lambda s: (s.order, s.name))


def _read(path: Path) -> Section:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise _no_section(path, [_explain(error)]) from None
    except UnicodeDecodeError:
        raise _no_section(path, ["It is not a text in UTF-8."]) from None
    if not isinstance(values, dict) or "name" in values:
        why = "'name' is that of the file" if isinstance(values, dict) else "It holds no fields"
        raise _no_section(path, [f"{why}; write 'title: ...', 'rows: ...' and so on."])
    values = {**values, "name": path.stem}
    problems: list[str] = []
    for field, model in (("rows", Row), ("quoted", Quoted)):
        entries = values.get(field)
        wrong = _wrong_entries(field, model, entries) if isinstance(entries, list) else []
        if wrong:  # told; what else is wrong is, too
            problems += wrong
            values[field] = []
    try:
        section = validate(Section, values)
    except ParameterError as error:
        problems += error.message.splitlines()
    if problems:
        raise _no_section(path, problems)
    return section


def _wrong_entries(field: str, model: type[BaseModel], entries: list[Any]) -> list[str]:
    """A line a wrong field of an entry: validated by themselves, so that names are suggested."""
    lines = []
    for number, entry in enumerate(entries, start=1):
        try:
            validate(model, entry)
        except ParameterError as error:
            label = f" ({entry['label']!r})" if isinstance(entry, dict) and "label" in entry else ""
            lines += [f"{field}, entry {number}{label}: {x}" for x in error.message.splitlines()]
    return lines


def _no_section(path: Path, problems: list[str]) -> DataError:
    return DataError("\n".join([f"{path} is not an evidence section:", *problems]), path=str(path))


def _explain(error: yaml.YAMLError) -> str:
    """A YAML error on one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"Line {mark.line + 1}, column {mark.column + 1} is not YAML: {error.problem}."
    return f"It is not YAML: {' '.join(str(error).split())}."


def with_seeds(section: Section, count: int) -> Section:
    """The section with at most the first ``count`` seeds of every row."""

    def fewer(row: Row) -> Row:
        kept = row.seed_list()[:count]
        return row.model_copy(update={"seeds": f"{kept[0]}-{kept[-1]}"})

    return section.model_copy(update={"rows": tuple(map(fewer, section.rows))})


def digest_of(values: Any) -> str:
    """What tells values that JSON can hold from others, in twelve digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
