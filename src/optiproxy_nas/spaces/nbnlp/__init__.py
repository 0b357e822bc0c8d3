"""NAS-Bench-NLP (Klyuchnikov et al. 2022): cells of recurrent networks, as recipes.

A code has 16 operations (``absent`` for unused nodes), three input choices for each node, and the
nodes that make the hidden states. All codes that come out are canonical: nodes by level, operation
and place in the graph (``grammar``). α chooses the operations, β each input and each maker of a
state, one group of logits a choice (``graph``).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import Candidates, Encoding, Graph, Logits, as_list
from optiproxy_nas.spaces.graph_space import GraphSpace
from optiproxy_nas.spaces.nbnlp import grammar
from optiproxy_nas.spaces.nbnlp.grammar import NODES, OPERATIONS, Cells
from optiproxy_nas.spaces.nbnlp.graph import NUM_EDGES, VERTICES, one_hot, recipe_graph, soft_edges
from optiproxy_nas.spaces.nbnlp.neighbours import one_change_neighbours, renumbered
from optiproxy_nas.spaces.nbnlp.recipes import draw_recipe, parse_recipe, to_recipe
from optiproxy_nas.spaces.nbnlp.sampling import draw_complete
from optiproxy_nas.spaces.relaxation import gumbel_softmax


class NASBenchNLP(GraphSpace):
    """The recipes of up to 16 nodes and three hidden states that keep the rules of ``grammar``."""

    name = "nbnlp"
    operations: tuple[str, ...] = OPERATIONS
    node_labels = tuple(f"node {i}" for i in range(NODES))
    num_nodes = NODES
    num_edges = NUM_EDGES
    code_length = 4 * NODES + grammar.STATES
    num_vertices = VERTICES
    vertex_labels: tuple[str, ...] = (
        *grammar.SOURCES,
        *NODES * ("",),
        *(f"h_new_{state}" for state in range(grammar.STATES)),
    )
    num_features = len(OPERATIONS) + 2
    size: int | None = None

    def random(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw recipes [count, L] from the prior (``sampling``), which imitates the published ones.

        Not uniformly: nearly all codes have all 16 nodes, and only one published recipe has.
        """
        return draw_complete(None, torch.zeros(count, dtype=torch.int64), generator, 1.0)[0]

    def sample(
        self, logits: Logits, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Candidates:
        """Draw ``count`` recipes per group; ``exploration`` mixes every choice with the prior's.

        An input that an operation needs and the draw leaves out, such as the second of a sum, is
        drawn from the rest of its group; a recipe completed so does not count as rejected.
        """
        group = torch.arange(len(logits.alpha)).repeat_interleave(count)
        codes, rejected = draw_complete(logits, group, generator, exploration)
        return Candidates(codes, group, rejected)

    def relax(
        self, logits: Logits, temperature: float, generator: torch.Generator, noise: str
    ) -> Encoding:
        """Draw Gumbel-softmax operations and groups of edges (Eq. 9); ``noise`` has no effect."""
        operations = gumbel_softmax(logits.alpha, temperature, generator)
        return Encoding(operations, soft_edges(logits.beta, temperature, generator))

    def encode(self, codes: Tensor) -> Encoding:
        """Return one-hot operations [n, 16, 8] and one-hot groups of edges [n, E].

        Raises:
            ValueError: a code is out of range.
        """
        cells = grammar.unpack(grammar.canonical_codes(codes))
        operations = torch.nn.functional.one_hot(cells.operations, len(OPERATIONS)).float()
        return Encoding(operations, one_hot(cells))

    def graph(self, encoding: Encoding) -> Graph:
        """Return x, previous states, nodes and new states as 23 vertices (``graph``)."""
        return recipe_graph(encoding)

    def identify(self, codes: Tensor) -> list[Hashable]:
        """Return canonical codes as bytes: equal however the nodes are named and listed."""
        return [*grammar.canonical_rows(codes)]

    def canonical(self, codes: Tensor) -> list[Hashable]:
        """Return ``identify``, with the hidden states 1 and 2 exchanged where that is less."""
        rows = grammar.canonical_rows(codes)
        three = (codes[:, -grammar.STATES :] > 0).all(1).nonzero().flatten()
        swapped = grammar.canonical_rows(grammar.pack(_swapped(grammar.unpack(codes[three]))))
        for row, other in zip(three.tolist(), swapped, strict=True):
            rows[row] = min(rows[row], other)
        return [*rows]

    def isomorphic(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Return the same recipes with nodes and the inputs of sums in another order: [n, L]."""
        grammar.check_range(codes)
        return grammar.pack(renumbered(grammar.unpack(codes), generator))

    def neighbours(self, codes: Tensor) -> Tensor:
        """Return all valid recipes one change away (``neighbours``), each once: codes [m, L]."""
        return one_change_neighbours(grammar.canonical_codes(codes))

    def to_string(self, codes: Tensor) -> list[str]:
        """Return recipes as JSON, keys sorted; plain nodes are node_0, node_1 ... in code order."""
        return [to_recipe(code) for code in grammar.canonical_codes(codes).tolist()]

    def from_string(self, architectures: Sequence[str]) -> Tensor:
        """Parse recipes in JSON, or one, to codes [n, L].

        Raises:
            InvalidArchitectureError: which rule a recipe breaks, and at which node.
        """
        parsed = [parse_recipe(architecture) for architecture in as_list(architectures)]
        codes = torch.tensor(parsed, dtype=torch.int64).reshape(-1, self.code_length)
        return grammar.canonical_codes(codes)

    def draw(self, architecture: str) -> str:
        """Draw one line a node: its name, operation and inputs."""
        return draw_recipe(self.to_string(self.from_string([architecture]))[0])


def _swapped(cells: Cells) -> Cells:
    """Exchange the hidden states 1 and 2 of recipes that have both."""
    names = torch.arange(grammar.CHOICES)
    names[3], names[4] = 4, 3
    return Cells(cells.operations, names[cells.inputs], cells.outputs[:, [0, 2, 1]])
