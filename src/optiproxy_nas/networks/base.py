"""What the networks of all cell spaces share: the settings of a skeleton, checks of inputs."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import StrictModel
from optiproxy_nas.spaces import get_space


class Skeleton(StrictModel):
    """The network around a cell: a stem, stages of cells, a linear classifier.

    The side of the images is halved, and the channels are doubled, from one stage to the next.
    """

    channels: int = Field(ge=1, description="of the first stage's cells")
    cells: int = Field(ge=1, description="cells a stage, those that halve the side left out")
    stages: int = Field(default=3, ge=1, le=8, description="number of stages")
    stem: Literal["cifar", "imagenet"] = Field(
        default="cifar", description="cifar keeps the side of the images, imagenet halves it twice"
    )
    classes: int = Field(default=10, ge=1, description="outputs of the network")
    input_channels: int = Field(default=3, ge=1, description="of the images")

    @property
    def least_side(self) -> int:
        """Return the least side of an image that leaves one pixel to the last stage."""
        return int(2 ** (self.stages - 1 + (2 if self.stem == "imagenet" else 0)))


class CellNetwork(nn.Module):
    """A network of a discrete cell, or a relaxed one that holds the weights of all of them.

    A subclass builds its modules in ``__init__`` and maps images to outputs in ``compute``. Each
    tensor of a discrete network has the name that it has in the relaxed one, and is a part of it:
    the first rows and columns, all of them in most spaces.

    Args:
        skeleton: an instance of ``settings``.
        code: [L], the discrete architecture; None: the network is relaxed.
    """

    space: ClassVar[str]  # the registered name
    settings: ClassVar[type[Skeleton]] = Skeleton

    def __init__(self, skeleton: Any, code: Tensor | None = None) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.code = code

    def compute(self, images: Tensor, operations: Tensor | None, edges: Tensor | None) -> Tensor:
        """Map images [n, channels, height, width] to outputs [n, classes]."""
        raise NotImplementedError

    def forward(
        self, images: Tensor, operations: Tensor | None = None, edges: Tensor | None = None
    ) -> Tensor:
        """Map images [n, channels, height, width] to outputs [n, classes].

        Args:
            images: float, as many channels as the skeleton has, not smaller than its stages need.
            operations: [N, M] in [0, 1], of a relaxed network: the weight of each operation.
            edges: [E] in [0, 1], of a relaxed network of a space with free edges.

        Raises:
            ParameterError: images or weights of another shape; or weights for a discrete network.
        """
        self._check_images(images)
        self._check_weights(operations=operations, edges=edges)
        operations, edges = (
            None if tensor is None else tensor.to(images) for tensor in (operations, edges)
        )
        return self.compute(images, operations, edges)

    def discrete(self, architecture: Any) -> Self:
        """Return the network of one architecture with a copy of this relaxed network's weights.

        It is on the same device, of the same type, and in the same mode.

        Raises:
            InvalidArchitectureError: it is no member of the space.
            ParameterError: this network is a discrete one.
        """
        if self.code is not None:
            raise ParameterError(
                "This network is that of one architecture; only a relaxed one, of relaxed_network, "
                "has the weights of others."
            )
        network = type(self)(self.skeleton, code_of(self.space, architecture))
        network = network.to(next(self.parameters())).train(self.training)
        whole = self.state_dict()
        network.load_state_dict(
            {
                name: whole[name][tuple(slice(size) for size in part.shape)]
                for name, part in network.state_dict().items()
            }
        )
        return network

    def _check_images(self, images: Tensor) -> None:
        channels, least = self.skeleton.input_channels, self.skeleton.least_side
        if images.dim() != 4 or images.shape[1] != channels or min(images.shape[2:]) < least:
            raise ParameterError(
                f"The network takes images [n, {channels}, height, width] of at least {least} by "
                f"{least}, not {list(images.shape)}. The settings input_channels, stages and stem "
                "decide it.",
                shape=list(images.shape),
                input_channels=channels,
                least_side=least,
            )

    def _check_weights(self, **weights: Tensor | None) -> None:
        if self.code is not None:
            if given := [name for name, tensor in weights.items() if tensor is not None]:
                raise ParameterError(
                    f"{given[0]} is for a relaxed network; this one is that of one architecture.",
                    name=given[0],
                )
            return
        space = get_space(self.space)
        shapes = {
            "operations": [space.num_nodes, len(space.operations)],
            "edges": [space.num_edges],
        }
        for name, shape in shapes.items():
            tensor = weights[name]
            got = None if tensor is None else list(tensor.shape)
            if got != shape and (shape != [0] or got is not None):
                takes = f"takes {name} {shape}" if shape != [0] else f"takes no {name}"
                raise ParameterError(
                    f"A relaxed network of {self.space} {takes}, not {got}.",
                    name=name,
                    shape=shape,
                )


def code_of(space: str, architecture: Any) -> Tensor:
    """Return the code [L] of an architecture of a space.

    Raises:
        InvalidArchitectureError: it is no member of the space.
    """
    with torch.device("cpu"):  # a network may be built on another one, or on none ("meta")
        return get_space(space).from_string([architecture])[0]


class Mixture(nn.ModuleDict):
    """Operations of one edge by name: a single one, or all, each with a weight."""

    def forward(self, inputs: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the only operation's output, or the sum of all outputs times weights [M]."""
        outputs: list[Tensor] = [operation(inputs) for operation in self.values()]
        if weights is None:
            (output,) = outputs
            return output
        return added([weight * output for weight, output in zip(weights, outputs, strict=True)])


def added(terms: Sequence[Tensor]) -> Tensor:
    """Return the sum of tensors of one shape."""
    return reduce(operator.add, terms)
