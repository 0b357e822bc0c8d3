"""Draw valid recipes, node by node.

The operation of a node is drawn among those that have enough to read. Its inputs are drawn one
after the other, each among the sources that the operation may read and no earlier input has taken.
Then nodes without a path to a state are dropped, as the benchmark's generator drops them. Only
whether x and every state are read is left to chance: recipes that do not read them are drawn again.

The weights of every choice are (1 - ε) those of (α, β) + ε those of the prior. The prior imitates
the published recipes: sizes as counted among them, a linear node mostly followed by its activation,
inputs preferably those that are unread, states made by nodes that are unread.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import Logits
from optiproxy_nas.spaces.nbnlp import grammar
from optiproxy_nas.spaces.nbnlp.grammar import CHOICES, FIRST, NODES, STATES, WEIGHTS, Cells, Op
from optiproxy_nas.spaces.nbnlp.graph import spread

ROUNDS = 12
_AT_ONCE = 128  # draws a round, at least
_FLOOR = 1e-25  # added to every probability: where (α, β) allow nothing, all is equally likely
# Nodes drawn, before dead ones are dropped: shares of 1 .. NODES.
_SIZES = torch.tensor([0, 0, 0, 6.5, 4, 16, 8, 20, 9, 13.5, 10, 7, 2.5, 2.5, 0.5, 0.5])
_SIZES = _SIZES / _SIZES.sum()
_STATE_SHARES = (0.65, 0.28)  # of recipes with a second state; of these with a third
_OPERATION_SHARES = torch.tensor([0.0, 0.57, 0.057, 0.065, 0.065, 0.1, 0.1, 0.1])
_OPEN_LINEAR = torch.tensor([0.0, 0.1, 0.035, 0.035, 0.035, 0.27, 0.27, 0.27])  # after such a node
_UNREAD = 15.0  # weight in the prior of a source that is not read yet
_THIRD = 0.2  # share of linear nodes with three inputs
_LEAST = torch.tensor(grammar.LEAST_INPUTS)
_USUAL, _POSSIBLE = (WEIGHTS.T == 1).float(), (WEIGHTS.T > 0).float()
_NOTHING = torch.tensor([1.0] + 7 * [0.0])


class Policy:
    """Weights of each row's choices: those of its group of (α, β), mixed with the prior's."""

    def __init__(self, logits: Logits | None, row: Tensor, exploration: float) -> None:
        self.exploration = exploration if logits is not None else 1.0
        if logits is None or self.exploration >= 1:
            return
        inputs, outputs = spread(logits.beta, -torch.inf)
        self._operations = logits.alpha.softmax(-1)[row]  # [n, NODES, 8]
        self._inputs = inputs.softmax(-1)[row]  # [n, NODES, 3, CHOICES]
        self._outputs = outputs.softmax(-1)[row]  # [n, 3, 1 + NODES]

    def operation(self, node: int, able: Tensor, prior: Callable[[], Tensor]) -> Tensor:
        """Return weights [n, 8] of a node's operation among those that are possible."""
        return self._mix(lambda: (self._operations[:, node] + _FLOOR) * able, prior)

    def source(self, node: int, slot: int, free: Tensor, prior: Callable[[], Tensor]) -> Tensor:
        """Return weights [n, w] of an input among the choices that are free [n, w]."""
        width = free.shape[1]
        return self._mix(lambda: (self._inputs[:, node, slot, :width] + _FLOOR) * free, prior)

    def maker(self, state: int, free: Tensor, prior: Tensor) -> Tensor:
        """Return weights [n, NODES] of the maker of a state among the nodes that are free."""
        return self._mix(
            lambda: (self._outputs[:, state, 1:] + _FLOOR) * free, lambda: prior * free
        )

    def state(self, state: int, share: float, count: int) -> Tensor:
        """Return the probability [n] that a state exists."""
        prior = torch.full((count,), share)
        if self.exploration >= 1:
            return prior
        learned = 1 - self._outputs[:, state, 0]
        return (1 - self.exploration) * learned + self.exploration * prior

    def _mix(self, learned: Callable[[], Tensor], prior: Callable[[], Tensor]) -> Tensor:
        if self.exploration >= 1:
            return prior()
        if self.exploration <= 0:
            return learned()
        return (1 - self.exploration) * _shares(learned()) + self.exploration * _shares(prior())


