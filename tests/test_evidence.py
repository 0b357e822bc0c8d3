"""The commands that regenerate the documented numbers: their arithmetic, and what they rest on."""

from __future__ import annotations

import pytest

from benchmarks import results
from benchmarks.results import Search, summary_row, table, write_section
from optiproxy_nas import search

QUICK = {"fit": {"epochs": 5, "first_epochs": 5}, "gradient": {"epochs": 5}}


def test_a_larger_budget_begins_with_the_same_queries():
    """Rows at 100, 192 and 280 queries may therefore be read off one run."""
    short = search("cifar10", budget=21, seed=1000, **QUICK).archive
    long = search("cifar10", budget=34, seed=1000, **QUICK).archive
    assert long["architecture"].tolist()[:21] == short["architecture"].tolist()
    assert long["architecture"].is_unique


def test_summary_of_known_curves():
    searches = [Search("cifar10", 4, seed) for seed in range(4)]
    curves = [[1, 3, 3, 9], [1, 9, 9, 9], [9, 9, 9, 9], [1, 1, 1, 2]]
    done = {
        search.key(): {"curve": curve, "optimum": 9.0}
        for search, curve in zip(searches, curves, strict=True)
    }
    mean, sd, _, share, queries, regret = summary_row(searches, done, 4)
    assert (mean, share, regret) == ("7.250", "75% (30% to 95%)", "1.750")
    assert sd == "3.500"
    assert queries == "3"  # of 4, 2, 1 and never
    mean, _, interval, share, queries, _ = summary_row(searches, done, 2)
    assert (mean, share.split()[0], queries) == ("5.500", "50%", "> 2")
    low, high = map(float, interval.split(" to "))
    assert 1.0 <= low < 5.5 < high <= 9.0


def test_different_searches_have_different_keys():
    one = Search("cifar10", 100, 0)
    others = [
        Search("cifar100", 100, 0),
        Search("cifar10", 192, 0),
        Search("cifar10", 100, 1),
        Search("cifar10", 100, 0, preset="paper"),
        Search("cifar10", 100, 0, source="embedded"),
        Search("cifar10", 100, 0, overrides={"gradient": {"groups": 1}}),
    ]
    assert len({search.key() for search in [one, *others]}) == 7
    assert Search("cifar10", 100, 0).key() == one.key()


def test_reported_seeds_are_those_that_nothing_was_tuned_on():
    for plan in (results.headline(100), results.ablation(20)):
        assert {search.seed for search in plan[0]} <= set(range(100))


def test_a_section_is_replaced_and_the_rest_kept(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- x -->\nold\n<!-- end x -->\nafter\n")
    write_section(page, "x", table(["a"], [["1"]]))
    assert page.read_text() == (
        "before\n<!-- x -->\n| a |\n| --- |\n| 1 |\n<!-- end x -->\nafter\n"
    )
    with pytest.raises(SystemExit, match="lacks the markers"):
        write_section(page, "y", "")
