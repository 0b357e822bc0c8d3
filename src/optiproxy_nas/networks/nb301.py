"""DARTS cells as networks (Liu et al. 2019), with the skeleton of NAS-Bench-301 (2020).

A stem, stages of normal cells with a reduction cell between them, global average pooling and a
linear layer. A cell takes the outputs of the two cells before it, each brought to its channels;
a reduction cell doubles the channels and halves the side. Auxiliary heads are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from optiproxy_nas.networks.base import CellNetwork, Mixture, Skeleton, added
from optiproxy_nas.networks.layers import average_pool, classifier, relu_conv_bn, stem
from optiproxy_nas.spaces.nb301.darts_cell import CHOICES, NODES, OPERATIONS, PAIRS, SLOTS

# The edges of a relaxed cell: (node, input), the nodes counted from 0 and the inputs as in PAIRS.
EDGES = tuple((node, source) for node in range(NODES) for source in range(node + 2))
STEM_MULTIPLIER = 3  # of the stem's channels for small images, as in DARTS


def _edges_of_pairs() -> Tensor:
    """Return which slot takes which edge, for each pair of inputs: [14 edges, 8 slots, 20]."""
    taken = torch.zeros(len(EDGES), SLOTS, sum(CHOICES))
    numbered = [(node, pair) for node, pairs in enumerate(PAIRS) for pair in pairs]
    for number, (node, pair) in enumerate(numbered):
        for slot, source in enumerate(pair):
            taken[EDGES.index((node, source)), 2 * node + slot, number] = 1
    return taken


class NB301Skeleton(Skeleton):
    """The skeleton of the benchmark: 32 channels, eight cells, two of which are reduction cells."""

    channels: int = Field(default=32, ge=2, description="of the first stage's cells")
    cells: int = Field(default=2, ge=1, description="normal cells a stage")
    drop_path: float = Field(
        default=0.0, ge=0, lt=1, description="share of outputs of edges dropped in training"
    )

    @property
    def least_side(self) -> int:
        """Return the least side of an image; the stem for large ones halves it three times."""
        return super().least_side * (2 if self.stem == "imagenet" else 1)


class FactorizedReduce(nn.Module):
    """Halve the side: two convolutions 1 by 1 of stride 2, one of them shifted by a pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(inputs, half, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - half, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, h / 2, w / 2], rounded up."""
        active = self.relu(inputs)
        shifted = nn.functional.pad(active, (0, 1, 0, 1))[:, :, 1:, 1:]
        output: Tensor = self.norm(torch.cat([self.even(active), self.odd(shifted)], 1))
        return output


def _depthwise(channels: int, kernel: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    """Return ReLU, depthwise and pointwise convolution, and batch normalisation."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(
            channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    ]


def _separable(kernel: int) -> Callable[[int, int], nn.Module]:
    return lambda channels, stride: nn.Sequential(
        *_depthwise(channels, kernel, stride), *_depthwise(channels, kernel, 1)
    )


def _dilated(kernel: int) -> Callable[[int, int], nn.Module]:
    return lambda channels, stride: nn.Sequential(*_depthwise(channels, kernel, stride, dilation=2))


def _skip(channels: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)


LAYERS: dict[str, Callable[[int, int], nn.Module]] = {  # of channels and stride
    "max_pool_3x3": lambda channels, stride: nn.MaxPool2d(3, stride, padding=1),
    "avg_pool_3x3": lambda channels, stride: average_pool(stride),
    "skip_connect": _skip,
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
}


