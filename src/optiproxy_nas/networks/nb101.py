"""NAS-Bench-101 cells as networks (Ying et al. 2019, sections 2.1 and 2.3, appendix S3).

A stem, three stages of three cells with 128, 256 and 512 channels, max pooling between them, global
average pooling and a linear layer. In a cell every vertex adds up its inputs: those from the cell's
input by a projection (1 by 1, to the vertex's channels), the others cut to its channels. The output
concatenates the vertices that feed it and adds the projected input where that feeds it, too.

The vertices that feed the output share its channels. Where these cannot be divided evenly, the
first vertices have one more, and which are first depends on the order in which a cell is written:
some counts of parameters of the published table are those of another order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import product

import torch
from pydantic import Field
from torch import Tensor, nn

from optiproxy_nas.networks.base import CellNetwork, Mixture, Skeleton, added
from optiproxy_nas.networks.layers import classifier, conv_bn_relu, stem
from optiproxy_nas.spaces.nb101.isomorphism import INNER, OPERATIONS, PAIRS, VERTICES, on_paths

LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "conv3x3-bn-relu": lambda channels: conv_bn_relu(channels, channels, 3),
    "conv1x1-bn-relu": lambda channels: conv_bn_relu(channels, channels, 1),
    "maxpool3x3": lambda channels: nn.MaxPool2d(3, stride=1, padding=1),
}
OUTPUT = VERTICES - 1
VERTEX = range(1, OUTPUT)

Pair = tuple[int, int]


class NB101Skeleton(Skeleton):
    """The skeleton of the benchmark's paper: 128, 256 and 512 channels, three cells each."""

    channels: int = Field(default=128, ge=INNER, description="of the first stage's cells")
    cells: int = Field(default=3, ge=1, description="cells a stage")


def vertex_channels(channels: int, edges: Collection[Pair]) -> dict[int, int]:
    """Return the channels of each vertex that has one, and of the output.

    Args:
        channels: of the output.
        edges: (from, to), all on paths from input to output.
    """
    widths = {OUTPUT: channels}
    direct = [vertex for vertex in VERTEX if (vertex, OUTPUT) in edges]
    for place, vertex in enumerate(direct):
        share, rest = divmod(channels, len(direct))
        widths[vertex] = share + (place < rest)
    for vertex in reversed(VERTEX):
        if vertex not in direct and any(source == vertex for source, _ in edges):
            widths[vertex] = max(widths[end] for source, end in edges if source == vertex)
    return dict(sorted(widths.items()))


