"""The search space 𝕊 as the method sees it, and helpers that all spaces share.

An architecture has three representations, from the outside in:

* a **string**, the benchmark's own notation;
* a **code**, one row of small integers [L] (operations first, then edge choices), so that n
  architectures are one integer tensor [n, L] and no loop over architectures is needed;
* an **Encoding**, (s_o, s_t) of the paper: operations [n, N, M] and edges [n, E], hard one-hot
  for a discrete architecture and soft for a relaxed one.

Discrete and relaxed architectures reach a proxy through the same ``graph`` function, so they
look alike to it by construction.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from optiproxy_nas.core.errors import InvalidArchitectureError


class Logits(NamedTuple):
    """(α, β) of K groups (Eq. 5, 6): operation logits and edge log-odds."""

    alpha: Tensor  # [K, N, M]
    beta: Tensor  # [K, E]; E = 0 where the adjacency is fixed


class Encoding(NamedTuple):
    """(s_o, s_t) of n architectures, the input of a proxy. Entries lie in [0, 1]."""

    operations: Tensor  # [n, N, M], rows sum to 1
    edges: Tensor  # [n, E]


class Graph(NamedTuple):
    """n encodings as labelled DAGs, for graph proxies (appendix A.8).

    The label of a vertex is its row of features, times the mask: the first entry is 1 for an input,
    the last for an output. In a discrete architecture a row of 0 is padding, and nothing else. No
    edge enters an input or leaves an output, except from the output of one component of the graph
    to an input of the next (two cells). A relaxed architecture fades into the same graph: vertices
    and edges that do not count in the discrete graph do not count in it either.
    """

    features: Tensor  # [n, V, F] in [0, 1], rows of padding are 0
    adjacency: Tensor  # [n, V, V] in [0, 1], row = from, column = to
    mask: Tensor  # [n, V], 1 for a vertex, 0 for padding


class Candidates(NamedTuple):
    """Discrete architectures drawn from the groups (Algorithm 1, line 13)."""

    codes: Tensor  # [n, L] int64
    group: Tensor  # [n] int64, the group k that each was drawn from; -1: not from a group
    rejected: int = 0  # draws discarded because they were no valid architecture


@runtime_checkable
class SearchSpace(Protocol):
    """What a new search space implements, in one file.

    ``optiproxy_nas.testing.check_search_space`` checks it. Where all positions have the same
    operations and there is a graph, :class:`~optiproxy_nas.spaces.graph_space.GraphSpace` has four
    of the members.

    Attributes:
        name: the registered name.
        operations: the M candidate operations, in code order.
        node_labels: the N searched nodes by name, for figures.
        num_nodes: N, the nodes whose operation is searched.
        num_edges: E, the free edge variables (0: fixed adjacency).
        code_length: L, the length of an architecture's integer code.
        num_vertices: V of ``graph``; 0: the space has no graph.
        num_features: F of ``graph``.
        vertex_labels: captions of the V vertices of ``graph``, for figures; "" for one that stands
            for a searched operation. "component: name" where the graph has components (two cells).
        size: distinct architectures in the space, or None where that is not countable.
    """

    name: str
    operations: tuple[str, ...]
    node_labels: tuple[str, ...]
    num_nodes: int
    num_edges: int
    code_length: int
    num_vertices: int
    num_features: int
    vertex_labels: tuple[str, ...]
    size: int | None

    @property
    def allowed(self) -> Tensor:
        """Return which operations each position has: bool [N, M], at least one a row.

        Logits of the others stay finite and count for nothing.
        """
        ...

    @property
    def option_labels(self) -> tuple[tuple[str, ...], ...]:
        """Return what the operations of each position are called, for figures: [N][M] strings.

        "" where they are not allowed.
        """
        ...

    def __hash__(self) -> int:
        """Hash the space; functions of spaces are cached."""
        ...

    def random(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` valid architectures: codes [count, L].

        As the space's own paper draws them, uniformly where it says nothing.
        """
        ...

    def sample(
        self, logits: Logits, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Candidates:
        """Draw ``count`` valid architectures per group from s(α, β), Eq. 5 and 6.

        ``exploration`` in [0, 1] mixes every choice with that of ``random``; at 1 both draw from
        the same distribution.
        """
        ...

    def relax(
        self, logits: Logits, temperature: float, generator: torch.Generator, noise: str
    ) -> Encoding:
        """Draw one differentiable sample per group from ŝ(α, β), Eq. 9 and 10: K encodings."""
        ...

    def encode(self, codes: Tensor) -> Encoding:
        """Return the hard encodings of codes [n, L]."""
        ...

    def features(self, encoding: Encoding) -> Tensor:
        """Return n hard or soft encodings as vectors [n, D], differentiable in both fields.

        The input of a proxy that uses no graph; different architectures differ in it.
        """
        ...

    def graph(self, encoding: Encoding) -> Graph:
        """Return the labelled DAGs of hard or soft encodings, differentiable in both fields.

        Raises:
            ParameterError: the space has no graph (``missing_graph``).
        """
        ...

    def identify(self, codes: Tensor) -> list[Hashable]:
        """Return n identities: equal where the benchmark has one answer, charged once."""
        ...

    def canonical(self, codes: Tensor) -> list[Hashable]:
        """Return n identities of computed functions: equal where the networks are the same."""
        ...

    def isomorphic(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Return each of codes [n, L] with its vertices or operands in another order: [n, L].

        The network stays the same, so ``canonical`` is equal, and where the benchmark does not
        distinguish the orders ``identify`` is too. Drawn at random where there are several other
        orders; the code itself where there is none.
        """
        ...

    def neighbours(self, codes: Tensor) -> Tensor:
        """Return all valid one-change neighbours of each of codes [n, L], concatenated: [m, L]."""
        ...

    def to_string(self, codes: Tensor) -> list[str]:
        """Return codes [n, L] in the benchmark's notation."""
        ...

    def from_string(self, architectures: Sequence[Any]) -> Tensor:
        """Parse the benchmark's notation to codes [n, L]; a single string is a list of one.

        What ``architecture`` gives for a string is read as that string is.

        Raises:
            InvalidArchitectureError: which architecture breaks which rule.
        """
        ...

    def architecture(self, text: str) -> Any:
        """Return an architecture as an evaluation takes it: its string, or a plain object."""
        ...

    def draw(self, architecture: str) -> str:
        """Return a small text drawing of one architecture, for a terminal."""
        ...


def check_codes(codes: Tensor, choices: Tensor, rule: str) -> None:
    """Check the shape and range of codes.

    Args:
        codes: [n, L].
        choices: [L], the number of choices at each position; valid numbers are 0 to that less 1.
        rule: one sentence that says what a code of the space is, for the message.

    Raises:
        ValueError: codes have another length, or a number is out of range: which.
    """
    if codes.dim() != 2 or codes.shape[1] != len(choices):
        raise ValueError(f"{rule} Its shape is [n, {len(choices)}], not {list(codes.shape)}.")
    if not len(codes):
        return
    least, most = torch.aminmax(codes, dim=0)
    if bool(((least < 0) | (most >= choices)).any()):
        row, place = (int(i) for i in ((codes < 0) | (codes >= choices)).nonzero()[0])
        raise ValueError(
            f"{rule} Place {place} of code {row} is {int(codes[row, place])}; it can be 0 to "
            f"{int(choices[place]) - 1}."
        )


def operation_moves(codes: Tensor, positions: int, choices: int) -> Tensor:
    """Return each of codes [n, L] with another operation at one of its first ``positions``.

    [n, positions · (choices - 1), L]: position by position.
    """
    row = torch.arange(positions * (choices - 1))
    position, shift = row // (choices - 1), row % (choices - 1) + 1
    changed = codes.unsqueeze(1).repeat(1, len(row), 1)
    changed[:, row, position] = (changed[:, row, position] + shift) % choices
    return changed


def as_list(architectures: Any) -> Sequence[Any]:
    """Return architectures as a list; a single string is a list of one.

    Raises:
        InvalidArchitectureError: neither a string nor an iterable.
    """
    if isinstance(architectures, str):
        return [architectures]
    if not isinstance(architectures, Iterable):
        raise InvalidArchitectureError(
            f"from_string takes a list of architecture strings, or one string; not "
            f"{architectures!r}.",
            architecture=architectures,
        )
    return list(architectures)
