"""One search on many workers, by a virtual clock: what it loses to a serial one, and gains.

``python -m evidence.workers --seeds 100`` runs what is missing, ``kedro evidence workers`` writes
the page. What a search did is added to the record as it ends (``searched``).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evidence import table
from evidence.collect import Evidence
from evidence.pages import Rendered
from evidence.regenerate import choose
from evidence.searched import shown_searches
from evidence.sections import Section
from evidence.simulated import Simulated, load_task
from evidence.worker_figures import Panel, SpeedPanel, by_time_and_queries, speed_ups
from evidence.worker_measures import TaskResults, excess, speed_up
from evidence.worker_record import RECORD, run_missing
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.numbers import difference_unit
from optiproxy_nas.report.statistics import median_queries, paired_difference
from optiproxy_nas.report.style import png

Values = Mapping[str, Any]


def render(section: Section, evidence: Evidence) -> Rendered:
    """Texts ``<name>-goals``, ``-regret``, ``-queries``, ``-speed``, ``-busy``, ``-synchronous``
    and ``-methods``.

    The first of ``options.methods`` is the asynchronous search, the second the batch-synchronous
    one. ``options.seeds`` are searched first; of each task all are shown that the record has whole.
    """
    options, name = section.options, section.name
    entries, data = shown_searches(
        evidence, lambda: run_missing(evidence.project / RECORD, options, options["seeds"])
    )
    found = {key: Simulated(**entry) for key, entry in entries.items()}
    results = [TaskResults(options, task, found) for task in options["tasks"]]
    results = [it for it in results if it.seeds]
    texts = {
        f"{name}-goals": _goals(options, results),
        f"{name}-regret": _regret(options, results),
        f"{name}-queries": _queries(options, results),
        f"{name}-speed": _speed(options, results),
        f"{name}-busy": _busy(options, results),
        f"{name}-synchronous": _synchronous(options, results),
        f"{name}-methods": _methods(options, results),
    }
    figures = {
        "numbers": by_time_and_queries([_by_workers(options, it) for it in results]),
        "methods": by_time_and_queries([_by_method(options, it) for it in results]),
        "speed": speed_ups([_speed_panel(options, it) for it in results]),
    }
    pictures = {f"{name}_{kind}.png": png(figure) for kind, figure in figures.items()}
    tasks = [load_task(it.task["space"], it.task["dataset"]) for it in results]
    cautions = [*dict.fromkeys(task.benchmark.caution for task in tasks if task.benchmark.caution)]
    return Rendered(texts, dict.fromkeys(texts, cautions), pictures, searches=data)


def _goals(options: Values, results: Sequence[TaskResults]) -> str:
    """A row a task and variant at ``options.decisive`` workers: each aim, and how far it is."""
    first, second, *_ = (method["label"] for method in options["methods"])
    workers, aims = options["decisive"], options["aims"]
    lines = []
    for it in results:
        for variant in options["variants"]:
            label = variant["label"]
            if workers not in it.workers(first, label) or 1 not in it.workers(first, label):
                continue
            ours, serial = it.of(first, workers, label), it.of(first, 1, label)
            aimed = _aimed if len(it.seeds) >= aims["seeds"] else lambda text, _: text
            cells = []
            for queries in options["read_at"]:
                share, bounds = excess(ours.after(queries), serial.after(queries))
                text = _percent(share)
                if len(it.seeds) > 1:
                    text += f" ({_percent(bounds.low)} to {_percent(bounds.high)})"
                cells.append(aimed(text, share <= aims["excess"]))
            busy = float(ours.busy.mean())
            cells.append(aimed(f"{busy:.0%}", busy >= aims["busy"]))
            speeds = [
                speed_up(serial.median_seconds_to(r), ours.median_seconds_to(r))
                for r in it.levels.values()
            ]
            cells += [aimed(_times(s), s >= aims["speed_up"]) for s in speeds]
            against = [
                w for w in it.workers(second, label) if not _is_ahead(it, first, second, w, label)
            ]
            behind = f"not with {', '.join(map(str, against))} workers" if against else "with all"
            cells.append(aimed(behind, not against))
            lines.append([it.task["label"], label, str(len(it.seeds)), *cells])
    head = ["task", "trainings", "seeds"]
    head += [f"regret at {q} queries above serial" for q in options["read_at"]]
    head += ["busy", *(f"faster to the regret of {q} serial queries" for q in options["levels"])]
    return table.markdown([*head, "ahead of batch-synchronous"], lines)


def _aimed(text: str, is_reached: bool) -> str:
    """Return a cell of an aim: bold where it is reached."""
    return f"**{text}**" if is_reached else f"{text}, missed"


def _is_ahead(it: TaskResults, first: str, second: str, workers: int, variant: str) -> bool:
    """Return whether the asynchronous search is done sooner, and no later at any regret."""
    ours, theirs = (it.of(method, workers, variant) for method in (first, second))
    to_regrets = all(
        ours.median_seconds_to(r) <= theirs.median_seconds_to(r) for r in it.levels.values()
    )
    return bool(ours.seconds.mean() < theirs.seconds.mean()) and to_regrets


def _regret(options: Values, results: Sequence[TaskResults]) -> str:
    """A row a task and number of workers: the mean regret, and its difference to serial."""
    first = options["methods"][0]["label"]
    lines = []
    for it in results:
        serial = it.of(first, 1)
        for workers in it.workers(first):
            ours = it.of(first, workers)
            line = [f"{it.task['label']} ({_unit(it)})", str(workers)]
            for queries in options["read_at"]:
                a, b = ours.after(queries), serial.after(queries)
                line.append(table.number(float(a.mean())))
                line.append("reference" if workers == 1 else _difference(a, b))
            lines.append(line)
    head = ["task (unit)", "workers"]
    for queries in options["read_at"]:
        head += [f"regret at {queries}", "above serial (95 % interval)"]
    return table.markdown(head, lines)


def _queries(options: Values, results: Sequence[TaskResults]) -> str:
    """A row a task and regret: the median number of queries to it by number of workers."""
    first, most = options["methods"][0]["label"], options["queries"]
    lines = []
    for it in results:
        for regret in it.levels.values():
            needed = [median_queries(it.of(first, w).queries_to(regret)) for w in it.workers(first)]
            reached = f"{table.number(regret)} {_unit(it)}".strip()
            lines.append([it.task["label"], reached, *(table.queries(q, most) for q in needed)])
    return table.markdown(["task", "regret", *map(_workers, options["workers"])], lines)


def _speed(options: Values, results: Sequence[TaskResults]) -> str:
    """A row a task, regret and way: the median hours of serial, and how many times faster."""
    lines = []
    for it in results:
        for queries, regret in it.levels.items():
            serial = it.of(options["methods"][0]["label"], 1).median_seconds_to(regret)
            for method in options["methods"][:2]:
                speeds = dict(_speed_ups(it, method["label"], regret))
                cells = [_times(speeds[w]) if w in speeds else "" for w in options["workers"][1:]]
                reached = f"{table.number(regret)} {_unit(it)}".strip()
                start = [it.task["label"], f"{reached} ({queries})", f"{serial / 3600:.1f}"]
                lines.append([*start, method["label"], *cells])
    head = ["task", "regret (serial queries)", "serial, hours", "search"]
    return table.markdown([*head, *map(_workers, options["workers"][1:])], lines)


def _speed_ups(it: TaskResults, method: str, regret: float) -> Iterator[tuple[int, float]]:
    """Return number of workers -> how many times sooner than serial a regret was reached."""
    serial = it.of(it.options["methods"][0]["label"], 1).median_seconds_to(regret)
    for workers in it.workers(method):
        yield workers, speed_up(serial, it.of(method, workers).median_seconds_to(regret))


def _busy(options: Values, results: Sequence[TaskResults]) -> str:
    """A row a task and method: the share of time busy by number of workers."""
    lines = []
    for it in results:
        for method in options["methods"]:
            held = it.workers(method["label"])
            shares = [
                f"{it.of(method['label'], w).busy.mean():.0%}" if w in held else ""
                for w in options["workers"]
            ]
            lines.append([it.task["label"], method["label"], *shares])
    return table.markdown(["task", "search", *map(str, options["workers"])], lines)


def _synchronous(options: Values, results: Sequence[TaskResults]) -> str:
    """A row a task: times by which the second method is slower, to the end and to regrets."""
    first, second, *_ = (method["label"] for method in options["methods"])
    lines = []
    for it in results:
        ends, *reached = [["all queries"], *([f"regret of {q}"] for q in it.levels)]
        for workers in options["workers"][1:]:
            ours, theirs = (it.of(method, workers) for method in (first, second))
            ends.append(_times(float(theirs.seconds.mean() / ours.seconds.mean())))
            for line, regret in zip(reached, it.levels.values(), strict=True):
                times = (m.median_seconds_to(regret) for m in (theirs, ours))
                line.append(_times(speed_up(*times)))
        lines += [[it.task["label"], *line] for line in (ends, *reached)]
    return table.markdown(["task", "until", *map(_workers, options["workers"][1:])], lines)


def _methods(options: Values, results: Sequence[TaskResults]) -> str:
    """A row a task and method at ``options.decisive`` workers: regret at equal wall-clock."""
    first, workers = options["methods"][0]["label"], options["decisive"]
    lines = []
    for it in results:
        ours = it.of(first, workers)
        end = float(np.median(ours.seconds))
        for method in options["methods"]:
            theirs = it.of(method["label"], workers)
            line = [it.task["label"], method["label"]]
            for share in (0.5, 1.0):
                a, b = (m.at_seconds(np.array([share * end]))[:, 0] for m in (theirs, ours))
                line.append(f"{table.number(float(a.mean()))} {_unit(it)}".strip())
                line.append("reference" if theirs is ours else _difference(a, b))
            hours = theirs.median_seconds_to(it.levels[options["levels"][-1]]) / 3600
            lines.append([*line, f"{hours:.1f}" if math.isfinite(hours) else table.NONE])
    head = ["task", "search"]
    for part in ("half of the time", "all of the time"):
        head += [f"regret at {part}", "above the first (95 % interval)"]
    return table.markdown([*head, f"hours to the regret of {options['levels'][-1]}"], lines)


def _difference(a: Floats, b: Floats) -> str:
    """Return the paired difference of those seeds that both have an answer."""
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 2:  # no interval
        return table.signed(float((a - b)[both].mean())) if both.any() else table.NONE
    return table.difference(paired_difference(a[both], b[both]))


def _by_workers(options: Values, it: TaskResults) -> Panel:
    first = options["methods"][0]["label"]
    lines = {_workers(w): it.of(first, w) for w in it.workers(first)}
    return Panel(it.task["label"], _metric(it), lines)


def _by_method(options: Values, it: TaskResults) -> Panel:
    lines = {m["label"]: it.of(m["label"], options["decisive"]) for m in options["methods"]}
    return Panel(it.task["label"], _metric(it), lines)


def _speed_panel(options: Values, it: TaskResults) -> SpeedPanel:
    """The speed-ups to the last regret, and those until all queries are over."""
    serial = it.of(options["methods"][0]["label"], 1)
    lines = {}
    for label in (method["label"] for method in options["methods"][:2]):
        lines[f"{label}, to the same regret"] = dict(
            _speed_ups(it, label, it.levels[options["levels"][-1]])
        )
        lines[f"{label}, all queries"] = {
            w: float(serial.seconds.mean() / it.of(label, w).seconds.mean())
            for w in it.workers(label)
        }
    return SpeedPanel(it.task["label"], lines)


def _metric(it: TaskResults) -> str:
    return load_task(it.task["space"], it.task["dataset"]).benchmark.target


def _unit(it: TaskResults) -> str:
    return difference_unit(_metric(it))


def _workers(number: int) -> str:
    return f"{number} workers" if number > 1 else "serial"


def _times(factor: float) -> str:
    """Return a factor; where a regret was not reached, a dash."""
    if math.isnan(factor) or factor == 0:
        return "not reached"
    return "only it" if math.isinf(factor) else f"{factor:.1f} ×"


def _percent(share: float) -> str:
    return "∞" if math.isinf(share) else f"{share:+.0%}"


def main() -> None:
    """Run what is missing."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=None)
    options.add_argument("--workers", type=int, default=1, help="searches at the same time")
    options.add_argument("--methods", nargs="*", help="only these, by their labels")
    options.add_argument("--record", type=Path, default=RECORD)
    chosen = options.parse_args()
    (section,) = choose(Path.cwd(), ["workers"])
    values = section.options
    if chosen.methods is not None:
        methods = [m for m in values["methods"] if m["label"] in chosen.methods]
        values = {**values, "methods": methods}
    run_missing(chosen.record, values, chosen.seeds or values["seeds"], chosen.workers)


if __name__ == "__main__":
    main()
