"""The numbers of a comparison, against values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import cell, found, make_run, settings

from optiproxy_nas.evaluation.finished_run import FoundRuns
from optiproxy_nas.report.compare import compare
from optiproxy_nas.report.compare.comparison import headline
from optiproxy_nas.report.compare.tables import FEWEST_PAIRS, holm


def test_results_by_hand() -> None:
    runs = [make_run(0, [10, 20, 40, 40]), make_run(1, [10, 30, 20, 20])]
    results = compare(found(*runs), [2, 4]).table("results")
    assert results["budget"].tolist() == [2, 4]
    assert results["mean"].tolist() == [25.0, 35.0]
    assert results["sd"].tolist() == pytest.approx([math.sqrt(50), math.sqrt(50)])
    assert results["at_target"].tolist() == [0.0, 0.5]
    assert results["median_queries"].tolist() == [math.inf, math.inf]
    assert results["regret"].tolist() == [15.0, 5.0]
    assert (results["low"] >= [20, 30]).all()
    assert (results["high"] <= [30, 40]).all()


def test_without_an_optimum_the_best_known_value_is_the_target() -> None:
    runs = [make_run(0, [10, 30], optimum=None), make_run(1, [10, 20], optimum=None)]
    comparison = compare(found(*runs))
    assert comparison.panels[0].target == (30.0, False)
    assert comparison.table("results")["at_target"].tolist() == [0.5]


def test_pairs_by_hand(two_methods: FoundRuns) -> None:
    comparison = compare(two_methods)
    paired = comparison.table("paired")
    assert paired["panel"].tolist() == ["cifar10", "cifar100"]
    assert paired["first"].unique().tolist() == ["optiproxy"]
    assert paired["difference"].tolist() == [1.0, 1.0]
    assert paired[["wins", "ties", "losses"]].to_numpy().tolist() == [[8, 0, 0]] * 2
    # Eight equal differences of one sign: p = 2 / 2**8 by the exact test.
    assert paired["p_value"].tolist() == pytest.approx([2 / 256] * 2, rel=0.6)
    assert paired["p_holm"].tolist() == paired["p_value"].tolist()  # one test a panel


def test_pairs_use_common_seeds_only() -> None:
    first = [make_run(seed, [10, 20 + seed]) for seed in range(10)]
    second = [make_run(seed, [10, 20 + seed], method="tpe") for seed in range(3, 13)]
    paired = compare(found(*first, *second)).table("paired")
    assert paired["seeds"].tolist() == [7]
    assert paired["ties"].tolist() == [7]
    assert paired["p_value"].tolist() == [1.0]


def test_few_seeds_have_no_p_value() -> None:
    count = FEWEST_PAIRS - 1
    runs = [make_run(s, [10, 20 + s]) for s in range(count)]
    runs += [make_run(s, [10, 10 + s], method="tpe") for s in range(count)]
    (row,) = compare(found(*runs)).table("paired").to_dict("records")
    assert not row["meaningful"]
    assert math.isnan(row["p_value"])
    assert math.isnan(row["p_holm"])
    assert row["difference"] == 10


def test_no_common_seed_gives_no_pair() -> None:
    comparison = compare(found(make_run(0), make_run(1, method="tpe")))
    assert comparison.table("paired").empty


def test_budgets_beyond_the_common_prefix_leave_the_shorter_groups_out() -> None:
    short = [make_run(seed, [10, 20]) for seed in range(2)]
    long = [make_run(seed, [10, 20, 30], method="tpe") for seed in range(2)]
    comparison = compare(found(*short, *long))
    results = comparison.table("results")
    assert results["group"].tolist() == ["optiproxy", "tpe", "tpe"]
    assert results["budget"].tolist() == [2, 2, 3]
    assert comparison.table("paired")["budget"].tolist() == [2]
    assert any("budgets differ (2, 3 queries)" in line for line in comparison.cautions)


def test_longer_runs_of_some_of_the_seeds_are_warned_of() -> None:
    short = [make_run(seed, [10, 20]) for seed in range(3)]
    comparison = compare(found(*short, make_run(2, [10, 20, 30])))
    assert any("1 of the 3 seeds" in line for line in comparison.cautions)
    everyone = [make_run(seed, [10, 20, 30]) for seed in range(3)]
    comparison = compare(found(*short, *everyone))
    assert not any("of the 3 seeds" in line for line in comparison.cautions)


def test_best_cells_are_distinct_and_ranked() -> None:
    runs = [make_run(0, [10, 40, 30]), make_run(1, [40, 20, 35], method="tpe")]
    cells = compare(found(*runs)).table("cells")
    assert cells["value"].tolist() == [40, 35, 30, 20, 10]
    assert cells["architecture"].tolist() == [cell(n) for n in (400, 350, 300, 200, 100)]
    assert cells["runs"].tolist() == [2, 1, 1, 1, 1]
    assert cells["groups"][0] == "optiproxy; tpe"
    assert cells["test"][0] == 39
    assert cells["test"][1:].isna().all()


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_none_and_bonferroni_and_keeps_the_order(p: Any) -> None:
    adjusted = holm(p)
    assert (adjusted >= np.asarray(p) - 1e-12).all()
    assert (adjusted <= np.minimum(np.asarray(p) * len(p), 1) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_many_groups_are_each_compared_with_the_first() -> None:
    runs = [make_run(0, [10, 20], **settings({"selection.batch": batch})) for batch in range(1, 11)]
    paired = compare(found(*runs)).table("paired")
    assert len(paired) == 9
    assert paired["first"].nunique() == 1


def test_common_settings_and_run_list(two_methods: FoundRuns) -> None:
    comparison = compare(two_methods)
    assert comparison.common == {
        "benchmark": "nb201",
        "budget": "4",
        "source": "embedded",
        "space": "nb201",
    }
    assert len(comparison.runs) == 32
    assert set(comparison.runs["panel"]) == {"cifar10", "cifar100"}


@pytest.mark.parametrize(
    ("runs", "facts", "expected"),
    [
        ([make_run(0), make_run(1, tags={"code.sha256": "f" * 64})], {}, "2 versions of the code"),
        ([make_run(0), make_run(1, tags={"git.commit": "f" * 40})], {}, "of 2 commits"),
        ([make_run(0, tags={"git.clean": "False"})], {}, "1 run of 1 made from a checkout"),
        ([make_run(0), make_run(1, table="b" * 64)], {}, "read from 2 different tables"),
        ([make_run(0, table="")], {}, "without the digest of the table"),
        ([make_run(0)], {"unfinished": 3}, "3 matching runs have not finished"),
        ([make_run(0)], {"incomplete": ("x",)}, "1 run left out, without an archive"),
        ([make_run(0), make_run(0)], {}, "1 run repeated"),
        (
            [make_run(0, tags={"version.torch": v}) for v in "1"]
            + [make_run(1, tags={"version.torch": "2"})],
            {},
            "Versions of torch differ: 1, 2",
        ),
        ([make_run(0), make_run(0, method="tpe")], {}, "fewer than 6 seeds in 2 of 2 groups"),
    ],
)
def test_cautions(runs: Any, facts: Any, expected: str) -> None:
    cautions = compare(found(*runs, **facts)).cautions
    assert [line for line in cautions if expected in line], cautions


def search_code(digit: Any, **tags: Any) -> Any:
    return {"code.search_sha256": digit * 64, **tags}


def test_two_methods_are_not_taken_for_two_versions_of_the_code() -> None:
    runs = [make_run(seed, tags=search_code("1")) for seed in range(6)]
    runs += [make_run(seed, method="tpe", tags=search_code("2")) for seed in range(6)]
    assert compare(found(*runs)).cautions == ()
    mixed = [*runs, make_run(6, method="tpe", tags=search_code("3"))]
    (caution,) = compare(found(*mixed)).cautions
    assert caution.startswith("cifar10: tpe was made by 2 versions of the code")
    later = [*runs, make_run(6, tags=search_code("1", **{"git.commit": "f" * 40}))]
    (caution,) = compare(found(*later)).cautions
    assert caution.startswith("The runs are of 2 commits")
    assert caution.endswith("same search code within each group.")


def test_a_module_that_two_groups_import_in_two_versions_is_named() -> None:
    """Digests of all that a search imports always differ between methods."""

    def made_by(runs: Any, loop: Any, name: str) -> Any:
        modules = {"loop": loop, name: "0"}
        return [replace(run, modules=modules) for run in runs]

    tpe = [make_run(seed, method="tpe", tags=search_code("2")) for seed in range(6)]
    optiproxy_runs = [make_run(seed, tags=search_code("1")) for seed in range(6)]
    alike = found(*made_by(optiproxy_runs, "a", "optiproxy"), *made_by(tpe, "a", "tpe"))
    assert compare(alike).cautions == ()
    changed = found(*made_by(optiproxy_runs, "a", "optiproxy"), *made_by(tpe, "b", "tpe"))
    (caution,) = compare(changed).cautions
    assert caution.startswith("Groups were made by different versions of the code (loop)")


def test_presets_with_proxies_of_their_own_are_not_taken_for_two_versions_of_the_code() -> None:
    runs = [make_run(seed, tags=search_code("1")) for seed in range(6)]
    runs += [make_run(seed, preset="paper", tags=search_code("2")) for seed in range(6)]
    assert compare(found(*runs)).cautions == ()


def test_nothing_to_warn_of(two_methods: FoundRuns) -> None:
    assert compare(two_methods).cautions == ()


def test_tables_are_numbers(two_methods: FoundRuns) -> None:
    results = compare(two_methods).table("results")
    assert isinstance(results, pd.DataFrame)
    assert results.select_dtypes("number").shape[1] == results.shape[1] - 3


def confirmed(seed: int, single: Any, value: Any, method: str = "optiproxy") -> Any:
    """A run on a trained problem whose answer was confirmed; None: it was not."""
    run = make_run(seed=seed, values=(single - 1, single), optimum=None, method=method)
    facts = {"confirmed_value": value, "confirmations": 0 if value is None else 2}
    return replace(run, summary={**run.summary, **facts})


def test_confirmed_values_are_compared_where_all_runs_have_them() -> None:
    runs = [confirmed(seed, 90.0 + seed, 80.0 - seed) for seed in range(3)]
    runs += [confirmed(seed, 60.0, 70.0, "random_search") for seed in range(3)]
    whole = compare(found(*runs))
    results, paired = whole.table("results"), whole.table("paired")
    assert results["mean"].tolist() == [79.0, 70.0]
    assert set(results["values"]) == set(paired["values"]) == {"confirmed"}
    assert results["regret"].tolist() == [1.0, 10.0]
    assert paired["difference"].tolist() == [9.0]
    assert "(confirmed)" in headline(whole.panels[0], whole.tables[0])
    assert whole.runs["confirmed"].tolist()[:3] == [80.0, 79.0, 78.0]
    early = compare(found(*runs), [1]).table("results")
    assert set(early["values"]) == {"single"}
    some = compare(found(*runs[:-1], confirmed(2, 60.0, None, "random_search")))
    assert some.table("results")["mean"].tolist() == [91.0, 60.0]
    assert any("single values are compared" in caution for caution in some.cautions)
