"""Searches whose queries cost epochs: what a mean costs, beside the paper's Table 4 and Fig. 4."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from evidence import table
from evidence.collect import TOP, Evidence, metric_of
from evidence.epochs import ENOUGH, EpochCurves, epoch_curves, reach_interval
from evidence.figures import EpochPanel, PaperEpochs, against_epochs
from evidence.pages import Rendered
from evidence.sections import Quoted, Section
from optiproxy_nas.core.numbers import TIE
from optiproxy_nas.report.statistics import Interval, share, standard_error
from optiproxy_nas.report.style import png

Cells = dict[tuple[str, str], EpochCurves]  # (row, dataset) -> its searches by epochs


def render(section: Section, evidence: Evidence) -> Rendered:
    """Texts ``<name>``, ``-paper``, ``-quoted``, ``-frontier`` and ``-why``, and the figure.

    ``budgets`` are the epochs at which the frontier is read. ``options``: ``levels`` (dataset ->
    mean in percent), ``full_epochs`` (of a query of plain searches), ``low_epochs``, ``horizon``
    (epochs beyond which nothing is read), ``against`` (row -> quoted row).
    """
    cells: Cells = {}
    metrics: dict[str, str] = {}
    for row in section.rows:
        results, runs = evidence.of(section, row)
        for dataset, own in runs.groupby("dataset"):
            metrics[str(dataset)] = metric_of(own)
            # The plain objective counts queries, and each is a full training.
            unit = section.options["full_epochs"] if own["objective"].iloc[0] == "" else 1
            cells[row.label, str(dataset)] = epoch_curves(
                results[results["run_id"].isin(own["run_id"])],
                min(float(own["budget"].iloc[0]) * unit, section.options["horizon"]),
                float(own["optimum"].iloc[0]),
                unit,
            )
    name = section.name
    return Rendered(
        {
            name: _measured(section, cells),
            f"{name}-paper": _against_paper(section, cells),
            f"{name}-quoted": _quoted(section),
            f"{name}-frontier": _frontier(section, cells),
            f"{name}-why": _why(section, evidence, cells),
        },
        figures={f"{name}_epochs.png": png(against_epochs(_panels(section, cells, metrics)))},
    )


def _measured(section: Section, cells: Cells) -> str:
    """Epochs to each level."""
    lines = []
    for dataset, row in product(section.datasets(), section.rows):
        curves = cells.get((row.label, dataset))
        if curves is None:
            continue
        level = section.options["levels"][dataset]
        epochs = curves.reach(level)
        seeds = len(curves.curves)
        end = min(epochs, curves.budget)
        lines.append(
            [
                table.name_of(dataset),
                f"{level:.2f}",
                row.label,
                table.epochs(epochs, curves.budget),
                _interval_text(curves, level),
                table.percent(*share(curves.at_optimum(end), seeds)),
                f"{end:,.0f}",
                str(seeds),
            ]
        )
    head = [
        "dataset",
        "mean to reach",
        "method",
        "total epochs",
        "95 % interval",
        "seeds at the optimum",
        "after",
        "seeds",
    ]
    return table.markdown(head, lines)


def _interval_text(curves: EpochCurves, level: float) -> str:
    """Bootstrap interval over seeds, where enough resamples get there; and how many do."""
    interval, reached = reach_interval(curves.resampled(level))
    if reached < ENOUGH:
        return f"reached in {reached:.0%} of the resamples"
    text = " to ".join(table.epochs(end, curves.budget) for end in interval)
    return text if reached == 1 else f"{text} (reached in {reached:.0%} of the resamples)"


def _against_paper(section: Section, cells: Cells) -> str:
    """Our epochs and the paper's, row by row."""
    against = section.options["against"]
    quoted = {quote.label: quote for quote in section.quoted}
    lines = []
    for dataset, (label, paper) in product(section.datasets(), against.items()):
        curves, quote = cells.get((label, dataset)), quoted[paper]
        if curves is None or dataset not in quote.values:
            continue
        level, figure = section.options["levels"][dataset], quote.values[dataset]
        epochs = curves.reach(level)
        interval, _ = reach_interval(curves.resampled(level))
        lines.append(
            [
                table.name_of(dataset),
                f"{level:.2f}",
                label,
                table.epochs(epochs, curves.budget),
                f"quoted: {figure:,.0f} ({paper})",
                f"{epochs / figure:.2f}" if np.isfinite(epochs) else table.NONE,
                _verdict(epochs, interval, figure, curves.budget),
            ]
        )
    head = [
        "dataset",
        "mean",
        "method",
        "our epochs",
        "the paper's",
        "ours / the paper's",
        "verdict",
    ]
    return table.markdown(head, lines)


def _verdict(epochs: float, interval: Interval, figure: float, budget: float) -> str:
    """Fewer or more; "shown" where the whole interval agrees."""
    if not np.isfinite(epochs):
        return "more" if budget >= figure else f"not reached in {budget:,.0f}"
    if epochs == figure:
        return "level"
    fewer = epochs < figure
    shown = interval.high < figure if fewer else interval.low > figure
    return ("fewer" if fewer else "more") + ("" if shown else ", not shown")


