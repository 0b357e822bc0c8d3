"""NAS-Bench-201 cells as networks (Dong & Yang 2020, section 2.1 and figure 1).

A stem, three stages of five cells, a residual block with stride 2 between them, batch
normalisation, ReLU, global average pooling and a linear layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field
from torch import Tensor, nn

from optiproxy_nas.networks.base import CellNetwork, Mixture, Skeleton, added
from optiproxy_nas.networks.layers import Zero, average_pool, classifier, relu_conv_bn, stem
from optiproxy_nas.spaces.nb201 import EDGES, OPERATIONS

LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: Zero(),
    "skip_connect": lambda channels: nn.Identity(),
    "nor_conv_1x1": lambda channels: relu_conv_bn(channels, channels, 1),
    "nor_conv_3x3": lambda channels: relu_conv_bn(channels, channels, 3),
    "avg_pool_3x3": lambda channels: average_pool(),
}


class NB201Skeleton(Skeleton):
    """The skeleton of the benchmark's paper: 16, 32 and 64 channels, five cells each."""

    channels: int = Field(default=16, ge=1, description="of the first stage's cells")
    cells: int = Field(default=5, ge=1, description="cells a stage, without the residual blocks")


class Cell(nn.Module):
    """Four nodes, each the sum of what its edges from all nodes before it give.

    Args:
        channels: of input and output.
        choices: the operations of each of the six edges: one, or all of a relaxed cell.
    """

    def __init__(self, channels: int, choices: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            Mixture({name: LAYERS[name](channels) for name in names}) for names in choices
        )

    def forward(self, inputs: Tensor, operations: Tensor | None = None) -> Tensor:
        """Map [n, channels, h, w] to the same shape; ``operations`` [6, 5] of a relaxed cell."""
        nodes = [inputs]
        for target in (1, 2, 3):
            terms = [
                mixture(nodes[source], None if operations is None else operations[edge])
                for edge, ((source, end), mixture) in enumerate(zip(EDGES, self.edges, strict=True))
                if end == target
            ]
            nodes.append(added(terms))
        return nodes[-1]


class ResidualBlock(nn.Module):
    """Halve the side and change the channels: two convolutions, and a pooled shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = relu_conv_bn(inputs, outputs, 3, stride=2)
        self.second = relu_conv_bn(outputs, outputs, 3)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True),  # of an odd side the last row is pooled alone
            nn.Conv2d(inputs, outputs, 1, bias=False),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, h / 2, w / 2], rounded up."""
        output: Tensor = self.shortcut(inputs) + self.second(self.first(inputs))
        return output


class NB201Network(CellNetwork):
    """A network of one NAS-Bench-201 cell, or a relaxed one."""

    space = "nb201"
    settings = NB201Skeleton

    def __init__(self, skeleton: NB201Skeleton, code: Tensor | None = None) -> None:
        super().__init__(skeleton, code)
        choices: list[tuple[str, ...]] = (
            [OPERATIONS] * len(EDGES) if code is None else [(OPERATIONS[i],) for i in code.tolist()]
        )
        channels = skeleton.channels
        self.stem = stem(skeleton.stem, skeleton.input_channels, channels)
        self.layers = nn.ModuleList()
        for stage in range(skeleton.stages):
            if stage:
                self.layers.append(ResidualBlock(channels, 2 * channels))
                channels *= 2
            self.layers.extend(Cell(channels, choices) for _ in range(skeleton.cells))
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = classifier(channels, skeleton.classes)

    def compute(
        self, images: Tensor, operations: Tensor | None, edges: Tensor | None = None
    ) -> Tensor:
        """Map images to outputs [n, classes]; ``operations`` [6, 5] of a relaxed network."""
        features = self.stem(images)
        for layer in self.layers:
            features = layer(features, operations) if isinstance(layer, Cell) else layer(features)
        outputs: Tensor = self.classifier(self.last(features))
        return outputs