def _shares(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-30)


def _pick(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Draw an index a row [n] by weights [n, m] (exponential races); 0 where all are 0."""
    clock = torch.empty_like(weights).exponential_(generator=generator)
    return (weights / clock).argmax(-1)


def draw(policy: Policy, count: int, generator: torch.Generator) -> Cells:
    """Draw ``count`` recipes, dead nodes dropped; not all are complete."""
    size = 1 + _pick(_SIZES.expand(count, NODES), generator)
    operations = torch.zeros(count, NODES, dtype=torch.int64)
    inputs = torch.zeros(count, NODES, 3, dtype=torch.int64)
    outputs = torch.zeros(count, STATES, dtype=torch.int64)
    makes = torch.ones(count, dtype=torch.bool)
    kind = torch.zeros(count, CHOICES, dtype=torch.int64)
    kind[:, 1], kind[:, 2] = 1, 2
    for state, share in enumerate(_STATE_SHARES, start=1):
        chance = torch.rand(count, generator=generator)
        makes = makes & (chance < policy.state(state, share, count))
        kind[:, 2 + state] = 2 * makes
        outputs[:, state] = makes
    read = torch.zeros(count, CHOICES)  # how often a source is read
    last = int(size.max()) if policy.exploration >= 1 else NODES
    for node in range(last):
        operations[:, node] = _operation(policy, node, kind, read, node < size, generator)
        inputs[:, node] = _inputs(policy, node, operations[:, node], kind, read, generator)
        kind[:, FIRST + node] = torch.where(operations[:, node] > 0, operations[:, node] + 2, 0)
        read.scatter_add_(1, inputs[:, node], torch.ones(count, 3))
    outputs = _makers(policy, outputs, operations, read, generator)
    return grammar.pruned(Cells(operations, grammar.sorted_inputs(operations, inputs), outputs))


def _operation(
    policy: Policy,
    node: int,
    kind: Tensor,
    read: Tensor,
    present: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Draw the operations [n] of a node; ``present`` [n]: whether the prior has the node."""
    sources = torch.zeros(len(kind), WEIGHTS.shape[1])  # how many of each kind
    sources.scatter_add_(1, kind, torch.ones(kind.shape))
    usual = sources @ _USUAL >= _LEAST
    possible = sources @ _POSSIBLE >= _LEAST
    able = torch.where(usual, 1.0, torch.where(possible, grammar.UNUSUAL, 0.0))
    able[:, Op.ABSENT] = 1

    def prior() -> Tensor:
        open_linear = ((kind == Op.LINEAR + 2) & (read == 0)).any(-1, keepdim=True)
        shares = torch.where(open_linear, _OPEN_LINEAR, _OPERATION_SHARES) * usual
        shares[:, Op.ABSENT] = 0
        return torch.where(present.unsqueeze(1), shares, _NOTHING)

    return _pick(policy.operation(node, able, prior), generator)


def _inputs(
    policy: Policy,
    node: int,
    operation: Tensor,
    kind: Tensor,
    read: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Draw the inputs [n, 3] of a node with the given operation [n]."""
    count, width = len(operation), FIRST + node
    free = WEIGHTS[operation.unsqueeze(-1), kind[:, :width]]  # [n, width]; none weighs 0
    takes = (operation > 0, (operation > 0) & (operation < Op.TANH))
    linear, blend = operation == Op.LINEAR, operation == Op.BLEND
    chosen = torch.zeros(count, 3, dtype=torch.int64)

    def prior() -> Tensor:
        unread = read[:, :width] == 0
        shares = torch.where(unread, _UNREAD, 1.0)
        # An activation follows a linear node that has none yet.
        follows = unread & (kind[:, :width] == Op.LINEAR + 2) & (operation >= Op.TANH).unsqueeze(-1)
        return torch.where(follows, 100.0, shares) * (free == 1)  # nothing unusual

    for slot in range(3):
        if slot < 2:
            filled = takes[slot]
            weights = policy.source(node, slot, free, prior)
        else:  # "none" is a choice of linear nodes
            filled = linear | blend
            free = torch.cat([linear.to(free).unsqueeze(1), free[:, 1:]], 1)
            weights = policy.source(node, slot, free, lambda: _third(prior()))
        chosen[:, slot] = _pick(weights, generator) * filled
        free = free.scatter(1, chosen[:, slot, None], 0.0)
    return chosen


def _third(weights: Tensor) -> Tensor:
    """Return the prior of a third input: none, where that is a choice, with its share."""
    none, others = weights[:, :1] > 0, weights[:, 1:]
    return torch.cat([(1 - _THIRD) * none, _THIRD * _shares(others)], 1)


def _makers(
    policy: Policy, states: Tensor, operations: Tensor, read: Tensor, generator: torch.Generator
) -> Tensor:
    """Draw the node that makes each of the states [n, 3] that exist; 1 + node, or 0."""
    outputs = torch.zeros_like(states)
    free = (operations > 0).float()
    unread = torch.where(read[:, FIRST:] == 0, 1.0, 0.02)
    for state in range(STATES):
        maker = _pick(policy.maker(state, free, unread), generator)
        enough = (free > 0).any(1) & ((states[:, state] > 0) if state else True)
        outputs[:, state] = (maker + 1) * enough
        free = free.scatter(1, maker[:, None], 0.0)
    return outputs


def draw_complete(
    logits: Logits | None, row: Tensor, generator: torch.Generator, exploration: float
) -> tuple[Tensor, int]:
    """Draw valid canonical codes [n, L]; return also how many draws were discarded.

    Each round draws incomplete recipes again, with ε nearer to 1. A recipe that is still incomplete
    after the last round (one in a million) becomes the simplest, tanh(linear(x, h_prev_0)).

    Args:
        logits: (α, β) of the groups; None: the prior alone.
        row: [n] int64, the group of each row.
        generator: draws the recipes.
        exploration: ε in [0, 1].
    """
    codes = simplest().expand(len(row), -1).clone()
    pending, rejected = torch.arange(len(row)), 0
    for attempt in range(2 * ROUNDS):
        if not len(pending):
            break
        share = 1 - (1 - exploration) * max(0.0, 1 - attempt / ROUNDS)
        # A few rows cost as much as many: several draws for each, the first valid one counts.
        times = max(1, _AT_ONCE // len(pending))
        each = pending.repeat(times)
        cells = draw(Policy(logits, row[each], share), len(each), generator)
        valid = grammar.complete(cells).reshape(times, -1)
        first = valid.int().argmax(0)
        has_valid = valid.any(0)
        chosen = (first * len(pending) + torch.arange(len(pending)))[has_valid]
        codes[pending[has_valid]] = grammar.pack(grammar.canonical(cells.rows(chosen)))
        rejected += int(torch.where(has_valid, first, times).sum())
        pending = pending[~has_valid]
    return codes, rejected


def simplest() -> Tensor:
    """Return the code of tanh(linear(x, h_prev_0)) [1, L]."""
    code = torch.zeros(1, 4 * NODES + STATES, dtype=torch.int64)
    code[0, :2] = torch.tensor([Op.LINEAR, Op.TANH])
    code[0, NODES : NODES + 2] = torch.tensor([1, 2])
    code[0, NODES + 3] = FIRST
    code[0, 4 * NODES] = 2
    return code
