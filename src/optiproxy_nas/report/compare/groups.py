"""Runs sorted: a panel for each benchmark table and aim, in it a group for each setting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.numbers import metric_name
from optiproxy_nas.evaluation.finished_run import FinishedRun
from optiproxy_nas.report.curves import Curve, CurvePanel

# They say which panel or which member of a group a run is; everything else makes groups.
NOT_SETTINGS = frozenset({"seed", "dataset", "source", "space", "benchmark"})
# Named first, and enough to tell groups apart: other settings follow from them.
LEADING = ("method", "preset")
DEFAULTS = {"method": "optiproxy"}  # runs from before there were other methods
ABSENT = "–"
CODE = "code"
SEARCH_CODE, PACKAGE_CODE = "code.search_sha256", "code.sha256"  # tags of a run
LABEL_SETTINGS = 3

Settings = Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed, one a seed, in ascending order of seed."""

    label: str
    settings: Settings
    runs: tuple[FinishedRun, ...]
    repeats: int = 0  # further runs of the same settings and seed, left out

    @property
    def seeds(self) -> list[int]:
        """Ascending."""
        return [run.seed for run in self.runs]

    @property
    def budget(self) -> int:
        """What every run of the group was allowed to spend."""
        return min(run.budget for run in self.runs)

    def curves(self, budget: int) -> np.ndarray:
        """Best so far, [seeds, budget], for a budget up to the group's own.

        By what was spent, from 1; NaN while a run had nothing that could be its answer. A search
        that stopped early keeps its last value.
        """
        return self._curves[:, :budget]

    @cached_property
    def _curves(self) -> np.ndarray:
        return np.stack([run.curve(self.budget) for run in self.runs])


@dataclass(frozen=True)
class Panel:
    """The groups that searched one table for the same, and may so be compared."""

    dataset: str
    source: str
    table: str
    space: str
    groups: tuple[Group, ...]
    differing: tuple[str, ...]  # the settings that tell the groups apart
    title: str = ""
    objective: str = ""  # its label, "" for the plain value
    unit: str = "queries"  # of budgets
    metric: str = VALIDATION_ACCURACY  # what was maximised

    @property
    def runs(self) -> list[FinishedRun]:
        """All runs of the panel."""
        return [run for group in self.groups for run in group.runs]

    @property
    def cautions(self) -> list[str]:
        """What is told wherever its values are shown, each once."""
        return list(dict.fromkeys(run.caution for run in self.runs if run.caution))

    @property
    def common_budget(self) -> int:
        """What every run was allowed to spend."""
        return min(group.budget for group in self.groups)

    @property
    def full_budget(self) -> int:
        """What the longest group was allowed to spend."""
        return max(group.budget for group in self.groups)

    @property
    def target(self) -> tuple[float, bool]:
        """(value, whether it is the table's optimum; else the best value that any run found).

        Of what the objective allows; NaN where there is neither.
        """
        known = [run.optimum for run in self.runs if run.optimum is not None]
        if known:
            return max(known), True
        return float(np.fmax.reduce([run.answer for run in self.runs])), False

    @property
    def curves(self) -> CurvePanel:
        """What the figures show of it."""
        target, is_optimum = self.target
        curves = tuple(Curve(group.label, group.curves(group.budget)) for group in self.groups)
        name = "optimum" if is_optimum else "best known value"
        caution = " ".join(self.cautions)
        return CurvePanel(self.title, curves, target, name, self.unit, self.metric, caution)


def make_panels(runs: Sequence[FinishedRun]) -> list[Panel]:
    """Panels in order of dataset, source, target and objective; groups, the default method first.

    Args:
        runs: at least one; later ones win where settings and seed are the same.

    Raises:
        ParameterError: the runs are of different search spaces.
    """
    spaces = sorted({run.space for run in runs})
    if len(spaces) > 1:
        examples = "; ".join(
            f"{space}: {next(run.run_id for run in runs if run.space == space)}" for space in spaces
        )
        raise ParameterError(
            f"The runs are of {len(spaces)} search spaces ({examples}, ...); what they found "
            'cannot be compared. Choose those of one, by filter="params.space = '
            f"'{spaces[0]}'\" or by their ids.",
            spaces=spaces,
        )
    tables: dict[tuple[str, str, str, str, str], list[FinishedRun]] = defaultdict(list)
    for run in runs:
        key = (run.dataset, run.source, run.target, run.objective.label, _table_of(run, runs))
        tables[key].append(run)
    panels = []
    for (dataset, source, metric, objective, table), members in sorted(tables.items()):
        same_name = [key for key in tables if key[0] == dataset]
        title = dataset
        if len({key[1] for key in same_name}) > 1:
            title += f", {source}"
        if len({key[2] for key in same_name}) > 1:
            title += f", {metric_name(metric)}"
        if objective:
            title += f", {objective}"
        alike = {key[4] for key in same_name if key[1:4] == (source, metric, objective)}
        if len(alike) > 1:
            title += f", table {table[:8] or 'not recorded'}"
        groups, differing = make_groups(members)
        unit = members[0].objective.unit
        about = (title, objective, unit, metric)
        panels.append(Panel(dataset, source, table, spaces[0], groups, differing, *about))
    return panels


