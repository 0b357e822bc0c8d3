"""When the workers of an asynchronous run were busy, as its journal tells: figure and numbers."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.report import style
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.report.style import ReportFigure

_PAUSE = 60.0  # seconds without any training from which on a run counts as having been stopped
_SLACK = 0.01  # seconds by which two trainings of one worker may seem to overlap
_NARROWEST = 0.02  # share of the time that a bar takes whose number is written on it
_WENT_ON = "run went on"  # in the legend
_UNITS = ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "hours"), (120, 60, "minutes"))
_COLOURS = {
    "complete": style.BLUE,
    "stopped early": style.ORANGE,
    "failed": style.RED,
    "confirmation": style.GREEN,
}


def training_times(trials: pd.DataFrame) -> pd.DataFrame:
    """Return when each training ran, in seconds since the first began, and on which of the workers.

    Times in which a run was stopped are left out. Which worker trained is not recorded: a training
    is given to the one that was free first.

    Args:
        trials: a journal as a table, as of ``evaluation.journal_table.read_journal``.

    Returns:
        number, kind (``complete``, ``stopped early``, ``failed`` or ``confirmation``), begin, end,
        worker (from 0) and resumed (seconds at which the run went on, NaN of most), by begin.
    """
    times = pd.to_datetime(trials["time"], utc=True, format="ISO8601")
    ended = (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy()
    begun = ended - trials["seconds"].fillna(0.0).to_numpy(np.float64)
    failed = trials["error"].fillna("") != ""
    kinds = [trials["repeat"] > 0, failed, trials["stopped"].astype(bool)]
    kind = np.select(kinds, ["confirmation", "failed", "stopped early"], "complete")
    table = pd.DataFrame({"number": trials["number"], "kind": kind, "begin": begun, "end": ended})
    table = table.sort_values(["begin", "end"], ignore_index=True)
    return _on_workers(_without_pauses(table))


def busy_facts(trials: pd.DataFrame) -> dict[str, Any]:
    """Return how many workers trained at the same time at most, and their share of time busy.

    The share is that of the time until the last training of the search began: from then on there
    was nothing more to hand out. None where all began at once.
    """
    times = training_times(trials[trials["repeat"] == 0])
    if times.empty:
        return {}
    workers, last = int(times["worker"].max()) + 1, float(times["begin"].max())
    busy = (times["end"].clip(upper=last) - times["begin"]).clip(lower=0.0).sum()
    first = float(times["end"].min())  # when there was something to hand out for the first time
    share = float(busy) / (workers * last) if last > first else None
    return {"workers": workers, "busy_share": share}


def workers(run: RunData) -> Figure:
    """Draw what each worker trained, and how many were busy, against the time."""
    title = "Workers"
    if run.trials is None or run.trials.empty:
        return style.empty_figure(title, "nothing was trained")
    times = training_times(run.trials)
    count = int(times["worker"].max()) + 1
    size, unit = next(
        ((size, unit) for least, size, unit in _UNITS if times["end"].max() >= least),
        (1, "seconds"),
    )
    figure = style.new_figure(8.0, 3.2 + min(0.32 * count, 6.0))
    above, below = figure.subplots(
        2, 1, sharex=True, height_ratios=(max(1.0, min(0.32 * count, 6.0)), 1.0)
    )
    _draw_bars(above, times, count, size)
    style.tidy(above, title, "", "worker")
    _draw_busy(below, times, count, size)
    style.tidy(below, "Busy at the same time", f"{unit} since the first training began", "workers")
    for at in times["resumed"].dropna() / size:
        for axes in (above, below):
            axes.axvline(at, color=style.INK, linestyle=":", linewidth=1.2, label=_WENT_ON)
    below.set_xlim(0, times["end"].max() / size * 1.01)
    style.legend_below(figure, last=(_WENT_ON,), ncols=5)
    return figure


def _draw_bars(axes: Axes, times: pd.DataFrame, count: int, size: float) -> None:
    for kind, colour in _COLOURS.items():
        rows = times[times["kind"] == kind]
        if rows.empty:
            continue
        width = (rows["end"] - rows["begin"]) / size
        look: dict[str, Any] = {
            "color": colour,
            "edgecolor": "white",
            "linewidth": 0.6,
            "label": kind,
        }
        axes.barh(rows["worker"] + 1, width, left=rows["begin"] / size, height=0.82, **look)
    narrowest = _NARROWEST * times["end"].max()
    for row in times.to_dict("records"):
        if row["end"] - row["begin"] >= narrowest:
            middle = (row["begin"] + row["end"]) / 2 / size
            written: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "fontsize": 7,
                "color": "white",
            }
            axes.text(middle, row["worker"] + 1, str(row["number"]), clip_on=True, **written)
    axes.set_ylim(count + 0.6, 0.4)
    axes.yaxis.set_major_locator(style.whole_ticks(9))


def _draw_busy(axes: Axes, times: pd.DataFrame, count: int, size: float) -> None:
    moments = np.concatenate([times["begin"], times["end"]])
    changes = np.concatenate([np.ones(len(times)), -np.ones(len(times))])
    order = np.lexsort((changes, moments))  # an end before the begin that follows from it
    busy = np.cumsum(changes[order])
    look: dict[str, Any] = {"step": "post", "color": style.BLUE, "alpha": 0.35, "linewidth": 0}
    axes.fill_between(moments[order] / size, busy, **look)
    axes.set_ylim(0, count * 1.08)
    axes.yaxis.set_major_locator(style.whole_ticks(5))


def _without_pauses(times: pd.DataFrame) -> pd.DataFrame:
    """Return times from 0 on, without those in which a run was stopped; column ``resumed``."""
    begin, end = times["begin"].to_numpy(), times["end"].to_numpy()
    if not len(times):
        return times.assign(resumed=np.empty(0))
    longest = max(_PAUSE, float((end - begin).max()))
    busy_until = np.concatenate([[begin[0]], np.maximum.accumulate(end)[:-1]])
    pauses = np.where(begin - busy_until > longest, begin - busy_until, 0.0)
    shift: Floats = begin[0] + np.cumsum(pauses)
    resumed = np.where(pauses > 0, begin - shift, np.nan)
    return times.assign(begin=begin - shift, end=end - shift, resumed=resumed)


def _on_workers(times: pd.DataFrame) -> pd.DataFrame:
    """Return times with the column ``worker``: as few as can have trained them."""
    free: list[int] = []  # a heap, so that the first of several free ones is taken
    busy: list[tuple[float, int]] = []  # a heap of (end, worker)
    chosen = []
    for begin, end in zip(times["begin"], times["end"], strict=True):
        while busy and busy[0][0] <= begin + _SLACK:
            heapq.heappush(free, heapq.heappop(busy)[1])
        worker = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (end, worker))
        chosen.append(worker)
    return times.assign(worker=np.array(chosen, dtype=np.int64))


WORKERS = ReportFigure(
    "workers",
    "Workers",
    "Each bar is a training, with the number of its trial; a worker that is free begins the next "
    "one at once. Below, how many trained at the same time. Gaps are times in which nothing was "
    "handed out: the search was thinking, or there was nothing more to begin.",
    workers,
)
