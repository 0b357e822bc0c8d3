"""Encodings of recipes: which edge entry is which choice, and the labelled graph of them.

Each of the three inputs of each node is one choice among none, x, the hidden states and the earlier
nodes; the maker of each state is one among none and the nodes (state 0 has no none). A group of
entries of ``Encoding.edges`` is one choice, one-hot for a discrete recipe.

Discrete and relaxed graphs follow from the same formulas.

Vertices: x, the three previous states, the nodes, the three new states. The label of a vertex is
input, an operation, or output; both ends of a hidden state carry a little of the other end's label,
3/4, 1/2 or 1/4 for state 0, 1 or 2, so that the states differ from x and from each other, and the
two ends of one belong together. Edges into a blend weigh 1 (gate), 3/4 (kept) and 1/2 (other),
because their order matters; all others weigh 1.

A soft input is the softmax of its choices, reweighted by what the node's operation may read and by
what the earlier inputs have taken already, and normalised: a discrete one stays exactly one-hot.
"""

from __future__ import annotations

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import Encoding, Graph
from optiproxy_nas.spaces.nbnlp import grammar
from optiproxy_nas.spaces.nbnlp.grammar import CHOICES, FIRST, NODES, STATES, WEIGHTS, Cells, Op
from optiproxy_nas.spaces.relaxation import gumbel_softmax

_ROWS = 3 * NODES + STATES


def _allowed() -> Tensor:
    """Return which choices exist [51, CHOICES]: rows are inputs node by node, then states."""
    mask = torch.zeros(_ROWS, CHOICES, dtype=torch.bool)
    for node in range(NODES):
        mask[3 * node : 3 * node + 3, : FIRST + node] = True
    mask[3 * NODES :, 0] = True
    mask[3 * NODES :, FIRST:] = True
    mask[3 * NODES, 0] = False
    return mask


ALLOWED = _allowed()  # [51, CHOICES]
_ENTRIES = ALLOWED.flatten().nonzero().flatten()  # entry -> its place in [51 · CHOICES]
_PLACES = torch.full((_ROWS * CHOICES,), len(_ENTRIES)).scatter(
    0, _ENTRIES, torch.arange(len(_ENTRIES))
)  # place -> its entry; one past the last where there is none
NUM_EDGES = len(_ENTRIES)


def spread(edges: Tensor, fill: float) -> tuple[Tensor, Tensor]:
    """Spread edges [n, E] over a table of choices, ``fill`` where there is none.

    Returns:
        Choices of the inputs [n, NODES, 3, CHOICES] and of the outputs [n, STATES, 1 + NODES].
    """
    # index_select: its gradient is much faster than that of indexing.
    table = torch.nn.functional.pad(edges, (0, 1), value=fill).index_select(1, _PLACES)
    rows = table.reshape(-1, _ROWS, CHOICES)
    inputs = rows[:, : 3 * NODES].reshape(-1, NODES, 3, CHOICES)
    outputs = rows[:, 3 * NODES :]
    return inputs, torch.cat([outputs[..., :1], outputs[..., FIRST:]], -1)


def flatten(table: Tensor) -> Tensor:
    """Return rows of choices [n, 51, CHOICES] as edges [n, E]."""
    return table.flatten(1).index_select(1, _ENTRIES)


def one_hot(cells: Cells) -> Tensor:
    """Return the edges [n, E] of discrete cells."""
    outputs = torch.where(cells.outputs > 0, cells.outputs - 1 + FIRST, 0)
    choices = torch.cat([cells.inputs.flatten(1), outputs], 1)
    chosen = _PLACES[torch.arange(0, _ROWS * CHOICES, CHOICES) + choices]  # entries [n, 51]
    return torch.zeros(len(chosen), NUM_EDGES + 1).scatter_(1, chosen, 1.0)[:, :NUM_EDGES]


def join(inputs: Tensor, outputs: Tensor) -> Tensor:
    """Return edges [n, E] of choices; the inverse of ``spread``."""
    gap = outputs.new_zeros(*outputs.shape[:2], FIRST - 1)
    outputs = torch.cat([outputs[..., :1], gap, outputs[..., 1:]], -1)
    return flatten(torch.cat([inputs.flatten(1, 2), outputs], 1))