def _quoted(section: Section) -> str:
    """The paper's epochs."""
    datasets = section.datasets()
    lines = [
        [
            f"quoted: {quote.label}",
            *(f"{quote.values[d]:,.0f}" if d in quote.values else table.NONE for d in datasets),
        ]
        for quote in section.quoted
    ]
    levels = section.options["levels"]
    head = [f"{table.name_of(dataset)} ({levels[dataset]:.2f})" for dataset in datasets]
    return table.markdown(["method", *head], lines)


def _frontier(section: Section, cells: Cells) -> str:
    """Mean and standard error at given numbers of epochs."""
    lines = []
    for dataset, row in product(section.datasets(), section.rows):
        curves = cells.get((row.label, dataset))
        if curves is not None:
            values = [
                _mean_text(curves, budget) if budget <= curves.budget else table.NONE
                for budget in section.budgets
            ]
            lines.append([table.name_of(dataset), row.label, *values])
    head = [f"{budget:,} epochs" for budget in section.budgets]
    return table.markdown(["dataset", "method", *head], lines)


def _mean_text(curves: EpochCurves, epochs: float) -> str:
    values = curves.at(epochs)
    missing = int(np.isnan(values).sum())
    if missing:
        return f"{table.NONE} ({missing} of {len(values)} seeds have nothing)"
    return f"{values.mean():.3f} ± {standard_error(values[:, None])[0]:.3f}"


def _why(section: Section, evidence: Evidence, cells: Cells) -> str:
    """What the cheap signal is worth; and why a level is not reached with the paper's epochs."""
    first = section.rows[0]
    _, runs = evidence.of(section, first)
    low = section.options["low_epochs"]
    lines, notes = [], []
    for dataset in section.datasets():
        own = runs[runs["dataset"] == dataset]
        if own.empty:
            continue
        signal = evidence.signal(str(own["source"].iloc[0]), dataset, low)
        if signal is not None:
            lines.append(
                [
                    table.name_of(dataset),
                    f"{signal.place:,} of {signal.size:,}",
                    table.number(signal.spearman, 2),
                    table.number(signal.spearman_top, 2),
                ]
            )
        curves = cells[first.label, dataset]
        level = section.options["levels"][dataset]
        paper = _figure(section, first.label, dataset)
        if curves.reach(level) > min(paper, curves.budget):
            notes.append(_shortfall(dataset, curves, level, min(paper, curves.budget)))
    head = [
        "dataset",
        f"place of the optimum after {low} epochs",
        "Spearman ρ, all cells",
        f"Spearman ρ, the best {TOP}",
    ]
    notes = notes or [f"{first.label!r} reaches every level within the paper's epochs."]
    return "\n\n".join([*([table.markdown(head, lines)] if lines else []), *notes])


def _shortfall(dataset: str, curves: EpochCurves, level: float, epochs: float) -> str:
    """Why a mean is below its level by then: who is not at the optimum, and by how much."""
    values, later = curves.at(epochs), curves.reach(level)
    seeds, known = len(values), values[np.isfinite(values)]
    text = f"{table.name_of(dataset)}: {level:.2f} is not reached in {epochs:,.0f} epochs "
    text += f"({table.epochs(later, curves.budget)}). "
    if len(known) < seeds:
        return text + f"{seeds - len(known)} of {seeds} seeds have nothing fully trained by then."
    others = curves.optimum - known[known < curves.optimum - TIE]
    return text + (
        f"The mean is then {known.mean():.3f}, {level - known.mean():.3f} short: "
        f"{curves.at_optimum(epochs)} of {seeds} seeds have the optimum, {curves.optimum:.3f}, and "
        f"the others are {others.mean():.3f} below it on average, where the level lets the mean "
        f"be {max(curves.optimum - level, 0):.3f} below."
    )


def _panels(section: Section, cells: Cells, metrics: Mapping[str, str]) -> list[EpochPanel]:
    against = section.options["against"]
    panels = []
    for dataset in section.datasets():
        own = {
            row.label: cells[row.label, dataset]
            for row in section.rows
            if (row.label, dataset) in cells
        }
        level = section.options["levels"][dataset]
        points = tuple(
            PaperEpochs(_series(section, label), quote.label, quote.values[dataset])
            for label, paper in against.items()
            for quote in _named(section, paper)
            if dataset in quote.values
        )
        if own:
            title = table.name_of(dataset)
            panels.append(EpochPanel(title, own, level, points, metrics[dataset]))
    return panels


def _figure(section: Section, label: str, dataset: str) -> float:
    """The paper's epochs that a row is set against; inf where it gives none."""
    quotes = _named(section, section.options["against"].get(label, ""))
    return min((quote.values.get(dataset, np.inf) for quote in quotes), default=np.inf)


def _series(section: Section, label: str) -> int:
    """The place of a row in the figure."""
    return [row.label for row in section.rows].index(label)


def _named(section: Section, label: str) -> list[Quoted]:
    return [quote for quote in section.quoted if quote.label == label]
