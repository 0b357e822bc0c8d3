"""The archive D."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas.algorithm.archive import (  # type: ignore[attr-defined]
    COLUMNS,
    FEW_COLUMNS,
    check_archive,
    codes_of,
    empty_archive,
    extend,
    make_batch,
    with_columns,
)
from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.nb201 import NASBench201

OBJECTIVE = Accuracy()


def added(archive: Any, batch: Any, values: Any) -> Any:
    """D and a batch with its values."""
    return extend(archive, batch.assign(value=values), OBJECTIVE)


def checked(space: Any, archive: Any) -> Any:
    return check_archive(space, archive, OBJECTIVE)


@pytest.fixture
def archive(space: SearchSpace, generator: torch.Generator) -> Any:
    codes = space.random(200, generator).unique(dim=0)[:6]  # type: ignore[no-untyped-call]
    first = added(None, make_batch(space, codes[:4], 0), np.array([50.0, 40, 60, 55]))
    batch = make_batch(
        space, codes[4:], 1, group=codes[4:, 0],
        predicted=np.array([61.0, 62]), predicted_sd=np.array([1.0, 2]), score=np.array([0.5, 0.4]),
    )  # fmt: skip
    return added(first, batch, np.array([60, 70]))


def test_extend_appends_in_query_order(space: SearchSpace, archive: Any) -> None:
    assert archive["order"].tolist() == list(range(6))
    assert archive["step"].tolist() == [0, 0, 0, 0, 1, 1]
    assert archive["value"].tolist() == [50, 40, 60, 55, 60, 70]
    assert archive["best"].tolist() == [50, 50, 60, 60, 60, 70]
    assert archive["group"].tolist()[:4] == [-1] * 4
    assert archive["predicted"].isna().tolist() == [True] * 4 + [False] * 2
    assert archive["predicted_sd"].tolist()[4:] == [1, 2]
    code_columns = [f"code_{i}" for i in range(space.code_length)]
    assert list(archive.columns) == [*COLUMNS, *code_columns]
    for name, kind in {**COLUMNS, **dict.fromkeys(code_columns, "int64")}.items():
        assert archive[name].dtype == pd.Series([], dtype=kind).dtype
    assert space.to_string(codes_of(space, archive)) == archive["architecture"].tolist()
    assert checked(space, archive) is archive


def test_extend_makes_a_new_table(
    space: SearchSpace, archive: Any, generator: torch.Generator
) -> None:
    before = archive.copy(deep=True)
    batch = make_batch(space, space.random(1, generator), 2)
    kept = batch.copy(deep=True)
    grown = added(archive, batch, np.array([99.0]))
    pd.testing.assert_frame_equal(archive, before)
    pd.testing.assert_frame_equal(batch, kept)
    assert grown["best"].iloc[-1] == 99
    with pytest.raises(ValueError, match="length"):
        added(archive, batch, np.array([1.0, 2.0]))


def test_before_the_first_query_all_columns_are_there(space: SearchSpace, archive: Any) -> None:
    objective = resolve_objective({"name": "constrained", "constraints": ["latency_ms <= 5"]})
    empty = empty_archive(space, objective)
    assert len(empty) == 0
    assert codes_of(space, empty).shape == (0, space.code_length)
    assert check_archive(space, empty, objective) is empty
    pd.testing.assert_series_equal(empty_archive(space, OBJECTIVE).dtypes, archive.dtypes)


def test_codes_are_found_by_their_names(space: SearchSpace, archive: Any) -> None:
    codes = codes_of(space, archive)
    assert codes.dtype == torch.int64
    small = {f"code_{place}": "int32" for place in range(space.code_length)}
    for table in (archive[archive.columns[::-1]], archive.astype(small)):
        found = codes_of(space, table)
        assert found.dtype == torch.int64
        assert torch.equal(found, codes)


def test_many_columns_are_added_as_few_are(archive: Any) -> None:
    new = {f"x_{number}": np.arange(6) + number for number in range(FEW_COLUMNS)}
    table = archive.set_axis(range(3, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wide = with_columns(table, {"step": np.arange(6), **new})
    pd.testing.assert_frame_equal(wide, table.assign(step=np.arange(6), **new))


def test_what_is_not_predicted_is_missing_and_not_an_object(
    space: SearchSpace, generator: torch.Generator
) -> None:
    batch = make_batch(space, space.random(2, generator), 3)
    assert batch["step"].tolist() == [3, 3]
    assert batch["group"].tolist() == [-1, -1]
    for name in ("predicted", "predicted_sd", "score"):
        assert batch[name].dtype == np.float64
        assert batch[name].isna().all()


@pytest.mark.parametrize(("kind", "is_valid"), [("str", True), ("float64", False)])
def test_an_objective_may_have_a_column_of_text(
    space: SearchSpace, archive: Any, monkeypatch: pytest.MonkeyPatch, kind: str, is_valid: bool
) -> None:
    monkeypatch.setattr(type(OBJECTIVE), "columns", property(lambda self: {"note": kind}))
    noted = archive.assign(note="x")
    if is_valid:
        assert checked(space, noted) is noted
    else:
        with pytest.raises(ArtifactError, match="something else than numbers in note"):
            checked(space, noted)


def edited(archive: Any, row: Any, column: Any, value: Any) -> Any:
    archive = archive.copy()
    archive.loc[row, column] = value
    return archive


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda a: a.drop(columns=["best", "code_1"]), r"columns missing: \['best', 'code_1'\]"),
        (lambda a: edited(a, 1, "code_0", (a.loc[1, "code_0"] + 1) % 3), "strings disagree"),
        (lambda a: edited(a, 2, "value", np.nan), "not finite"),
        (lambda a: edited(a, 5, "value", np.inf), "not finite"),
        (lambda a: edited(a, 5, "value", 71.0), "'best' is not the best of"),
        (lambda a: edited(a, 3, "best", 61.0), "'best' is not the best of"),
        (lambda a: pd.concat([a, a.iloc[[-1]]], ignore_index=True), "queried twice"),
        (lambda a: a.iloc[::-1], "'best' is not the best of"),
    ],
)
def test_an_archive_that_was_edited_is_refused(
    space: SearchSpace, archive: Any, edit: Any, problem: str
) -> None:
    with pytest.raises(ArtifactError) as caught:
        checked(space, edit(archive))
    assert any(re.search(problem, it) for it in caught.value.data["problems"])


def test_all_problems_are_told_at_once(space: SearchSpace, archive: Any) -> None:
    bad = edited(
        edited(archive, 2, "value", np.nan), 1, "architecture", archive.loc[0, "architecture"]
    )
    with pytest.raises(ArtifactError) as caught:
        checked(space, bad)
    assert caught.value.data["problems"] == [
        "codes and architecture strings disagree",
        "values, orders or steps that are not finite numbers",
    ]
    twice = pd.concat([archive, archive.iloc[[-1]]], ignore_index=True)
    with pytest.raises(ArtifactError) as caught:
        checked(space, edited(twice, 2, "value", np.nan))
    assert caught.value.data["problems"] == [
        "architectures queried twice",
        "values, orders or steps that are not finite numbers",
    ]


@pytest.mark.parametrize(
    ("column", "value"), [("code_0", 7), ("code_0", np.nan), ("value", "ninety")]
)
def test_a_cell_of_the_table_that_is_nonsense_is_an_artifact_error(
    nb201: NASBench201, generator: torch.Generator, column: str, value: Any
) -> None:
    batch = make_batch(nb201, nb201.random(4, generator), 0)
    archive = added(None, batch, np.array([50.0, 40, 60, 55])).astype({column: object})
    with pytest.raises(ArtifactError):
        checked(nb201, edited(archive, 1, column, value))


def test_a_negative_code_is_an_artifact_error(
    nb201: NASBench201, generator: torch.Generator
) -> None:
    codes = nb201.random(4, generator)
    codes[0, 0] = 4
    archive = added(None, make_batch(nb201, codes, 0), np.array([50.0, 40, 60, 55]))
    with pytest.raises(ArtifactError):
        checked(nb201, edited(archive, 0, "code_0", -1))


@pytest.mark.parametrize(("column", "value"), [("order", 99), ("step", -5)])
def test_an_order_that_was_edited_is_refused(
    space: SearchSpace, archive: Any, column: str, value: int
) -> None:
    with pytest.raises(ArtifactError):
        checked(space, edited(archive, 3, column, value))
