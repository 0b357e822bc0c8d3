"""Cautions: what a reader must know before trusting the numbers, one sentence each."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import permutations

from optiproxy_nas.core.numbers import metric_name
from optiproxy_nas.evaluation.finished_run import FinishedRun, FoundRuns
from optiproxy_nas.report.compare.groups import Group, Panel, codes_of
from optiproxy_nas.report.compare.tables import FEWEST_PAIRS

SHOWN = 5  # names that a sentence lists


def cautions(found: FoundRuns, panels: Sequence[Panel]) -> list[str]:
    """Return the sentences, the gravest first; none where there is nothing to warn of."""
    runs = [run for panel in panels for run in panel.runs]
    return [
        *_left_out(found, panels),
        *_objectives(panels),
        *_targets(panels),
        *_tables(panels),
        *_unanswered(panels),
        *_failed(panels),
        *_confirmed(panels),
        *_chosen(panels),
        *_budgets(panels),
        *_code(panels),
        *_provenance(runs),
        *_seeds(panels),
    ]


def _left_out(found: FoundRuns, panels: Sequence[Panel]) -> Iterator[str]:
    if found.unfinished:
        verb = "has" if found.unfinished == 1 else "have"
        yield (f"{_count(found.unfinished, 'matching run')} {verb} not finished: left out.")
    if found.incomplete:
        yield (
            f"{_count(len(found.incomplete), 'run')} left out, without an archive or a summary in "
            f"the store: {_first(found.incomplete)}."
        )
    if found.unchecked:
        yield (
            f"Not checked against a digest, since the store has none of their manifests (or, of "
            f"sweeps, records): {_count(len(found.unchecked), 'MLflow run')}, "
            f"{_first(found.unchecked)}."
        )
    repeats = sum(group.repeats for panel in panels for group in panel.groups)
    if repeats:
        yield (
            f"{_count(repeats, 'run')} repeated the settings, seed and code of a later one: left "
            "out."
        )


def _objectives(panels: Sequence[Panel]) -> Iterator[str]:
    objectives = list(dict.fromkeys(panel.objective for panel in panels))
    if len(objectives) > 1:
        named = "; ".join(objective or "the value alone" for objective in objectives)
        yield (
            f"The runs searched for {len(objectives)} different objectives ({named}). Each has "
            "sections of its own: what is best for one is not for another, so no test sets them "
            "against each other."
        )


def _targets(panels: Sequence[Panel]) -> Iterator[str]:
    metrics = list(dict.fromkeys(panel.metric for panel in panels))
    if len(metrics) > 1:
        yield (
            f"The runs searched for {len(metrics)} different metrics "
            f"({'; '.join(map(metric_name, metrics))}): "
            "values of one say nothing of the other, so each has sections of its own."
        )


def _confirmed(panels: Sequence[Panel]) -> Iterator[str]:
    for panel in panels:
        count = sum(run.confirmed is not None for run in panel.runs)
        if count and not panel.is_confirmed:
            yield (
                f"{panel.title}: {count} of {_count(len(panel.runs), 'run')} confirmed their "
                "answers, so single values are compared, which flatter."
            )


def _unanswered(panels: Sequence[Panel]) -> Iterator[str]:
    for panel in panels:
        for group in panel.groups:
            without = sum(math.isnan(run.answer) for run in group.runs)
            if without:
                yield (
                    f"{panel.title}: {_count(without, 'run')} of {len(group.runs)} of "
                    f"{group.label} found nothing that may be the answer. Means, curves and pairs "
                    "are of the others, so they flatter the group; shares are of all."
                )


def _failed(panels: Sequence[Panel]) -> Iterator[str]:
    for panel in panels:
        for group in panel.groups:
            if failed := sum(run.failed_trials for run in group.runs):
                yield (
                    f"{panel.title}: {_count(failed, 'trial')} of {group.label} failed. They are "
                    "charged, and no curve shows them but by what was spent."
                )


def _tables(panels: Sequence[Panel]) -> Iterator[str]:
    for dataset in dict.fromkeys(panel.dataset for panel in panels):
        tables = {(panel.source, panel.table) for panel in panels if panel.dataset == dataset}
        if len(tables) > 1:
            yield (
                f"{dataset} was read from {len(tables)} different tables; values are not "
                "compared between them."
            )
    runs = [run for panel in panels for run in panel.runs]
    without_table = [run for run in runs if not run.table]
    if without_table:
        yield (
            f"{_count(len(without_table), 'run')} of {len(runs)} without the digest of the table: "
            "that all read the same data follows from the name of the source only."
        )


def _budgets(panels: Sequence[Panel]) -> list[str]:
    titles_by_budgets: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for panel in panels:
        budgets = tuple(sorted({run.budget for run in panel.runs}))
        titles_by_budgets.setdefault((panel.unit, budgets), []).append(panel.title)
    return [
        f"{', '.join(titles)}: budgets differ ({', '.join(map(str, budgets))} {unit}). All groups "
        f"are compared over the first {budgets[0]} {unit}; beyond, only those that go on. A "
        f"method that plans for its budget may spend the first {unit} of a longer one otherwise."
        for (unit, budgets), titles in titles_by_budgets.items()
        if len(budgets) > 1
    ]


def _chosen(panels: Sequence[Panel]) -> Iterator[str]:
    """Warn of longer runs of some seeds of a shorter group: those seeds may have been chosen."""
    for panel in panels:
        for longer, shorter in permutations(panel.groups, 2):
            fewer = set(longer.seeds) < set(shorter.seeds)
            alike = _but_budget(longer) == _but_budget(shorter)
            if fewer and alike and longer.budget > shorter.budget:
                yield (
                    f"{panel.title}: {longer.label} has {len(longer.seeds)} of the "
                    f"{len(shorter.seeds)} seeds of {shorter.label}. If they were chosen, as kedro "
                    "evidence does with those that are short of the optimum, do not read their "
                    "means beside the others."
                )


def _but_budget(group: Group) -> dict[str, str]:
    return {name: value for name, value in group.settings.items() if name != "budget"}


def _code(panels: Sequence[Panel]) -> list[str]:
    sentences = []
    for panel in panels:
        for group in panel.groups:
            codes = sorted(set(codes_of(group.runs)) - {""})
            if len(codes) > 1:
                sentences.append(
                    f"{panel.title}: {group.label} was made by {len(codes)} versions of the code "
                    f"(digests {_first(codes, 8)}): differences may come from the code."
                )
    runs = [run for panel in panels for run in panel.runs]
    versions: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        for module, digest in run.modules.items():
            versions[module].add(digest)
    changed = sorted(module for module, digests in versions.items() if len(digests) > 1)
    if changed and not sentences:
        sentences.append(
            f"Groups were made by different versions of the code ({_first(changed)}): differences "
            "between them may come from the code."
        )
    commits = sorted({run.tags.get("git.commit", "None") for run in runs} - {"None"})
    if len(commits) > 1 and not sentences:
        where = "" if all(run.modules for run in runs) else " within each group"
        sentences.append(
            f"The runs are of {len(commits)} commits ({_first(commits, 8)}), with the same search "
            f"code{where}."
        )
    return sentences


def _provenance(runs: Sequence[FinishedRun]) -> Iterator[str]:
    unclean = [run for run in runs if run.tags.get("git.clean") == "False"]
    if unclean:
        yield (
            f"{_count(len(unclean), 'run')} of {len(runs)} made from a checkout with uncommitted "
            "changes: the commit does not say what ran (the code's digest does)."
        )
    for name in sorted({n for run in runs for n in run.tags if n.startswith("version.")}):
        versions = sorted({run.tags[name] for run in runs if name in run.tags})
        if len(versions) > 1:
            library = name.removeprefix("version.")
            yield f"Versions of {library} differ: {', '.join(versions)}."


def _seeds(panels: Sequence[Panel]) -> Iterator[str]:
    for panel in panels:
        few = [group for group in panel.groups if len(group.runs) < FEWEST_PAIRS]
        if few and len(panel.groups) > 1:
            yield (
                f"{panel.title}: fewer than {FEWEST_PAIRS} seeds in {len(few)} of "
                f"{len(panel.groups)} groups; their intervals are rough, and no test can tell "
                "them apart."
            )


def _first(names: Sequence[str], length: int | None = None) -> str:
    """Return the first names as a list, each cut to ``length`` characters."""
    shown = ", ".join(name[:length] for name in names[:SHOWN])
    return shown + (", ..." if len(names) > SHOWN else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
