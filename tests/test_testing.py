"""The conformance checks pass what is sound and name what is broken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.proxies import PROXIES
from optiproxy_nas.proxies.mlp import MLP
from optiproxy_nas.spaces import SPACES, Encoding, Graph, Logits, get_space
from optiproxy_nas.spaces.base import Candidates
from optiproxy_nas.spaces.nb101 import NASBench101
from optiproxy_nas.spaces.nb101.isomorphism import reach
from optiproxy_nas.spaces.nb201 import NASBench201
from optiproxy_nas.spaces.nb301 import NASBench301
from optiproxy_nas.spaces.nbnlp import NASBenchNLP
from optiproxy_nas.spaces.nbnlp.grammar import NODES, Op
from optiproxy_nas.testing import check_proxy, check_search_space
from optiproxy_nas.testing.sampling_checks import check_alike
from tiny_space import TinySpace

pytestmark = pytest.mark.heavy

NEED_NO_GRAPH = (
    "autoregressive_mlp",
    "gaussian_process",
    "gaussian_process_measuring",
    "graph_mlp",
    "mlp",
)


@pytest.mark.parametrize(
    ("name", "seed"),
    [*((name, 0) for name in SPACES), *(("tiny_space:TinySpace", k) for k in (0, 1))],
)
def test_spaces_conform(name: Any, seed: Any) -> None:
    check_search_space(get_space(name), seed)


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("space", [*SPACES, "tiny_space:TinySpace"])
def test_proxies_conform(name: Any, space: Any) -> None:
    if not (get_space(space).num_vertices or name in NEED_NO_GRAPH):
        with pytest.raises(ParameterError, match="has no graph"):
            check_proxy(PROXIES.load(name), get_space(space))
        return
    if (name, space) == ("path_mlp", "nbnlp"):  # 8^16 sequences of operations
        with pytest.raises(ParameterError, match="truncated_path_mlp"):
            check_proxy(PROXIES.load(name), get_space(space))
        return
    check_proxy(PROXIES.load(name), get_space(space))


class GlobalRandom(TinySpace):
    def random(self, count: int, generator: torch.Generator) -> Any:
        torch.rand(1)
        return super().random(count, generator)


class IgnoresGenerator(TinySpace):
    def random(self, count: int, generator: torch.Generator) -> Any:
        return super().random(count, torch.Generator().manual_seed(0))


class WrongOrder(TinySpace):
    def to_string(self, codes: Any) -> Any:
        return super().to_string(codes[:, [1, 0, 2, 3, 4]])


class MergesIdentities(TinySpace):
    def identify(self, codes: Any) -> Any:
        return [tuple(code[1:]) for code in codes.tolist()]


class UnstableFunction(TinySpace):
    def canonical(self, codes: Any) -> Any:
        return [(row, *code) for row, code in enumerate(codes.tolist())]


class OwnNeighbour(TinySpace):
    def neighbours(self, codes: Any) -> Any:
        return torch.cat([super().neighbours(codes), codes])


class IgnoresLogits(TinySpace):
    def sample(
        self, logits: Any, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Any:
        flat = Logits(logits.alpha * 0, logits.beta * 0)
        return super().sample(flat, count, generator, exploration)


class NeverExplores(TinySpace):
    def sample(
        self, logits: Any, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Any:
        return super().sample(logits, count, generator)


class NoneIsTooFew(TinySpace):
    def random(self, count: int, generator: torch.Generator) -> Any:
        return super().random(count // count * count, generator)


class RareEdges(TinySpace):
    """``random`` has each edge in one architecture of ten; exploration never has the last."""

    def random(self, count: int, generator: torch.Generator) -> Any:
        codes = super().random(count, generator)
        codes[:, 2:] = torch.rand(count, 3, generator=generator) < 0.1
        return codes

    def sample(
        self, logits: Any, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Any:
        drawn = super().sample(logits, count, generator, exploration)
        if exploration == 1:
            drawn.codes[:, 2:] = self.random(len(drawn.codes), generator)[:, 2:]
            drawn.codes[:, 4] = 0
        return drawn


class HardEdges(TinySpace):
    def relax(self, logits: Any, temperature: Any, generator: torch.Generator, noise: Any) -> Any:
        soft = super().relax(logits, temperature, generator, noise)
        return Encoding(soft.operations, (soft.edges > 0.5).to(soft.edges))


class DetachedEdges(TinySpace):
    def graph(self, encoding: Any) -> Any:
        return super().graph(Encoding(encoding.operations, encoding.edges.detach()))


class WrongGradient(TinySpace):
    def graph(self, encoding: Any) -> Any:
        doubled = encoding.edges * 2 - encoding.edges.detach()
        return super().graph(Encoding(encoding.operations, doubled))


class OneWrongGradient(TinySpace):
    """By 0.2 %, of one edge of three."""

    def graph(self, encoding: Any) -> Any:
        slope = torch.tensor([1.0, 1.002, 1.0]).to(encoding.edges)
        edges = encoding.edges * slope + encoding.edges.detach() * (1 - slope)
        return super().graph(Encoding(encoding.operations, edges.clamp(max=1)))


class Cyclic(TinySpace):
    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = super().graph(encoding)
        return Graph(features, (adjacency + adjacency.transpose(-1, -2)).clamp(max=1), mask)


class LosesOperation(TinySpace):
    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = super().graph(encoding)
        features = features.clone()
        features[:, 2] = features[:, 1]
        return Graph(features, adjacency, mask)


class ForgetsTemperature(TinySpace):
    def relax(self, logits: Any, temperature: Any, generator: torch.Generator, noise: Any) -> Any:
        return super().relax(logits, max(temperature, 0.1), generator, noise)


def transposed(space: Any) -> Any:
    """The kind of space whose adjacency has a row for the vertex to which edges go."""

    class TransposedGraph(space):  # type: ignore[misc]
        def graph(self, encoding: Any) -> Any:
            features, adjacency, mask = super().graph(encoding)
            return Graph(features, adjacency.transpose(-1, -2), mask)

    return TransposedGraph


def unmasked(space: Any) -> Any:
    class Unmasked(space):  # type: ignore[misc]
        def graph(self, encoding: Any) -> Any:
            features, adjacency, mask = super().graph(encoding)
            return Graph(features, adjacency, torch.ones_like(mask))

    return Unmasked


class OperationsFirst(TinySpace):
    """Labels are operations, input, output."""

    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = super().graph(encoding)
        return Graph(features[..., [1, 2, 3, 0, 4]], adjacency, mask)


class UnlabelledOutput(TinySpace):
    """The output looks like an operation."""

    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = super().graph(encoding)
        features = features.clone()
        features[:, 3] = features[:, 3].roll(-1, -1)
        return Graph(features, adjacency, mask)


class NotPruned(NASBench101):
    """Canonical cells look right, relaxed ones keep the edges of dead ends."""

    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = super().graph(encoding)
        whole = (encoding.edges @ self._spread.to(encoding.edges)).reshape(adjacency.shape)
        return Graph(features, whole, mask)


class DeadEnds(NASBench101):
    """What is reached from the input counts, whether or not it reaches the output."""

    def graph(self, encoding: Any) -> Any:
        features, adjacency, _ = super().graph(encoding)
        reached = torch.nn.functional.pad(reach(encoding.edges)[0][:, 1:-1], (1, 1), value=1.0)
        features = features.clone()
        features[:, 1:-1, 1:-1] = encoding.operations * reached[:, 1:-1].unsqueeze(-1)
        return Graph(features, adjacency, reached)


class AbsentNodes(NASBenchNLP):
    """Every node that is not absent counts, whether or not it leads to a state."""

    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = super().graph(encoding)
        nodes = slice(4, 4 + NODES)
        features, mask = features.clone(), mask.clone()
        mask[:, nodes] = 1 - encoding.operations[..., 0]
        features[:, nodes, 1:-1] = encoding.operations * mask[:, nodes].unsqueeze(-1)
        return Graph(features, adjacency, mask)


class NeverRejects(NASBench101):
    def sample(
        self, logits: Any, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Any:
        return Candidates(*super().sample(logits, count, generator, exploration)[:2])


class Repairs(TinySpace):
    """Node b always has an input: where the logits leave it none, it gets one, untold."""

    def random(self, count: int, generator: torch.Generator) -> Any:
        return self.repaired(super().random(count, generator))

    def sample(
        self, logits: Any, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Any:
        codes, group, _ = super().sample(logits, count, generator, exploration)
        return Candidates(self.repaired(codes), group)

    def repaired(self, codes: Any) -> Any:
        codes[:, 2] |= 1 - codes[:, 3]
        return codes


class AcceptsNonsense(TinySpace):
    def from_string(self, architectures: Any) -> Any:
        if architectures and architectures[0].startswith("this"):
            return torch.zeros(len(architectures), 5, dtype=torch.int64)
        return super().from_string(architectures)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (GlobalRandom, "global random"),
        (IgnoresGenerator, "random: ignores its generator"),
        (WrongOrder, "strings do not survive"),
        (MergesIdentities, "tell the same architectures apart"),
        (UnstableFunction, "canonical"),
        (OwnNeighbour, "neighbours: the architecture itself"),
        (IgnoresLogits, "sample: does not follow the logits"),
        (NeverExplores, "at exploration 1"),
        (RareEdges, "edges at exploration 1 are not as random has them: entry 2 is 0.000"),
        (NoneIsTooFew, "random of 0 architectures fails: ZeroDivisionError"),
        (HardEdges, "gradient"),
        (DetachedEdges, "no gradient reaches beta|gradient of beta"),
        (WrongGradient, "finite differences"),
        (OneWrongGradient, "finite differences"),
        (Cyclic, "cycle"),
        (LosesOperation, "look the same"),
        (transposed(TinySpace), "an edge enters an input; a row of the adjacency"),
        (transposed(NASBench101), "an edge enters an input"),
        (transposed(NASBench201), "an edge enters an input"),
        (transposed(NASBench301), "an edge enters an input"),
        (transposed(NASBenchNLP), "an edge enters an input"),
        (OperationsFirst, "an edge enters an input"),
        (UnlabelledOutput, "no vertex is labelled output"),
        (unmasked(TinySpace), "a vertex without any label is not masked"),
        (unmasked(NASBench101), "a vertex without any label is not masked"),
        (NotPruned, "relaxed encodings whose .* one choice: an edge touches a padding vertex"),
        (DeadEnds, "the relaxed graph is not that of the architecture that is sampled, .*/"),
        (AbsentNodes, "the relaxed graph is not that of the architecture that is sampled"),
        (NeverRejects, "rejected is 0, though"),
        (Repairs, "or was the draw replaced, and rejected is 0"),
        (ForgetsTemperature, "not discrete"),
        (AcceptsNonsense, "nonsense"),
    ],
)
def test_broken_spaces_are_named(broken: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_search_space(broken())


def test_a_rare_choice_that_exploration_never_makes_is_noticed() -> None:
    """On NAS-Bench-NLP hardly any choice is made often enough for its absence to be a wide gap."""
    space = NASBenchNLP()
    one, other = (space.random(1000, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    check_alike(space, one, other)
    wrong = one.clone()
    late = wrong[:, 6:NODES]
    late[late == Op.LEAKY_RELU] = Op.TANH
    gaps = [
        float((first.mean(0) - second.mean(0)).abs().max())
        for first, second in zip(space.encode(wrong), space.encode(other), strict=True)
    ]
    assert max(gaps) < 0.15, "not a rare choice"
    with pytest.raises(AssertionError, match="not as random has them"):
        check_alike(space, wrong, other)


class Global(MLP):
    def __init__(self, space: Any, settings: Any, generator: torch.Generator, heads: Any) -> None:
        torch.rand(1)
        super().__init__(space, settings, generator, heads)


class OwnRandom(MLP):
    def __init__(self, space: Any, settings: Any, generator: torch.Generator, heads: Any) -> None:
        super().__init__(space, settings, torch.Generator().manual_seed(0), heads)


class Transposed(MLP):
    def forward(self, encoding: Any) -> Any:
        return super().forward(encoding).transpose(-1, -2)


class OneHead(MLP):
    """As a proxy was before there were objectives with several heads."""

    def __init__(self, space: Any, settings: Any, generator: torch.Generator, heads: Any) -> None:
        super().__init__(space, settings, generator, 1)


class FlatHead(MLP):
    def forward(self, encoding: Any) -> Any:
        return super().forward(encoding)[:, 0]


class EqualHeads(MLP):
    def forward(self, encoding: Any) -> Any:
        output = super().forward(encoding)
        return output[:, :1].expand_as(output)


class NoEdges(MLP):
    def forward(self, encoding: Any) -> Any:
        return super().forward(Encoding(encoding.operations, encoding.edges * 0))


class Rounded(MLP):
    def forward(self, encoding: Any) -> Any:
        return super().forward(Encoding(encoding.operations.round(), encoding.edges.round()))


class BatchMean(MLP):
    def forward(self, encoding: Any) -> Any:
        output = super().forward(encoding)
        return output - output.mean(-1, keepdim=True)


class SharedWeight(MLP):
    def __init__(self, space: Any, settings: Any, generator: torch.Generator, heads: Any) -> None:
        super().__init__(space, settings, generator, heads)
        self.shared = nn.Parameter(torch.ones(()))

    def forward(self, encoding: Any) -> Any:
        return super().forward(encoding) * self.shared


class EqualMembers(MLP):
    def forward(self, encoding: Any) -> Any:
        output = super().forward(encoding)
        return output[:1].expand_as(output)


class NotFinite(MLP):
    def forward(self, encoding: Any) -> Any:
        return super().forward(encoding) / (encoding.operations.amax((-1, -2)) == 1)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Global, "global random"),
        (OwnRandom, "weights ignore the generator"),
        (Transposed, "shape"),
        (OneHead, r"shape \(3, 1, 32\), not \[members, heads, n\] = \(3, 2, 32\)"),
        (FlatHead, r"shape \(3, 32\)"),
        (EqualHeads, "heads are equal"),
        (NoEdges, "gradient in edges is zero"),
        (Rounded, "gradient in operations is zero"),
        (BatchMean, "rest of the batch"),
        (SharedWeight, "share the weights 'shared'"),
        (EqualMembers, "members are equal"),
        (NotFinite, "predictions of soft encodings"),
    ],
)
def test_broken_proxies_are_named(broken: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_proxy(broken, TinySpace())
