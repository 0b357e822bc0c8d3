"""What a reviewer runs in half an hour: claims of the pages beside the same figures measured anew.

A section's ``options.badge`` says which of its searches are run and which cells of its tables are
claims. The claimed figure is read from the page, the measured one from the same table rendered
again, so no figure is written twice. ``kedro evidence --badge`` does it, and
``python -m evidence.badge`` puts the table that it left into docs/artifact.md.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from evidence import RENDERERS, table
from evidence.collect import Evidence, collect
from evidence.page_tables import Cells, decimals_in, number_in, range_in, tables_in
from evidence.pages import Renderer, text_between, update_page
from evidence.regenerate import REPORTING
from evidence.sections import Block, Section, with_seeds
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.core.validation import validate
from optiproxy_nas.runs.atomic_files import write_atomically

NAME = "evidence_badge"  # of the sweep, and of the folder in data/08_reporting
TABLE = "badge.md"
PAGE, MARKER = Path("docs") / "artifact.md", "badge"


class Claim(BaseModel):
    """Cells of a table that are claims.

    Attributes:
        table: marker of the table in the section's page.
        captions: of the tables behind that marker; of all where it is empty.
        where: column -> the cells that it has in the rows meant; one row a combination.
        columns: the cells of these rows.
        allowed: "equal": the same text. "spread": within the claimed 95 % interval, widened for the
            seeds that were measured (``allowed_range``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str
    captions: tuple[str, ...] = ()
    where: dict[str, tuple[str | int, ...]]
    columns: tuple[str, ...]
    allowed: Literal["equal", "spread"]


class Badge(BaseModel):
    """What is run of a section, and what is claimed.

    Attributes:
        rows: labels of the rows that are run; of all rows where it is empty.
        seeds: at most the first of them.
        budget: of queries, at most: a longer search begins with a shorter one.
        options: over those of the section.
        needs_data: whether its tables are in no package, so that it is skipped without a folder of
            data files.
        claims: see ``Claim``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: tuple[str, ...] = ()
    seeds: int | None = None
    budget: int | None = None
    options: dict[str, Any] = {}
    needs_data: bool = False
    claims: tuple[Claim, ...]


class Line(NamedTuple):
    """A claim beside what was measured; ``holds`` is None where nothing was."""

    claim: str
    claimed: str
    allowed: str
    measured: str
    holds: bool | None


def measure_badge(
    project: Path,
    sections: Sequence[Section],
    say: Callable[[str], None] = lambda _: None,
    gather: Callable[..., Evidence] = collect,
    **options: Any,
) -> list[Line]:
    """Run the badge's searches that are missing, and return its claims beside what they gave.

    Its table is written to data/08_reporting/evidence_badge/badge.md; no page is touched.

    Args:
        project: the project's folder.
        sections: those of which the ones with ``options.badge`` count.
        say: is called with a line a section, and with the table at the end.
        gather: runs the searches; :func:`evidence.collect.collect`.
        **options: of ``run_sweep``.

    Raises:
        DataError: searches failed, or a claim names a cell that its page does not have.
    """
    begun = time.monotonic()
    chosen = [(it, validate(Badge, it.options["badge"])) for it in sections if _has_badge(it)]
    has_data = bool(os.environ.get(DATA_DIRECTORY_VARIABLE))
    run = [part_of(it, badge) for it, badge in chosen if has_data or not badge.needs_data]
    folder = project / REPORTING / NAME
    # Its own folder: what earlier searches of the project have found is not what is measured.
    found = gather(project, run, name=NAME, **options) if any(it.rows for it in run) else None
    lines: list[Line] = []
    parts = {part.name: part for part in run}
    for section, badge in chosen:
        part, texts = parts.get(section.name), {}
        if part is not None:
            say(f"{section.name}: {section.title}")
            render: Renderer = RENDERERS.load(section.render)
            searched = found if part.rows and found is not None else _nothing(folder)
            texts = render(part, searched).texts
        page = (project / section.page).read_text(encoding="utf-8")
        lines += lines_of(section, part, badge, page, texts)
    text = table_of(lines, (time.monotonic() - begun) / 60)
    write_atomically(folder / TABLE, text.encode())
    say(text)
    return lines


def _has_badge(section: Section) -> bool:
    return "badge" in section.options


def _nothing(folder: Path) -> Evidence:
    """Return the evidence of a section whose renderer searches by itself, and records it there."""
    import pandas as pd

    return Evidence(pd.DataFrame(), pd.DataFrame(), {}, folder)


def part_of(section: Section, badge: Badge) -> Section:
    """Return what is run of a section.

    Raises:
        DataError: it has no row of a label.
    """
    labels = {row.label for row in section.rows}
    if unknown := set(badge.rows) - labels:
        raise DataError(f"Section {section.name!r} has no row {min(unknown)!r} for its badge.")
    rows = tuple(row for row in section.rows if not badge.rows or row.label in badge.rows)
    if (budget := badge.budget) is not None:
        common, shortened = _shorter(section.common, budget), []
        for row in rows:
            blocks = tuple(_shorter(block, budget) for block in row.blocks)
            shortened.append(row.model_copy(update={"blocks": blocks, "extend": None}))
        budgets = tuple(it for it in section.budgets if it <= budget)
        section = section.model_copy(update={"common": common, "budgets": budgets})
        rows = tuple(shortened)
    options = {**section.options, **badge.options}
    part = section.model_copy(update={"rows": rows, "options": options})
    return part if badge.seeds is None else with_seeds(part, badge.seeds)


def _shorter(block: Block, budget: int) -> Block:
    return {**block, "budget": min(block["budget"], budget)} if "budget" in block else block


def lines_of(
    section: Section, part: Section | None, badge: Badge, page: str, texts: Mapping[str, str]
) -> Iterator[Line]:
    """Yield the claims of a section beside what was measured.

    Args:
        section: as its page was written.
        part: what was run of it; None: nothing.
        badge: of the section.
        page: its text.
        texts: marker -> table, rendered of ``part``.

    Raises:
        DataError: a claim names a cell that the page, or what was rendered, does not have.
    """
    for claim in badge.claims:
        claimed = tables_in(text_between(page, claim.table))
        measured = tables_in(texts.get(claim.table, ""))
        values = [tuple(map(str, it)) for it in claim.where.values()]
        for (caption, rows), wanted in product(claimed.items(), product(*values)):
            if claim.captions and caption not in claim.captions:
                continue
            where = dict(zip(claim.where, wanted, strict=True))
            one = _row(rows, where, f"{section.page}, {claim.table}")
            label = ", ".join(filter(None, (caption, *wanted)))
            other = one if part is None else _row(measured.get(caption, []), where, "what was run")
            ratio = 1.0 if part is None else _seeds(section, one) / _seeds(part, other)
            for column in claim.columns:
                name = f"{section.title}: {label}: {column}"
                if part is None:
                    why = f"skipped: no package has its tables; set {DATA_DIRECTORY_VARIABLE}"
                    yield Line(name, one[column], "", why, None)
                else:
                    yield _compared(name, one, other, column, claim.allowed, ratio)


def _seeds(section: Section, row: Cells) -> int:
    """Return the number of seeds behind a row: as it says, else as the section does."""
    if "seeds" in row:
        return int(row["seeds"])
    return int(section.options.get("seeds") or len(section.rows[0].seed_list()))


def _row(rows: Sequence[Cells], where: Mapping[str, str], place: str) -> Cells:
    found = [row for row in rows if where.items() <= row.items()]
    if len(found) != 1:
        raise DataError(f"{place}: {len(found)} rows have {dict(where)}, where a claim needs one.")
    return found[0]


def _compared(
    name: str, claimed: Cells, measured: Cells, column: str, allowed: str, ratio: float
) -> Line:
    one, other = claimed[column], measured[column]
    if allowed == "equal":
        return Line(name, one, "equal", other, one == other)
    interval = one if range_in(one) else claimed.get("95 % interval", "")
    low, high = allowed_range(one, interval, ratio)
    decimals = decimals_in(one)
    text = f"{low:.{decimals}f} to {high:.{decimals}f}"
    slack = 0.5 * 10.0**-decimals  # what is printed is rounded
    value = number_in(other)
    return Line(name, one, text, other, bool(low - slack <= value <= high + slack))


def allowed_range(claimed: str, interval: str, ratio: float) -> tuple[float, float]:
    """Return what a figure may be when it is measured again.

    The 95 % interval of the claimed figure, from n seeds, is widened by sqrt(1 + n/m) for m other
    seeds, by which the difference of two means of one population varies.

    Args:
        claimed: the cell of the figure.
        interval: the cell of its interval, "... low to high ...".
        ratio: n/m.

    Raises:
        DataError: there is no interval.
    """
    if (bounds := range_in(interval)) is None:
        raise DataError(f"A claim of {claimed!r} has no 95 % interval to compare it by.")
    value, wider, (low, high) = number_in(claimed), math.sqrt(1 + ratio), bounds
    return value - wider * (value - low), value + wider * (high - value)


def table_of(lines: Sequence[Line], minutes: float) -> str:
    """Return the lines as a Markdown table, and a sentence that counts them."""
    words = {True: "yes", False: "**no**", None: "not run"}
    rows = [[*line[:4], words[line.holds]] for line in lines]
    head = ["claim", "claimed", "allowed", "measured", "holds?"]
    count = {it: sum(line.holds is it for line in lines) for it in (True, False, None)}
    summary = (
        f"{count[True]} of {len(lines)} claims hold, {count[False]} do not, {count[None]} were not "
        f"run. {minutes:.0f} minutes."
    )
    return f"{table.markdown(head, rows)}\n\n{summary}"


def main(project: Path = Path()) -> None:
    """Put the table of the last badge into the artifact appendix."""
    path = project / REPORTING / NAME / TABLE
    if not path.exists():
        raise DataError(f"There is no {path}: run 'kedro evidence --badge' first.", path=str(path))
    page = project / PAGE
    update_page(page, page, {MARKER: path.read_text(encoding="utf-8")})


if __name__ == "__main__":
    main()
