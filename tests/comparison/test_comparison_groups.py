"""What is put side by side: panels by table, groups by settings, seeds within."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import found, make_run, settings

from optiproxy_nas.core.errors import ArtifactError, ParameterError
from optiproxy_nas.report.compare import compare
from optiproxy_nas.report.compare.group_settings import differing_settings
from optiproxy_nas.report.compare.groups import make_groups, make_panels


def test_seeds_make_one_group() -> None:
    (panel,) = make_panels([make_run(seed) for seed in (3, 1, 2)])
    (group,) = panel.groups
    assert group.seeds == [1, 2, 3]
    assert panel.differing == ()


def test_settings_that_differ_make_groups_and_labels() -> None:
    runs = [
        make_run(0, method="tpe", preset=None),
        make_run(0),
        make_run(0, preset="paper", **settings({"proxy.hidden": 8})),
        make_run(0, **settings({"selection.batch": 5})),
    ]
    groups, differing = make_groups(runs)
    assert [group.label for group in groups] == [
        "optiproxy, preset default",
        "optiproxy, preset default, selection.batch = 5",
        "optiproxy, preset paper",
        "tpe",
    ]
    assert differing == ("method", "preset", "proxy.hidden", "selection.batch")


def test_many_settings_give_short_and_distinct_labels() -> None:
    names = [f"fit.x{i}" for i in range(5)]
    runs = [make_run(0, **settings(dict.fromkeys(names, value))) for value in (1, 2)]
    runs.append(make_run(0, **settings({**dict.fromkeys(names, 1), "fit.x4": 3})))
    groups, _ = make_groups(runs)
    labels = [group.label for group in groups]
    assert len(set(labels)) == 3
    assert all(len(label) < 80 and "2 more" in label for label in labels)


def test_runs_from_before_there_were_methods_are_of_this_one() -> None:
    (panel,) = make_panels([make_run(0, method=None), make_run(1)])
    assert len(panel.groups) == 1


def test_tables_that_differ_are_not_put_together() -> None:
    runs = [make_run(0), make_run(1, table="b" * 64), make_run(0, source="v1_0", table="e" * 64)]
    panels = make_panels(runs)
    assert [panel.title for panel in panels] == [
        "cifar10, embedded, table aaaaaaaa",
        "cifar10, embedded, table bbbbbbbb",
        "cifar10, v1_0",
    ]


@pytest.mark.parametrize(("optimum", "panels"), [(40.0, 1), (41.0, 2)])
def test_unrecorded_table_is_that_of_the_others_unless_the_optimum_says_no(
    optimum: float, panels: int
) -> None:
    runs = [make_run(0), make_run(1, table="", optimum=optimum)]
    assert len(make_panels(runs)) == panels


def test_spaces_are_not_compared() -> None:
    with pytest.raises(ParameterError, match=r"2 search spaces \(nb201: .*; tiny: "):
        make_panels([make_run(0), make_run(0, space="tiny")])


def test_a_repeat_counts_once_and_the_later_wins() -> None:
    (panel,) = make_panels([make_run(0, [1.0, 2.0]), make_run(0, [1.0, 3.0])])
    (group,) = panel.groups
    assert group.repeats == 1
    assert group.curves(2)[0, -1] == 3.0


def test_code_is_compared_where_the_same_seed_was_run_by_both() -> None:
    other = {"code.sha256": "f" * 64}
    groups, differing = make_groups([make_run(0), make_run(0, tags=other), make_run(1)])
    assert [(group.label, len(group.runs)) for group in groups] == [
        ("code = cccccccc", 2),
        ("code = ffffffff", 1),
    ]
    assert differing == ("code",)
    groups, _ = make_groups([make_run(0), make_run(1, tags=other)])
    assert len(groups) == 1


def test_code_is_compared_within_one_method_only() -> None:
    """The digest of a method's search code covers what that method imports."""
    ours, theirs = ({"code.search_sha256": digit * 64} for digit in "12")
    runs = [make_run(seed, tags=ours) for seed in (0, 1)]
    runs += [make_run(seed, tags=theirs, method="tpe", preset=None) for seed in (0, 1)]
    groups, differing = make_groups(runs)
    assert differing == ("method", "preset")
    assert len(groups) == 2
    runs.append(make_run(0, tags={"code.search_sha256": "3" * 64}))
    groups, _ = make_groups(runs)
    assert [(group.label, len(group.runs)) for group in groups] == [
        ("optiproxy, code = 11111111", 2),
        ("optiproxy, code = 33333333", 1),
        ("tpe", 2),
    ]


def test_search_that_ended_early_keeps_its_last_value() -> None:
    (panel,) = make_panels([make_run(0, [5.0, 7.0], budget=4)])
    assert panel.groups[0].curves(4).tolist() == [[5.0, 7.0, 7.0, 7.0]]


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3),
        min_size=1,
        max_size=6,
    )
)
def test_differing_settings_are_those_and_only_those(settings: Any) -> None:
    differ = differing_settings(settings)
    for name in "abc":
        values = {one.get(name) for one in settings}
        assert (name in differ) == (len(values) > 1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"dataset": None}, "lack dataset"), ({"budget": "many"}, "not a whole number")],
)
def test_a_run_without_its_parameters_is_named(parameters: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=f"Run '.*' cannot be compared: .*{message}"):
        make_run(0, **parameters)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda archive: archive.iloc[:0], "empty"),
        (lambda archive: archive.assign(value=float("nan")), "not finite"),
        (lambda archive: archive.drop(columns="architecture"), "columns architecture"),
    ],
)
def test_a_damaged_archive_is_named(damage: Any, message: str) -> None:
    run = make_run(0)
    with pytest.raises(ArtifactError, match=message):
        replace(run, archive=damage(run.archive))


def test_no_runs_and_impossible_budgets_are_refused() -> None:
    with pytest.raises(ParameterError, match="no finished run"):
        compare(found())
    with pytest.raises(ParameterError, match=r"holds 5; the longest .* 4 queries"):
        compare(found(make_run(0)), [2, 5])
