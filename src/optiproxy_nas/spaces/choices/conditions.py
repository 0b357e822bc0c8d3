"""When choices exist: of discrete architectures, and to which extent of relaxed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optiproxy_nas.core.errors import ParameterError, unknown_name
from optiproxy_nas.spaces.choices.choice import Choice, shown
from optiproxy_nas.spaces.choices.declaration import in_order
from optiproxy_nas.spaces.choices.json_values import one_or_several, value_key, value_text


class Condition(NamedTuple):
    """A choice exists only where its parent has one of these options."""

    parent: int  # its position in the space
    options: tuple[int, ...]  # their numbers in a code, from 1


def resolve_conditions(choices: Mapping[str, Choice]) -> list[tuple[Condition, ...]]:
    """Return the conditions of each choice, by positions and numbers.

    Raises:
        ParameterError: a condition on a later, unknown or the same choice, or on a value that the
            parent does not have.
    """
    names = list(choices)
    conditions = []
    for position, (name, choice) in enumerate(choices.items()):
        resolved = []
        for parent, values in choice.when.items():
            if parent not in choices:
                raise unknown_name("choice", parent, names, where=f"in the condition of {name!r}")
            if names.index(parent) >= position:
                in_order(choices)  # a circle has no right order to ask for
                raise ParameterError(
                    f"Choice {name!r} depends on {parent!r}, which is declared later. A condition "
                    f"names earlier choices: declare {parent!r} before {name!r}.",
                    choice=name,
                    parent=parent,
                    allowed=names[:position],
                )
            numbers = _numbers_of(name, parent, choices[parent], values)
            resolved.append(Condition(names.index(parent), numbers))
        conditions.append(tuple(resolved))
    return conditions


def _numbers_of(name: str, parent: str, choice: Choice, values: list[Any]) -> tuple[int, ...]:
    """Return the sorted numbers, from 1, of a condition's values."""
    numbers = {value_key(option): number for number, option in enumerate(choice.options, 1)}
    values = one_or_several(values, choice.options)
    if not values:
        raise ParameterError(
            f"Choice {name!r} depends on {parent!r} with no value. Give one or several of its "
            f"options: {shown(choice.options)}.",
            choice=name,
            parent=parent,
        )
    for value in values:
        if value_key(value) not in numbers:
            raise ParameterError(
                f"Choice {name!r} exists when {parent!r} is {value_text(value)}, which is none of "
                f"its options: {shown(choice.options)}.",
                choice=name,
                parent=parent,
                value=value,
                allowed=list(choice.options),
            )
    return tuple(sorted({numbers[value_key(value)] for value in values}))


def with_options(
    choices: Mapping[str, Choice], conditions: Sequence[tuple[Condition, ...]]
) -> dict[str, Choice]:
    """Return choices whose conditions list the parents' options, in the order of the space."""
    names, options = list(choices), [choice.options for choice in choices.values()]
    return {
        name: Choice(
            choice.options,
            ordered=choice.ordered,
            when={
                names[parent]: [options[parent][number - 1] for number in numbers]
                for parent, numbers in sorted(needed)
            },
            default=choice.default,
        )
        for (name, choice), needed in zip(choices.items(), conditions, strict=True)
    }


class _Level(NamedTuple):
    """The choices with equally many generations of parents, and their conditions.

    Where a choice has fewer conditions than another, the rest are ``given`` False.
    """

    positions: Tensor  # [r] int64
    parents: Tensor  # [c, r] int64, positions
    has_option: Tensor  # [c, r, M] bool, the parents' options that fulfil the condition
    given: Tensor  # [c, r] bool


class Existence:
    """Which choices exist, for codes [n, N] and relaxed rows [K, N, M].

    Args:
        conditions: of each of the N choices.
        width: M, the number of columns of an encoding.
    """

    def __init__(self, conditions: Sequence[tuple[Condition, ...]], width: int) -> None:
        generation: list[int] = []
        for needed in conditions:
            generation.append(max((generation[c.parent] + 1 for c in needed), default=0))
        self._levels = [
            _level([i for i, g in enumerate(generation) if g == number], conditions, width)
            for number in range(1, max(generation) + 1)
        ]

    def complete(self, codes: Tensor, defaults: Tensor) -> Tensor:
        """Return codes [n, N] with choices that do not exist at 0, missing ones at their default.

        Args:
            codes: [n, N].
            defaults: [N] int64, from 1.
        """
        codes = codes.clone()
        for level in self._levels:
            columns = torch.arange(len(level.positions))
            exists = torch.ones(len(codes), len(columns), dtype=torch.bool)
            for parents, has_option, given in zip(*level[1:], strict=True):
                exists &= has_option[columns, codes[:, parents]] | ~given
            present = codes[:, level.positions]
            present = torch.where(present == 0, defaults[level.positions], present)
            codes[:, level.positions] = present * exists
        return codes

    def change_one(
        self, codes: Tensor, allowed: Tensor, ordered: Tensor, defaults: Tensor
    ) -> Tensor:
        """Return each of codes [n, N] with one other option, completed: [m, N], code by code.

        Args:
            codes: [n, N].
            allowed: bool [N, M], the options.
            ordered: bool [N], the choices that change to the option before or behind only.
            defaults: [N] int64, from 1.
        """
        numbers, present = torch.arange(allowed.shape[1]), codes.unsqueeze(-1)
        near = ((numbers - present).abs() == 1) | ~ordered.unsqueeze(-1)
        changes = (present > 0) & (numbers != present) & allowed & near  # [n, N, M]
        row, position, option = changes.nonzero(as_tuple=True)
        changed = codes[row]
        changed[torch.arange(len(row)), position] = option
        return self.complete(changed, defaults)

    def relax(self, soft: Tensor) -> Tensor:
        """Return soft rows [K, N, M] times the extent to which their choice exists.

        A condition holds to the extent that the parent's row has one of the options; a choice
        exists to the product of its conditions' extents, and to the rest it is absent, column 0.
        Where all rows are one-hot this is the encoding of the discrete architecture.

        Args:
            soft: rows that sum to 1, column 0 is 0.
        """
        if not self._levels:
            return soft
        rows = list(soft.unbind(1))
        for level in self._levels:
            exists = torch.ones((), dtype=soft.dtype).expand(len(soft), len(level.positions))
            for parents, has_option, given in zip(*level[1:], strict=True):
                parent_rows = torch.stack([rows[i] for i in parents.tolist()], 1)
                holds = (parent_rows * has_option).sum(-1)
                holds = holds - (holds - 1).clamp(min=0).detach()  # a rounded sum can exceed 1
                exists = exists * torch.where(given, holds, 1.0)
            options = exists.unsqueeze(-1) * soft[:, level.positions, 1:]
            level_rows = torch.cat([1 - exists.unsqueeze(-1), options], -1)
            for place, position in enumerate(level.positions.tolist()):
                rows[position] = level_rows[:, place]
        return torch.stack(rows, 1)


def _level(positions: list[int], conditions: Sequence[tuple[Condition, ...]], width: int) -> _Level:
    most = max(len(conditions[position]) for position in positions)
    shape = (most, len(positions))
    parents = torch.zeros(shape, dtype=torch.int64)
    has_option = torch.zeros(*shape, width, dtype=torch.bool)
    given = torch.zeros(shape, dtype=torch.bool)
    for column, position in enumerate(positions):
        for row, condition in enumerate(conditions[position]):
            parents[row, column] = condition.parent
            has_option[row, column, list(condition.options)] = True
            given[row, column] = True
    return _Level(torch.tensor(positions), parents, has_option, given)
