"""The section of declared spaces: its problems, and its tables in miniature."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from evidence.collect import Evidence
from evidence.declared import problem, render
from evidence.regenerate import choose

REPOSITORY = Path(__file__).parents[2]


def test_the_tables_of_a_miniature() -> None:
    (section,) = choose(REPOSITORY, ["declared"], smoke=True)
    texts = render(section, Evidence(pd.DataFrame(), pd.DataFrame(), {})).texts
    found, ranked = (texts[name].splitlines() for name in ("declared", "declared-ranking"))
    assert len(found) == 2 + len(section.options["searches"])
    assert len(ranked) == 2 + len(section.options["encodings"])
    assert "reference" in found[2]
    assert "reference" in ranked[2]


def test_no_architecture_is_better_than_the_best() -> None:
    declared = problem("stages")
    drawn = declared.space.random(200, torch.Generator().manual_seed(1))
    texts = declared.space.to_string(drawn)
    values = [declared.evaluate(declared.space.architecture(text)) for text in texts]
    assert max(values) <= declared.best
    assert min(values) < declared.median < max(values)


def test_an_architecture_has_the_value_of_its_row() -> None:
    declared = problem("hpobench vehicle")
    choices = declared.space.choices.items()
    ends = [{name: choice.options[end] for name, choice in choices} for end in (0, -1)]
    # The mean of the training seeds in rows 00000 and 99299 of the file, percent.
    assert [*map(declared.evaluate, ends)] == pytest.approx([56.65855425, 28.65536723])
