"""NAS-Bench-NLP: its constants, and what a tree ensemble sees of a recipe.

The features do not depend on how a recipe's nodes are numbered. They are of cells of the space
``nbnlp`` (``spaces.nbnlp.grammar``), for the surrogate of the source ``nbnlp_surrogate`` only. All
recipes are processed at once: loops run over the 16 nodes, never over recipes.

* counts: nodes, operations, which operation reads what, the places of blends;
* makers: of each state the operation that makes it, what that reads, and what those read;
* reach: from x and each previous state to each new one, the least and the most steps, and on
  the way the least and the most activations, linear nodes ... (how well a state is remembered).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optiproxy_nas.benchmarks.sources import BenchmarkFamily
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.spaces.nbnlp.grammar import (
    CHOICES,
    FIRST,
    NODES,
    OPERATIONS,
    SOURCES,
    STATES,
    Cells,
    Op,
    levels,
)

NBNLP = BenchmarkFamily(
    name="nbnlp",
    space="nbnlp",
    source="nbnlp_surrogate",
    full_epochs=50,
    budget=150,
    pipelines="nlp",
)
_KINDS = ("x", "h_prev_0", "h_prev_1", "h_prev_2", *OPERATIONS[1:])  # of what is read
_UNREACHED = -1.0
# What is counted on the way: name -> operations.
_COSTS = {
    "steps": tuple(range(1, 8)),
    "linear": (Op.LINEAR,),
    "products": (Op.PRODUCT,),
    "sums": (Op.SUM, Op.BLEND),
    "sigmoids": (Op.SIGMOID,),
    "tanhs": (Op.TANH,),
    "leaky_relus": (Op.LEAKY_RELU,),
    "squashes": (Op.SIGMOID, Op.TANH),
}


def parameters_millions(cells: Cells) -> Floats:
    """Return the trainable parameters of the network on Penn Treebank, millions: [n].

    Exact for all 4,114 published counts. Three layers, 400 → 600 → 600 → 400 wide: a linear node
    has 600 + 600 + 400 biases and, in all layers together, 840,000 weights on x and 880,000 on any
    other input; 4,010,000 are those of the embedding, tied to the output, and of its biases.
    """
    linear = (cells.operations == Op.LINEAR).unsqueeze(-1)
    on_x = (linear & (cells.inputs == 1)).sum((1, 2))
    others = (linear & (cells.inputs > 1)).sum((1, 2))
    total = 4_010_000 + 1_600 * linear.sum((1, 2)) + 840_000 * on_x + 880_000 * others
    return np.asarray(total.numpy() / 1e6)


def feature_table(cells: Cells) -> tuple[list[str], NDArray[np.float32]]:
    """Return names [f] and features [n, f] of recipes."""
    kind = _kinds(cells)
    names: list[str] = []
    columns: list[Tensor] = []
    for part in (_counts(cells, kind), _makers(cells, kind), _reach(cells)):
        for name, column in part:
            names.append(name)
            columns.append(column.float())
    return names, torch.stack(columns, 1).numpy()


def _kinds(cells: Cells) -> Tensor:
    """Return the kind of each input choice [n, CHOICES]: 0 none, 1 + place in ``_KINDS``."""
    head = torch.arange(FIRST).expand(len(cells.operations), FIRST)
    nodes = torch.where(cells.operations > 0, cells.operations + len(SOURCES), 0)
    return torch.cat([head, nodes], 1)


def _one_hot(kind: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(kind, len(_KINDS) + 1)[..., 1:]


def _counts(cells: Cells, kind: Tensor) -> Iterator[tuple[str, Tensor]]:
    operations, inputs = cells.operations, cells.inputs
    yield "nodes", (operations > 0).sum(1)
    yield "states", (cells.outputs > 0).sum(1)
    yield "levels", levels(cells).amax(1)
    yield "parameters", torch.from_numpy(parameters_millions(cells))
    count = len(operations)
    what = _one_hot(kind.gather(1, inputs.flatten(1))).reshape(len(inputs), NODES, 3, -1)
    readers = torch.zeros(count, CHOICES, dtype=torch.int64)
    readers.scatter_add_(1, inputs.flatten(1), torch.ones(count, 3 * NODES, dtype=torch.int64))
    yield "shared", (readers[:, FIRST:] > 1).sum(1)
    for i, name in enumerate(SOURCES, start=1):
        yield f"readers of {name}", readers[:, i]
    for operation in range(1, len(OPERATIONS)):
        used = operations == operation
        label = OPERATIONS[operation]
        yield label, used.sum(1)
        places = ("gate", "kept", "other") if operation == Op.BLEND else ("",)
        for place, part in enumerate(places):
            seen = what[:, :, place] if part else what.sum(2)
            total = (seen * used.unsqueeze(-1)).sum(1)
            for i, source in enumerate(_KINDS):
                yield f"{label} {part} reads {source}", total[:, i]
        if operation == Op.LINEAR:
            yield "linear of three", (used & (inputs[..., 2] > 0)).sum(1)


def _makers(cells: Cells, kind: Tensor) -> Iterator[tuple[str, Tensor]]:
    count = len(cells.operations)
    makes = torch.zeros(count, CHOICES, dtype=torch.int64)
    level = torch.nn.functional.pad(levels(cells), (FIRST, 0))
    reads = torch.nn.functional.pad(cells.inputs, (0, 0, FIRST, 0))  # [n, CHOICES, 3]
    for state in range(STATES):
        choice = torch.where(cells.outputs[:, state] > 0, cells.outputs[:, state] - 1 + FIRST, 0)
        choice = choice.unsqueeze(1)
        name = f"h_new_{state}"
        yield f"{name} level", level.gather(1, choice).squeeze(1)
        made = kind.gather(1, choice).squeeze(1)
        for operation in range(1, len(OPERATIONS)):
            yield f"{name} is {OPERATIONS[operation]}", made == operation + len(SOURCES)
        frontier = choice
        for hop in ("reads", "reads what reads"):
            below = reads.gather(1, frontier.unsqueeze(-1).expand(-1, -1, 3)).flatten(1)
            seen = _one_hot(kind.gather(1, below)).sum(1)
            for i, source in enumerate(_KINDS):
                yield f"{name} {hop} {source}", seen[:, i]
            frontier = below
        readers = (cells.inputs.flatten(1) == choice).sum(1) * (made > 0)
        yield f"{name} readers", readers
        makes.scatter_(1, choice, 1)


def _reach(cells: Cells) -> Iterator[tuple[str, Tensor]]:
    count = len(cells.operations)
    cost = torch.zeros(len(_COSTS), len(OPERATIONS))
    for i, operations in enumerate(_COSTS.values()):
        cost[i, list(operations)] = 1
    step = cost[:, cells.operations].permute(1, 0, 2)  # [n, costs, NODES]
    for label, sign in (("least", 1.0), ("most", -1.0)):
        # Of each source (axis 1), the cheapest way to each input choice; infinite: none.
        far = torch.full((count, len(SOURCES), len(_COSTS), CHOICES), torch.inf)
        for i in range(len(SOURCES)):
            far[:, i, :, 1 + i] = 0
        for node in range(NODES):
            index = cells.inputs[:, node][:, None, None, :].expand(-1, *far.shape[1:3], -1)
            best = far.gather(3, index).amin(-1) + sign * step[:, None, :, node]
            far[..., FIRST + node] = torch.where(
                cells.operations[:, node, None, None] > 0, best, torch.inf
            )
        for state in range(STATES):
            place = torch.where(cells.outputs[:, state] > 0, cells.outputs[:, state] - 1 + FIRST, 0)
            found = far.gather(3, place[:, None, None, None].expand(-1, *far.shape[1:3], 1))[..., 0]
            found = torch.where(found.isinf(), _UNREACHED, sign * found)
            for i, source in enumerate(SOURCES):
                for j, what in enumerate(_COSTS):
                    yield f"{label} {what} from {source} to h_new_{state}", found[:, i, j]