def soft_edges(beta: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Draw Gumbel-softmax choices of inputs and outputs (Eq. 9) by logits β: edges [n, E]."""
    inputs, outputs = spread(beta, -torch.inf)
    inputs = gumbel_softmax(inputs, temperature, generator)
    return join(inputs, gumbel_softmax(outputs, temperature, generator))


SOURCES = len(grammar.SOURCES)
VERTICES = SOURCES + NODES + STATES
STATE_LABELS = torch.tensor([0.75, 0.5, 0.25])
_CLASSES = WEIGHTS[[Op.LINEAR, Op.SUM, Op.TANH]]  # linear; element by element; activations
_CLASS_OF = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2])  # operation -> its row of _CLASSES
_BLENDED = torch.tensor([1.0, 0.75, 0.5])  # weights of a blend's inputs
_MOST = torch.tensor(grammar.MOST_INPUTS)
# Whether "none" is a choice of the third input: linear, element by element.
_THIRD_OR_NOT = torch.tensor([1.0, 0.0])


def normalised(weights: Tensor) -> Tensor:
    """Divide weights by their sum over the last axis; all 0 where the sum is 0."""
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-6)


def recipe_graph(encoding: Encoding) -> Graph:
    """Return the graphs of n encodings: 23 vertices, 10 features."""
    operations = encoding.operations
    inputs, outputs = spread(encoding.edges, 0.0)
    count = len(operations)
    present = 1 - operations[..., Op.ABSENT]  # [n, NODES]
    makers, made = _outputs(outputs, present)
    reading = _discrete_reads if _is_discrete(operations, inputs) else _reads
    links, reads = reading(operations, inputs, made)  # [n, NODES, CHOICES - 1]: node, what it reads
    direct = 1 - (1 - makers).prod(1)  # [n, NODES] makes a state
    between = links[..., SOURCES:].transpose(1, 2) * present.unsqueeze(1)  # from, to
    alive = present * _reaching(between, direct)

    one = torch.ones(count, 1).to(alive)
    mask = torch.cat([one, made, alive, made], 1)
    size = SOURCES + NODES
    adjacency = alive.new_zeros(count, VERTICES, VERTICES)
    adjacency[:, :size, SOURCES:size] = reads.transpose(1, 2)
    adjacency[:, SOURCES:size, size:] = makers.transpose(1, 2)
    adjacency = adjacency * mask.unsqueeze(1) * mask.unsqueeze(2)

    features = alive.new_zeros(count, VERTICES, operations.shape[-1] + 2)
    features[:, :SOURCES, 0] = features[:, size:, -1] = 1
    features[:, 1:SOURCES, -1] = features[:, size:, 0] = STATE_LABELS.to(alive)
    features[:, SOURCES:size, 1:-1] = operations
    return Graph(features * mask.unsqueeze(-1), adjacency, mask)


def _reaching(between: Tensor, direct: Tensor) -> Tensor:
    """Return to what extent each node leads to a state: r_i = 1 - (1 - d_i) Π_j (1 - b_ij r_j).

    "Or" at the corners, a polynomial in between: unlike a clipped number of paths it has a gradient
    wherever the choices are soft.

    Args:
        between: b [n, NODES, NODES], from node i to node j.
        direct: d [n, NODES], whether a node makes a state.

    Returns:
        r [n, NODES] in [0, 1].
    """
    reached: list[Tensor] = []  # of the later nodes, the last first
    for node in range(NODES - 1, -1, -1):
        missing = 1 - direct[:, node]
        if reached:
            behind = torch.stack(reached[::-1], 1)  # [n, NODES - 1 - node]
            missing = missing * (1 - between[:, node, node + 1 :] * behind).prod(1)
        reached.append(1 - missing)
    return torch.stack(reached[::-1], 1)


def _outputs(choices: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Return which node makes each state [n, 3, NODES], and which states exist [n, 3]."""
    willing = torch.nn.functional.pad(present, (1, 0), value=1)  # none first
    first = normalised(choices[:, 0] * willing)
    free = willing * (1 - torch.nn.functional.pad(first[:, 1:], (1, 0)))
    second = normalised(choices[:, 1] * free)
    free = free * (1 - torch.nn.functional.pad(second[:, 1:], (1, 0)))
    third = normalised(choices[:, 2] * free)
    has_second = 1 - second[:, :1]
    has_third = has_second * (1 - third[:, :1])
    made = torch.cat([torch.ones_like(has_second), has_second, has_third], 1)
    makers = torch.stack([first[:, 1:], second[:, 1:], third[:, 1:] * has_second], 1)
    return makers, made


def _willing(operations: Tensor, made: Tensor) -> Tensor:
    """Return the weight with which each class of operations reads a source [n, 3, CHOICES - 1]."""
    weights = _CLASSES.to(operations)
    states = weights[:, 2, None] * made.unsqueeze(1)  # [n, 3 classes, 3 states]
    nodes = weights[:, 2:] @ operations.transpose(1, 2)  # absent ones weigh 0
    x = weights[:, 1, None].expand(len(operations), 3, 1)
    return torch.cat([x, states, nodes], -1)


def _is_discrete(operations: Tensor, inputs: Tensor) -> bool:
    if operations.requires_grad or inputs.requires_grad:
        return False
    return torch.equal(operations, operations.round()) and torch.equal(inputs, inputs.round())


def _discrete_reads(operations: Tensor, inputs: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """Return :func:`_reads` of one-hot choices by their numbers, in a fraction of the time."""
    operation = (operations @ torch.arange(len(Op)).to(operations)).long()  # [n, NODES]
    sources = (inputs @ torch.arange(CHOICES).to(inputs)).long()  # [n, NODES, 3]; 0: none
    willing = torch.nn.functional.pad(_willing(operations, made), (1, 0)).flatten(1)
    place = (_CLASS_OF[operation] * CHOICES).unsqueeze(-1) + sources
    able = willing.gather(1, place.flatten(1)).reshape(sources.shape) > 0
    able &= torch.arange(3) < _MOST[operation].unsqueeze(-1)
    first, second, third = sources.unbind(-1)
    able[..., 1] &= ~(able[..., 0] & (second == first))
    able[..., 2] &= ~(able[..., :2] & (sources[..., :2] == third.unsqueeze(-1))).any(-1)
    weights = able * torch.where((operation == Op.BLEND).unsqueeze(-1), _BLENDED, 1.0)
    reads = weights.new_zeros(*operation.shape, CHOICES).scatter_add_(-1, sources, weights)
    return (reads[..., 1:] > 0).to(reads), reads[..., 1:]


def _reads(operations: Tensor, inputs: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """Return to what extent, and with what weight, nodes read sources [n, NODES, CHOICES - 1]."""
    willing = _willing(operations, made).unsqueeze(1)  # [n, 1, 3, CHOICES - 1]
    choices = inputs[..., 1:].unsqueeze(2)  # [n, NODES, 1, 3, CHOICES - 1]
    first = normalised(choices[:, :, :, 0] * willing)
    # Activations, the last class, have one input only.
    taken = 1 - first[:, :, :2]
    free = willing[:, :, :2] * taken
    second = normalised(choices[:, :, :, 1] * free)
    two = taken * (1 - second)  # read by neither of the first two
    third = choices[:, :, :, 2] * (free * (1 - second))
    none = inputs[:, :, 2, :1, None] * _THIRD_OR_NOT.to(operations)[:, None]  # [n, NODES, 2, 1]
    third = third / (third.sum(-1, keepdim=True) + none).clamp_min(1e-6)
    three = two * (1 - third)
    linear, pair, plain = 1 - three[:, :, 0], 1 - two[:, :, 1], 1 - three[:, :, 1]
    gate, kept, other = first[:, :, 1], second[:, :, 1], third[:, :, 1]
    weighted = 1 - (1 - gate) * (1 - 0.75 * kept) * (1 - 0.5 * other)
    acts = operations[..., Op.TANH :].sum(-1, keepdim=True)
    pairs = operations[..., Op.PRODUCT : Op.SUM + 1].sum(-1, keepdim=True)
    rest = operations[..., Op.LINEAR, None] * linear + pairs * pair + acts * first[:, :, 2]
    blend = operations[..., Op.BLEND, None]
    return rest + blend * plain, rest + blend * weighted
