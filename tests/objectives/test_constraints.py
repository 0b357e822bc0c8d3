"""Bounds: how they are read, when they hold, how far a value is from them, what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.benchmarks.nb201 import NB201
from optiproxy_nas.benchmarks.source_benchmark import TabularBenchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.benchmarks.tidy_table import tidy
from optiproxy_nas.core.errors import ObjectiveError, ParameterError, UnknownNameError
from optiproxy_nas.evaluation.benchmark_problem import check_benchmark
from optiproxy_nas.objectives.constrained import Constrained
from optiproxy_nas.objectives.constraints import (
    Constraint,
    feasible,
    metrics_of,
    parse_constraint,
    parse_constraints,
    violation,
)

OPERATORS = ("<", "<=", ">", ">=")
bounds = st.floats(1e-3, 1e4)
values = st.lists(st.one_of(st.floats(0, 1e5), st.just(math.inf)), min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("edgegpu_latency_ms < 4", ("edgegpu_latency_ms", "<", 4.0)),
        ("  latency_ms<=12.5 ", ("latency_ms", "<=", 12.5)),
        ("x2>1e-3", ("x2", ">", 0.001)),
        ("parameters_millions >= .5", ("parameters_millions", ">=", 0.5)),
    ],
)
def test_a_constraint_is_read(text: str, parsed: Any) -> None:
    assert parse_constraint(text) == Constraint(*parsed)


@given(st.sampled_from(OPERATORS), bounds.map(lambda bound: float(f"{bound:g}")))
def test_its_text_reads_as_itself(operator: Any, bound: Any) -> None:
    constraint = Constraint("latency_ms", operator, bound)
    assert parse_constraint(str(constraint)) == constraint


@given(st.sampled_from(OPERATORS), bounds)
def test_no_digit_of_a_bound_is_lost_when_it_is_written(operator: Any, bound: Any) -> None:
    """Settings are stored as text and read again: a resumed search must have the same bound."""
    constraint = parse_constraint(f"latency_ms {operator} {bound!r}")
    assert constraint.bound == bound
    assert parse_constraint(str(constraint)).bound == bound


HOW = r"A constraint reads 'metric < bound'.*as in 'edgegpu_latency_ms < 4'; several are separated"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it cannot be read"),
        ("latency_ms <", "it cannot be read"),
        ("< 4", "it cannot be read"),
        ("4 > latency_ms", "it cannot be read"),
        ("latency_ms = 4", "it cannot be read"),
        ("latency_ms == 4", "it cannot be read"),
        ("2 < latency_ms < 4", "it cannot be read"),
        ("latency_ms < 4 ms", "it cannot be read"),
        ("latency_ms < 4, size < 2", "a comma separates nothing here"),
        ("latency_ms < 4,5", "a comma separates nothing here"),
        ("latency ms < 4", "it cannot be read"),
        (4, "it cannot be read"),
        (None, "it cannot be read"),
        ({"latency_ms": 4}, "it cannot be read"),
        ("latency_ms < fast", "'fast' is not a number"),
        ("latency_ms < 4ms", "'4ms' is not a number"),
        ("latency_ms << 4", "'<4' is not a number|cannot be read"),
        ("latency_ms < -4", "the bound -4 is not a positive number"),
        ("latency_ms < 0", "the bound 0 is not a positive number"),
        ("latency_ms < nan", "the bound nan is not a positive number"),
        ("latency_ms < inf", "the bound inf is not a positive number"),
        ("latency_ms > -inf", "the bound -inf is not a positive number"),
    ],
)
def test_what_is_no_constraint_is_refused_and_one_is_shown(text: Any, why: str) -> None:
    with pytest.raises(ParameterError, match=f"(?s)^Constraint .*(?:{why}).*{HOW}") as caught:
        parse_constraint(text)
    assert caught.value.data == {"constraint": text}


def test_several_are_read_from_a_list_or_from_one_text() -> None:
    listed = parse_constraints(["latency_ms <= 12", "parameters_millions <= 0.5"])
    assert listed == parse_constraints("latency_ms <= 12;parameters_millions <= 0.5;")
    assert [str(constraint) for constraint in listed] == [
        "latency_ms <= 12", "parameters_millions <= 0.5",
    ]  # fmt: skip
    both_sides = parse_constraints("a > 1; b < 2; a < 3")
    assert metrics_of(both_sides) == ("a", "b")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "constraints is empty: give at least one.*objective.name=accuracy"),
        ("", "constraints is empty"),
        (" ; ", "constraints is empty"),
        (["a < 1", "a <= 2"], "'a < 1' and 'a <= 2' bound the same metric from the same side"),
        (["a > 1", "a >= 1"], "same side; keep the tighter"),
        (["a < 1", "a > 2"], "'a < 1' and 'a > 2' exclude each other"),
        (["a >= 2", "b < 1", "a < 2"], "exclude each other"),
        (["my-latency < 1"], "letters, digits and underscores"),
        (["a < 1", "b ! 2"], "Constraint 'b ! 2': it cannot be read"),
    ],
)
def test_lists_that_cannot_be_meant_are_refused(texts: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse_constraints(texts)


@pytest.mark.parametrize(
    "metric", ["best", "value", "predicted_a", "code_3", "violation", "feasibility"]
)
def test_a_column_of_the_archive_is_no_metric_to_bound(metric: str) -> None:
    with pytest.raises(ParameterError, match="a column of the archive itself") as caught:
        Constrained(constraints=[f"{metric} < 1"])
    assert caught.value.data["metric"] == metric


@given(values, st.sampled_from(OPERATORS), bounds)
def test_holds_excess_and_violation_are_the_definition(
    given_values: Any, operator: Any, bound: Any
) -> None:
    constraint, table = Constraint("m", operator, bound), pd.DataFrame({"m": given_values})
    compare = {
        "<": lambda x: x < bound,
        "<=": lambda x: x <= bound,
        ">": lambda x: x > bound,
        ">=": lambda x: x >= bound,
    }[operator]
    kept = [compare(x) and x != math.inf for x in given_values]  # type: ignore[no-untyped-call]
    assert constraint.holds(np.array(given_values)).tolist() == kept
    assert feasible([constraint], table).tolist() == kept
    sign = 1 if "<" in operator else -1
    excess = [sign * (x - bound) if x != math.inf else math.inf for x in given_values]
    assert constraint.excess(np.array(given_values)).tolist() == excess
    outside = violation([constraint], table)
    assert ((outside == 0) == kept).all()
    for total, beyond, inside in zip(outside, excess, kept, strict=True):
        assert total == (0 if inside else pytest.approx(max(beyond / bound, 1e-12)))


@pytest.mark.parametrize(
    ("operator", "at_the_bound"), [("<", False), ("<=", True), (">", False), (">=", True)]
)
def test_at_the_bound_a_strict_one_is_broken(operator: str, at_the_bound: bool) -> None:
    constraint, table = Constraint("m", operator, 4.0), pd.DataFrame({"m": [4.0]})
    assert constraint.holds(np.array([4.0])).tolist() == [at_the_bound]
    assert (violation([constraint], table)[0] == 0) == at_the_bound
    assert constraint.excess(np.array([4.0])) == 0


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_cannot_run_never_keeps_a_bound(operator: str) -> None:
    constraint, table = Constraint("m", operator, 4.0), pd.DataFrame({"m": [np.inf]})
    assert not constraint.holds(np.array([np.inf])).any()
    assert not feasible([constraint], table).any()
    assert violation([constraint], table)[0] == np.inf


def test_violations_of_several_bounds_add_up_each_as_a_share_of_its_bound() -> None:
    table = pd.DataFrame({"a": [1.0, 3.0, 3.0, 1.0, 9.0], "b": [5.0, 5.0, 15.0, 1.0, np.inf]})
    bounds = parse_constraints("a <= 2; b < 10; b > 2")
    assert feasible(bounds, table).tolist() == [True, False, False, False, False]
    np.testing.assert_allclose(violation(bounds, table), [0, 0.5, 0.5 + 0.5, 0.5, np.inf])


@given(values, values)
def test_all_bounds_must_be_kept(first: Any, second: Any) -> None:
    count = min(len(first), len(second))
    table = pd.DataFrame({"a": first[:count], "b": second[:count]})
    one, two = parse_constraints("a < 500"), parse_constraints("b >= 3")
    both = feasible([*one, *two], table)
    assert (both == (feasible(one, table) & feasible(two, table))).all()
    total = violation(one, table) + violation(two, table)
    np.testing.assert_array_equal(violation([*one, *two], table), total)
    assert ((violation([*one, *two], table) == 0) == both).all()


LATENCY = [3.0, 5.0, 7.0, np.inf]
SIZE = [9.0, 7.0, 5.0, 3.0]


def benchmark(**columns: Any) -> Any:
    codes = torch.tensor([[0] * 6, [1] * 6, [2] * 6, [3] * 6])
    told = {
        "validation_accuracy": [90.0, 91.0, 92.0, 93.0],
        "edgegpu_latency_ms": LATENCY,
        "raspi4_latency_ms": SIZE,
        **columns,
    }
    return TabularBenchmark(
        tidy(NB201, codes, "cifar10", told), "cifar10", get_source("v1_0+hw_nas_bench")
    )


@pytest.mark.parametrize(
    "texts",
    [
        "edgegpu_latency_ms < 4",
        "edgegpu_latency_ms <= 3",
        "edgegpu_latency_ms >= 7",
        "edgegpu_latency_ms <= 5; raspi4_latency_ms <= 7",
    ],
)
def test_bounds_that_a_cell_keeps_do_not_raise(texts: str) -> None:
    check_benchmark(Constrained(constraints=texts), benchmark())


@pytest.mark.parametrize(
    ("metric", "near"),
    [
        ("edgegpu_latency_s", "edgegpu_latency_ms"),
        ("edgegpu_latency", "edgegpu_latency_ms"),
        ("raspi_latency_ms", "raspi4_latency_ms"),
    ],
)
def test_an_unknown_metric_or_unit_is_named_with_the_nearest(metric: str, near: str) -> None:
    message = (
        rf"Unknown metric '{metric}'. Did you mean '{near}'\? Allowed: edgegpu_latency_ms, "
        r"raspi4_latency_ms. \(These are what source 'v1_0\+hw_nas_bench' holds"
    )
    with pytest.raises(UnknownNameError, match=message) as caught:
        check_benchmark(Constrained(constraints=f"{metric} < 4"), benchmark())
    assert caught.value.data["suggestion"] == near


@pytest.mark.parametrize(
    ("source", "metric", "advice"),
    [
        ("embedded", "edgegpu_latency_ms", "join it, source=embedded+hw_nas_bench."),
        ("v1_0", "eyeriss_energy_mj", "join it, source=v1_0+hw_nas_bench."),
        # Both have accuracies after full training, so they cannot be joined.
        ("v1_0", "latency_ms", "Source 'embedded' holds it: use source=embedded."),
        ("v1_0+hw_nas_bench", "latency_ms", "it: use source=embedded+hw_nas_bench."),
        ("v1_0", "flops_millions", "Source 'naslib' holds it: use source=naslib."),
    ],
)
def test_a_metric_of_another_source_is_had_by_joining_it(
    source: str, metric: str, advice: str
) -> None:
    codes = torch.zeros(1, 6, dtype=torch.int64)
    told = {"validation_accuracy": [90.0], "parameters_millions": [1.0]}
    asked = TabularBenchmark(tidy(NB201, codes, "cifar10", told), "cifar10", get_source(source))
    with pytest.raises(UnknownNameError) as caught:
        check_benchmark(Constrained(constraints=f"{metric} < 4"), asked)
    assert caught.value.message.endswith(advice)
    assert f"'{metric}' is not among what source '{source}' holds" in caught.value.message
    assert "Did you mean" not in caught.value.message


@pytest.mark.parametrize(
    "texts", ["edgegpu_latency_ms < 3", "edgegpu_latency_ms <= 0.003", "edgegpu_latency_ms > 7"]
)
def test_a_bound_that_no_cell_keeps_is_refused_with_the_range(texts: str) -> None:
    message = (
        f"No architecture keeps '{texts}': edgegpu_latency_ms of cifar10 in source "
        r"'v1_0\+hw_nas_bench' goes from 3 to 7. Loosen the bound, and look at the unit"
    )
    with pytest.raises(ObjectiveError, match=message) as caught:
        check_benchmark(Constrained(constraints=texts), benchmark())
    assert caught.value.data == {"constraint": texts, "lowest": 3.0, "highest": 7.0}


@pytest.mark.parametrize(
    "texts", ["raspi4_latency_ms < 4000", "raspi4_latency_ms <= 9", "raspi4_latency_ms > 0.001"]
)
def test_a_bound_that_every_cell_keeps_is_most_likely_in_another_unit(texts: str) -> None:
    message = (
        f"Every architecture keeps '{texts}': raspi4_latency_ms of cifar10 in source "
        r"'v1_0\+hw_nas_bench' goes from 3 to 9. Tighten it or leave it out, and look at the unit"
    )
    with pytest.raises(ObjectiveError, match=message):
        check_benchmark(Constrained(constraints=texts), benchmark())


@pytest.mark.parametrize("texts", ["edgegpu_latency_ms < 9", "edgegpu_latency_ms > 1"])
def test_a_device_on_which_nothing_runs_is_refused(texts: str) -> None:
    with pytest.raises(ObjectiveError, match=r"No architecture keeps .* from inf to inf"):
        check_benchmark(Constrained(constraints=texts), benchmark(edgegpu_latency_ms=[np.inf] * 4))


def test_bounds_that_are_kept_one_at_a_time_only_are_refused() -> None:
    texts = "edgegpu_latency_ms < 4; raspi4_latency_ms < 6"
    message = (
        "Each of the constraints 'edgegpu_latency_ms < 4', 'raspi4_latency_ms < 6' can be kept, "
        "but no architecture of cifar10 .* keeps all of them.*no query was made"
    )
    with pytest.raises(ObjectiveError, match=message) as caught:
        check_benchmark(Constrained(constraints=texts), benchmark())
    assert caught.value.data["constraints"] == texts.split("; ")


def test_a_metric_with_gaps_cannot_be_bounded() -> None:
    gaps = benchmark(edgegpu_latency_ms=[3.0, np.nan, np.nan, 4.0])
    message = (
        "does not know edgegpu_latency_ms of 2 of 4 architectures on cifar10 .NaN., so it cannot "
        "be bounded"
    )
    with pytest.raises(ObjectiveError, match=message) as caught:
        check_benchmark(Constrained(constraints="edgegpu_latency_ms < 9"), gaps)
    assert caught.value.data == {"metric": "edgegpu_latency_ms", "gaps": 2}


class Endless:
    """A benchmark whose architectures cannot be listed."""

    source, dataset, metrics = "surrogate", "cifar10", {"latency_ms": "milliseconds"}

    def table(self, metrics: Any) -> None:
        return None


def test_where_architectures_cannot_be_listed_only_the_names_are_checked() -> None:
    endless: Any = Endless()
    check_benchmark(Constrained(constraints="latency_ms < 1e-9"), endless)
    with pytest.raises(UnknownNameError, match="Did you mean 'latency_ms'"):
        check_benchmark(Constrained(constraints="latency_s < 4"), endless)


@pytest.mark.parametrize("metric", ["validation_accuracy", "test_accuracy", "training_seeds"])
def test_what_the_search_is_judged_by_is_no_cost_to_bound(metric: str) -> None:
    with pytest.raises(UnknownNameError, match=f"Unknown metric '{metric}'"):
        check_benchmark(Constrained(constraints=f"{metric} > 1"), benchmark())


def test_a_point_may_be_bounded_from_both_sides() -> None:
    assert len(parse_constraints("a >= 2; a <= 2")) == 2
