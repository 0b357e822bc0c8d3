"""Count the architectures of conditional choices exactly, and draw them uniformly.

Dynamic programming over the choices, one after the other. A state is the set of later choices that
a choice so far has ruled out; how many architectures complete a state depends on nothing else.
Choices without conditions among them are independent, so the states stay few: a choice follows its
parents as soon as it can.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.spaces.choices.conditions import Condition

_MOST_ENTRIES = 500_000  # of all tables: numbers of 16 bytes


class Counts:
    """The architectures of N choices: how many there are, and uniform draws.

    Args:
        names: of the choices, for messages.
        options: how many each choice has.
        conditions: of each choice.

    Attributes:
        size: the number of architectures, exact.
        choices: N.

    Raises:
        ParameterError: a choice can never exist, or the conditions need too many states.
    """

    def __init__(
        self,
        names: Sequence[str],
        options: Sequence[int],
        conditions: Sequence[tuple[Condition, ...]],
    ) -> None:
        parents = {condition.parent for needed in conditions for condition in needed}
        linked = [i for i, needed in enumerate(conditions) if needed or i in parents]
        self._independent = torch.tensor(
            [i for i in range(len(options)) if i not in set(linked)], dtype=torch.int64
        )
        self._order = _order(linked, conditions)
        self._options = torch.tensor(options)
        self.choices = len(options)
        transitions = [_Transitions(i, options[i], conditions) for i in self._order]
        states = _states(names, transitions)
        self.size, self._probability, self._following = _tables(transitions, states)
        for i in self._independent.tolist():
            self.size *= options[i]

    def draw(
        self, uniform: Tensor, logits_share: Tensor | None = None, exploration: float = 1.0
    ) -> Tensor:
        """Return codes [K, n, N] of ``uniform`` numbers [K, N, n] in [0, 1), float64.

        The probability of an option is (1 - ε) that of the logits and ε that among all
        architectures that begin as this one does; at ε = 1 all architectures are equally likely.

        Args:
            uniform: one number for each choice of each draw.
            logits_share: softmax of the logits [K, N, M], float64; None: ε is 1.
            exploration: ε.
        """
        groups, choices, count = uniform.shape
        codes = torch.zeros(groups, choices, count, dtype=torch.int64)
        free, most = self._independent, self._options[self._independent]
        if len(free):
            numbers = torch.arange(int(self._options.max()) + 1)
            share = ((numbers > 0) & (numbers <= most.unsqueeze(-1))) / most.double().unsqueeze(-1)
            share = _mixed(share.expand(groups, -1, -1), logits_share, free, exploration)
            chosen = torch.searchsorted(share.cumsum(-1), uniform[:, free].contiguous(), right=True)
            codes[:, free] = torch.minimum(chosen, most.unsqueeze(-1))
        state = torch.zeros(groups, count, dtype=torch.int64)
        rows = torch.arange(groups).unsqueeze(-1)
        for i, table, following in zip(
            self._order, self._probability, self._following, strict=True
        ):
            share = table.expand(groups, *table.shape)  # [K, states, options + 1]
            if logits_share is not None and exploration < 1:
                mixed = _mixed(
                    share, logits_share[..., : table.shape[1]], slice(i, i + 1), exploration
                )
                share = torch.where(table[:, :1] == 1, share, mixed)  # ruled out stays so
            upper = share.cumsum(-1)[..., :-1]
            codes[:, i] = (upper[rows, state] <= uniform[:, i].unsqueeze(-1)).sum(-1)
            state = following[state, codes[:, i]]
        return codes.transpose(1, 2)

    def all_codes(self) -> Tensor:
        """Return all architectures: codes [size, N]."""
        codes = torch.zeros(1, len(self._options), dtype=torch.int64)
        state = torch.zeros(1, dtype=torch.int64)
        for i, table, following in zip(
            self._order, self._probability, self._following, strict=True
        ):
            row, option = (table[state] > 0).nonzero(as_tuple=True)
            codes = codes[row]
            codes[:, i] = option
            state = following[state[row], option]
        for i in self._independent.tolist():
            count = int(self._options[i])
            codes = codes.repeat_interleave(count, 0)
            codes[:, i] = torch.arange(len(codes)) % count + 1
        return codes


class _Transitions:
    """What a choice at position ``i`` rules out, as bits of positions."""

    def __init__(self, i: int, options: int, conditions: Sequence[tuple[Condition, ...]]) -> None:
        self.position, self.options = i, options
        self.absent = 0
        by_option = [0] * options
        for child, needed in enumerate(conditions):
            for condition in needed:
                if condition.parent == i:
                    self.absent |= 1 << child
                    for number in set(range(1, options + 1)) - set(condition.options):
                        by_option[number - 1] |= 1 << child
        self.groups: dict[int, list[int]] = {}  # ruled out -> numbers of options
        for number, ruled_out in enumerate(by_option, 1):
            self.groups.setdefault(ruled_out, []).append(number)

    def of(self, state: int) -> Iterator[tuple[int, list[int]]]:
        """Yield each next state, with the numbers of the options that lead to it; 0 is absent."""
        bit = 1 << self.position
        if state & bit:
            yield (state & ~bit) | self.absent, [0]
        else:
            for ruled_out, numbers in self.groups.items():
                yield state | ruled_out, numbers


def _order(linked: list[int], conditions: Sequence[tuple[Condition, ...]]) -> list[int]:
    """Return the positions ``linked`` in the order of the dynamic program.

    Components come one after the other, conditional choices as soon as their parents are there.
    """
    component = {i: {i} for i in linked}
    for i in linked:
        for condition in conditions[i]:
            joined = component[i] | component[condition.parent]
            for member in joined:
                component[member] = joined
    order: list[int] = []
    for first in linked:
        waiting = sorted(component[first] - set(order))
        while waiting:
            placed = set(order)
            ready = [i for i in waiting if {c.parent for c in conditions[i]} <= placed]
            following = [i for i in ready if conditions[i]]
            order.append((following or ready)[0])
            waiting.remove(order[-1])
    return order


def _states(names: Sequence[str], transitions: Sequence[_Transitions]) -> list[dict[int, int]]:
    """Return the reachable states before each choice, and after the last: state -> its number."""
    states: list[dict[int, int]] = [{0: 0}]
    entries = 0
    for transition in transitions:
        name = names[transition.position]
        if all(state >> transition.position & 1 for state in states[-1]):
            raise ParameterError(
                f"Choice {name!r} can never exist: its conditions exclude each other, or those of "
                "its parents. Change them, or leave the choice away.",
                choice=name,
            )
        entries += len(states[-1]) * (transition.options + 1)
        following: dict[int, int] = {}
        for state in states[-1]:
            for after, _ in transition.of(state):
                following.setdefault(after, len(following))
        if entries + len(following) > _MOST_ENTRIES:
            raise ParameterError(
                f"The conditions are too entangled to count architectures: at choice {name!r} "
                f"there are {len(following):,} combinations of later choices that exist. Declare "
                "conditional choices right behind those they depend on, or use fewer conditions "
                "and a constraint.",
                choice=name,
                states=len(following),
            )
        states.append(following)
    return states


def _tables(
    transitions: Sequence[_Transitions], states: Sequence[dict[int, int]]
) -> tuple[int, list[Tensor], list[Tensor]]:
    """Return the number of architectures, and for each choice two tables [states, options + 1].

    They hold the probability of each option (0: absent) and the number of the following state.
    """
    counts = {state: 1 for state in states[-1]}
    probabilities, followings = [], []
    for transition, before, after in zip(
        reversed(transitions), reversed(states[:-1]), reversed(states[1:]), strict=True
    ):
        probability = torch.zeros(len(before), transition.options + 1, dtype=torch.float64)
        following = torch.zeros(probability.shape, dtype=torch.int64)
        totals: dict[int, int] = {}
        for state, row in before.items():
            moves = list(transition.of(state))
            totals[state] = sum(counts[target] * len(numbers) for target, numbers in moves)
            for target, numbers in moves:
                # Of integers of any size; rounded once.
                probability[row, numbers] = counts[target] / totals[state]
                following[row, numbers] = after[target]
        counts = totals
        probabilities.append(probability)
        followings.append(following)
    return counts[0], probabilities[::-1], followings[::-1]


def _mixed(
    share: Tensor, logits_share: Tensor | None, positions: Tensor | slice, exploration: float
) -> Tensor:
    if logits_share is None or exploration >= 1:
        return share
    return exploration * share + (1 - exploration) * logits_share[:, positions]
