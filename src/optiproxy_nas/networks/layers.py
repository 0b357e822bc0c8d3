"""Layers that the networks of several spaces have."""

from __future__ import annotations

from torch import Tensor, nn


class Zero(nn.Module):
    """No connection: zeros, which depend on the input, so that ONNX does not lose it."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return zeros of the input's shape."""
        return 0 * inputs


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps the side, or divides it by ``stride``."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def relu_conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return ReLU, convolution, batch normalisation."""
    return nn.Sequential(
        nn.ReLU(), convolution(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs)
    )


def conv_bn_relu(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Return convolution, batch normalisation, ReLU."""
    return nn.Sequential(convolution(inputs, outputs, kernel), nn.BatchNorm2d(outputs), nn.ReLU())


def average_pool(stride: int = 1) -> nn.AvgPool2d:
    """Return average pooling of 3 by 3 pixels, those beyond the border not counted."""
    return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)


def stem(kind: str, inputs: int, outputs: int) -> nn.Sequential:
    """Return the layers before the first cell: one convolution, or two that halve the side each."""
    if kind == "cifar":
        return nn.Sequential(convolution(inputs, outputs, 3), nn.BatchNorm2d(outputs))
    half = max(1, outputs // 2)
    return nn.Sequential(
        convolution(inputs, half, 3, stride=2),
        nn.BatchNorm2d(half),
        nn.ReLU(),
        convolution(half, outputs, 3, stride=2),
        nn.BatchNorm2d(outputs),
    )


def classifier(inputs: int, classes: int) -> nn.Sequential:
    """Return global average pooling and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
