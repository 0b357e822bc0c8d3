"""Sort runs: a panel for each benchmark table and objective, in it a group for each setting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.numbers import metric_name
from optiproxy_nas.evaluation.finished_run import FinishedRun
from optiproxy_nas.methods import DEFAULT
from optiproxy_nas.objectives.trial_order import TrialOrder
from optiproxy_nas.report.compare.group_settings import (
    Settings,
    differing_settings,
    group_labels,
    settings_of,
)
from optiproxy_nas.report.curves import Curve, CurvePanel

CODE = "code"
SEARCH_CODE, PACKAGE_CODE = "code.search_sha256", "code.sha256"  # tags of a run


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

    def curves(self, budget: int) -> Floats:
        """Return the best so far, [seeds, budget], for a budget up to the group's.

        By what was spent, from 1; NaN while a run had nothing that could be its answer. A search
        that stopped early keeps its last value.
        """
        return self._curves[:, :budget]

    def finals(self, budget: int, confirmed: bool = False) -> Floats:
        """Return what each run has after a budget, [seeds]: the best so far, or what it confirmed.

        NaN where it has no answer.
        """
        if confirmed:
            return np.array([run.confirmed for run in self.runs], dtype=np.float64)
        return self.curves(budget)[:, -1]

    @cached_property
    def _curves(self) -> Floats:
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
    metric: str = VALIDATION_ACCURACY  # what was searched for

    @property
    def runs(self) -> list[FinishedRun]:
        """All runs of the panel."""
        return [run for group in self.groups for run in group.runs]

    @property
    def cautions(self) -> list[str]:
        """Sentences to be shown wherever its values are shown, each once."""
        return list(dict.fromkeys(run.caution for run in self.runs if run.caution))

    @property
    def sign(self) -> float:
        """-1 where lower values are better, else 1."""
        return self._order.sign

    @property
    def _order(self) -> TrialOrder:
        return self.groups[0].runs[0].objective.order

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
        optima = [run.optimum for run in self.runs if run.optimum is not None]
        if optima:
            return float(self._order.better.reduce(optima)), True
        return float(self._order.better.reduce([run.answer for run in self.runs])), False

    @property
    def is_confirmed(self) -> bool:
        """Whether all runs have confirmed their answers."""
        return all(run.confirmed is not None for run in self.runs)

    def reaching(self, budget: int) -> list[Group]:
        """Return the groups that were allowed to spend a budget."""
        return [group for group in self.groups if group.budget >= budget]

    def compares_confirmed(self, budget: int) -> bool:
        """Return whether confirmed values are compared: they are known at the end of a run."""
        return self.is_confirmed and all(it.budget == budget for it in self.reaching(budget))

    def target_at(self, budget: int) -> float:
        """Return what means after a budget are held against: :attr:`target`, or the best confirmed.

        That is NaN where nothing that was confirmed keeps the bounds.
        """
        if not self.compares_confirmed(budget):
            return self.target[0]
        finals = [group.finals(budget, confirmed=True) for group in self.groups]
        return float(self._order.better.reduce(np.concatenate(finals)))

    @property
    def curves(self) -> CurvePanel:
        """What the figures show of it."""
        target, is_optimum = self.target
        curves = tuple(Curve(group.label, group.curves(group.budget)) for group in self.groups)
        name = "optimum" if is_optimum else "best known value"
        caution = " ".join(self.cautions)
        return CurvePanel(
            self.title, curves, target, name, self.unit, self.metric, caution, self.sign
        )


def make_panels(runs: Sequence[FinishedRun]) -> list[Panel]:
    """Return panels in order of dataset, source, target and objective.

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
        of_dataset = [key for key in tables if key[0] == dataset]
        title = dataset
        if len({key[1] for key in of_dataset}) > 1:
            title += f", {source}"
        if len({key[2] for key in of_dataset}) > 1:
            title += f", {metric_name(metric)}"
        if objective:
            title += f", {objective}"
        if sum(key[1:4] == (source, metric, objective) for key in of_dataset) > 1:
            title += f", table {table[:8] or 'not recorded'}"
        groups, differing = make_groups(members)
        unit = members[0].objective.price.unit
        panels.append(
            Panel(
                dataset,
                source,
                table,
                spaces[0],
                groups,
                differing,
                title=title,
                objective=objective,
                unit=unit,
                metric=metric,
            )
        )
    return panels


def codes_of(runs: Sequence[FinishedRun]) -> list[str]:
    """Return a digest of each run's code, "" where none is recorded; the settings must be equal.

    It is of the code that the search imports, which depends on the settings, where all runs have
    it; else of the whole package.
    """
    tag = SEARCH_CODE if all(SEARCH_CODE in run.tags for run in runs) else PACKAGE_CODE
    return [run.tags.get(tag, "") for run in runs]


def make_groups(runs: Sequence[FinishedRun]) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups of one panel, the default method first, and the settings that differ.

    The code's digest counts as a setting where the same settings and seed were run by different
    code: then it is the code that is compared. Elsewhere a group may mix codes, and the page says
    so.
    """
    alike: dict[tuple[tuple[str, str], ...], list[FinishedRun]] = defaultdict(list)
    for run in runs:
        alike[tuple(sorted(settings_of(run).items()))].append(run)
    members = [
        ({**dict(settings), **code}, repeated)
        for settings, with_settings in alike.items()
        for code, repeated in _by_code(with_settings)
    ]
    settings_by_group = [settings for settings, _ in members]
    groups = []
    for (settings, repeated), label in zip(members, group_labels(settings_by_group), strict=True):
        latest = {run.seed: run for run in repeated}
        chosen = tuple(latest[seed] for seed in sorted(latest))
        groups.append(Group(label, settings, chosen, len(repeated) - len(chosen)))

    def rank(group: Group) -> tuple[bool, str, bool, str, int, str]:
        method, preset = group.settings["method"], group.settings.get("preset", "")
        terms = len(group.label.split(", "))
        return method != DEFAULT, method, preset != "default", preset, terms, group.label

    return tuple(sorted(groups, key=rank)), differing_settings(settings_by_group)


def _by_code(runs: Sequence[FinishedRun]) -> list[tuple[dict[str, str], list[FinishedRun]]]:
    """Return runs of equal settings by code, if a seed was run by more than one; else together."""
    codes = codes_of(runs)
    by_seed: dict[int, set[str]] = defaultdict(set)
    for run, code in zip(runs, codes, strict=True):
        by_seed[run.seed].add(code)
    if all(len(of_seed - {""}) < 2 for of_seed in by_seed.values()):
        return [({}, list(runs))]
    return [
        (
            {CODE: code[:8] or "not recorded"},
            [run for run, own_code in zip(runs, codes, strict=True) if own_code == code],
        )
        for code in dict.fromkeys(codes)
    ]


def _table_of(run: FinishedRun, runs: Sequence[FinishedRun]) -> str:
    """Return the digest of a run's table; an unrecorded one is taken from runs that cannot differ.

    Those are of the same dataset and source, all of one table, which has the same optimum for what
    was searched for.
    """
    if run.table:
        return run.table
    others = [r for r in runs if r.table and (r.dataset, r.source) == (run.dataset, run.source)]
    tables = {other.table for other in others}
    optima = [
        other.optimum
        for other in others
        if (other.target, other.objective.label) == (run.target, run.objective.label)
        and other.optimum is not None
    ]
    agree = run.optimum is None or all(abs(run.optimum - optimum) < 1e-6 for optimum in optima)
    return tables.pop() if len(tables) == 1 and agree else ""