def settings_of(run: FinishedRun) -> dict[str, str]:
    """Return what decides a run besides its seed, its data and its objective.

    What an objective has beside its task, as a mode, is a setting like any other.
    """
    task = {f"objective.{name}" for name in ("name", *run.objective.task_settings)}
    others = NOT_SETTINGS | task
    return {**DEFAULTS, **{k: v for k, v in run.settings.items() if k not in others}}


def codes_of(runs: Sequence[FinishedRun]) -> list[str]:
    """Return a digest of each run's code, "" where none is recorded.

    It is of the code that decides a search where all runs of a kind have it, else of the whole
    package; compare it within one kind of method only.
    """
    names = {
        kind: SEARCH_CODE
        if all(SEARCH_CODE in run.tags for run in runs if run.is_optiproxy == kind)
        else PACKAGE_CODE
        for kind in (True, False)
    }
    return [run.tags.get(names[run.is_optiproxy], "") for run in runs]


def differing_settings(settings: Iterable[Settings]) -> tuple[str, ...]:
    """Names of the settings that are not the same in all, the leading ones first."""
    every = list(settings)
    names = {name for one in every for name in one}
    differ = [n for n in names if len({one.get(n, ABSENT) for one in every}) > 1]
    order = {name: i for i, name in enumerate((*LEADING, "budget"))}
    return tuple(sorted(differ, key=lambda name: (order.get(name, len(order)), name)))


def make_groups(runs: Sequence[FinishedRun]) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Groups of one panel, and the settings that differ between them.

    The code's digest counts as a setting where the same settings and seed were run by different
    code: then it is the code that is compared, of OptiProxy-NAS or of the baselines. Elsewhere a
    group may mix codes, and the page says so.
    """
    codes: dict[tuple[tuple[tuple[str, str], ...], int], set[str]] = defaultdict(set)
    digests = codes_of(runs)
    for run, digest in zip(runs, digests, strict=True):
        codes[_key(settings_of(run)), run.seed].add(digest)
    mixed = {key for key, found in codes.items() if len(found - {""}) > 1}
    by_code = {run.is_optiproxy for run in runs if (_key(settings_of(run)), run.seed) in mixed}
    members: dict[tuple[tuple[str, str], ...], list[FinishedRun]] = defaultdict(list)
    for run, digest in zip(runs, digests, strict=True):
        settings = settings_of(run)
        if run.is_optiproxy in by_code:
            settings[CODE] = digest[:8] or "not recorded"
        members[_key(settings)].append(run)
    every = [dict(key) for key in members]
    differing = differing_settings(every)
    labels = _labels(every)
    groups = []
    for (key, found), label in zip(members.items(), labels, strict=True):
        latest = {run.seed: run for run in found}
        chosen = tuple(latest[seed] for seed in sorted(latest))
        groups.append(Group(label, dict(key), chosen, len(found) - len(chosen)))

    def rank(group: Group) -> tuple[bool, str, bool, str, int, str]:
        method, preset = group.settings["method"], group.settings.get("preset", "")
        others = len(group.label.split(", "))
        return method != "optiproxy", method, preset != "default", preset, others, group.label

    return tuple(sorted(groups, key=rank)), differing


def _table_of(run: FinishedRun, runs: Sequence[FinishedRun]) -> str:
    """The digest of a run's table; an unrecorded one is taken from runs that cannot differ.

    Those are of the same dataset and source, all of one table, which has the same optimum for what
    was searched for.
    """
    if run.table:
        return run.table
    others = [r for r in runs if r.table and (r.dataset, r.source) == (run.dataset, run.source)]
    known = {other.table for other in others}
    aim = (run.target, run.objective.label)
    alike_in_aim = [other for other in others if (other.target, other.objective.label) == aim]
    optima = [other.optimum for other in alike_in_aim if other.optimum is not None]
    alike = run.optimum is None or all(abs(run.optimum - optimum) < 1e-6 for optimum in optima)
    return known.pop() if len(known) == 1 and alike else ""


def _key(settings: Settings) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(settings.items()))


def _labels(every: Sequence[Settings]) -> list[str]:
    """Short names that tell the groups apart: method, preset, then what differs among equals."""
    labels = []
    for one in every:
        alike, parts = list(every), []
        for name in LEADING:
            value = one.get(name)
            if value is not None and (len({other.get(name) for other in alike}) > 1):
                parts.append(value if name == "method" else f"{name} {value}")
            alike = [other for other in alike if other.get(name) == value]
        rest = differing_settings(alike)
        shown = [f"{name} = {one[name]}" for name in rest if name in one]
        parts += shown[:LABEL_SETTINGS]
        if len(shown) > LABEL_SETTINGS:
            parts.append(f"{len(shown) - LABEL_SETTINGS} more")
        labels.append(", ".join(parts) or one.get("method", "all runs"))
    seen: dict[str, int] = defaultdict(int)
    for index, label in enumerate(labels):
        seen[label] += 1
        if seen[label] > 1:
            labels[index] = f"{label} ({seen[label]})"
    return labels