class Cell(nn.Module):
    """A discrete cell: only the vertices and projections that it has.

    Args:
        inputs, outputs: channels of its input and output.
        operations: the name of each vertex's operation, of those unused too.
        edges: (from, to), all on paths from input to output.
    """

    def __init__(
        self, inputs: int, outputs: int, operations: dict[int, str], edges: Collection[Pair]
    ) -> None:
        super().__init__()
        self.edges = frozenset(edges)
        self.widths = vertex_channels(outputs, edges)
        self.projections = nn.ModuleDict(
            {
                str(vertex): conv_bn_relu(inputs, width, 1)
                for vertex, width in self.widths.items()
                if (0, vertex) in edges
            }
        )
        self.vertices = nn.ModuleDict(
            {
                str(vertex): Mixture({operations[vertex]: LAYERS[operations[vertex]](width)})
                for vertex, width in self.widths.items()
                if vertex != OUTPUT
            }
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, h, w]."""
        values: dict[int, Tensor] = {}
        for vertex, width in self.widths.items():
            sources = [source for source in values if (source, vertex) in self.edges]
            if vertex == OUTPUT:
                terms = [torch.cat([values[source] for source in sources], 1)] if sources else []
            else:
                terms = [values[source][:, :width] for source in sources]
            if (0, vertex) in self.edges:
                terms.append(self.projections[str(vertex)](inputs))
            total = added(terms)
            values[vertex] = total if vertex == OUTPUT else self.vertices[str(vertex)](total)
        return values[OUTPUT]


class RelaxedCell(nn.Module):
    """All vertices and projections with all the output's channels, of which masks let some pass.

    Which vertices feed the output decides what channels each has. A relaxed cell weighs all 32
    possibilities by their probability, each edge to the output being there with its weight.
    """

    feeds: Tensor  # [32, 5], which vertices feed the output
    extra: Tensor  # [32, 5], those of them that have one channel more
    shared: Tensor  # [32, channels], the channels that each vertex has
    one_more: Tensor  # [32, channels], the next one
    places: Tensor  # [31 * channels], where in [outputs, 5 * channels] the concatenations are

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.projections = nn.ModuleDict(
            {str(vertex): conv_bn_relu(inputs, outputs, 1) for vertex in range(1, VERTICES)}
        )
        self.vertices = nn.ModuleDict(
            {
                str(vertex): Mixture({name: LAYERS[name](outputs) for name in OPERATIONS})
                for vertex in VERTEX
            }
        )
        feeds = torch.tensor([*product((0, 1), repeat=INNER)])
        count = feeds.sum(1, keepdim=True)
        share, rest = outputs // count.clamp(min=1), outputs % count.clamp(min=1)
        extra = feeds * (feeds.cumsum(1) <= rest)
        widths = feeds * share + extra
        channel = torch.arange(outputs)
        ends = widths.cumsum(1)[1:]  # of none there is nothing to concatenate
        vertex = (channel >= ends.unsqueeze(-1)).sum(1)  # [31, channels], that a channel is of
        start = (ends - widths[1:]).gather(1, vertex)
        places = channel * INNER * outputs + vertex * outputs + channel - start
        tensors = {
            "feeds": 1.0 * feeds,
            "extra": 1.0 * extra,
            "shared": 1.0 * ((channel < share) & (count > 0)),
            "one_more": 1.0 * (channel == share),
            "places": places.flatten(),
        }
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, inputs: Tensor, operations: Tensor, edges: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, h, w].

        Args:
            inputs: of the cell.
            operations: [5, 3], the weights of operations.
            edges: [21], the extent to which each pair is on a path from input to output.
        """
        weight = {pair: edges[row] for row, pair in enumerate(PAIRS)}
        to_output = torch.stack([weight[vertex, OUTPUT] for vertex in VERTEX])
        chance = torch.where(self.feeds > 0, to_output, 1 - to_output).prod(1)  # [32]
        masks = self._masks(weight, chance)
        values: dict[int, Tensor] = {}
        for vertex in VERTEX:
            terms = [weight[0, vertex] * self.projections[str(vertex)](inputs)]
            terms += [weight[source, vertex] * value for source, value in values.items()]
            mask = masks[vertex].reshape(-1, 1, 1)
            mixture = self.vertices[str(vertex)]
            values[vertex] = mask * mixture(mask * added(terms), operations[vertex - 1])
        channels = self.shared.shape[1]
        concatenation = chance.new_zeros(channels * INNER * channels)
        concatenation = concatenation.index_add(
            0, self.places, chance[1:].repeat_interleave(channels)
        )
        joined = nn.functional.conv2d(
            torch.cat(list(values.values()), 1), concatenation.reshape(channels, -1, 1, 1)
        )
        outputs: Tensor = joined + weight[0, OUTPUT] * self.projections[str(OUTPUT)](inputs)
        return outputs

    def _masks(self, weight: dict[Pair, Tensor], chance: Tensor) -> dict[int, Tensor]:
        """Return which channels each vertex has: [channels] in [0, 1]."""
        extra: dict[int, Tensor] = {}  # [32] each, that a vertex has one channel more
        for vertex in reversed(VERTEX):
            without = torch.ones_like(chance)
            for end, its_extra in extra.items():
                without = without * (1 - weight[vertex, end] * its_extra)
            is_direct = self.feeds[:, vertex - 1] > 0
            extra[vertex] = torch.where(is_direct, self.extra[:, vertex - 1], 1 - without)
        return {
            vertex: chance @ self.shared + (chance * extra[vertex]) @ self.one_more
            for vertex in VERTEX
        }


class NB101Network(CellNetwork):
    """A network of one NAS-Bench-101 cell, or a relaxed one."""

    space = "nb101"
    settings = NB101Skeleton

    def __init__(self, skeleton: NB101Skeleton, code: Tensor | None = None) -> None:
        super().__init__(skeleton, code)
        channels = skeleton.channels
        self.stem = nn.Sequential(stem(skeleton.stem, skeleton.input_channels, channels), nn.ReLU())
        self.layers = nn.ModuleList()
        inputs = channels
        for stage in range(skeleton.stages):
            if stage:
                self.layers.append(nn.MaxPool2d(2, ceil_mode=True))
                channels *= 2
            for _ in range(skeleton.cells):
                self.layers.append(_cell(inputs, channels, code))
                inputs = channels
        self.classifier = classifier(channels, skeleton.classes)

    def compute(self, images: Tensor, operations: Tensor | None, edges: Tensor | None) -> Tensor:
        """Map images to outputs [n, classes]; weights [5, 3] and [21] of a relaxed network."""
        kept = None if edges is None else on_paths(edges.unsqueeze(0))[0][0]
        features = self.stem(images)
        for layer in self.layers:
            is_relaxed = isinstance(layer, RelaxedCell)
            features = layer(features, operations, kept) if is_relaxed else layer(features)
        outputs: Tensor = self.classifier(features)
        return outputs


def _cell(inputs: int, outputs: int, code: Tensor | None) -> nn.Module:
    if code is None:
        return RelaxedCell(inputs, outputs)
    kept = on_paths(code[None, INNER:].float())[0][0].tolist()
    operations = {v: OPERATIONS[i] for v, i in zip(VERTEX, code[:INNER].tolist(), strict=True)}
    edges = [pair for pair, is_kept in zip(PAIRS, kept, strict=True) if is_kept]
    return Cell(inputs, outputs, operations, edges)
