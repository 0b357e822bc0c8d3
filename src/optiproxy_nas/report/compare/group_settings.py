"""The settings that tell groups of runs apart, and the labels that are made of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from optiproxy_nas.evaluation.finished_run import FinishedRun
from optiproxy_nas.methods import DEFAULT

# Parameters that say which panel or which member of a group a run is; all others make groups.
NOT_SETTINGS = frozenset({"seed", "dataset", "source", "space", "benchmark", "problem"})
# Named first, and enough to tell groups apart: other settings follow from them.
LEADING = ("method", "preset")
DEFAULTS = {"method": DEFAULT}  # runs from before there were other methods
ABSENT = "–"
LABEL_SETTINGS = 3

Settings = Mapping[str, str]


def settings_of(run: FinishedRun) -> dict[str, str]:
    """Return what decides a run besides its seed, its data and its objective.

    What an objective has beside its task, as a mode, is a setting like any other.
    """
    task = {f"objective.{name}" for name in ("name", *run.objective.task_settings)}
    settings = {
        name: value
        for name, value in run.settings.items()
        if name.partition(".")[0] not in NOT_SETTINGS and name not in task
    }
    return {**DEFAULTS, **settings}


def differing_settings(settings: Iterable[Settings]) -> tuple[str, ...]:
    """Return the names of the settings that are not equal in all, the leading ones first."""
    candidates = list(settings)
    names = {name for candidate in candidates for name in candidate}
    differ = [n for n in names if len({c.get(n, ABSENT) for c in candidates}) > 1]
    order = {name: i for i, name in enumerate((*LEADING, "budget"))}
    return tuple(sorted(differ, key=lambda name: (order.get(name, len(order)), name)))


def group_labels(settings_by_group: Sequence[Settings]) -> list[str]:
    """Return short names that differ: method, preset, then what differs among equals of these."""
    labels = []
    for settings in settings_by_group:
        rivals, terms = list(settings_by_group), []
        for name in LEADING:
            value = settings.get(name)
            if value is not None and len({rival.get(name) for rival in rivals}) > 1:
                terms.append(value if name == "method" else f"{name} {value}")
            rivals = [rival for rival in rivals if rival.get(name) == value]
        differing = differing_settings(rivals)
        assigned = [f"{name} = {settings[name]}" for name in differing if name in settings]
        terms += assigned[:LABEL_SETTINGS]
        if len(assigned) > LABEL_SETTINGS:
            terms.append(f"{len(assigned) - LABEL_SETTINGS} more")
        labels.append(", ".join(terms) or settings.get("method", "all runs"))
    seen: dict[str, int] = defaultdict(int)
    for index, label in enumerate(labels):
        seen[label] += 1
        if seen[label] > 1:
            labels[index] = f"{label} ({seen[label]})"
    return labels
