"""The table of methods on the shipped problem, of answers that are made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from evidence.own_problem import EXAMPLES, Answer, Example, rows_of
from evidence.pages import replace_between


def test_a_row_has_the_means_over_the_seeds_and_the_difference_to_the_first() -> None:
    ours = [Answer(90.0, 88.0, 86.0, 1000.0), Answer(92.0, 90.0, 84.0, 2001.0)]
    theirs = [Answer(91.0, 85.0, 80.0, 1000.0), Answer(92.0, 87.0, 82.0, 1000.0)]
    assert rows_of({"optiproxy": ours, "tpe": theirs}) == [
        ["optiproxy", "91.0", "89.0", "reference", "85.0", "84.0", "1500"],
        ["tpe", "91.5", "86.0", "+3.000 (+3.000 to +3.000)", "81.0", "80.0", "1000"],
    ]


@pytest.mark.parametrize("example", EXAMPLES.values())
def test_the_page_has_a_place_for_it(example: Example) -> None:
    page = (Path(__file__).parents[2] / example.page).read_text(encoding="utf-8")
    assert "new table" in replace_between(page, example.name, "new table")
