"""What a proxy without a graph sees of declared architectures."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from optiproxy_nas.spaces.choices.choice import Choice
from optiproxy_nas.spaces.choices.json_values import value_key


class Features:
    """Vectors of encodings, linear in them and without empty columns.

    They are the probabilities of each option of the choices that are not ordered; of the existence
    of each conditional choice; and of each ordered option but the first, or a later one: a
    thermometer, in which near options are near. One-hot rows beside a thermometer rank worse
    (docs/results/choices.md).

    Args:
        allowed: bool [N, M], the options of each choice.
        ordered: bool [N].
        conditional: bool [N].
        kinds: int64 [N], of :func:`kinds_of`.
    """

    def __init__(
        self, allowed: Tensor, ordered: Tensor, conditional: Tensor, kinds: Tensor
    ) -> None:
        later = allowed[ordered]
        options = allowed & ~ordered.unsqueeze(-1)
        later[:, 1] = False
        self._options, self._later, self._ordered, self._conditional = (
            mask.flatten().nonzero()[:, 0] for mask in (options, later, ordered, conditional)
        )
        width = allowed.shape[1]
        # Of each feature, the row and column of ``allowed``; that of an existence is column 0.
        later_rows = self._ordered[self._later // width]
        rows = torch.cat([self._options // width, self._conditional, later_rows])
        columns = torch.cat(
            [self._options % width, torch.zeros_like(self._conditional), self._later % width]
        )
        kind = kinds[rows]
        present = sorted(set(kind.tolist()))
        self._of_kind = [(kind == each).nonzero()[:, 0] for each in present]
        self._counts = []  # of each repeated kind [D, c]: a column for each of its options
        for each in present:
            if (kinds == each).sum() > 1:
                counted = columns.unsqueeze(-1) == torch.tensor(
                    sorted(set(columns[kind == each].tolist()))
                )
                self._counts.append((counted & (kind == each).unsqueeze(-1)).float())

    def of(self, rows: Tensor) -> Tensor:
        """Return the features [n, D] of the rows [n, N, M] of an encoding."""
        at_least = rows[:, self._ordered].flip(-1).cumsum(-1).flip(-1)
        features = (
            rows.flatten(1).index_select(1, self._options),
            1 - rows[:, self._conditional, 0],
            at_least.flatten(1).index_select(1, self._later),
        )
        return torch.cat(features, dim=1)

    def by_kind(self, rows: Tensor) -> list[Tensor]:
        """Return the features of each kind of choices, then sums over repeated ones: [n, d] each.

        What the layers of a network have in common is learnt from few networks: how many layers
        exist, and how many have at least so many heads.
        """
        features = self.of(rows)
        single = [features.index_select(1, columns) for columns in self._of_kind]
        return single + [features @ counted for counted in self._counts]


def kinds_of(choices: Mapping[str, Choice]) -> Tensor:
    """Return the kind of each choice: [N] int64.

    Choices are of one kind that have the same options and names that differ in numbers alone, as
    those of layers do: ``width_1``, ``width_2``.
    """
    keys = [
        (re.sub(r"\d+", "", name), choice.ordered, tuple(map(value_key, choice.options)))
        for name, choice in choices.items()
    ]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return torch.tensor([numbers[key] for key in keys])