class Cell(nn.Module):
    """Four nodes, each the sum of its edges; the output concatenates them.

    Args:
        before_last, last: channels of the two cells before.
        channels: of each node.
        is_reduction: halve the side.
        halves_first: the cell before is a reduction cell, so the first input has twice the side.
        choices: the operations of each edge (node, input): one, or all of a relaxed cell.
    """

    def __init__(
        self,
        before_last: int,
        last: int,
        channels: int,
        is_reduction: bool,
        halves_first: bool,
        choices: Mapping[tuple[int, int], Sequence[str]],
    ) -> None:
        super().__init__()
        self.first: nn.Module = (
            FactorizedReduce(before_last, channels)
            if halves_first
            else relu_conv_bn(before_last, channels, 1)
        )
        self.second = relu_conv_bn(last, channels, 1)
        self.ends = tuple(choices)
        self.edges = nn.ModuleDict()
        self.are_identities: list[bool] = []
        for (node, source), names in choices.items():
            stride = 2 if is_reduction and source < 2 else 1
            layers = {name: LAYERS[name](channels, stride) for name in names}
            self.edges[f"{node}_{source}"] = Mixture(layers)
            self.are_identities.append(stride == 1 and [*names] == ["skip_connect"])

    def forward(
        self, before_last: Tensor, last: Tensor, weights: Tensor | None = None, drop: float = 0.0
    ) -> Tensor:
        """Map the outputs of the two cells before to [n, 4 channels, ...].

        Args:
            before_last, last: outputs of the two cells before.
            weights: [14, 7] of edges and operations, of a relaxed cell.
            drop: probability that an edge's output is dropped for an image.
        """
        states = [self.first(before_last), self.second(last)]
        terms: list[list[Tensor]] = [[] for _ in range(NODES)]
        for row, ((node, source), mixture) in enumerate(
            zip(self.ends, self.edges.values(), strict=True)
        ):
            if len(states) < node + 2:
                states.append(added(terms[node - 1]))
            value = mixture(states[source], None if weights is None else weights[row])
            is_dropped = drop > 0 and not self.are_identities[row]
            terms[node].append(drop_path(value, drop) if is_dropped else value)
        return torch.cat([*states[2:], added(terms[-1])], 1)


def drop_path(values: Tensor, probability: float) -> Tensor:
    """Set the values of some images to 0, with a probability, and scale up the others."""
    kept = torch.rand(len(values), 1, 1, 1, device=values.device) >= probability
    return values * kept / (1 - probability)


class NB301Network(CellNetwork):
    """A network of a normal and a reduction cell of DARTS, or a relaxed one.

    Attributes:
        drop_path: as in the settings; it may be changed while the network is trained, as DARTS
            raises it from epoch to epoch.
    """

    space = "nb301"
    settings = NB301Skeleton
    taken: Tensor  # [14, 8, 20], of _edges_of_pairs

    def __init__(self, skeleton: NB301Skeleton, code: Tensor | None = None) -> None:
        super().__init__(skeleton, code)
        self.drop_path = skeleton.drop_path
        self.register_buffer("taken", _edges_of_pairs(), persistent=False)
        channels, inputs = skeleton.channels, skeleton.input_channels
        is_small = skeleton.stem == "cifar"
        last = STEM_MULTIPLIER * channels if is_small else channels
        before_last = last
        self.stem = stem(skeleton.stem, inputs, last)
        self.second_stem: nn.Module = (
            nn.Identity() if is_small else relu_conv_bn(last, last, 3, stride=2)
        )
        self.layers = nn.ModuleList()
        self.are_reductions: list[bool] = []
        halves_first = not is_small
        for stage in range(skeleton.stages):
            for is_reduction in [True] * (stage > 0) + [False] * skeleton.cells:
                channels *= 2 if is_reduction else 1
                choices = _choices(code, int(is_reduction))
                self.are_reductions.append(is_reduction)
                self.layers.append(
                    Cell(before_last, last, channels, is_reduction, halves_first, choices)
                )
                before_last, last, halves_first = last, NODES * channels, is_reduction
        self.classifier = classifier(last, skeleton.classes)

    def compute(self, images: Tensor, operations: Tensor | None, edges: Tensor | None) -> Tensor:
        """Map images to outputs [n, classes]; weights [16, 7] and [40] of a relaxed network."""
        weights: Sequence[Tensor | None] = (None, None)
        if operations is not None and edges is not None:
            taken = torch.einsum("esp,cp->ces", self.taken, edges.reshape(2, -1))
            weights = list(taken @ operations.reshape(2, SLOTS, -1))  # normal and reduction cell
        drop = self.drop_path if self.training else 0.0
        before_last = self.stem(images)
        last = self.second_stem(before_last)
        for cell, is_reduction in zip(self.layers, self.are_reductions, strict=True):
            output = cell(before_last, last, weights[int(is_reduction)], drop)
            before_last, last = last, output
        outputs: Tensor = self.classifier(last)
        return outputs


def _choices(code: Tensor | None, cell: int) -> dict[tuple[int, int], Sequence[str]]:
    """Return the operations of the edges (node, input) of the normal cell (0) or the other (1)."""
    if code is None:
        return dict.fromkeys(EDGES, OPERATIONS)
    operations = code[cell * SLOTS :][:SLOTS].tolist()
    numbers = code[2 * SLOTS + cell * NODES :][:NODES].tolist()
    return {
        (node, source): [OPERATIONS[operations[2 * node + slot]]]
        for node, number in enumerate(numbers)
        for slot, source in enumerate(PAIRS[node][number])
    }
